import EgressPolicy

/// Strings of TOML: basic and literal, on one line or several.
extension TOMLReader {
  private static let quote = UInt8(ascii: "\"")
  private static let apostrophe = UInt8(ascii: "'")

  /// The string that begins here; nil where none does.
  mutating func string(isKey: Bool) throws(Diagnostic) -> String? {
    guard let mark = text.next, mark == Self.quote || mark == Self.apostrophe else { return nil }
    guard !isKey, text.ahead(1) == mark, text.ahead(2) == mark else {
      text.skip()
      return try line(mark)
    }
    for _ in 0..<3 { text.skip() }
    // An end of the line right behind the mark is not in the string.
    if text.next == 0x0D, text.ahead(1) == 0x0A { text.skip() }
    _ = text.skip(0x0A)
    return try lines(mark)
  }

  private mutating func line(_ mark: UInt8) throws(Diagnostic) -> String {
    var octets: [UInt8] = []
    while let octet = text.next, octet != 0x0A, octet != 0x0D {
      text.skip()
      if octet == mark { return String(decoding: octets, as: UTF8.self) }
      try append(octet, mark, isLong: false, to: &octets)
    }
    throw fault("a string that does not end in its line")
  }

  private mutating func lines(_ mark: UInt8) throws(Diagnostic) -> String {
    var octets: [UInt8] = []
    while let octet = text.skip() {
      guard octet == mark, text.next == mark, text.ahead(1) == mark else {
        try append(octet, mark, isLong: true, to: &octets)
        continue
      }
      text.skip()
      text.skip()
      // One mark or two may stand in front of those that end it.
      for _ in 0..<2 where text.next == mark {
        octets.append(mark)
        text.skip()
      }
      return String(decoding: octets, as: UTF8.self)
    }
    throw fault("a string that does not end")
  }

  private mutating func append(
    _ octet: UInt8, _ mark: UInt8, isLong: Bool, to octets: inout [UInt8]
  ) throws(Diagnostic) {
    if octet == UInt8(ascii: "\\"), mark == Self.quote { return try escape(isLong: isLong, to: &octets) }
    let isEnd = octet == 0x0A || octet == 0x0D && text.next == 0x0A
    guard octet >= 0x20 && octet != 0x7F || octet == 0x09 || isLong && isEnd else {
      throw fault("a control character in a string")
    }
    octets.append(octet)
  }

  private mutating func escape(isLong: Bool, to octets: inout [UInt8]) throws(Diagnostic) {
    if isLong, skipsLines() { return }
    let simple: [UInt8: UInt8] = [
      UInt8(ascii: "b"): 8, UInt8(ascii: "t"): 9, UInt8(ascii: "n"): 10, UInt8(ascii: "f"): 12, UInt8(ascii: "r"): 13,
      UInt8(ascii: "\""): 34, UInt8(ascii: "\\"): 92,
    ]
    guard let letter = text.skip() else { throw fault("a string that does not end") }
    if let octet = simple[letter] { return octets.append(octet) }
    guard letter == UInt8(ascii: "u") || letter == UInt8(ascii: "U") else {
      throw fault("an escape that is none, expected \\n, \\t, \\\", \\\\ or \\uXXXX")
    }
    var digits = ""
    for _ in 0..<(letter == UInt8(ascii: "u") ? 4 : 8) {
      digits.unicodeScalars.append(UnicodeScalar(text.skip() ?? 0))
    }
    let isHexadecimal = digits.utf8.allSatisfy { UnicodeScalar($0).properties.isASCIIHexDigit }
    guard isHexadecimal, let value = UInt32(digits, radix: 16), let scalar = UnicodeScalar(value) else {
      throw fault("an escape of no character")
    }
    octets += Array(String(scalar).utf8)
  }

  /// Behind a backslash at the end of a line passes all blanks and ends of lines; false where it does not end one.
  private mutating func skipsLines() -> Bool {
    var count = 0
    while let octet = text.ahead(count), octet == 0x20 || octet == 0x09 { count += 1 }
    guard text.ahead(count) == 0x0A || text.ahead(count) == 0x0D && text.ahead(count + 1) == 0x0A else { return false }
    while let octet = text.next, octet == 0x20 || octet == 0x09 || octet == 0x0A || octet == 0x0D { text.skip() }
    return true
  }
}
