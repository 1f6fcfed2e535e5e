import DNSWire
import TestSupport
import Testing

@Suite("Reading responses")
struct ResponseReaderTests {
  private func answer(_ type: RRType, _ rdata: [UInt8]) -> [UInt8] {
    Messages.response("a.example", type, answers: [Messages.record("a.example", type, rdata)])
  }

  @Test("records come with their section, type, TTL and data in the order of the message")
  func sections() throws {
    let message = Messages.response(
      "a.example", .A, answers: [Messages.record("a.example", .A, ttl: 60, [192, 0, 2, 1])],
      authorities: [Messages.soa("example")],
      additionals: [Messages.record("b.example", .AAAA, ttl: 7, [UInt8](1...16)), Messages.opt(flags: 0x8000)])
    let (reader, records) = try Reading.records(message)
    #expect(records.map(\.section) == [.answer, .authority, .additional, .additional])
    #expect(records.map(\.type) == [.A, .SOA, .AAAA, .OPT])
    #expect(records.map(\.ttl).prefix(3) == [60, 300, 7])
    #expect(Array(message[records[0].rdata]) == [192, 0, 2, 1])
    #expect(Array(message[records[2].rdata]) == [UInt8](1...16))
    #expect(try Reading.name(message, at: records[2].owner).wire == Messages.name("b.example"))
    #expect(reader.question?.type == .A && reader.question?.klass == .IN && reader.question?.end == 27)
  }

  @Test("a TTL with the top bit set counts as 0 (threats U22, RFC 2181 section 8)")
  func timeToLive() throws {
    for (sent, read) in [(0x7FFF_FFFF, 0x7FFF_FFFF), (0x8000_0000, 0), (0xFFFF_FFFF, 0)] {
      let message = Messages.response(
        "a.example", .A, answers: [Messages.record("a.example", .A, ttl: sent, [1, 2, 3, 4])])
      #expect(try Reading.records(message).records.first?.ttl == UInt32(read))
    }
  }

  @Test("record data that ends after the message is refused (threats W9)", arguments: [5, 6, 255, 65_535])
  func dataPastEnd(_ length: Int) {
    var message = answer(.A, [1, 2, 3, 4])
    message.replaceSubrange((message.count - 6)..<(message.count - 4), with: Messages.be16(length))
    #expect(Reading.failure(message) == .truncated)
  }

