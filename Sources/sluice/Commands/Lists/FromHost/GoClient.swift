import Foundation

/// What go fetches modules from: GOPROXY and GOSUMDB, of its environment, of the file of `go env -w`, and of go itself.
enum GoClient {
  private static let keys = ["GOPROXY", "GOSUMDB"]

  /// - Parameter ask: of this host's go, what a variable is; nil where there is none.
  static func read(_ host: HostTree, ask: (String) -> String? = GoClient.askGo) -> ClientReading {
    var reading = ClientReading()
    for key in keys {
      guard let (value, place) = value(of: key, host, ask) else {
        reading.unknownDefault =
          "go names no \(key) in its configuration, and none here can be asked: `go env \(keys.joined(separator: " "))` says them"
        continue
      }
      if key == "GOPROXY" {
        let parts = value.split { $0 == "," || $0 == "|" }
        for url in parts { reading.add(url, at: place) }
        if parts.contains("direct") {
          reading.notes.append("with `direct` in GOPROXY, modules that no proxy has come from hosts of their own")
        }
      } else if value != "off" {
        // `NAME[+KEY] [URL]`.
        let words = value.split(separator: " ")
        reading.add(
          words.count > 1 ? String(words[1]) : "https://\(value.prefix { $0 != "+" && $0 != " " })", at: place)
      }
    }
    return reading
  }

  private static func value(of key: String, _ host: HostTree, _ ask: (String) -> String?) -> (String, String)? {
    if let value = host.environment[key], !value.isEmpty { return (value, key) }
    let named = host.environment["GOENV"].map { [$0] } ?? []
    let users = host.homes.map { "\($0)/.config/go/env" }
    let versions = host.names(in: "/usr/lib").filter { $0.hasPrefix("go-") }.map { "/usr/lib/\($0)/go.env" }
    for file in named + users + ["/usr/local/go/go.env", "/usr/lib/go/go.env"] + versions {
      for line in host.lines(file) where line.text.hasPrefix("\(key)=") {
        return (String(line.text.dropFirst(key.count + 1)), "\(file):\(line.number)")
      }
    }
    return host.isThisHost ? ask(key).map { ($0, "go env \(key)") } : nil
  }

  /// Without a configuration go says what it was built with.
  static func askGo(_ key: String) -> String? {
    for program in ["/usr/local/go/bin/go", "/usr/bin/go"] {
      // One that is not there, or fails, says nothing.
      guard let (status, output, _) = try? HostProgram.run([program, "env", key], input: ""), status == 0 else {
        continue
      }
      let value = output.trimmingCharacters(in: .whitespacesAndNewlines)
      if !value.isEmpty { return value }
    }
    return nil
  }
}
