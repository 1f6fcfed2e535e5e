/// Whether a reload changed anything for a server.
extension ServerPolicy {
  /// Whether this policy decides and opens just what `other` does, wherever it is written.
  package func decidesLike(_ other: ServerPolicy) -> Bool {
    name == other.name && interface == other.interface && networks.map(\.prefix) == other.networks.map(\.prefix)
      && inbound == other.inbound && asksDHCP == other.asksDHCP && cname == other.cname
      && prefixes.elementsEqual(other.prefixes) { $0.opensLike($1) }
      && rules.decidesLike(other.rules) && deniesLike(other) && deniesAddressesLike(other)
  }
}

extension StaticPrefixRule {
  /// Whether both open the same, wherever they are written.
  func opensLike(_ other: StaticPrefixRule) -> Bool {
    prefix == other.prefix && ports == other.ports && maxBytes == other.maxBytes && until == other.until
  }
}

extension RuleList {
  /// Whether both name the same patterns in the same order, whatever their entries say of them.
  package func listsLike(_ other: RuleList) -> Bool {
    names == other.names
      && entries.elementsEqual(other.entries) { left, right in
        left.nameStart == right.nameStart && left.nameLength == right.nameLength && left.kind == right.kind
      }
  }

  /// Whether both hold the same rules in the same order.
  func decidesLike(_ other: RuleList) -> Bool {
    names == other.names
      && entries.elementsEqual(other.entries) { left, right in
        left.nameStart == right.nameStart && left.nameLength == right.nameLength && left.kind == right.kind
          && profiles[Int(left.profile)] == other.profiles[Int(right.profile)]
      }
  }
}
