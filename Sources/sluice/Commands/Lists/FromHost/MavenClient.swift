/// What maven fetches packages from: mirrors and repositories of its settings.xml.
enum MavenClient {
  static func read(_ host: HostTree) -> ClientReading {
    var reading = ClientReading()
    var mirrorsAll = false
    let whole = ["/etc/maven/settings.xml", "/usr/share/maven/conf/settings.xml", "/opt/maven/conf/settings.xml"]
    for file in host.homes.map({ "\($0)/.m2/settings.xml" }) + whole {
      guard let text = host.text(file).map(withoutComments) else { continue }
      for (name, content, line) in elements(["mirror", "repository", "pluginRepository"], of: text) {
        guard let url = elements(["url"], of: content).first?.content else { continue }
        reading.add(url, at: "\(file):\(line)")
        let of = elements(["mirrorOf"], of: content).first?.content.filter { !$0.isWhitespace } ?? ""
        mirrorsAll =
          mirrorsAll
          || (name == "mirror" && of.split(separator: ",").contains { ["*", "central", "external:*"].contains($0) })
      }
    }
    if !mirrorsAll {
      reading.unknownDefault =
        "maven has no mirror of everything (mirrorOf: *) in its settings.xml, and goes to a repository of its own besides, which "
        + "`mvn help:effective-pom` says; write its host, or a mirror"
    }
    return reading
  }

  /// Comments become blanks; lines stay as they are.
  private static func withoutComments(_ text: String) -> String {
    var (result, rest) = ("", text[...])
    while let start = rest.firstRange(of: "<!--") {
      result += rest[..<start.lowerBound]
      let end = rest[start.upperBound...].firstRange(of: "-->")?.upperBound ?? rest.endIndex
      result += rest[start.lowerBound..<end].filter { $0 == "\n" }
      rest = rest[end...]
    }
    return result + rest
  }

  /// The elements of these names, outermost ones, each with its content and the line that it begins in.
  private static func elements(_ names: [String], of text: String) -> [(name: String, content: String, line: Int)] {
    var found: [(String, String, Int)] = []
    var at = text.startIndex
    while let open = text[at...].firstIndex(of: "<") {
      let name = text[text.index(after: open)...].prefix { $0.isLetter }
      guard names.contains(String(name)), name.endIndex < text.endIndex, ">\t\n ".contains(text[name.endIndex]),
        let begin = text[open...].firstIndex(of: ">"), let end = text[begin...].firstRange(of: "</\(name)>")
      else {
        at = text.index(after: open)
        continue
      }
      let content = text[text.index(after: begin)..<end.lowerBound]
      found.append((String(name), String(content), text[..<open].count { $0 == "\n" } + 1))
      at = end.upperBound
    }
    return found
  }
}
