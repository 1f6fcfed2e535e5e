/// The escapes of JSON strings (RFC 8259 section 7).
package enum JSONEscapes {
  /// Undoes the escapes of a string's inside.
  package static func undo(_ raw: ArraySlice<UInt8>) -> [UInt8] {
    guard raw.contains(UInt8(ascii: "\\")) else { return Array(raw) }
    var result: [UInt8] = []
    var at = raw.startIndex
    while at < raw.endIndex {
      guard raw[at] == UInt8(ascii: "\\"), at + 1 < raw.endIndex else {
        result.append(raw[at])
        at += 1
        continue
      }
      let kind = raw[at + 1]
      at += 2
      switch kind {
      case UInt8(ascii: "n"): result.append(0x0A)
      case UInt8(ascii: "r"): result.append(0x0D)
      case UInt8(ascii: "t"): result.append(0x09)
      case UInt8(ascii: "b"): result.append(0x08)
      case UInt8(ascii: "f"): result.append(0x0C)
      case UInt8(ascii: "u"):
        result.append(contentsOf: String(Character(scalar(raw, &at) ?? "\u{FFFD}")).utf8)
      default: result.append(kind)
      }
    }
    return result
  }

  /// The scalar whose first four digits stand at `at`; a pair of surrogates is one.
  private static func scalar(_ raw: ArraySlice<UInt8>, _ at: inout Int) -> Unicode.Scalar? {
    func unit() -> UInt32? {
      let digits = raw[at..<min(at + 4, raw.endIndex)]
      at = digits.endIndex
      return digits.count == 4 ? UInt32(String(decoding: digits, as: UTF8.self), radix: 16) : nil
    }
    guard let first = unit() else { return nil }
    guard first & 0xFC00 == 0xD800, raw[at...].starts(with: "\\u".utf8) else { return Unicode.Scalar(first) }
    at += 2
    guard let second = unit(), second & 0xFC00 == 0xDC00 else { return nil }
    return Unicode.Scalar(0x10000 + (first & 0x3FF) << 10 + (second & 0x3FF))
  }
}
