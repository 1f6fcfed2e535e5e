/// An IPv4 or IPv6 address as a number, so that comparing and masking cost a few instructions.
///
/// Open to the optimizer of other modules, which hash and compare addresses by their general form otherwise.
@frozen @usableFromInline
package struct IPAddress: Hashable, Sendable {
  /// The version of the Internet Protocol.
  @frozen @usableFromInline
  package enum Family: UInt8, Sendable {
    case v4 = 4
    case v6 = 6
  }

  @usableFromInline package let family: Family
  /// The upper 64 bits of an IPv6 address; 0 for IPv4.
  @usableFromInline package let high: UInt64
  /// The lower 64 bits of an IPv6 address, or the 32-bit value of an IPv4 address.
  @usableFromInline package let low: UInt64

  package init(v4 value: UInt32) {
    family = .v4
    high = 0
    low = UInt64(value)
  }

  package init(high: UInt64, low: UInt64) {
    family = .v6
    self.high = high
    self.low = low
  }

  /// Reads 4 or 16 octets in network order; nil for any other count.
  package init?(octets: Span<UInt8>) {
    func word(_ start: Int, _ count: Int) -> UInt64 {
      var value: UInt64 = 0
      for index in start..<(start + count) {
        value = value << 8 | UInt64(octets[index])
      }
      return value
    }
    switch octets.count {
    case 4: self.init(v4: UInt32(word(0, 4)))
    case 16: self.init(high: word(0, 8), low: word(8, 8))
    default: return nil
    }
  }

  /// The family is told by what is hashed: an IPv4 address is one word, an IPv6 address two.
  @inlinable package func hash(into hasher: inout Hasher) {
    if family == .v6 { hasher.combine(high) }
    hasher.combine(low)
  }

  @inlinable package static func == (left: IPAddress, right: IPAddress) -> Bool {
    left.low == right.low && left.high == right.high && left.family == right.family
  }

  /// 4 or 16.
  package var octetCount: Int { family == .v4 ? 4 : 16 }

  /// Network order.
  package var octets: [UInt8] {
    var octets: [UInt8] = []
    octets.reserveCapacity(octetCount)
    append(to: &octets)
    return octets
  }

  /// Appends the octets in network order.
  package func append(to octets: inout [UInt8]) {
    for shift in stride(from: UInt64(56), through: 0, by: -8) where family == .v6 {
      octets.append(UInt8(truncatingIfNeeded: high >> shift))
    }
    for shift in stride(from: UInt64(family == .v4 ? 24 : 56), through: 0, by: -8) {
      octets.append(UInt8(truncatingIfNeeded: low >> shift))
    }
  }

  /// Appends the octets in network order, if there is room for all of them.
  package func append(to output: inout OutputSpan<UInt8>) {
    guard output.freeCapacity >= octetCount else { return }
    if family == .v6 {
      for shift in stride(from: UInt64(56), through: 0, by: -8) {
        output.append(UInt8(truncatingIfNeeded: high >> shift))
      }
    }
    for shift in stride(from: UInt64(family == .v4 ? 24 : 56), through: 0, by: -8) {
      output.append(UInt8(truncatingIfNeeded: low >> shift))
    }
  }

  /// `::ffff:a.b.c.d` as `a.b.c.d` (RFC 4291 section 2.5.5.2); every other address as it is.
  package var unmapped: IPAddress {
    guard family == .v6, high == 0, low >> 32 == 0xFFFF else { return self }
    return IPAddress(v4: UInt32(truncatingIfNeeded: low))
  }
}

extension IPAddress: Comparable {
  /// IPv4 before IPv6, then by value.
  @usableFromInline package static func < (left: Self, right: Self) -> Bool {
    (left.family.rawValue, left.high, left.low) < (right.family.rawValue, right.high, right.low)
  }
}
