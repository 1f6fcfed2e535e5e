/// Reads members as they stand in a record and in a line: whatever they are, a line stays one JSON object.
enum JSONMembers {
  /// Arrays and objects inside each other.
  private static let maxDepth: UInt64 = 32

  /// Whether `octets` are members, each with its comma before it, in printable ASCII and without spaces between.
  static func areWellFormed(_ octets: Span<UInt8>) -> Bool {
    var at = 0
    var depth: UInt64 = 0
    /// One bit for each level: 1 for an object.
    var isObject: UInt64 = 1
    while at < octets.count {
      // Before a member or an element: its comma, unless it is the first of its array or object.
      guard take(UInt8(ascii: ","), octets, &at) else { return false }
      guard value(octets, &at, &depth, &isObject) else { return false }
    }
    return depth == 0
  }

  /// Where the value of a member stands; nil where there is none, or what stands before it is not well-formed.
  static func value(of key: some AuditKey, in octets: Span<UInt8>) -> Range<Int>? {
    var at = 0
    var depth = 0 as UInt64
    var isObject = 1 as UInt64
    var start: Int?
    while at < octets.count {
      guard take(UInt8(ascii: ","), octets, &at) else { return nil }
      if depth == 0 { start = end(of: key, octets, at) }
      guard value(octets, &at, &depth, &isObject) else { return nil }
      if depth == 0, let start { return start..<at }
    }
    return nil
  }

  /// Where the value begins, if this is the key of its member.
  private static func end(of key: some AuditKey, _ octets: Span<UInt8>, _ start: Int) -> Int? {
    var at = start
    guard take(UInt8(ascii: "\""), octets, &at) else { return nil }
    for octet in key.rawValue.utf8 where !take(octet, octets, &at) { return nil }
    return take(UInt8(ascii: "\""), octets, &at) && take(UInt8(ascii: ":"), octets, &at) ? at : nil
  }

  /// One member or element, with everything it opens and all that closes after it.
  private static func value(_ octets: Span<UInt8>, _ at: inout Int, _ depth: inout UInt64, _ isObject: inout UInt64)
    -> Bool
  {
    while true {
      if isObject & 1 == 1 {
        guard string(octets, &at), take(UInt8(ascii: ":"), octets, &at) else { return false }
      }
      guard at < octets.count else { return false }
      switch octets[at] {
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        guard depth < maxDepth else { return false }
        isObject = isObject << 1 | (octets[at] == UInt8(ascii: "{") ? 1 : 0)
        depth += 1
        at += 1
        if !closes(octets, at, isObject) { continue }
      case UInt8(ascii: "\""):
        guard string(octets, &at) else { return false }
      default:
        guard number(octets, &at) || word(octets, &at) else { return false }
      }
      while depth > 0, closes(octets, at, isObject) {
        at += 1
        depth -= 1
        isObject >>= 1
      }
      return true
    }
  }

  private static func closes(_ octets: Span<UInt8>, _ at: Int, _ isObject: UInt64) -> Bool {
    at < octets.count && octets[at] == (isObject & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]"))
  }

  static func take(_ octet: UInt8, _ octets: Span<UInt8>, _ at: inout Int) -> Bool {
    guard at < octets.count, octets[at] == octet else { return false }
    at += 1
    return true
  }

  /// From the first quote to behind the last.
  static func string(_ octets: Span<UInt8>, _ at: inout Int) -> Bool {
    guard take(UInt8(ascii: "\""), octets, &at) else { return false }
    while at < octets.count {
      let octet = octets[at]
      at += 1
      switch octet {
      case UInt8(ascii: "\""): return true
      case UInt8(ascii: "\\"): guard escape(octets, &at) else { return false }
      case 0x20...0x7E: break
      default: return false
      }
    }
    return false
  }

  /// What may follow a backslash (RFC 8259 section 7); a surrogate stands only in a pair.
  private static func escape(_ octets: Span<UInt8>, _ at: inout Int) -> Bool {
    guard at < octets.count else { return false }
    let kind = octets[at]
    at += 1
    guard kind == UInt8(ascii: "u") else { return "\"\\/bfnrt".utf8.contains(kind) }
    guard let unit = unit(octets, &at) else { return false }
    guard unit & 0xF800 == 0xD800 else { return true }
    guard unit < 0xDC00, take(UInt8(ascii: "\\"), octets, &at), take(UInt8(ascii: "u"), octets, &at),
      let low = self.unit(octets, &at)
    else { return false }
    return low & 0xFC00 == 0xDC00
  }

  /// Four hexadecimal digits.
  private static func unit(_ octets: Span<UInt8>, _ at: inout Int) -> UInt32? {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard at < octets.count, let digit = Character(Unicode.Scalar(octets[at])).hexDigitValue else { return nil }
      value = value << 4 | UInt32(digit)
      at += 1
    }
    return value
  }

  /// A whole number without a leading zero: our members hold no other.
  private static func number(_ octets: Span<UInt8>, _ at: inout Int) -> Bool {
    let start = at
    while at < octets.count, (48...57).contains(octets[at]) { at += 1 }
    return at > start && (at == start + 1 || octets[start] != 48)
  }

  private static func word(_ octets: Span<UInt8>, _ at: inout Int) -> Bool {
    for word in ["true", "false", "null"] as [StaticString] {
      let count = word.utf8CodeUnitCount
      guard octets.count - at >= count else { continue }
      var isEqual = true
      for index in 0..<count where unsafe octets[at + index] != word.utf8Start[index] { isEqual = false }
      if isEqual {
        at += count
        return true
      }
    }
    return false
  }
}
