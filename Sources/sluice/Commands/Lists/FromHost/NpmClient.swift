/// What npm fetches packages from: its variables and files (npmrc(5)), and without either what its own source says.
enum NpmClient {
  static func read(_ host: HostTree) -> ClientReading {
    var reading = ClientReading()
    var namesRegistry = false
    for (name, value) in host.environment.sorted(by: { $0.key < $1.key })
    where name.lowercased() == "npm_config_registry" {
      namesRegistry = true
      reading.add(value, at: name)
    }
    let prefixes = ["/etc/npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc"]
    for file in host.homes.map({ "\($0)/.npmrc" }) + prefixes {
      for line in host.lines(file) {
        guard let mark = line.text.firstIndex(of: "="), !"#;".contains(line.text.first ?? "#") else { continue }
        let key = line.text[..<mark].filter { !$0.isWhitespace }
        guard key == "registry" || (key.hasPrefix("@") && key.hasSuffix(":registry")) else { continue }
        namesRegistry = namesRegistry || key == "registry"
        let value = line.text[line.text.index(after: mark)...].filter { !$0.isWhitespace && $0 != "\"" && $0 != "'" }
        reading.add(value, at: "\(file):\(line.number)")
      }
    }
    if !namesRegistry { addDefault(host, &reading) }
    return reading
  }

  private static let modules = [
    "/usr/lib/node_modules/npm", "/usr/local/lib/node_modules/npm", "/usr/share/nodejs/npm",
  ]
  private static let definitions = [
    "/node_modules/@npmcli/config/lib/definitions/definitions.js", "/lib/utils/config/definitions.js",
  ]

  /// The registry stands in npm's own source, which is read and not run.
  private static func addDefault(_ host: HostTree, _ reading: inout ClientReading) {
    let files = modules.flatMap { folder in definitions.map { folder + $0 } }
    for file in files + ["/usr/share/nodejs/@npmcli/config/lib/definitions/definitions.js"] {
      var isInside = false
      for line in host.lines(file) {
        if line.text.contains("'registry'") { isInside = true }
        guard isInside, line.text.contains("default:") else { continue }
        let quoted = line.text.split(separator: "'", omittingEmptySubsequences: false)
        if quoted.count > 1 { return reading.add(quoted[1], at: "\(file):\(line.number)") }
      }
    }
    reading.unknownDefault =
      "npm names no registry in its configuration, and its own is in no npm here: `npm config get registry` says it"
  }
}
