package import DNSWire
package import ResponseCache

/// Writes replies: the client's id and question octet for octet, our flags, prepared sections, and an OPT where the
/// query had one.
package struct ReplyWriter {
  /// Over UDP no reply is larger, whatever the client offers (RFC 9715).
  package static let maxDatagram = 1232
  /// Without EDNS (RFC 1035 section 4.2.1).
  static let plainDatagram = 512
  package static let maxStream = 65_535

  /// Octets that a reply by TCP may need, to a message of `octets`: question, sections, and an OPT with the longest text.
  package static func streamRoom(_ octets: Int, _ response: borrowing CachedResponse) -> Int {
    min(octets + response.sections.count + optWithText, maxStream)
  }

  /// What the OPT of a reply says.
  struct ExtendedError {
    var code: ExtendedErrorCode
    /// Server and reason code: both are Sluice's own words, never the client's.
    var server: [UInt8]
    var token: StaticString?
  }

  /// What the text of an extended error is made of: server and reason code.
  package typealias ErrorText = (server: [UInt8], token: StaticString)

  /// The token where a decision could not be recorded (P6): the log cannot be written, or a ring is full because more is
  /// recorded than is written. Neither is an audit code, since there is no event.
  package static func unrecorded(isBlocked: Bool) -> StaticString { isBlocked ? "audit-blocked" : "audit-full" }

  let query: Query
  /// Nanoseconds of the monotonic clock.
  let now: UInt64
  /// Whether the reply is bounded by the client's datagram size.
  let isDatagram: Bool

  /// - Parameter now: nanoseconds of the monotonic clock.
  package init(_ query: Query, now: UInt64, isDatagram: Bool) {
    self.query = query
    self.now = now
    self.isDatagram = isDatagram
  }

  /// The most octets that this client may get.
  var limit: Int { Self.limit(query, isDatagram: isDatagram) }

  /// The most octets that this client may get.
  static func limit(_ query: Query, isDatagram: Bool) -> Int {
    guard isDatagram else { return maxStream }
    guard let edns = query.edns else { return plainDatagram }
    return min(max(Int(edns.udpPayloadSize), plainDatagram), maxDatagram)
  }

  /// Writes header and question. Counts are those of a reply without records.
  static func begin(
    _ query: Query, _ message: Span<UInt8>, _ code: ResponseCode, into reply: inout OutputSpan<UInt8>
  ) {
    var flags: UInt16 = 0x8080 | UInt16(code.rawValue & 0xF)  // QR and RA; AA, Z and AD stay clear
    flags |= query.header.flags & 0x0110  // RD and CD are copied (RFC 1035 section 4.1.1, RFC 6840 section 5.6)
    reply.append(bigEndian: query.header.id)
    reply.append(bigEndian: flags)
    reply.append(bigEndian: UInt16(1))
    reply.append(bigEndian: UInt16(0))
    reply.append(bigEndian: UInt16(0))
    reply.append(bigEndian: UInt16(0))
    reply.append(contentsOf: message.extracting(Header.octetCount..<query.questionEnd))
  }

  /// Writes a whole reply from prepared sections; records that do not fit are left out and TC set.
  package func answer(
    _ message: Span<UInt8>, _ response: borrowing CachedResponse, errorText: ErrorText? = nil,
    into reply: inout OutputSpan<UInt8>
  ) {
    answer(message, response.head, response.sections.span, response.ttlOffsets.span, into: &reply)
    appendOPT(response.head, errorText, into: &reply)
  }

  /// Writes a reply up to its OPT from prepared sections; records that do not fit beside the OPT are left out and TC set.
  func answer(
    _ message: Span<UInt8>, _ head: CachedHead, _ sections: Span<UInt8>, _ ttlOffsets: Span<UInt16>,
    into reply: inout OutputSpan<UInt8>
  ) {
    Self.begin(query, message, head.responseCode, into: &reply)
    let base = reply.count
    if base + sections.count + optReserve(head) <= limit {
      reply.append(contentsOf: sections)
      let ttl = head.remainingTTL(at: now)
      for index in ttlOffsets.indices { reply.patch32(ttl, at: base + Int(ttlOffsets[index])) }
      reply.patch16(head.answerCount, at: 6)
      reply.patch16(head.authorityCount, at: 8)
    } else {
      appendWhatFits(head, sections, ttlOffsets, room: limit - base - optReserve(head), into: &reply)
      Self.setTruncated(&reply)
    }
  }

  /// As many whole records as fit, in their order. Where that is the chain alone, as many as fit of what it leads to, as the
  /// asked name's own: there are clients that take what is there and never ask by TCP (musl before 1.2.4).
  ///
  /// - Parameter room: octets that the records may take.
  @inline(never)
  private func appendWhatFits(
    _ head: CachedHead, _ sections: Span<UInt8>, _ ttlOffsets: Span<UInt16>, room: Int,
    into reply: inout OutputSpan<UInt8>
  ) {
    let ttl = head.remainingTTL(at: now)
    let base = reply.count
    let room = min(room, reply.freeCapacity)
    var (end, count) = (0, 0)
    while count < ttlOffsets.count, let next = Self.recordEnd(sections, Int(ttlOffsets[count])), next <= room {
      end = next
      count += 1
    }
    let isAnswered = (0..<count).contains { Self.type(sections, Int(ttlOffsets[$0])) == query.type.rawValue }
    let answerCount = Int(head.answerCount)
    let target = (min(count, answerCount)..<answerCount).first {
      $0 < ttlOffsets.count && Self.type(sections, Int(ttlOffsets[$0])) == query.type.rawValue
    }
    // Names in other data may point into what would be left out.
    guard !isAnswered, query.type == .A || query.type == .AAAA, let target else {
      reply.append(contentsOf: sections.extracting(0..<end))
      for index in 0..<count { reply.patch32(ttl, at: base + Int(ttlOffsets[index])) }
      let answers = min(count, answerCount)
      reply.patch16(UInt16(truncatingIfNeeded: answers), at: 6)
      return reply.patch16(UInt16(truncatingIfNeeded: count - answers), at: 8)
    }
    var answers: UInt16 = 0
    for index in target..<min(answerCount, ttlOffsets.count) {
      let at = Int(ttlOffsets[index])
      // Type and class stand before the TTL, and the owner before them.
      guard let end = Self.recordEnd(sections, at), reply.count - base + 2 + end - (at - 4) <= room else { break }
      reply.append(bigEndian: 0xC000 | UInt16(Header.octetCount))
      reply.append(contentsOf: sections.extracting((at - 4)..<at))
      reply.append(bigEndian: ttl)
      reply.append(contentsOf: sections.extracting((at + 4)..<end))
      answers += 1
    }
    reply.patch16(answers, at: 6)
  }

  /// Where the record ends whose TTL stands at `offset`.
  private static func recordEnd(_ sections: Span<UInt8>, _ offset: Int) -> Int? {
    sections.read16(offset + 4).map { offset + 6 + Int($0) }
  }

  /// The type of the record whose TTL stands at `offset`.
  private static func type(_ sections: Span<UInt8>, _ offset: Int) -> UInt16? { sections.read16(offset - 4) }

  /// Appends the OPT of a reply from prepared sections, if the query had one.
  ///
  /// - Parameter errorText: of a failure.
  func appendOPT(_ head: CachedHead, _ errorText: ErrorText?, into reply: inout OutputSpan<UInt8>) {
    guard query.edns != nil else { return }
    let error = head.extendedError.map {
      ExtendedError(code: $0, server: errorText?.server ?? [], token: errorText?.token)
    }
    Self.appendOPT(query, error, limit: limit, into: &reply)
  }

  /// Appends our OPT if the query had one (RFC 6891 section 6.1.1), with DO as it came (RFC 3225 section 3).
  ///
  /// - Parameter limit: octets that the whole reply may have; EXTRA-TEXT is dropped first.
  static func appendOPT(
    _ query: Query, _ error: ExtendedError?, limit: Int = plainDatagram, into reply: inout OutputSpan<UInt8>
  ) {
    guard let edns = query.edns else { return }
    appendOPT(dnssecOK: edns.dnssecOK, extendedCode: 0, error, limit: limit, into: &reply)
  }

  static func appendOPT(
    dnssecOK: Bool, extendedCode: UInt8, _ error: ExtendedError?, limit: Int = plainDatagram,
    into reply: inout OutputSpan<UInt8>
  ) {
    guard min(reply.freeCapacity, limit - reply.count) >= 11 else { return }
    reply.append(0)
    reply.append(bigEndian: RRType.OPT.rawValue)
    reply.append(bigEndian: UInt16(maxDatagram))
    reply.append(extendedCode)
    reply.append(0)
    reply.append(bigEndian: UInt16(dnssecOK ? 0x8000 : 0))
    let length = reply.count
    reply.append(bigEndian: UInt16(0))
    if let error {
      append(error, room: min(reply.freeCapacity, limit - reply.count), into: &reply)
      reply.patch16(UInt16(truncatingIfNeeded: reply.count - length - 2), at: length)
    }
    reply.patch16(1, at: 10)
  }

  /// RFC 8914: option 15, code, text `server: token`. Without room for the text, the code alone.
  private static func append(_ error: ExtendedError, room: Int, into reply: inout OutputSpan<UInt8>) {
    let token = error.token?.utf8CodeUnitCount ?? 0
    var text = error.server.isEmpty || token == 0 ? token : error.server.count + 2 + token
    guard room >= 6 else { return }
    if room < 6 + text { text = 0 }
    reply.append(bigEndian: UInt16(15))
    reply.append(bigEndian: UInt16(truncatingIfNeeded: 2 + text))
    reply.append(bigEndian: error.code.rawValue)
    guard text > 0 else { return }
    if !error.server.isEmpty {
      reply.append(contentsOf: error.server.span)
      reply.append(UInt8(ascii: ":"))
      reply.append(UInt8(ascii: " "))
    }
    if let token = error.token {
      reply.append(token)
    }
  }

  static func setTruncated(_ reply: inout OutputSpan<UInt8>) {
    guard reply.count > 2 else { return }
    reply[2] |= 0x02
  }

  /// More than the octets of an OPT with an extended error, a server's name and a code.
  private static let optWithText = 512
  /// Octets of an OPT with an extended error that has no text.
  static let optWithError = 17

  private func optReserve(_ head: CachedHead) -> Int {
    query.edns == nil ? 0 : head.extendedError == nil ? 11 : Self.optWithError
  }
}

extension OutputSpan<UInt8> {
  mutating func patch16(_ value: UInt16, at offset: Int) {
    guard offset >= 0, offset + 2 <= count else { return }
    self[offset] = UInt8(truncatingIfNeeded: value >> 8)
    self[offset + 1] = UInt8(truncatingIfNeeded: value)
  }

  mutating func patch32(_ value: UInt32, at offset: Int) {
    patch16(UInt16(truncatingIfNeeded: value >> 16), at: offset)
    patch16(UInt16(truncatingIfNeeded: value), at: offset + 2)
  }

  /// Appends the octets of a literal, as far as they fit.
  mutating func append(_ literal: StaticString) {
    literal.withUTF8Buffer { octets in
      for index in octets.indices where freeCapacity > 0 {
        unsafe append(octets[index])
      }
    }
  }
}
