extension IPAddress: CustomStringConvertible {
  /// As `appendText` writes it.
  @usableFromInline package var description: String {
    var text: [UInt8] = []
    appendText(to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Appends dotted decimal, or the canonical form of RFC 5952; no `String` on the way.
  package func appendText(to output: inout [UInt8]) {
    switch family {
    case .v4: Self.append(dotted: UInt32(truncatingIfNeeded: low), to: &output)
    case .v6 where high == 0 && low >> 32 == 0xFFFF:  // RFC 5952 section 5
      output.append(contentsOf: "::ffff:".utf8)
      Self.append(dotted: UInt32(truncatingIfNeeded: low), to: &output)
    case .v6: appendGroups(to: &output)
    }
  }

  private static func append(dotted value: UInt32, to output: inout [UInt8]) {
    for shift in stride(from: UInt32(24), through: 0, by: -8) {
      let number = UInt8(truncatingIfNeeded: value >> shift)
      if number >= 100 { output.append(UInt8(ascii: "0") + number / 100) }
      if number >= 10 { output.append(UInt8(ascii: "0") + number / 10 % 10) }
      output.append(UInt8(ascii: "0") + number % 10)
      if shift > 0 { output.append(UInt8(ascii: ".")) }
    }
  }

  private func appendGroups(to output: inout [UInt8]) {
    let gap = longestZeroRun
    var index = 0
    while index < 8 {
      if index == gap.lowerBound, !gap.isEmpty {
        output.append(contentsOf: "::".utf8)
        index = gap.upperBound
        continue
      }
      if index > 0, index != gap.upperBound || gap.isEmpty { output.append(UInt8(ascii: ":")) }
      Self.append(hexadecimal: group(index), to: &output)
      index += 1
    }
  }

  private static func append(hexadecimal value: UInt16, to output: inout [UInt8]) {
    for shift in stride(from: UInt16(12), through: 0, by: -4) where shift == 0 || value >> shift > 0 {
      let digit = UInt8(truncatingIfNeeded: value >> shift & 15)
      output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
  }

  private func group(_ index: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index & 3)))
  }

  /// The first of the longest runs of two or more zero groups (RFC 5952 section 4.2).
  private var longestZeroRun: Range<Int> {
    var best = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, group(end) == 0 { end += 1 }
      if end - start > max(best.count, 1) { best = start..<end }
      start = end + 1
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
