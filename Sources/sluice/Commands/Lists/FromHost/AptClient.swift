/// What apt fetches packages from: sources.list(5), in both forms, and the proxies of apt.conf(5).
enum AptClient {
  static func read(_ host: HostTree) -> ClientReading {
    var reading = ClientReading()
    for file in ["/etc/apt/sources.list"] + host.files(in: "/etc/apt/sources.list.d", ".list") {
      for line in host.lines(file) {
        for url in urls(ofLine: line.text) { add(url, "\(file):\(line.number)", host, &reading) }
      }
    }
    for file in host.files(in: "/etc/apt/sources.list.d", ".sources") {
      for (url, line) in urls(ofStanzas: host.lines(file)) { add(url, "\(file):\(line)", host, &reading) }
    }
    for file in ["/etc/apt/apt.conf"] + host.names(in: "/etc/apt/apt.conf.d").map({ "/etc/apt/apt.conf.d/\($0)" }) {
      for line in host.lines(file) where isProxy(line.text) {
        let quoted = line.text.split(separator: "\"", omittingEmptySubsequences: false)
        if quoted.count > 1 { reading.add(quoted[1], at: "\(file):\(line.number)") }
      }
    }
    return reading
  }

  /// `mirror+file:` names a file with the mirrors.
  private static func add(_ url: Substring, _ place: String, _ host: HostTree, _ reading: inout ClientReading) {
    guard url.hasPrefix("mirror+file:") else { return reading.add(url, at: place) }
    let file = String(url.dropFirst("mirror+file:".count))
    for line in host.lines(file) {
      if let mirror = line.text.split(whereSeparator: \.isWhitespace).first, !mirror.hasPrefix("#") {
        reading.add(mirror, at: "\(file):\(line.number)")
      }
    }
  }

  /// `deb [ OPTIONS ] URL SUITE COMPONENT…`
  private static func urls(ofLine line: String) -> [Substring] {
    var words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)[...]
    guard let type = words.popFirst(), type == "deb" || type == "deb-src" else { return [] }
    if words.first?.hasPrefix("[") == true {
      while let word = words.popFirst(), !word.hasSuffix("]") {}
    }
    return words.first.map { [$0] } ?? []
  }

  /// Stanzas of deb822(5), of which one with `Enabled: no` counts for nothing.
  private static func urls(ofStanzas lines: [(number: Int, text: String)]) -> [(Substring, Int)] {
    var (found, stanza): ([(Substring, Int)], [(Substring, Int)]) = ([], [])
    var (key, isEnabled) = ("", true)
    func words(_ text: Substring, _ line: Int) -> [(Substring, Int)] {
      text.split(whereSeparator: \.isWhitespace).map { ($0, line) }
    }
    for (number, text) in lines + [(0, "")] {
      if text.allSatisfy(\.isWhitespace) {
        if isEnabled { found += stanza }
        (stanza, key, isEnabled) = ([], "", true)
      } else if text.hasPrefix("#") {
        continue
      } else if text.first?.isWhitespace == true {
        if key == "uris" { stanza += words(text[...], number) }
      } else if let colon = text.firstIndex(of: ":") {
        key = text[..<colon].lowercased()
        let value = text[text.index(after: colon)...]
        if key == "uris" { stanza += words(value, number) }
        if key == "enabled" {
          isEnabled = !["no", "false", "0"].contains(value.filter { !$0.isWhitespace }.lowercased())
        }
      }
    }
    return found
  }

  private static func isProxy(_ line: String) -> Bool {
    let text = line.filter { !$0.isWhitespace }.lowercased()
    return !text.hasPrefix("//") && !text.hasPrefix("#")
      && ["acquire::http::proxy", "acquire::https::proxy"].contains { text.hasPrefix($0) }
  }
}
