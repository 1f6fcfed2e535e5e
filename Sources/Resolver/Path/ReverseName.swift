import IPNetwork

/// The address in a reverse-mapping name (RFC 1035 section 3.5, RFC 3596 section 2.5).
enum ReverseName {
  private static let v4Suffix: [UInt8] = [7] + Array("in-addr".utf8) + [4] + Array("arpa".utf8) + [0]
  private static let v6Suffix: [UInt8] = [3] + Array("ip6".utf8) + [4] + Array("arpa".utf8) + [0]

  /// The address that a canonical wire name stands for; nil if it stands for none.
  static func address(_ octets: ArraySlice<UInt8>) -> IPAddress? {
    if octets.count > v4Suffix.count, octets.suffix(v4Suffix.count).elementsEqual(v4Suffix) {
      return v4(octets.dropLast(v4Suffix.count))
    }
    if octets.count == v6Suffix.count + 64, octets.suffix(v6Suffix.count).elementsEqual(v6Suffix) {
      return v6(octets.dropLast(v6Suffix.count))
    }
    return nil
  }

  private static func v4(_ labels: ArraySlice<UInt8>) -> IPAddress? {
    var value: UInt32 = 0
    var parts = 0
    var at = labels.startIndex
    while at < labels.endIndex {
      let length = Int(labels[at])
      guard (1...3).contains(length), at + length < labels.endIndex, parts < 4 else { return nil }
      var part: UInt32 = 0
      for digit in labels[(at + 1)...(at + length)] {
        guard (48...57).contains(digit) else { return nil }
        part = part * 10 + UInt32(digit - 48)
      }
      guard part < 256, length == 1 || labels[at + 1] != 48 else { return nil }
      value |= part << UInt32(8 * parts)
      parts += 1
      at += length + 1
    }
    return parts == 4 ? IPAddress(v4: value) : nil
  }

  private static func v6(_ labels: ArraySlice<UInt8>) -> IPAddress? {
    var words: (high: UInt64, low: UInt64) = (0, 0)
    for nibble in 0..<32 {
      let at = labels.startIndex + 2 * nibble
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
