/// What a client offers in its OPT (RFC 6891).
package struct EDNS: Equatable, Sendable {
  /// Octets that it takes over UDP.
  package var udpPayloadSize: UInt16
  package var version: UInt8
  package var dnssecOK: Bool

  package init(udpPayloadSize: UInt16, version: UInt8, dnssecOK: Bool) {
    self.udpPayloadSize = udpPayloadSize
    self.version = version
    self.dnssecOK = dnssecOK
  }
}

/// Why a client's message is not a query that is answered by policy. What an error reply echoes comes along: the end
/// of the question, where it could be read, and the OPT.
package enum QueryFault: Error, Equatable, Sendable {
  /// Not a query at all: no header, or a response. Answering it could loop.
  case drop
  /// Another opcode than QUERY.
  case notImplemented(questionEnd: Int?, edns: EDNS?)
  case formatError(FormatError, questionEnd: Int?, edns: EDNS?)
  /// An EDNS version that is not defined (RFC 6891 section 6.1.3).
  case badVersion(questionEnd: Int?, edns: EDNS?)
}

/// A client's query after screening: offsets and numbers, nothing of it copied but its name.
package struct Query: Equatable, Sendable {
  package var header: Header
  package var type: RRType
  package var klass: RRClass
  /// The question is octets 12 to here.
  package var questionEnd: Int
  package var edns: EDNS?
  /// Labels of the name, the root not counted.
  package var labelCount: Int
  /// Whether the name has only letters, digits, hyphens and underscores.
  package var isHostname: Bool

  /// What stands where no query has been read yet: a question of no octets.
  package static var unread: Query {
    Query(
      header: Header(id: 0, flags: 0), type: RRType(rawValue: 0), klass: RRClass(rawValue: 0),
      questionEnd: Header.octetCount, labelCount: 0, isHostname: false)
  }

  /// Screens a message: exactly one question (RFC 9619), no compression in it, no records but one well-formed OPT, no
  /// octet after it.
  ///
  /// - Parameter name: gets the canonical wire name; needs room for 255 octets.
  package static func parse(
    _ message: Span<UInt8>, name: inout OutputSpan<UInt8>
  ) throws(QueryFault) -> Query {
    guard message.count >= Header.octetCount, message[2] & 0x80 == 0 else { throw .drop }
    let header: Header
    do throws(FormatError) {
      header = try Header(parsing: message)
    } catch {
      throw .drop
    }
    guard header.opcode == .QUERY else {
      let end = questionEnd(header, message)
      let records = header.questionCount == 0 ? Header.octetCount : end
      throw .notImplemented(questionEnd: end, edns: records.flatMap { onlyOptions(header, message, after: $0) })
    }
    guard header.questionCount == 1 else {
      let edns = header.questionCount == 0 ? onlyOptions(header, message, after: Header.octetCount) : nil
      throw .formatError(FormatError(.count, at: 4), questionEnd: nil, edns: edns)
    }
    var query = try question(header, message, name: &name)
    guard header.answerCount == 0, header.authorityCount == 0, header.additionalCount <= 1 else {
      throw .formatError(FormatError(.count, at: 6), questionEnd: query.questionEnd, edns: nil)
    }
    var end = query.questionEnd
    if header.additionalCount == 1 {
      do throws(FormatError) {
        query.edns = try options(message, at: &end)
      } catch {
        throw .formatError(error, questionEnd: query.questionEnd, edns: nil)
      }
    }
    guard end == message.count else {
      throw .formatError(FormatError(.trailingOctets, at: end), questionEnd: query.questionEnd, edns: query.edns)
    }
    if let edns = query.edns {
      // Of another version nothing but the framing of its options is known.
      if edns.version != 0 { throw .badVersion(questionEnd: query.questionEnd, edns: edns) }
      let options = query.questionEnd + 11
      if options < end, let at = OPT.badCookie(message, options..<end) {
        throw .formatError(FormatError(.badOPT, at: at), questionEnd: query.questionEnd, edns: edns)
      }
    }
    return query
  }

  private static func question(
    _ header: Header, _ message: Span<UInt8>, name: inout OutputSpan<UInt8>
  ) throws(QueryFault) -> Query {
    func fault(_ kind: FormatError.Kind, _ offset: Int) -> QueryFault {
      .formatError(FormatError(kind, at: offset), questionEnd: nil, edns: nil)
    }
    let start = Header.octetCount
    var at = start
    var labels = 0
    // Length octets that look like a hyphen or a digit, so that they can be told from octets of labels below.
    var familiarLengths = 0
    while true {
      guard at < message.count else { throw fault(.truncated, at) }
      let length = Int(message[at])
      guard length != 0 else { break }
      guard length <= NameWire.maxLabel else {
        throw fault(length & 0xC0 == 0xC0 ? .pointerNotAllowed : .labelType, at)
      }
      guard at + length + 1 - start < NameWire.maxOctets else { throw fault(.nameTooLong, at) }
      labels += 1
      if length >= 45, Name.isHostnameOctet(UInt8(truncatingIfNeeded: length)) { familiarLengths += 1 }
      at += length + 1
    }
    at += 1
    guard let type = message.read16(at), let klass = message.read16(at + 2) else { throw fault(.truncated, at) }
    guard let folded = NameWire.appendFolded(message, start..<at, into: &name) else { throw fault(.noSpace, at) }
    return Query(
      header: header, type: RRType(rawValue: type), klass: RRClass(rawValue: klass), questionEnd: at + 4, edns: nil,
      labelCount: labels, isHostname: folded.foreignOctets == labels + 1 - familiarLengths)
  }

  /// Reads the one additional record, which must be an OPT of the root (RFC 6891 section 6.1.2).
  private static func options(_ message: Span<UInt8>, at offset: inout Int) throws(FormatError) -> EDNS {
    let start = offset
    guard start + 11 <= message.count else { throw FormatError(.truncated, at: start) }
    guard message[start] == 0, message.read16(start + 1) == RRType.OPT.rawValue,
      let size = message.read16(start + 3), let flags = message.read16(start + 7),
      let length = message.read16(start + 9)
    else { throw FormatError(.badOPT, at: start) }
    let end = start + 11 + Int(length)
    guard end <= message.count else { throw FormatError(.truncated, at: start) }
    try OPT.checkOptions(message, (start + 11)..<end)
    offset = end
    return EDNS(udpPayloadSize: size, version: message[start + 6], dnssecOK: flags & 0x8000 != 0)
  }

  /// The OPT of a message of another opcode, or without a question, that looks like a query otherwise; nil where there is
  /// none.
  private static func onlyOptions(_ header: Header, _ message: Span<UInt8>, after question: Int) -> EDNS? {
    guard header.answerCount == 0, header.authorityCount == 0, header.additionalCount == 1 else { return nil }
    var end = question
    // One that is malformed says nothing that a reply could keep to.
    return try? options(message, at: &end)
  }

  /// Where a lone uncompressed question ends, for an error reply to echo; nil where there is none.
  private static func questionEnd(_ header: Header, _ message: Span<UInt8>) -> Int? {
    guard header.questionCount == 1 else { return nil }
    var at = Header.octetCount
    while at < message.count, message[at] != 0 {
      guard message[at] <= NameWire.maxLabel, at - Header.octetCount < NameWire.maxOctets else { return nil }
      at += Int(message[at]) + 1
    }
    guard at - Header.octetCount < NameWire.maxOctets, at + 5 <= message.count else { return nil }
    return at + 5
  }
}

/// The options of an OPT (RFC 6891 section 6.1.2).
enum OPT {
  /// Every option must end where its length says, and the last one at the end of the record data.
  static func checkOptions(_ message: Span<UInt8>, _ range: Range<Int>) throws(FormatError) {
    var at = range.lowerBound
    while at < range.upperBound {
      guard let length = message.read16(at + 2) else { throw FormatError(.badOPT, at: at) }
      at += 4 + Int(length)
    }
    guard at == range.upperBound else { throw FormatError(.badOPT, at: range.upperBound) }
  }

  /// Where a COOKIE stands that has a length which none has, in options that `checkOptions` has passed: 8 octets are the
  /// client's, and 8 to 32 more the server's (RFC 7873 sections 4 and 5.2.2).
  static func badCookie(_ message: Span<UInt8>, _ range: Range<Int>) -> Int? {
    var at = range.lowerBound
    while at < range.upperBound, let code = message.read16(at), let length = message.read16(at + 2) {
      if code == cookie, length != 8, !(16...40).contains(length) { return at }
      at += 4 + Int(length)
    }
    return nil
  }

  /// The code of COOKIE (RFC 7873 section 4).
  private static let cookie: UInt16 = 10
}
