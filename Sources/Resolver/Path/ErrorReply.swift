import DNSWire

/// The one place where a fault of a client's message becomes a response code (RFC 8906, RFC 9619, RFC 6891).
struct ErrorReply {
  private var code: ResponseCode
  private var questionEnd: Int?
  private var edns: EDNS?

  /// Nil: the message gets no reply.
  init?(_ fault: QueryFault) {
    switch fault {
    case .drop:
      return nil
    case .notImplemented(let end, let edns):
      (code, questionEnd, self.edns) = (.NOTIMP, end, edns)
    case .formatError(_, let end, let edns):
      (code, questionEnd, self.edns) = (.FORMERR, end, edns)
    case .badVersion(let end, let edns):
      (code, questionEnd, self.edns) = (.BADVERS, end, edns)
    }
  }

  /// Writes header, the question if it could be read, and an OPT where one was understood. Never longer than the
  /// smallest datagram that every client takes.
  func write(_ message: Span<UInt8>, into reply: inout OutputSpan<UInt8>) {
    guard message.count >= Header.octetCount else { return }
    let opcodeAndRD = UInt16(message[2] & 0x79) << 8
    // A query's CD is copied (RFC 6840 section 5.6); other opcodes have other bits there, and get none of them back.
    let checkingDisabled = message[2] & 0x78 == 0 ? UInt16(message[3] & 0x10) : 0
    reply.append(message[0])
    reply.append(message[1])
    reply.append(bigEndian: 0x8080 | opcodeAndRD | checkingDisabled | UInt16(code.rawValue & 0xF))
    let echoes = questionEnd.map { $0 <= message.count && $0 <= 300 } ?? false
    reply.append(bigEndian: UInt16(echoes ? 1 : 0))
    for _ in 0..<6 {
      reply.append(0)
    }
    if echoes, let questionEnd {
      reply.append(contentsOf: message.extracting(Header.octetCount..<questionEnd))
    }
    if let edns {
      ReplyWriter.appendOPT(
        dnssecOK: edns.dnssecOK, extendedCode: UInt8(truncatingIfNeeded: code.rawValue >> 4), nil, into: &reply)
    }
  }
}
