import EgressPolicy
import IPNetwork

/// One host, pattern, network, URL or `HOST:PORT` a line, as people keep them; rules of filter lists (`||example.com^`) too.
///
/// No tool's: patterns are Sluice's own. Those of filter lists are after AdGuard's "DNS filtering rules syntax" (2026-08).
enum ListFormat {
  private static let meaning = NameMeaning(
    star: .one, stars: .oneOrMore, dot: .zeroOrMore, inner: .own, opensEveryPort: false, tool: "Sluice")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let server = draft.server(nil, at: source.place(1))
    for line in try source.lines() {
      let text = WrittenHost.trimmed(line.text)
      if text.isEmpty || text.hasPrefix("#") || text.hasPrefix("!") || text.hasPrefix(";") || text.hasPrefix("[Adblock")
      {
        continue
      }
      let place = source.place(line.number)
      if text.hasPrefix("||") || text.hasPrefix("@@") {
        try filter(text, at: place, to: server, into: &draft)
        continue
      }
      let words = Self.words(text)
      if words.count > 1, IPAddress(words[0]) != nil, words.contains(where: { WrittenHost.network($0) == nil }) {
        throw .error("looks like a line of a hosts file, expected the format hosts for it", at: place)
      }
      for word in words {
        try draft.add(ListedHost(word, at: place, isDenied: draft.options.isDenied), meaning, to: server)
      }
    }
    draft.refuseExceptions(of: server)
  }

  /// The entry of a line, without the marks of a list, commas and what follows `#`.
  private static func words(_ line: Substring) -> [Substring] {
    let body = line.hasPrefix("- ") ? line.dropFirst(2) : line
    var words: [Substring] = []
    for word in body.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      if word.hasPrefix("#") { break }
      var word = word
      while let first = word.first, first == "\"" || first == "'" { word = word.dropFirst() }
      while let last = word.last, last == "\"" || last == "'" { word = word.dropLast() }
      if !word.isEmpty { words.append(word) }
    }
    return words
  }

  /// `||example.com^` denies a name and all below it, `@@||example.com^` allows them.
  private static func filter(
    _ text: Substring, at place: SourceLocation, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    let isAllowed = text.hasPrefix("@@")
    let rule = isAllowed ? text.dropFirst(2) : text
    let name = rule.dropFirst(2).prefix { $0 != "^" }
    let rest = rule.dropFirst(2 + name.count)
    guard rule.hasPrefix("||"), rest.isEmpty || rest == "^" || rest == "^|", !name.contains("/") else {
      return try draft.refuse(
        String(text), at: place, isDenied: !isAllowed, "a rule with more than a name, expected ||example.com^",
        of: server)
    }
    // Its * is any octets, dots too.
    let pattern = name.hasPrefix("*.") ? "*" + name : name.hasPrefix("*") ? String(name) : "." + name
    try draft.add(ListedHost(pattern, at: place, isDenied: !isAllowed), meaning, to: server)
  }
}
