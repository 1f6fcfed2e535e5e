import Foundation

/// What cargo fetches packages from: sources and registries of its config.toml.
enum CargoClient {
  static func read(_ host: HostTree) -> ClientReading {
    var reading = ClientReading()
    var replaces = false
    for file in files(host) {
      var section = ""
      for line in host.lines(file) {
        let text = line.text.trimmingCharacters(in: .whitespaces)
        if text.hasPrefix("[") {
          section = text.filter { !"[] ".contains($0) }
          continue
        }
        guard !text.hasPrefix("#"), let mark = text.firstIndex(of: "=") else { continue }
        let key = text[..<mark].filter { !$0.isWhitespace }
        replaces = replaces || (section.hasPrefix("source.") && key == "replace-with")
        guard section.hasPrefix("source.") ? key == "registry" : section.hasPrefix("registries.") && key == "index",
          let url = text[mark...].split(separator: "\"", omittingEmptySubsequences: false).dropFirst().first
        else { continue }
        reading.add(url, at: "\(file):\(line.number)")
      }
    }
    for (name, value) in host.environment.sorted(by: { $0.key < $1.key })
    where name.hasPrefix("CARGO_REGISTRIES_") && name.hasSuffix("_INDEX") { reading.add(value, at: name) }
    if !replaces {
      reading.unknownDefault =
        "cargo replaces its own source in no config.toml, and cannot be asked which that is: its book says it (Registries); write its "
        + "host, and that of `dl` in its config.json"
    }
    reading.notes.append("`dl` in the config.json of an index may name another host")
    return reading
  }

  private static func files(_ host: HostTree) -> [String] {
    let named = host.environment["CARGO_HOME"].map { [$0] } ?? []
    let folders = named + host.homes.map { "\($0)/.cargo" } + ["/usr/local/cargo"]
    return folders.flatMap { ["\($0)/config.toml", "\($0)/config"] }
  }
}
