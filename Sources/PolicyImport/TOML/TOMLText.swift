/// The octets of a TOML file and a place among them.
struct TOMLText {
  private let octets: [UInt8]
  private var at = 0
  /// Of the place, counted from 1.
  private(set) var line = 1

  init(_ octets: [UInt8]) {
    self.octets = octets
  }

  /// The octet at the place; nil at the end.
  var next: UInt8? { at < octets.count ? octets[at] : nil }

  /// What an error says stands here.
  var found: String {
    guard let next else { return "the end of the file" }
    return next == 0x0A || next == 0x0D
      ? "the end of the line" : "'\(UnicodeScalar(next < 0x80 && next > 0x20 ? next : 0x3F))'"
  }

  /// The octet so far ahead.
  func ahead(_ count: Int) -> UInt8? { at + count < octets.count ? octets[at + count] : nil }

  /// Passes one octet.
  @discardableResult
  mutating func skip() -> UInt8? {
    guard let octet = next else { return nil }
    at += 1
    if octet == 0x0A { line += 1 }
    return octet
  }

  /// Passes an octet if it is this one.
  mutating func skip(_ octet: UInt8) -> Bool {
    guard next == octet else { return false }
    skip()
    return true
  }

  mutating func skipBlanks() {
    while next == 0x20 || next == 0x09 { skip() }
  }

  /// Passes blanks, comments and ends of lines; false at the end of the file.
  mutating func skipToContent() -> Bool {
    while true {
      skipBlanks()
      if next == nil { return false }
      let line = line
      guard skipEndOfLine(), self.line > line || next != nil else { return next != nil }
    }
  }

  /// Passes a comment and the end of a line, or of the file; false where something else stands.
  mutating func skipEndOfLine() -> Bool {
    if next == UInt8(ascii: "#") {
      while let octet = next, octet != 0x0A, octet != 0x0D { skip() }
    }
    if next == 0x0D, ahead(1) == 0x0A { skip() }
    return next == nil || skip(0x0A)
  }

  mutating func take(while matches: (UInt8) -> Bool) -> String {
    let start = at
    while let octet = next, matches(octet) { skip() }
    return String(decoding: octets[start..<at], as: UTF8.self)
  }

  /// What stands up to the end of a value: a number, a boolean, a date with its time.
  mutating func word() -> String {
    var word = take { Self.isBareKey($0) || "+.:".utf8.contains($0) }
    // A date and a time may have a blank between them (RFC 3339 section 5.6).
    if word.utf8.count == 10, word.utf8.dropFirst(4).first == UInt8(ascii: "-"), next == 0x20,
      let digit = ahead(1), digit >= 0x30, digit <= 0x39
    {
      skip()
      word += " " + take { Self.isBareKey($0) || "+.:".utf8.contains($0) }
    }
    return word
  }

  static func isBareKey(_ octet: UInt8) -> Bool {
    (octet | 0x20 >= 0x61 && octet | 0x20 <= 0x7A) || (octet >= 0x30 && octet <= 0x39) || octet == 0x2D || octet == 0x5F
  }

  /// Whether it can be a boolean, a number, a date or a time.
  static func isWord(_ word: String) -> Bool {
    if ["true", "false"].contains(word) { return true }
    let unsigned = word.hasPrefix("+") || word.hasPrefix("-") ? word.dropFirst() : word[...]
    if ["inf", "nan"].contains(unsigned) { return true }
    return unsigned.utf8.first.map { $0 >= 0x30 && $0 <= 0x39 } ?? false
  }
}
