/// Readers of names over borrowed octets: iterative, every index guarded, bounded by a budget per message.
@usableFromInline
package enum NameWire {
  /// Octets of the longest name, its root octet included (RFC 1035 section 2.3.4).
  @inlinable package static var maxOctets: Int { 255 }
  /// Octets of the longest label.
  @inlinable package static var maxLabel: Int { 63 }
  /// Compression pointers followed for one name, and in a query; the chains of CVE-2026-64194 have thousands. Whole answers
  /// have a budget of their own (`ResponseReader.pointerBudget`).
  @inlinable package static var pointerBudget: Int { 128 }

  /// Appends a name in canonical form: lower case (ASCII only, RFC 4343), uncompressed, with its root octet.
  ///
  /// - Parameters:
  ///   - offset: where the name starts; moved past it as it stands in the message.
  ///   - budget: pointers that may still be followed in this message.
  ///   - output: gets at most 255 octets; on a throw it may hold a part of the name.
  /// - Throws: `truncated`, `labelType`, `forwardPointer`, `tooManyPointers`, `nameTooLong`, `noSpace`.
  package static func read(
    _ message: Span<UInt8>, at offset: inout Int, pointers budget: inout Int, into output: inout OutputSpan<UInt8>
  ) throws(FormatError) {
    var walk = NameWalk(from: offset)
    var label = 0..<0
    repeat {
      label = try walk.next(message, pointers: &budget)
      guard output.freeCapacity > label.count else { throw FormatError(.noSpace, at: label.lowerBound - 1) }
      output.append(UInt8(truncatingIfNeeded: label.count))
      for index in label { output.append(lowercased(message[index])) }
    } while !label.isEmpty
    offset = walk.end
  }

  /// Moves `offset` past a name after following it to its end, under the rules of `read`.
  ///
  /// - Parameter budget: pointers to pointers that may still be followed in this message. The first pointer of a name
  ///   is not counted: every record of a well-formed answer has one, and a large answer has hundreds.
  /// - Throws: as `read`, but for `noSpace`.
  static func check(
    _ message: Span<UInt8>, at offset: inout Int, pointers budget: inout Int
  ) throws(FormatError) {
    var walk = NameWalk(from: offset)
    while try !walk.next(message, pointers: &budget, isFirstFree: true).isEmpty {}
    offset = walk.end
  }

  /// Whether a name that `check` has passed stands in `range` without a pointer.
  static func isPlain(_ message: Span<UInt8>, _ range: Range<Int>) -> Bool {
    var at = range.lowerBound
    while at < range.upperBound, at < message.count, message[at] != 0 {
      at += Int(message[at]) + 1  // the first octet of a pointer is 192 or more, and leads beyond the range
    }
    return at == range.upperBound - 1
  }

  /// ASCII lower case; every other octet as it is (RFC 4343).
  package static func lowercased(_ octet: UInt8) -> UInt8 {
    octet &- 65 < 26 ? octet | 0x20 : octet
  }

  /// Labels of an uncompressed name, the root not counted.
  package static func labelCount(_ wire: Span<UInt8>) -> Int {
    var count = 0
    var at = 0
    while at < wire.count, wire[at] != 0 {
      count += 1
      at += Int(wire[at]) + 1
    }
    return count
  }

  /// Presentation form (RFC 1035 section 5.1): `\.` and `\\` escaped, `\DDD` for what is not printable ASCII.
  package static func presentation(_ wire: Span<UInt8>) -> String {
    var text: [UInt8] = []
    text.reserveCapacity(wire.count)
    appendPresentation(wire, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Appends the same; no `String` on the way.
  package static func appendPresentation(_ wire: Span<UInt8>, to text: inout [UInt8]) {
    let start = text.count
    var at = 0
    while at < wire.count, wire[at] != 0 {
      if at > 0 { text.append(UInt8(ascii: ".")) }
      let end = min(at + Int(wire[at]), wire.count - 1)
      var index = at + 1
      while index <= end {
        appendPresentation(wire[index], to: &text)
        index += 1
      }
      at = end + 1
    }
    if text.count == start { text.append(UInt8(ascii: ".")) }
  }

  private static func appendPresentation(_ octet: UInt8, to text: inout [UInt8]) {
    switch octet {
    case UInt8(ascii: "."), UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: ";"), UInt8(ascii: "("),
      UInt8(ascii: ")"), UInt8(ascii: "@"), UInt8(ascii: "$"):
      text.append(UInt8(ascii: "\\"))
      text.append(octet)
    case 0x21...0x7E:
      text.append(octet)
    default:
      text.append(UInt8(ascii: "\\"))
      for divisor: UInt8 in [100, 10, 1] { text.append(UInt8(ascii: "0") + octet / divisor % 10) }
    }
  }
}

/// Follows a name through a message, label by label: each pointer leads strictly backwards, and no octet is read twice.
private struct NameWalk {
  private var at: Int
  /// Where the name ends as it stands in the message; known from the first pointer or the root on.
  private var resumption: Int?
  /// Octets of the labels so far, their length octets included.
  private var octets = 0
  /// Where the run of labels began that is being read: every jump must land before it.
  private var runStart: Int

  init(from offset: Int) {
    at = offset
    runStart = offset
  }

  /// Behind the name, once `next` has returned the root.
  var end: Int { resumption ?? at }

  /// The octets of the next label, behind its length octet; none for the root, which is the last.
  ///
  /// - Parameters:
  ///   - budget: pointers that may still be followed.
  ///   - isFirstFree: whether the name's first pointer is not counted.
  /// - Throws: `truncated`, `labelType`, `forwardPointer`, `tooManyPointers`, `nameTooLong`.
  mutating func next(
    _ message: Span<UInt8>, pointers budget: inout Int, isFirstFree: Bool = false
  ) throws(FormatError) -> Range<Int> {
    while true {
      guard at >= 0, at < message.count else { throw FormatError(.truncated, at: at) }
      let length = Int(message[at])
      if length & 0xC0 == 0xC0 {
        if isFirstFree, resumption == nil { budget += 1 }
        let target = try Self.pointer(message, at: at, before: runStart, pointers: &budget)
        if resumption == nil { resumption = at + 2 }
        runStart = target
        at = target
        continue
      }
      guard length <= NameWire.maxLabel else { throw FormatError(.labelType, at: at) }
      guard at + length < message.count else { throw FormatError(.truncated, at: at) }
      if length > 0 { octets += length + 1 }
      guard octets < NameWire.maxOctets else { throw FormatError(.nameTooLong, at: at) }
      defer { at += length + 1 }
      return (at + 1)..<(at + 1 + length)
    }
  }

  /// Where the pointer at `at` leads: strictly backwards, and not into the header.
  private static func pointer(
    _ message: Span<UInt8>, at: Int, before runStart: Int, pointers budget: inout Int
  ) throws(FormatError) -> Int {
    guard let octets = message.read16(at) else { throw FormatError(.truncated, at: at) }
    guard budget > 0 else { throw FormatError(.tooManyPointers, at: at) }
    budget -= 1
    let target = Int(octets & 0x3FFF)
    guard target < runStart, target >= Header.octetCount else { throw FormatError(.forwardPointer, at: at) }
    return target
  }
}