  @Test("addresses have exactly their size (threats W9)")
  func addresses() {
    let octets = { (count: Int) in [UInt8](repeating: 1, count: count) }
    for count in [0, 1, 3, 5, 16] { #expect(Reading.failure(answer(.A, octets(count))) == .recordData) }
    for count in [0, 4, 15, 17] { #expect(Reading.failure(answer(.AAAA, octets(count))) == .recordData) }
    #expect(Reading.failure(answer(.A, [1, 2, 3, 4])) == nil)
    #expect(Reading.failure(answer(.AAAA, [UInt8](1...16))) == nil)
  }

  @Test(
    "data of one name is that name, neither shorter nor longer (threats W9)",
    arguments: [RRType.CNAME, .NS, .PTR, .DNAME])
  func oneName(_ type: RRType) {
    let target = Messages.name("target.example")
    #expect(Reading.failure(answer(type, target)) == nil)
    #expect(Reading.failure(answer(type, [0xC0, 12])) == nil)
    #expect(Reading.failure(answer(type, target + [0])) == .recordData)
    #expect(Reading.failure(answer(type, [0xC0, 12, 0])) == .recordData)
    #expect(Reading.failure(answer(type, [])) == .recordData)
    #expect(Reading.failure(answer(type, Array(target.dropLast()))) != nil)
    // The name goes on in the next record: its octets are there, but they are not this record's.
    let short = Messages.response(
      "a.example", type,
      answers: [
        Messages.record("a.example", type, Array(target.dropLast())), Messages.record(".", .A, [1, 2, 3, 4]),
      ])
    #expect(Reading.failure(short) == .recordData)
  }

  @Test("names in data of older types end where the data end, and NAPTR has its strings before its own")
  func olderTypes() {
    let types: [(type: UInt16, head: [UInt8], names: Int)] = [
      (14, [], 2), (17, [], 2), (18, [0, 1], 1), (26, [0, 1], 2), (35, [0, 1, 0, 2, 0, 1, 65, 0], 1),
    ]
    for (number, head, names) in types {
      let type = RRType(rawValue: number)
      let targets = [[UInt8]](repeating: Messages.name("target.example"), count: names).flatMap { $0 }
      #expect(Reading.failure(answer(type, head + targets)) == nil, "\(number)")
      #expect(Reading.failure(answer(type, head + targets + [0])) == .recordData, "\(number)")
      #expect(Reading.failure(answer(type, head + targets.dropLast())) != nil, "\(number)")
      #expect(Reading.failure(answer(type, Array(head.dropLast()))) == .recordData, "\(number)")
    }
  }

  @Test("an MX, an SRV and an SOA have all of their numbers (threats W9)")
  func mixedData() {
    let name = Messages.name("ns.example")
    #expect(Reading.failure(answer(.MX, [0, 1] + name)) == nil)
    #expect(Reading.failure(answer(.SRV, [0, 1, 0, 2, 0, 3] + name)) == nil)
    let soa = name + name + [UInt8](repeating: 1, count: 20)
    #expect(Reading.failure(answer(.SOA, soa)) == nil)
    for short: [UInt8] in [[], [0], [0, 1], [0, 1] + name + [1]] {
      #expect(Reading.failure(answer(.MX, short)) == .recordData)
    }
    #expect(Reading.failure(answer(.SRV, [0, 1, 0, 2, 0, 3])) == .recordData)
    for count in [0, 1, name.count, 2 * name.count, soa.count - 1] {
      #expect(Reading.failure(answer(.SOA, Array(soa.prefix(count)))) != nil, "\(count) octets")
    }
    #expect(Reading.failure(answer(.SOA, soa + [0])) == .recordData)
  }

  @Test("strings fill a TXT exactly")
  func strings() {
    #expect(Reading.failure(answer(.TXT, [2, 97, 98, 0])) == nil)
    for rdata: [UInt8] in [[], [1], [2, 97], [1, 97, 5]] {
      #expect(Reading.failure(answer(.TXT, rdata)) == .recordData)
    }
  }

  @Test(
    "SVCB parameters have rising keys and end with the data (RFC 9460 section 2.2)", arguments: [RRType.SVCB, .HTTPS])
  func parameters(_ type: RRType) {
    let head = [0, 1] + Messages.name("svc.example")
    #expect(Reading.failure(answer(type, head)) == nil)
    #expect(Reading.failure(answer(type, head + [0, 1, 0, 3, 2, 104, 50, 0, 4, 0, 4, 1, 2, 3, 4])) == nil)
    #expect(Reading.failure(answer(type, head + [0, 4, 0, 0, 0, 1, 0, 0])) == .recordData)
    #expect(Reading.failure(answer(type, head + [0, 4, 0, 0, 0, 4, 0, 0])) == .recordData)
    #expect(Reading.failure(answer(type, head + [0, 4, 0, 9, 1])) == .recordData)
    #expect(Reading.failure(answer(type, head + [0, 4, 0])) == .recordData)
    #expect(Reading.failure(answer(type, [0, 1])) == .recordData)
    #expect(Reading.failure(answer(type, [0])) == .recordData)
  }

  @Test("the target of an SVCB is not compressed (RFC 9460 section 2.2)")
  func compressedTarget() {
    #expect(Reading.failure(answer(.HTTPS, [0, 1, 0xC0, 12])) == .pointerNotAllowed)
    #expect(Reading.failure(answer(.SVCB, [0, 1, 1, 97, 0xC0, 12])) == .pointerNotAllowed)
  }

  @Test("unknown types and other classes are opaque (RFC 3597)")
  func opaque() {
    #expect(Reading.failure(answer(RRType(rawValue: 65_280), [0xC0])) == nil)
    let chaos = Messages.response("a.example", .A, answers: [Messages.record("a.example", .A, klass: 3, [1])])
    #expect(Reading.failure(chaos) == nil)
  }

  @Test("an OPT is alone, the root's, in the additional section, and its options end with it (threats W12)")
  func opt() throws {
    let good = Messages.response("a.example", .A, additionals: [Messages.opt(version: 0, options: [0, 3, 0, 1, 9])])
    #expect(Reading.failure(good) == nil)
    #expect(
      Reading.failure(Messages.response("a.example", .A, additionals: [Messages.opt(), Messages.opt()])) == .badOPT)
    #expect(Reading.failure(Messages.response("a.example", .A, answers: [Messages.opt()])) == .badOPT)
    #expect(Reading.failure(Messages.response("a.example", .A, authorities: [Messages.opt()])) == .badOPT)
    let owned = [1, 97] + Messages.opt()
    #expect(Reading.failure(Messages.response("a.example", .A, additionals: [owned])) == .badOPT)
    for options: [UInt8] in [[0], [0, 3, 0], [0, 3, 0, 2, 9], [0, 3, 255, 255]] {
      let message = Messages.response("a.example", .A, additionals: [Messages.opt(options: options)])
      #expect(Reading.failure(message) == .badOPT)
    }
  }

  @Test("the OPT's part of the response code and its version are read (RFC 6891 section 6.1.3)")
  func extendedCode() throws {
    var message = Messages.response("a.example", .A, additionals: [Messages.opt(version: 3)])
    message[message.count - 6] = 1
    let edns = try Reading.records(message).reader.edns
    #expect(edns?.extendedCode == 1 && edns?.version == 3)
  }

  @Test(
    "counts larger than the data are refused, after the records that are there (threats W10)", arguments: [7, 9, 11])
  func counts(_ index: Int) throws {
    var message = answer(.A, [1, 2, 3, 4])
    message[index] += 1
    #expect(Reading.failure(message) == .truncated)
    message[index - 1] = 255
    #expect(Reading.failure(message) == .truncated)
    var reader = try ResponseReader(message.span)
    #expect(try reader.next(message.span)?.type == .A)
  }

  @Test("more than one question is refused (threats W3); none and trailing octets are not (threats W11)")
  func questions() {
    var message = answer(.A, [1, 2, 3, 4])
    message[5] = 2
    #expect(Reading.failure(message) == .count)
    #expect(Reading.failure(Array(message.prefix(4)) + [0, 0, 0, 0, 0, 0, 0, 0]) == nil)
    #expect(Reading.failure(answer(.A, [1, 2, 3, 4]) + [1, 2, 3]) == nil)
  }

  @Test("a response that is cut anywhere before its end is refused")
  func cut() {
    let message = Messages.response(
      "a.example", .A, answers: [Messages.record("a.example", .A, [1, 2, 3, 4])],
      authorities: [Messages.soa("example")],
      additionals: [Messages.opt()])
    for count in 0..<message.count { #expect(Reading.failure(Array(message.prefix(count))) == .truncated) }
  }

  @Test("records whose names are chains of 8,000 pointers are followed no further than the budget (threats W5)")
  func pointerChains() throws {
    let chain = (0..<8000).flatMap { hop in
      let target = hop == 0 ? 12 : 38 + 2 * (hop - 1)
      return [0xC0 | UInt8(target >> 8 & 0x3F), UInt8(target & 0xFF)]
    }
    let head = Messages.response("a.example", .A, answers: [Messages.record(".", RRType(rawValue: 65_280), chain)])
    #expect(Array(head[38..<40]) == [0xC0, 12])
    let record = { (hop: Int) in
      [0xC0 | UInt8((38 + 2 * hop) >> 8), UInt8((38 + 2 * hop) & 0xFF)] + [0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]
    }
    // One owner at the far end, and 3,000 owners whose short chains together are long.
    for owners in [[7999], [Int](repeating: 1, count: 3000)] {
      var message = head + owners.flatMap(record)
      message.replaceSubrange(6..<8, with: Messages.be16(1 + owners.count))
      #expect(message.count <= 65_535 && Reading.failure(message) == .tooManyPointers)
    }
  }

  @Test(
    "owners and targets have 255 octets at most, with what their pointers lead to (threats W7)", arguments: [61, 62])
  func longNames(_ last: Int) {
    let label = { (count: Int) in [UInt8(count)] + [UInt8](repeating: 97, count: count) }
    let long = label(63) + label(63) + label(63)
    let expected: FormatError.Kind? = last == 61 ? nil : .nameTooLong
    #expect(Reading.failure(answer(.CNAME, long + label(last) + [0])) == expected)
    // The question's name begins where the pointer leads; of it "example" and the root count.
    let target = long + label(last - 8) + [0xC0, 14]
    #expect(target.count + 9 - 2 == (last == 61 ? 255 : 256))
    #expect(Reading.failure(answer(.CNAME, target)) == expected)
    let owned = Messages.response(
      "a.example", .A, answers: [long + label(last - 8) + [0xC0, 14, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]])
    #expect(Reading.failure(owned) == expected)
  }

  @Test("an answer of 1,000 addresses, each with a pointer to the question, is read whole (threats U20)")
  func manyAddresses() throws {
    let record: [UInt8] = [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]
    let head = Messages.response("a.example", .A)
    var message = head + (0..<1000).flatMap { _ in record }
    message.replaceSubrange(6..<8, with: Messages.be16(1000))
    #expect(try Reading.records(message).records.count == 1000)
  }
}
