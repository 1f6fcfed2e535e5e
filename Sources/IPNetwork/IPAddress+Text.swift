extension IPAddress: CustomStringConvertible {
  /// Dotted decimal, or the canonical form of RFC 5952.
  package var description: String {
    guard family == .v6 else { return Self.dotted(UInt32(truncatingIfNeeded: low)) }
    if high == 0, low >> 32 == 0xFFFF { return "::ffff:" + Self.dotted(UInt32(truncatingIfNeeded: low)) }
    let groups = (0..<8).map { index in
      UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index % 4)))
    }
    let gap = Self.longestZeroRun(groups)
    func text(_ range: Range<Int>) -> String {
      range.map { String(groups[$0], radix: 16) }.joined(separator: ":")
    }
    guard gap.count > 1 else { return text(0..<8) }
    return text(0..<gap.lowerBound) + "::" + text(gap.upperBound..<8)
  }

  private static func dotted(_ value: UInt32) -> String {
    "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
  }

  /// The first of the longest runs of zero groups (RFC 5952 section 4.2.3).
  private static func longestZeroRun(_ groups: [UInt16]) -> Range<Int> {
    var best = 0..<0
    var start = 0
    while start < groups.count {
      var end = start
      while end < groups.count, groups[end] == 0 { end += 1 }
      if end - start > best.count { best = start..<end }
      start = max(end, start + 1)
    }
    return best
  }

  /// Reads dotted decimal without leading zeros, or IPv6 text (RFC 4291 section 2.2) without a zone.
  package init?(_ text: some StringProtocol) {
    let octets = Array(text.utf8)
    guard octets.count <= 45 else { return nil }
    if octets.contains(UInt8(ascii: ":")) {
      self.init(v6: octets[...])
    } else if let value = Self.v4(octets[...]) {
      self.init(v4: value)
    } else {
      return nil
    }
  }

  private static func v4(_ text: ArraySlice<UInt8>) -> UInt32? {
    let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard (1...3).contains(part.count), part.count == 1 || part.first != 48 else { return nil }
      var number: UInt32 = 0
      for digit in part {
        guard (48...57).contains(digit) else { return nil }
        number = number * 10 + UInt32(digit - 48)
      }
      guard number < 256 else { return nil }
      value = value << 8 | number
    }
    return value
  }

  private init?(v6 text: ArraySlice<UInt8>) {
    let colon = UInt8(ascii: ":")
    var head: [UInt16] = []
    var tail: [UInt16]?
    var rest = text
    if rest.starts(with: [colon, colon]) {
      tail = []
      rest = rest.dropFirst(2)
    } else if rest.first == colon {
      return nil
    }
    while !rest.isEmpty {
      let group = rest.prefix { $0 != colon }
      rest = rest.dropFirst(group.count)
      var words: [UInt16] = []
      if rest.isEmpty, group.contains(UInt8(ascii: ".")) {
        guard let value = Self.v4(group) else { return nil }
        words = [UInt16(value >> 16), UInt16(truncatingIfNeeded: value)]
      } else {
        guard let word = Self.group(group) else { return nil }
        words = [word]
      }
      if tail == nil { head += words } else { tail? += words }
      guard !rest.isEmpty else { break }
      rest = rest.dropFirst()
      if rest.first == colon {
        guard tail == nil else { return nil }
        tail = []
        rest = rest.dropFirst()
      } else if rest.isEmpty {
        return nil
      }
    }
    let written = head.count + (tail?.count ?? 0)
    guard tail == nil ? written == 8 : written <= 7 else { return nil }
    let groups = head + [UInt16](repeating: 0, count: 8 - written) + (tail ?? [])
    let word = { (range: Range<Int>) in groups[range].reduce(UInt64(0)) { $0 << 16 | UInt64($1) } }
    self.init(high: word(0..<4), low: word(4..<8))
  }

  private static func group(_ digits: ArraySlice<UInt8>) -> UInt16? {
    guard (1...4).contains(digits.count) else { return nil }
    var value: UInt16 = 0
    for digit in digits {
      switch digit {
      case 48...57: value = value << 4 | UInt16(digit - 48)
      case 65...70: value = value << 4 | UInt16(digit - 55)
      case 97...102: value = value << 4 | UInt16(digit - 87)
      default: return nil
      }
    }
    return value
  }
}
