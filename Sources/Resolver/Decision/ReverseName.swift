import IPNetwork

/// The address in a reverse-mapping name (RFC 1035 section 3.5, RFC 3596 section 2.5).
enum ReverseName {
  private static let v4Suffix: [UInt8] = [7] + Array("in-addr".utf8) + [4] + Array("arpa".utf8) + [0]
  private static let v6Suffix: [UInt8] = [3] + Array("ip6".utf8) + [4] + Array("arpa".utf8) + [0]

  /// The address that a canonical wire name stands for; nil if it stands for none.
  static func address(_ name: Span<UInt8>) -> IPAddress? {
    if name.count > v4Suffix.count, ends(name, with: v4Suffix) {
      return v4(name.extracting(droppingLast: v4Suffix.count))
    }
    if name.count == v6Suffix.count + 64, ends(name, with: v6Suffix) {
      return v6(name.extracting(droppingLast: v6Suffix.count))
    }
    return nil
  }

  private static func ends(_ name: Span<UInt8>, with suffix: [UInt8]) -> Bool {
    let start = name.count - suffix.count
    return suffix.indices.allSatisfy { name[start + $0] == suffix[$0] }
  }

  private static func v4(_ labels: Span<UInt8>) -> IPAddress? {
    var value: UInt32 = 0
    var parts = 0
    var at = 0
    while at < labels.count {
      let length = Int(labels[at])
      guard (1...3).contains(length), at + length < labels.count else { return nil }
      var part: UInt32 = 0
      for index in (at + 1)...(at + length) {
        guard (48...57).contains(labels[index]) else { return nil }
        part = part * 10 + UInt32(labels[index] - 48)
      }
      guard part < 256, length == 1 || labels[at + 1] != 48 else { return nil }
      value |= part << UInt32(8 * parts)
      parts += 1
      at += length + 1
    }
    return parts == 4 ? IPAddress(v4: value) : nil
  }

  private static func v6(_ labels: Span<UInt8>) -> IPAddress? {
    var words: (high: UInt64, low: UInt64) = (0, 0)
    for nibble in 0..<32 {
      let at = 2 * nibble
      guard labels[at] == 1, let value = hexadecimal(labels[at + 1]) else { return nil }
      // The first label is the lowest nibble.
      if nibble < 16 {
        words.low |= value << UInt64(4 * nibble)
      } else {
        words.high |= value << UInt64(4 * (nibble - 16))
      }
    }
    return IPAddress(high: words.high, low: words.low)
  }

  private static func hexadecimal(_ digit: UInt8) -> UInt64? {
    switch digit {
    case 48...57: UInt64(digit - 48)
    case 97...102: UInt64(digit - 87)
    default: nil
    }
  }
}
