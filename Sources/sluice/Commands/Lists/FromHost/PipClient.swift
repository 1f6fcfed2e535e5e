/// What pip fetches packages from: its variables, its files, and without either what its own source says.
enum PipClient {
  private static let keys = ["index-url", "extra-index-url", "find-links"]

  static func read(_ host: HostTree) -> ClientReading {
    var reading = ClientReading()
    var namesIndex = false
    for key in keys {
      let name = "PIP_" + key.uppercased().replacing("-", with: "_")
      guard let value = host.environment[name] else { continue }
      namesIndex = namesIndex || key == "index-url"
      for url in value.split(whereSeparator: \.isWhitespace) { reading.add(url, at: name) }
    }
    for file in files(host) {
      for (key, url, line) in values(host.lines(file)) {
        namesIndex = namesIndex || key == "index-url"
        reading.add(url, at: "\(file):\(line)")
      }
    }
    if !namesIndex { addDefault(host, &reading) }
    reading.notes.append("an index may lead to files on other hosts: `sluice log suggest` shows those that were denied")
    return reading
  }

  private static func files(_ host: HostTree) -> [String] {
    let named = ["PIP_CONFIG_FILE"].compactMap { host.environment[$0] }
    let environment = host.environment["VIRTUAL_ENV"].map { ["\($0)/pip.conf"] } ?? []
    let users = host.homes.flatMap { ["\($0)/.config/pip/pip.conf", "\($0)/.pip/pip.conf"] }
    return named + environment + users + [
      "/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/usr/pip.conf", "/usr/local/pip.conf",
    ]
  }

  /// The URLs of an INI file; values go on in lines that begin with a blank.
  private static func values(_ lines: [(number: Int, text: String)]) -> [(key: String, url: Substring, line: Int)] {
    var found: [(String, Substring, Int)] = []
    var key = ""
    for (number, text) in lines {
      let isMore = text.first?.isWhitespace == true
      guard let first = text.first(where: { !$0.isWhitespace }), first != "#", first != ";" else { continue }
      var value = text[...]
      if !isMore {
        key = ""
        guard let mark = text.firstIndex(where: { $0 == "=" || $0 == ":" }), first != "[" else { continue }
        key = text[..<mark].filter { !$0.isWhitespace }.lowercased().replacing("_", with: "-")
        value = text[text.index(after: mark)...]
      }
      guard keys.contains(key) else { continue }
      for url in value.split(whereSeparator: \.isWhitespace) { found.append((key, url, number)) }
    }
    return found
  }

  /// pip's index and the host of its files stand in its own source, which is read and not run.
  private static func addDefault(_ host: HostTree, _ reading: inout ClientReading) {
    for folder in ["/usr/lib", "/usr/local/lib"] {
      for python in host.names(in: folder) where python.hasPrefix("python3") {
        for kind in ["dist-packages", "site-packages"] {
          let file = "\(folder)/\(python)/\(kind)/pip/_internal/models/index.py"
          for line in host.lines(file) where line.text.contains("PackageIndex(") && !line.text.hasPrefix("class") {
            let quoted = line.text.split(separator: "\"", omittingEmptySubsequences: false)
            guard quoted.count > 3 else { continue }
            reading.add(quoted[1], at: "\(file):\(line.number)")
            reading.add("https://\(quoted[3])/", at: "\(file):\(line.number)")
            return
          }
        }
      }
    }
    reading.unknownDefault =
      "pip names no index in its configuration, and its own is in no pip here: `pip install --help` says it behind --index-url"
  }
}
