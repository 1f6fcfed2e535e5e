/// Why a text is no network prefix.
package enum IPPrefixError: Error, Equatable, Sendable {
  case address
  case length
  /// Bits beyond the length are set; the prefix that was perhaps meant is given.
  case hostBits(IPPrefix)
}

/// A network: an address whose bits beyond `length` are zero.
package struct IPPrefix: Hashable, Sendable {
  package let address: IPAddress
  package let length: Int

  /// The network of `length` bits that holds `address`; nil when the length does not fit the family.
  package init?(_ address: IPAddress, length: Int) {
    guard length >= 0, length <= (address.family == .v4 ? 32 : 128) else { return nil }
    self.address = address.masked(length)
    self.length = length
  }

  /// Reads `10.0.0.0/8` or a bare address; nil for anything else.
  package init?(_ text: some StringProtocol) {
    guard case .success(let prefix) = Self.read(text) else { return nil }
    self = prefix
  }

  /// Reads a prefix and says what is wrong with one that is none.
  package static func parse(_ text: some StringProtocol) throws(IPPrefixError) -> IPPrefix {
    try read(text).get()
  }

  private static func read(_ text: some StringProtocol) -> Result<IPPrefix, IPPrefixError> {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = IPAddress(parts[0]) else { return .failure(.address) }
    var length = address.octetCount * 8
    if parts.count == 2 {
      let digits = parts[1].utf8
      guard digits.allSatisfy({ (48...57).contains($0) }), digits.count == 1 || digits.first != 48,
        let number = Int(parts[1])
      else { return .failure(.length) }
      length = number
    }
    guard let prefix = IPPrefix(address, length: length) else { return .failure(.length) }
    guard prefix.address == address else { return .failure(.hostBits(prefix)) }
    return .success(prefix)
  }

  /// Whether the address lies in the network; none of the other family does.
  package func contains(_ other: IPAddress) -> Bool {
    other.family == address.family && other.masked(length) == address
  }

  /// Whether every address of the network lies in one of `others`.
  package func isCovered(by others: [IPPrefix]) -> Bool {
    if others.contains(where: { $0.length <= length && $0.contains(address) }) { return true }
    let inside = others.filter { $0.length > length && contains($0.address) }
    guard !inside.isEmpty else { return false }
    return halves.allSatisfy { $0.isCovered(by: inside) }
  }

  /// The two networks of one bit more that make up this one; none of a single address.
  private var halves: [IPPrefix] {
    guard let lower = IPPrefix(address, length: length + 1), let end = lower.last.next,
      let upper = IPPrefix(end, length: length + 1)
    else { return [] }
    return [lower, upper]
  }

  /// The last address of the network.
  package var last: IPAddress {
    guard address.family == .v6 else {
      let hostBits: UInt32 = length == 0 ? .max : ~(UInt32.max << UInt32(32 - length))
      return IPAddress(v4: UInt32(truncatingIfNeeded: address.low) | hostBits)
    }
    let highHostBits: UInt64 = length >= 64 ? 0 : UInt64.max >> UInt64(length)
    let lowHostBits: UInt64 = length <= 64 ? .max : ~(UInt64.max << UInt64(128 - length))
    return IPAddress(high: address.high | highHostBits, low: address.low | lowHostBits)
  }
}

extension IPPrefix: Comparable, CustomStringConvertible {
  package static func < (left: Self, right: Self) -> Bool {
    (left.address, left.length) < (right.address, right.length)
  }

  package var description: String { "\(address)/\(length)" }
}

extension IPAddress {
  /// The address with every bit beyond `length` cleared.
  func masked(_ length: Int) -> IPAddress {
    if family == .v4 {
      return IPAddress(v4: length == 0 ? 0 : UInt32(truncatingIfNeeded: low) & (UInt32.max << UInt32(32 - length)))
    }
    if length <= 64 {
      return IPAddress(high: length == 0 ? 0 : high & (UInt64.max << UInt64(64 - length)), low: 0)
    }
    return IPAddress(high: high, low: low & (UInt64.max << UInt64(128 - length)))
  }

  /// The address after this one; nil after the last.
  var next: IPAddress? {
    if family == .v4 { return low == 0xFFFF_FFFF ? nil : IPAddress(v4: UInt32(low) + 1) }
    if low < .max { return IPAddress(high: high, low: low + 1) }
    return high == .max ? nil : IPAddress(high: high + 1, low: 0)
  }
}
