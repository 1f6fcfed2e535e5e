/// What a table begins with that is to let nothing pass until its rules are in.
extension Ruleset {
  /// Before the names of what a table begins with that is to let nothing pass until its rules are in.
  package static let closingPrefix = "closing/"

  /// Its chains, each before those that it leads to.
  private static let closingChains = ["arriving/hook", "passing/hook", "arriving", "passing"].map { closingPrefix + $0 }

  /// What takes all of that away, behind a ruleset.
  ///
  /// - Parameters:
  ///   - chains: of the table; as `sets`.
  package static func opening(_ table: String, chains: Set<String>, sets: Set<String>) -> String {
    var text = RulesetScript(table: "inet \(table)")
    let mine = closingChains.filter(chains.contains)
    for chain in mine { text.line("flush chain", chain) }
    for chain in mine { text.line("delete chain", chain) }
    for set in sets.filter(isClosing).sorted() { text.line("delete set", set) }
    return text.text
  }

  /// Whether the text is the name of one of its sets.
  package static func isClosing(_ set: String) -> Bool {
    ["links", "networks-4", "networks-6"].contains { set == closingPrefix + $0 }
  }
}
