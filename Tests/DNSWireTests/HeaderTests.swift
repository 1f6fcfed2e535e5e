import DNSWire
import Testing

@Suite("Header")
struct HeaderTests {
  @Test("what is written is read again, bit for bit", arguments: [0, 0x0100, 0x8180, 0xFFFF, 0x7BCD] as [UInt16])
  func roundTrip(_ flags: UInt16) throws {
    let header = Header(
      id: 0xBEEF, flags: flags, questionCount: 1, answerCount: 2, authorityCount: 0x300, additionalCount: .max)
    let octets = [UInt8](capacity: 12) { header.append(to: &$0) }
    #expect(octets.count == 12)
    #expect(try Header(parsing: octets.span) == header)
  }

  @Test("each flag is its own bit (RFC 1035 section 4.1.1)")
  func bits() {
    func header(_ flags: UInt16) -> Header { Header(id: 0, flags: flags) }
    #expect(header(0x8000).isResponse && !header(0x7FFF).isResponse)
    #expect(header(0x0400).isAuthoritative && !header(0xFBFF).isAuthoritative)
    #expect(header(0x0200).isTruncated && !header(0xFDFF).isTruncated)
    #expect(header(0x0100).recursionDesired && !header(0xFEFF).recursionDesired)
    #expect(header(0x0080).recursionAvailable && !header(0xFF7F).recursionAvailable)
    #expect(header(0x0020).authenticData && !header(0xFFDF).authenticData)
    #expect(header(0x0010).checkingDisabled && !header(0xFFEF).checkingDisabled)
    #expect(header(0x2800).opcode == .UPDATE && header(0x87FF).opcode == .QUERY)
    #expect(header(0xFFF3).responseCode == .NXDOMAIN)
  }

  @Test("fewer than twelve octets are no header (threats W1)", arguments: 0..<12)
  func short(_ count: Int) {
    let octets = [UInt8](repeating: 0, count: count)
    #expect(throws: FormatError(.truncated, at: count)) { try Header(parsing: octets.span) }
  }

  @Test("without room for all of it nothing is written")
  func noRoom() {
    var said = true
    let octets = [UInt8](capacity: 11) { out in
      Header(id: 1, flags: 2).append(to: &out)
      said = out.append(contentsOf: [UInt8](repeating: 0, count: 12).span)
    }
    #expect(octets.isEmpty && !said)
  }

  @Test("numbers are written in network order, whole or not at all")
  func numbers() {
    var written: [Bool] = []
    let octets = [UInt8](capacity: 7) { out in
      written.append(out.append(bigEndian: UInt16(0x0102)))
      written.append(out.append(bigEndian: UInt32(0x0304_0506)))
      written.append(out.append(bigEndian: UInt16(0x0708)))
      written.append(out.append(bigEndian: UInt32(0x0708_090A)))
    }
    #expect(written == [true, true, false, false])
    #expect(octets == [1, 2, 3, 4, 5, 6])
    let span = octets.span
    #expect(span.read16(4) == 0x0506 && span.read16(5) == nil && span.read16(-1) == nil)
    #expect(span.read32(2) == 0x0304_0506 && span.read32(3) == nil)
  }
}
