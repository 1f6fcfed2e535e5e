import EgressPolicy

/// Reads `deny`, a list of names.
extension PolicyReader {
  /// Names and patterns as in an egress list; nothing else of an entry has a meaning here.
  mutating func denials(_ node: YAMLNode) -> RuleList {
    var rules = RuleList()
    for entry in findings.list(node, of: "names") ?? YAMLChildren.none(in: node) {
      guard let name = name(entry) else { continue }
      if let text = name.text, Self.everything.contains(text) {
        findings.error(
          "\(Quoted.text(text)) would deny every name, expected names: what no entry of 'egress' lists is denied anyway",
          at: name.location)
        continue
      }
      guard let pattern = pattern(name) else { continue }
      rules.append(EgressRule(pattern: pattern, location: entry.location))
    }
    return rules
  }

  /// What stands behind `host`, or the entry itself.
  private mutating func name(_ entry: YAMLNode) -> YAMLNode? {
    guard entry.isMapping else { return entry }
    for (key, value) in entry.pairs {
      switch key.text {
      case "host": continue
      case "cidr":
        findings.error(
          "'cidr' stands under 'deny', expected names: addresses are open where an entry with 'cidr' or a name opens them",
          at: value.location)
      default:
        findings.error("\(key.summary) has no meaning under 'deny', expected 'host' alone", at: key.location)
      }
    }
    guard let host = entry.pairs.first(where: { $0.key.text == "host" })?.value else {
      findings.error("an entry of 'deny' has no 'host', expected a name", at: entry.location)
      return nil
    }
    return host
  }

  private static let everything: Set<String> = ["*", "**", "*.*"]
}
