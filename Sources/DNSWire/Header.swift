/// The twelve octets at the start of every message (RFC 1035 section 4.1.1).
@usableFromInline
package struct Header: Equatable, Sendable {
  @inlinable package static var octetCount: Int { 12 }

  @usableFromInline package var id: UInt16
  /// QR, opcode, AA, TC, RD, RA, Z, AD, CD, RCODE from the highest bit to the lowest.
  @usableFromInline package var flags: UInt16
  @usableFromInline package var questionCount: UInt16
  @usableFromInline package var answerCount: UInt16
  @usableFromInline package var authorityCount: UInt16
  @usableFromInline package var additionalCount: UInt16

  @inlinable
  package init(
    id: UInt16, flags: UInt16, questionCount: UInt16 = 0, answerCount: UInt16 = 0, authorityCount: UInt16 = 0,
    additionalCount: UInt16 = 0
  ) {
    self.id = id
    self.flags = flags
    self.questionCount = questionCount
    self.answerCount = answerCount
    self.authorityCount = authorityCount
    self.additionalCount = additionalCount
  }

  /// Throws `truncated` for fewer than twelve octets.
  package init(parsing message: Span<UInt8>) throws(FormatError) {
    guard let header = Header(message) else { throw FormatError(.truncated, at: message.count) }
    self = header
  }

  /// Nil for fewer than twelve octets.
  @inlinable @inline(__always)
  package init?(_ message: Span<UInt8>) {
    guard message.count >= Self.octetCount else { return nil }
    func field(_ index: Int) -> UInt16 {
      UInt16(message[2 * index]) << 8 | UInt16(message[2 * index + 1])
    }
    self.init(
      id: field(0), flags: field(1), questionCount: field(2), answerCount: field(3), authorityCount: field(4),
      additionalCount: field(5))
  }

  @inlinable package var isResponse: Bool { flags & 0x8000 != 0 }
  @inlinable package var opcode: Opcode { Opcode(rawValue: UInt8(flags >> 11 & 0xF)) }
  @inlinable package var isAuthoritative: Bool { flags & 0x0400 != 0 }
  @inlinable package var isTruncated: Bool { flags & 0x0200 != 0 }
  @inlinable package var recursionDesired: Bool { flags & 0x0100 != 0 }
  @inlinable package var recursionAvailable: Bool { flags & 0x0080 != 0 }
  @inlinable package var authenticData: Bool { flags & 0x0020 != 0 }
  @inlinable package var checkingDisabled: Bool { flags & 0x0010 != 0 }
  /// The lower four bits; an OPT may add eight.
  @inlinable package var responseCode: ResponseCode { ResponseCode(rawValue: flags & 0xF) }

  /// Appends the twelve octets, if there is room for all of them.
  package func append(to output: inout OutputSpan<UInt8>) {
    guard output.freeCapacity >= Self.octetCount else { return }
    output.append(bigEndian: id)
    output.append(bigEndian: flags)
    output.append(bigEndian: questionCount)
    output.append(bigEndian: answerCount)
    output.append(bigEndian: authorityCount)
    output.append(bigEndian: additionalCount)
  }
}
