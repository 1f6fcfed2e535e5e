import EgressPolicy

/// Reads `deny`, a list of names and networks.
extension PolicyReader {
  private static let everything: Set<String> = ["*", "**", "*.*"]

  /// Names, patterns and networks as in an egress list; nothing else of an entry has a meaning here.
  mutating func denials(_ list: YAMLNode) -> (names: RuleList, prefixes: [PrefixDenial]) {
    var names = RuleList()
    var prefixes: [PrefixDenial] = []
    for entry in findings.list(list, of: "names") ?? YAMLChildren.none(in: list) {
      guard entry.isMapping else {
        deny(entry, at: entry.location, &names)
        continue
      }
      if let form = pasted(entry) {
        findings.error("an entry \(form.what), expected \(form.instead)", at: entry.location)
        continue
      }
      switch denial(entry) {
      case (let host?, nil): deny(host, at: entry.location, &names)
      case (nil, let cidr?):
        if let prefix = prefix(cidr) { prefixes.append(PrefixDenial(prefix: prefix, location: entry.location)) }
      case (.some, .some):
        findings.error("an entry has both 'host' and 'cidr', expected one of them", at: entry.location)
      case (nil, nil):
        findings.error("an entry has neither 'host' nor 'cidr', expected one of them", at: entry.location)
      }
    }
    return (names, prefixes)
  }

  /// What stands behind `host` and `cidr`; every other key is told.
  private mutating func denial(_ entry: YAMLNode) -> (host: YAMLNode?, cidr: YAMLNode?) {
    for (key, _) in entry.pairs {
      guard let text = key.text, text != "host", text != "cidr", Self.entryKeys.contains(text) else { continue }
      findings.error(
        "key '\(text)' has no meaning under 'deny', which closes all of a name or network; expected it under 'egress'",
        at: key.location)
    }
    let fields = findings.fields(entry, of: "an entry of deny", keys: Self.entryKeys)
    return (fields["host"], fields["cidr"])
  }

  private mutating func deny(_ host: YAMLNode, at location: SourceLocation, _ names: inout RuleList) {
    if let text = host.text, Self.everything.contains(text) {
      return findings.error(
        "\(Quoted.text(text)) would deny every name, expected names: what no entry of 'egress' lists is denied anyway",
        at: host.location)
    }
    guard let pattern = pattern(host) else { return }
    names.append(EgressRule(pattern: pattern, location: location))
  }
}
