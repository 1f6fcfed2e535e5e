import DNSWire
import TestSupport
import Testing

/// What screening takes over from a client's message, and what it leaves behind.
@Suite("What screening keeps")
struct ScreeningTests {
  private func query(_ message: [UInt8]) throws -> (query: Query, name: [UInt8]) {
    let (result, name) = Reading.query(message)
    return (try result.get(), name)
  }

  private func message(_ labels: [[UInt8]]) -> [UInt8] {
    var octets: [UInt8] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    for label in labels { octets += [UInt8(label.count)] + label }
    return octets + [0, 0, 1, 0, 1]
  }

  /// The rule as it is written down, octet by octet.
  private func isHostname(_ labels: [[UInt8]]) -> Bool {
    let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".utf8)
    return labels.allSatisfy { $0.allSatisfy(allowed.contains) }
  }

  @Test(
    "one foreign octet anywhere in a label of any length is noticed (threats N1, N2, N3)",
    arguments: 1...63 as ClosedRange)
  func foreignOctets(_ count: Int) throws {
    var random = SeededRandom(seed: UInt64(count))
    let label = [UInt8](repeating: UInt8(ascii: "A"), count: count)
    #expect(try query(message([label])).query.isHostname)
    for index in 0..<count {
      var spoilt = label
      spoilt[index] = random.pick([
        0, 0x20, 0x2A, 0x2C, 0x2E, 0x2F, 0x3A, 0x40, 0x5B, 0x5E, 0x60, 0x7B, 0x80, 0xAD, 0xE1,
      ])
      #expect(try query(message([label, spoilt])).query.isHostname == false)
    }
  }

  @Test(
    "any octets are folded and judged as the rule says, octet by octet (threats N3, N4)",
    arguments: 0..<300 as Range<UInt64>)
  func oracle(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let familiar = Array("azAZ09-_mM".utf8)
    var labels: [[UInt8]] = []
    var left = 254
    while left > 1, random.below(8) > 0 {
      let count = 1 + random.below(min(63, left - 1))
      labels.append((0..<count).map { _ in random.below(200) == 0 ? random.octet() : random.pick(familiar) })
      left -= count + 1
    }
    let octets = message(labels)
    let (query, name) = try query(octets)
    #expect(name == octets[12..<(octets.count - 4)].map { (65...90).contains($0) ? $0 + 32 : $0 })
    #expect(query.isHostname == isHostname(labels))
    #expect(query.labelCount == labels.count)
  }

  @Test("each of the 256 octets is folded and judged by itself", arguments: 0...7)
  func everyOctet(_ index: Int) throws {
    for octet in 0...255 as ClosedRange<UInt8> {
      var label = [UInt8](repeating: 97, count: 8)
      label[index] = octet
      let (query, name) = try query(message([label]))
      label[index] = NameWire.lowercased(octet)
      #expect(Array(name[1...8]) == label && query.isHostname == isHostname([label]), "octet \(octet)")
    }
  }

  @Test("of a client's OPT nothing is kept but size, version and DO (threats W13)")
  func options() throws {
    let bare = try query(Messages.query("a.example", .A, opt: Messages.opt(size: 1400, flags: 0x8000))).query
    let options: [[UInt8]] = [
      [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2], [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8], [0xFD, 0xE9, 0, 0],
    ]
    for option in options {
      let opt = Messages.opt(size: 1400, flags: 0xFFFF, options: option)
      #expect(try query(Messages.query("a.example", .A, opt: opt)).query == bare)
    }
  }

  @Test("AA, TC, RA, Z, AD, CD and a response code in a query change nothing but the header (threats W16)")
  func headerBits() throws {
    let plain = Messages.query("a.example", .A)
    let expected = try query(plain).query
    for bit in [2, 4, 8, 16, 32, 64, 128, 512, 1024] as [UInt16] {
      var octets = plain
      octets[2] |= UInt8(bit >> 8)
      octets[3] |= UInt8(truncatingIfNeeded: bit)
      var got = try query(octets).query
      #expect(got.header.flags == expected.header.flags | bit)
      got.header = expected.header
      #expect(got == expected)
    }
  }

  @Test("other classes and every type are queries, and say what they ask (threats W17, W18)")
  func classesAndTypes() throws {
    for klass in [0, 2, 3, 4, 254, 255, 65_535] {
      #expect(Int(try query(Messages.query("version.bind", .TXT, klass: klass)).query.klass.rawValue) == klass)
    }
    for type in [0, 41, 46, 249, 250, 251, 252, 253, 254, 255, 1000, 65_535] as [UInt16] {
      #expect(try query(Messages.query("a.example", RRType(rawValue: type))).query.type.rawValue == type)
    }
  }

  @Test(
    "another opcode says what it offered in its OPT, so that the reply can have one (threats W15, RFC 6891 section 6.1.1)"
  )
  func opcodeWithOptions() {
    var octets = Messages.query("a.example", .A, opt: Messages.opt(size: 1232))
    octets[2] = 5 << 3
    guard case .failure(.notImplemented(let end, let edns)) = Reading.query(octets).result else {
      Issue.record("not refused")
      return
    }
    #expect(end == octets.count - 11 && edns == EDNS(udpPayloadSize: 1232, version: 0, dnssecOK: false))
  }

  @Test("the root is a query of no labels (threats N5)")
  func root() throws {
    let (query, name) = try query(Messages.query(".", .NS))
    #expect(name == [0] && query.labelCount == 0 && query.questionEnd == 17)
  }

  @Test("without room for the name there is no query")
  func noRoom() {
    let octets = Messages.query("api.github.com", .A)
    var fault: QueryFault?
    let name = [UInt8](capacity: 15) { out in
      do throws(QueryFault) {
        _ = try Query.parse(octets.span, name: &out)
      } catch {
        fault = error
      }
    }
    #expect(fault == .formatError(FormatError(.noSpace, at: 28), questionEnd: nil, edns: nil))
    #expect(name.isEmpty)
  }
}
