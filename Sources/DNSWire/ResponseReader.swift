/// A record of a message: where its parts stand.
package struct RecordHeader: Equatable, Sendable {
  /// The sections of a message behind the question (RFC 1035 section 4.1).
  package enum Section: Sendable {
    case answer
    case authority
    case additional
  }

  /// Where the owner's name starts.
  package var owner: Int
  package var type: RRType
  package var klass: RRClass
  /// Seconds; a value with the top bit set counts as 0 (RFC 2181 section 8).
  package var ttl: UInt32
  package var rdata: Range<Int>
  package var section: Section
}

/// Iterates the records of a response. It keeps offsets only; every call is given the message again.
///
/// Every name of a record, in its data too, was followed to its end and its data checked against its type before the
/// record is returned. Octets after the last record are tolerated.
package struct ResponseReader: Sendable {
  /// Compression pointers followed in one message beyond the first of each name: thousands of addresses behind a target whose
  /// own name ends in a pointer. The chains of CVE-2026-64194 have more.
  package static let pointerBudget = 4_096

  package let header: Header
  /// Where the question's name starts and ends, and what it asks; nil if the message has none.
  package private(set) var question: (name: Int, end: Int, type: RRType, klass: RRClass)?
  /// The OPT's upper eight bits of the response code and its version, once the additional section was read.
  package private(set) var edns: (extendedCode: UInt8, version: UInt8)?
  private var offset: Int
  /// Compression pointers beyond the first of each name that may still be followed, in the whole message.
  private var pointers = Self.pointerBudget
  private var remaining: (answer: Int, authority: Int, additional: Int)

  /// Reads header and question. Throws for more than one question.
  package init(_ message: Span<UInt8>) throws(FormatError) {
    header = try Header(parsing: message)
    offset = Header.octetCount
    remaining = (Int(header.answerCount), Int(header.authorityCount), Int(header.additionalCount))
    guard header.questionCount <= 1 else { throw FormatError(.count, at: 4) }
    if header.questionCount == 1 {
      try NameWire.check(message, at: &offset, pointers: &pointers)
      guard let type = message.read16(offset), let klass = message.read16(offset + 2) else {
        throw FormatError(.truncated, at: offset)
      }
      offset += 4
      question = (Header.octetCount, offset, RRType(rawValue: type), RRClass(rawValue: klass))
    }
  }

  /// The next record, or nil after the last.
  package mutating func next(_ message: Span<UInt8>) throws(FormatError) -> RecordHeader? {
    guard let section = takeSection() else { return nil }
    let owner = offset
    try NameWire.check(message, at: &offset, pointers: &pointers)
    guard let type = message.read16(offset), let klass = message.read16(offset + 2),
      let ttl = message.read32(offset + 4), let length = message.read16(offset + 8)
    else { throw FormatError(.truncated, at: offset) }
    let start = offset + 10
    let end = start + Int(length)
    guard end <= message.count else { throw FormatError(.truncated, at: start) }
    offset = end
    let record = RecordHeader(
      owner: owner, type: RRType(rawValue: type), klass: RRClass(rawValue: klass),
      ttl: ttl > UInt32(Int32.max) ? 0 : ttl, rdata: start..<end, section: section)
    if record.type == .OPT {
      try readOPT(message, record, ttl)
    } else {
      try RDataShape.check(message, record, pointers: &pointers)
    }
    return record
  }

  private mutating func takeSection() -> RecordHeader.Section? {
    if remaining.answer > 0 {
      remaining.answer -= 1
      return .answer
    }
    if remaining.authority > 0 {
      remaining.authority -= 1
      return .authority
    }
    guard remaining.additional > 0 else { return nil }
    remaining.additional -= 1
    return .additional
  }

  private mutating func readOPT(_ message: Span<UInt8>, _ record: RecordHeader, _ ttl: UInt32) throws(FormatError) {
    guard record.section == .additional, edns == nil, message[record.owner] == 0 else {
      throw FormatError(.badOPT, at: record.owner)
    }
    try OPT.checkOptions(message, record.rdata)
    edns = (UInt8(truncatingIfNeeded: ttl >> 24), UInt8(truncatingIfNeeded: ttl >> 16))
  }
}
