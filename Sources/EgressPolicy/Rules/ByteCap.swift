/// A bound on what a server may send to a destination.
package struct ByteCap: Hashable, Sendable, Comparable {
  /// What the octets are counted over: one connection, or all that goes to the destination within an hour.
  package enum Kind: UInt8, Sendable {
    case perConnection = 1
    case perHour = 2
  }

  package let kind: Kind
  /// Octets of packets from the server, IP headers included.
  package let bytes: UInt64

  package init(kind: Kind, bytes: UInt64) {
    self.kind = kind
    self.bytes = bytes
  }

  package static func < (left: Self, right: Self) -> Bool {
    (left.kind.rawValue, left.bytes) < (right.kind.rawValue, right.bytes)
  }
}

extension ServerPolicy {
  /// The distinct bounds of its names, ascending.
  package var byteCaps: [ByteCap] {
    connectionCaps.map { ByteCap(kind: .perConnection, bytes: $0) }
      + hourCaps.map { ByteCap(kind: .perHour, bytes: $0) }
  }
}

extension EgressRule {
  /// The bounds of this rule.
  package var byteCaps: [ByteCap] {
    [
      maxBytes.map { ByteCap(kind: .perConnection, bytes: $0) },
      maxBytesPerHour.map { ByteCap(kind: .perHour, bytes: $0) },
    ].compactMap { $0 }
  }

  /// The bounds as bits: bit i stands for the cap at index i of `list`.
  package func capBits(in list: [ByteCap]) -> UInt16 {
    byteCaps.reduce(0) { bits, cap in
      guard let index = list.prefix(ServerPolicy.maximumCaps).firstIndex(of: cap) else { return bits }
      return bits | 1 << UInt16(index)
    }
  }
}
