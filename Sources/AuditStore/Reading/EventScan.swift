/// Where the members of one event stand among the octets of a block.
struct EventMemberRanges: Sendable {
  /// The line in the block, without its newline.
  var line = 0..<0
  /// Members that stand in the line, null or not.
  private var present: UInt32 = 0
  /// Those of them that are not null.
  private var valued: UInt32 = 0
  /// From and to, counted from the line's start; what is not `valued` is left from another line.
  private var ranges = InlineArray<16, SIMD2<Int32>>(repeating: .zero)

  init() {}

  init(_ line: Range<Int>) { self.line = line }

  /// The value in the block, of a member that is noted; of a string, what is between the quotes.
  subscript(member: LogLine.Member) -> Range<Int>? {
    guard valued & (1 << UInt32(member.rawValue)) != 0 else { return nil }
    let range = ranges[member.rawValue]
    return (line.lowerBound + Int(range.x))..<(line.lowerBound + Int(range.y))
  }

  mutating func begin(at start: Int) {
    line = start..<start
    present = 0
    valued = 0
  }

  /// False when the member stood there already.
  mutating func note(_ member: Int) -> Bool {
    let bit: UInt32 = 1 << UInt32(member)
    guard present & bit == 0 else { return false }
    present |= bit
    return true
  }

  /// Lines are at most `LineBlocks.maxLine` long.
  mutating func set(_ member: Int, _ value: Range<Int>) {
    valued |= 1 << UInt32(member)
    ranges[member] = SIMD2(
      Int32(truncatingIfNeeded: value.lowerBound - line.lowerBound),
      Int32(truncatingIfNeeded: value.upperBound - line.lowerBound))
  }
}

/// Reads lines of the log as they are written: one JSON object without spaces (RFC 8259), no known member twice. Iterative;
/// every line must be followed by a newline and eight octets more, so that words of eight can be read.
struct EventScan {
  enum LineKind {
    /// It passes the filter as far as that can be told member by member; the scan stopped at its newline.
    case event
    case noEvent
    /// The filter refused it before its end was seen.
    case ruledOut
  }

  private static let ones: UInt64 = 0x0101_0101_0101_0101
  private static let highBits: UInt64 = 0x8080_8080_8080_8080
  private static let newline: UInt8 = 10

  /// The first eight octets of each member's name, the last eight of a longer one, and its length.
  private var heads = InlineArray<16, UInt64>(repeating: 0)
  private var tails = InlineArray<16, UInt64>(repeating: 0)
  private var lengths = InlineArray<16, Int>(repeating: 0)
  /// A member's index and one by a hash of its head; 0 for none. The multiplier was looked for until no two met.
  private var slots = InlineArray<64, UInt8>(repeating: 0)
  private var multiplier: UInt64 = 0x9E37_79B9_7F4A_7C15

  init() {
    for member in LogLine.Member.allCases where member.isNoted {
      let name = Array(member.key.utf8)
      heads[member.rawValue] = Self.word(name.prefix(8))
      tails[member.rawValue] = name.count > 8 ? Self.word(name.suffix(8)) : 0
      lengths[member.rawValue] = name.count
    }
    while !assignSlots() { multiplier = multiplier &* 0x5851_F42D_4C95_7F2D | 1 }
  }

  /// False when two members meet in one slot.
  private mutating func assignSlots() -> Bool {
    slots = InlineArray(repeating: 0)
    for index in heads.indices {
      let slot = slot(heads[index])
      guard slots[slot] == 0 else { return false }
      slots[slot] = UInt8(index + 1)
    }
    return true
  }

  private func slot(_ head: UInt64) -> Int { Int(truncatingIfNeeded: (head &* multiplier) >> 58) }

