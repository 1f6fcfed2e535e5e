/// How many octets may be sent, and what becomes of what goes beyond; a number alone blocks.
package struct ByteBound: Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// What becomes of a connection that goes beyond its bound, as the files say it.
  package enum Excess: String, Hashable, Sendable, CaseIterable {
    /// It goes on, and is told of once.
    case audit
    /// It is refused from then on.
    case block
  }

  package let bytes: UInt64
  package let excess: Excess

  package init(_ bytes: UInt64, _ excess: Excess = .block) {
    self.bytes = bytes
    self.excess = excess
  }

  package init(integerLiteral bytes: UInt64) { self.init(bytes) }

  /// Of two bounds of one name the smaller one, which blocks if either does; a bound is not undone by what has none.
  static func stricter(_ left: ByteBound?, _ right: ByteBound?) -> ByteBound? {
    guard let left, let right else { return left ?? right }
    return ByteBound(min(left.bytes, right.bytes), left.excess == right.excess ? left.excess : .block)
  }
}

/// What entries that say nothing of it are bounded by: what stands as `limits` in a document, or in the configuration.
package struct ByteLimits: Hashable, Sendable {
  package var maxBytes: ByteBound?
  package var maxBytesPerHour: ByteBound?

  package init(maxBytes: ByteBound? = nil, maxBytesPerHour: ByteBound? = nil) {
    self.maxBytes = maxBytes
    self.maxBytesPerHour = maxBytesPerHour
  }

  /// As the firewall has them.
  package var caps: [ByteCap] {
    [maxBytes.map { ByteCap(.perConnection, $0) }, maxBytesPerHour.map { ByteCap(.perHour, $0) }].compactMap { $0 }
  }
}

/// A bound on what a server may send to a destination, as the firewall has it.
package struct ByteCap: Hashable, Sendable, Comparable {
  /// What the octets are counted over: one connection, or all that goes to the destination within an hour.
  package enum Kind: UInt8, Sendable {
    case perConnection = 1
    case perHour = 2
  }

  package let kind: Kind
  /// Octets of packets from the server, IP headers included; of a connection through the gate those of its payload.
  package let bytes: UInt64
  package let excess: ByteBound.Excess

  package init(kind: Kind, bytes: UInt64, excess: ByteBound.Excess = .block) {
    self.kind = kind
    self.bytes = bytes
    self.excess = excess
  }

  package init(_ kind: Kind, _ bound: ByteBound) { self.init(kind: kind, bytes: bound.bytes, excess: bound.excess) }

  /// What only tells comes first: what is refused is told of as well.
  package static func < (left: Self, right: Self) -> Bool {
    (left.kind.rawValue, left.excess == .block ? 1 : 0, left.bytes)
      < (right.kind.rawValue, right.excess == .block ? 1 : 0, right.bytes)
  }
}

extension ServerPolicy {
  /// The distinct bounds of its names, ascending.
  package var byteCaps: [ByteCap] {
    (connectionCaps.map { ByteCap(.perConnection, $0) } + hourCaps.map { ByteCap(.perHour, $0) }).sorted()
  }
}

extension EgressRule {
  /// The same as they are written.
  package var limits: ByteLimits { ByteLimits(maxBytes: maxBytes, maxBytesPerHour: maxBytesPerHour) }

  /// The bounds of this rule.
  package var byteCaps: [ByteCap] { limits.caps }

  /// The bounds as bits: bit i stands for the cap at index i of `list`.
  package func capBits(in list: [ByteCap]) -> UInt16 {
    byteCaps.reduce(0) { bits, cap in
      guard let index = list.prefix(ServerPolicy.maximumCaps).firstIndex(of: cap) else { return bits }
      return bits | 1 << UInt16(index)
    }
  }
}
