import EgressPolicy

/// The allowlist of GitHub Copilot's agent, and the tables of GitHub's page with what Copilot needs.
///
/// After docs.github.com, "Customizing or disabling the firewall for Copilot coding agent" and "Copilot allowlist reference"
/// (read 2026-08-21): a domain is meant with all below it, a URL with its host alone. What `*` is in those tables they do not
/// say; `https://*.githubcopilot.com/*` has to match hosts two labels below, so it is any labels.
enum CopilotFormat {
  private static let domain = NameMeaning(
    isPlainWide: true, star: .oneOrMore, inner: .octets(dots: true), tool: "Copilot's firewall")
  private static let url = NameMeaning(star: .oneOrMore, inner: .octets(dots: true), tool: "Copilot's firewall")

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let server = draft.server(nil, at: source.place(1))
    var isFenced = false
    var isFrontMatter = false
    for line in try source.lines() {
      let text = WrittenHost.trimmed(line.text)
      if text == "---", line.number == 1 || isFrontMatter {
        isFrontMatter.toggle()
        continue
      }
      if text.hasPrefix("```") { isFenced.toggle() }
      guard !isFenced, !isFrontMatter else { continue }
      for word in Self.words(text) {
        try add(word, at: source.place(line.number), to: server, into: &draft)
      }
    }
  }

  private static func add(
    _ word: Substring, at location: SourceLocation, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    if word.contains("YOUR-") || word.contains("SUBDOMAIN") {
      return try draft.refuse(
        String(word), at: location, "holds a word to fill in, expected the name of your enterprise in its place",
        of: server)
    }
    try draft.add(ListedHost(word, at: location), word.contains("://") ? url : domain, to: server)
  }

  /// Of a table the first column, of a list and of variables every word that is a host; of other text what is set as code.
  private static func words(_ line: Substring) -> [Substring] {
    if line.hasPrefix("|") {
      let cells = line.split(separator: "|", omittingEmptySubsequences: true)
      return cells.first.map { hosts($0) } ?? []
    }
    if line.hasPrefix("#") || line.hasPrefix(">") { return [] }
    let item = line.hasPrefix("* ") || line.hasPrefix("- ") ? WrittenHost.trimmed(line.dropFirst(2)) : line
    // A sentence has words that are none.
    let words = item.split(whereSeparator: { $0.isWhitespace || $0 == "," })
    guard words.allSatisfy({ isHost(bare($0)) }) else { return [] }
    return hosts(item)
  }

  private static func hosts(_ text: Substring) -> [Substring] {
    text.split(whereSeparator: { $0.isWhitespace || $0 == "," }).map(bare).filter(isHost)
  }

  private static func bare(_ word: Substring) -> Substring {
    var word = word
    while let first = word.first, "`*<(\"'".contains(first), !word.hasPrefix("*.") { word = word.dropFirst() }
    while let last = word.last, "`>)\"';".contains(last) { word = word.dropLast() }
    return word
  }

  private static func isHost(_ word: Substring) -> Bool {
    word.contains(".") && !word.hasSuffix(".") && !word.contains("](")
      && word.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } && !WrittenHost(word).host.isEmpty
  }
}