  private static func word(_ octets: ArraySlice<UInt8>) -> UInt64 {
    octets.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Reads the line that begins at `at`, and leaves `at` behind what was read of it, never behind its newline.
  func scan(
    _ octets: RawSpan, _ at: inout Int, _ filter: borrowing CompiledFilter, into ranges: inout EventMemberRanges
  ) -> LineKind {
    ranges.begin(at: at)
    let start = at
    guard Self.take(UInt8(ascii: "{"), octets, &at) else { return .noEvent }
    while true {
      guard Self.take(UInt8(ascii: "\""), octets, &at) else { return .noEvent }
      let key = at
      guard Self.string(octets, &at) else { return .noEvent }
      let length = at - 1 - key
      guard Self.take(UInt8(ascii: ":"), octets, &at) else { return .noEvent }
      let isString = Self.octet(octets, at) == UInt8(ascii: "\"")
      let value = isString ? at + 1 : at
      guard Self.value(octets, &at) else { return .noEvent }
      if let member = member(octets, key, length) {
        guard ranges.note(member) else { return .noEvent }
        let end = isString ? at - 1 : at
        let isNull = !isString && Self.octet(octets, value) == UInt8(ascii: "n")
        if !isNull { ranges.set(member, value..<end) }
        if filter.rulesOut(member, isString, octets, value..<end) { return .ruledOut }
      }
      if Self.take(UInt8(ascii: ","), octets, &at) { continue }
      guard Self.take(UInt8(ascii: "}"), octets, &at), Self.octet(octets, at) == Self.newline else { return .noEvent }
      ranges.line = start..<at
      return isWhole(ranges, octets) ? .event : .noEvent
    }
  }

  /// An event has at least a time and a decision, both strings.
  private func isWhole(_ ranges: EventMemberRanges, _ octets: RawSpan) -> Bool {
    guard let time = ranges[.ts], let decision = ranges[.decision] else { return false }
    return Self.octet(octets, time.lowerBound - 1) == UInt8(ascii: "\"")
      && Self.octet(octets, decision.lowerBound - 1) == UInt8(ascii: "\"")
  }

  /// Where a member stands that no scan notes, in a line that one read to its end; of a string what is between the quotes,
  /// and nil for null.
  static func find(_ member: LogLine.Member, in octets: RawSpan, _ line: Range<Int>) -> Range<Int>? {
    let wanted = member.octets
    var at = line.lowerBound
    // Behind the last value stands the bracket.
    while at + 1 < line.upperBound {
      at += 2
      let key = at
      guard string(octets, &at) else { return nil }
      let isWanted = at - 1 - key == wanted.count && wanted.indices.allSatisfy { octet(octets, key + $0) == wanted[$0] }
      at += 1
      let start = at
      guard value(octets, &at) else { return nil }
      guard isWanted else { continue }
      switch octet(octets, start) {
      case UInt8(ascii: "\""): return (start + 1)..<(at - 1)
      case UInt8(ascii: "n"): return nil
      default: return start..<at
      }
    }
    return nil
  }

  private func member(_ octets: RawSpan, _ key: Int, _ length: Int) -> Int? {
    guard length > 0 else { return nil }
    let head = Self.load(octets, key) & (length >= 8 ? .max : (1 << UInt64(length * 8)) - 1)
    let index = Int(slots[slot(head)]) - 1
    guard index >= 0, heads[index] == head, lengths[index] == length else { return nil }
    return length <= 8 || Self.load(octets, key + length - 8) == tails[index] ? index : nil
  }

  // MARK: - JSON

  private static func load(_ octets: RawSpan, _ at: Int) -> UInt64 {
    unsafe octets.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self)  // checks the bounds
  }

  private static func octet(_ octets: RawSpan, _ at: Int) -> UInt8 {
    unsafe octets.unsafeLoad(fromByteOffset: at, as: UInt8.self)  // checks the bounds
  }

  private static func take(_ wanted: UInt8, _ octets: RawSpan, _ at: inout Int) -> Bool {
    guard octet(octets, at) == wanted else { return false }
    at += 1
    return true
  }

  /// From behind the first quote to behind the last.
  static func string(_ octets: RawSpan, _ at: inout Int) -> Bool {
    while true {
      let word = load(octets, at)
      let quotes = word ^ (ones &* 0x22)
      let escapes = word ^ (ones &* 0x5C)
      // The lowest bit set is exact: quote, backslash, control character, or beyond ASCII.
      let ends = ((quotes &- ones) & ~quotes) | ((escapes &- ones) & ~escapes) | ((word &- ones &* 0x20) & ~word) | word
      let hits = ends & highBits
      guard hits != 0 else {
        at += 8
        continue
      }
      at += hits.trailingZeroBitCount >> 3
      switch octet(octets, at) {
      case UInt8(ascii: "\""):
        at += 1
        return true
      case UInt8(ascii: "\\"): guard escape(octets, &at) else { return false }
      case 0x80...: guard sequence(octets, &at) else { return false }
      default: return false
      }
    }
  }

  /// RFC 8259 section 7; a surrogate stands only in a pair.
  private static func escape(_ octets: RawSpan, _ at: inout Int) -> Bool {
    let kind = octet(octets, at + 1)
    switch kind {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      at += 2
      return true
    case UInt8(ascii: "u"):
      guard let unit = unit(octets, at) else { return false }
      at += 6
      guard unit & 0xF800 == 0xD800 else { return true }
      guard unit < 0xDC00, let low = self.unit(octets, at), low & 0xFC00 == 0xDC00 else { return false }
      at += 6
      return true
    default: return false
    }
  }

  /// `\uXXXX`; it ends before any newline.
  private static func unit(_ octets: RawSpan, _ at: Int) -> UInt16? {
    guard octet(octets, at) == UInt8(ascii: "\\"), octet(octets, at + 1) == UInt8(ascii: "u") else { return nil }
    var value: UInt16 = 0
    for position in 2..<6 {
      let digit = octet(octets, at + position)
      switch digit {
      case 0x30...0x39: value = value << 4 | UInt16(digit - 0x30)
      case 0x41...0x46, 0x61...0x66: value = value << 4 | UInt16((digit | 0x20) - 0x57)
      default: return nil
      }
    }
    return value
  }

