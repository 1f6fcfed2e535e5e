package import IPNetwork

/// A network that is denied whatever allows its addresses: a name that has one, or an entry that opens them without a name.
package struct PrefixDenial: Hashable, Sendable {
  package let prefix: IPPrefix
  package let location: SourceLocation
  /// The layer above the documents of servers in which it stands; nil for an entry of a document.
  package var layer: String?

  package init(prefix: IPPrefix, location: SourceLocation, layer: String? = nil) {
    (self.prefix, self.location, self.layer) = (prefix, location, layer)
  }

  /// As it stands in a list.
  package var text: String { "cidr: \(prefix)" }
}

extension ServerPolicy {
  /// Every network that it is denied: first those of its document.
  package var prefixDenials: [PrefixDenial] { deniedPrefixes + (layers?.deniedPrefixes ?? []) }

  /// Each of them once, and none that lies in another one, in their order.
  package var deniedNetworks: [IPPrefix] {
    var kept: [IPPrefix] = []
    // What holds others stands before them.
    for prefix in Set(prefixDenials.map(\.prefix)).sorted(by: { ($0.address, $0.length) < ($1.address, $1.length) }) {
      if let last = kept.last, last.length <= prefix.length, last.contains(prefix.address) { continue }
      kept.append(prefix)
    }
    return kept
  }
}

/// Which addresses a server is denied.
struct DeniedAddresses: Sendable {
  private let denials: [PrefixDenial]
  private let table: PrefixTable

  /// Nil where it is denied none.
  init?(_ denials: [PrefixDenial]) {
    guard !denials.isEmpty else { return nil }
    self.denials = denials
    // The first of two counts, which stands nearer.
    table = PrefixTable(denials.enumerated().reversed().map { ($1.prefix, UInt32($0)) })
  }

  /// The entry that denies an address, or what it carries (NAT64, 6to4 and the like).
  func denial(of address: IPAddress) -> PrefixDenial? {
    ([address] + address.embedded).lazy.compactMap { table.lookup($0) }.first.map { denials[Int($0)] }
  }
}