  /// One character beyond ASCII in UTF-8 (RFC 3629).
  private static func sequence(_ octets: RawSpan, _ at: inout Int) -> Bool {
    let first = octet(octets, at)
    let second = octet(octets, at + 1)
    let (length, seconds): (Int, ClosedRange<UInt8>)
    switch first {
    case 0xC2...0xDF: (length, seconds) = (2, 0x80...0xBF)
    case 0xE0: (length, seconds) = (3, 0xA0...0xBF)
    case 0xED: (length, seconds) = (3, 0x80...0x9F)
    case 0xE1...0xEF: (length, seconds) = (3, 0x80...0xBF)
    case 0xF0: (length, seconds) = (4, 0x90...0xBF)
    case 0xF1...0xF3: (length, seconds) = (4, 0x80...0xBF)
    case 0xF4: (length, seconds) = (4, 0x80...0x8F)
    default: return false
    }
    guard seconds.contains(second) else { return false }
    for position in 2..<max(length, 2) where octet(octets, at + position) & 0xC0 != 0x80 { return false }
    at += length
    return true
  }

  /// Any value; arrays and objects at most 64 deep.
  private static func value(_ octets: RawSpan, _ at: inout Int) -> Bool {
    var depth = 0
    /// One bit for each level: 1 for an object.
    var isObject: UInt64 = 0
    while true {
      switch octet(octets, at) {
      case UInt8(ascii: "\""):
        at += 1
        guard string(octets, &at) else { return false }
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        guard depth < 64 else { return false }
        let opensObject = octet(octets, at) == UInt8(ascii: "{")
        isObject = isObject << 1 | (opensObject ? 1 : 0)
        depth += 1
        at += 1
        if octet(octets, at) != closer(isObject) {
          if opensObject, !key(octets, &at) { return false }
          continue
        }
      default:
        guard number(octets, &at) || word(octets, &at) else { return false }
      }
      while depth > 0, take(closer(isObject), octets, &at) {
        depth -= 1
        isObject >>= 1
      }
      if depth == 0 { return true }
      guard take(UInt8(ascii: ","), octets, &at), isObject & 1 == 0 || key(octets, &at) else { return false }
    }
  }

  private static func closer(_ isObject: UInt64) -> UInt8 { isObject & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]") }

  private static func key(_ octets: RawSpan, _ at: inout Int) -> Bool {
    take(UInt8(ascii: "\""), octets, &at) && string(octets, &at) && take(UInt8(ascii: ":"), octets, &at)
  }

  /// RFC 8259 section 6.
  private static func number(_ octets: RawSpan, _ at: inout Int) -> Bool {
    var position = at
    _ = take(UInt8(ascii: "-"), octets, &position)
    if !take(UInt8(ascii: "0"), octets, &position) {
      guard digits(octets, &position) else { return false }
    }
    if take(UInt8(ascii: "."), octets, &position) {
      guard digits(octets, &position) else { return false }
    }
    if octet(octets, position) | 0x20 == UInt8(ascii: "e") {
      position += 1
      if !take(UInt8(ascii: "+"), octets, &position) { _ = take(UInt8(ascii: "-"), octets, &position) }
      guard digits(octets, &position) else { return false }
    }
    at = position
    return true
  }

  private static func digits(_ octets: RawSpan, _ at: inout Int) -> Bool {
    let start = at
    while octet(octets, at) &- 0x30 < 10 { at += 1 }
    return at > start
  }

  private static func word(_ octets: RawSpan, _ at: inout Int) -> Bool {
    let word = load(octets, at)
    switch word & 0xFFFF_FFFF {
    case 0x6C6C_756E, 0x6575_7274: at += 4  // null, true
    case 0x736C_6166 where octet(octets, at + 4) == UInt8(ascii: "e"): at += 5  // false
    default: return false
    }
    return true
  }
}

/// The strings of a JSON array, one after the other, as they stand in a line that was scanned.
struct JSONStrings {
  private var at: Int
  private let end: Int

  /// - Parameter array: from its bracket to behind its last one; of anything else there are none.
  init(_ array: Range<Int>) {
    at = array.lowerBound
    end = array.upperBound
  }

  /// What is between the quotes of the next one; nil behind the last, and before what is no string.
  mutating func next(_ octets: RawSpan) -> Range<Int>? {
    // Both have eight octets more behind them, as a scanned line has.
    func octet(_ at: Int) -> UInt8 { unsafe octets.unsafeLoad(fromByteOffset: at, as: UInt8.self) }
    guard at < end, octet(at) == UInt8(ascii: "[") || octet(at) == UInt8(ascii: ","),
      octet(at + 1) == UInt8(ascii: "\"")
    else { return nil }
    var close = at + 2
    guard EventScan.string(octets, &close), close <= end else { return nil }
    defer { at = close }
    return (at + 2)..<(close - 1)
  }
}
