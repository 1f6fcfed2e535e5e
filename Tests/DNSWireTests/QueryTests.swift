import DNSWire
import TestSupport
import Testing

@Suite("Screening of queries")
struct QueryTests {
  private func parse(_ message: [UInt8]) throws(QueryFault) -> (Query, [UInt8]) {
    var result: Result<Query, QueryFault> = .failure(.drop)
    let name = [UInt8](capacity: 255) { out in
      do throws(QueryFault) {
        result = .success(try Query.parse(message.span, name: &out))
      } catch {
        result = .failure(error)
      }
    }
    return (try result.get(), name)
  }

  private func fault(_ message: [UInt8]) -> QueryFault? {
    do throws(QueryFault) {
      _ = try parse(message)
      return nil
    } catch {
      return error
    }
  }

  private func isFormatError(_ message: [UInt8]) -> Bool {
    if case .formatError = fault(message) { true } else { false }
  }

  private let plain = Messages.query("API.GitHub.com", .A)

  @Test("a plain query gives its canonical name, its type and the end of its question")
  func plainQuery() throws {
    let (query, name) = try parse(plain)
    #expect(name == Messages.name("api.github.com"))
    #expect(query.type == .A && query.klass == .IN && query.edns == nil)
    #expect(query.questionEnd == plain.count)
    #expect(query.labelCount == 3 && query.isHostname)
  }

  @Test("an OPT gives size and DO")
  func edns() throws {
    let (query, _) = try parse(Messages.query("a.example", .AAAA, opt: Messages.opt(size: 4096, flags: 0x8000)))
    #expect(query.edns == EDNS(udpPayloadSize: 4096, version: 0, dnssecOK: true))
  }

  @Test("fewer than twelve octets and responses get no answer (threats W1, W2)")
  func dropped() {
    for count in 0..<12 { #expect(fault(Array(plain.prefix(count))) == .drop) }
    var response = plain
    response[2] |= 0x80
    #expect(fault(response) == .drop)
  }

  @Test("anything but one question is a format error (threats W3, RFC 9619)", arguments: [0, 2, 255])
  func questionCount(_ count: UInt8) {
    var message = plain
    message[5] = count
    #expect(isFormatError(message))
  }

  @Test("compression in the question is a format error (threats W4)", arguments: [0xC00C, 0xC000, 0xC0FF, 0xFFFF])
  func compression(_ pointer: Int) {
    let head = Array(plain.prefix(12))
    #expect(isFormatError(head + [UInt8(pointer >> 8), UInt8(pointer & 255), 0, 1, 0, 1]))
    #expect(isFormatError(head + [3, 97, 98, 99, UInt8(pointer >> 8), UInt8(pointer & 255), 0, 1, 0, 1]))
    #expect(isFormatError(head + [0xC0]))
  }

  @Test("the obsolete label types are format errors (threats W6)", arguments: [0x40, 0x80, 0x7F, 0xBF])
  func labelTypes(_ octet: UInt8) {
    let message = Array(plain.prefix(12)) + [octet] + [UInt8](repeating: 97, count: 80) + [0, 0, 1, 0, 1]
    #expect(fault(message) == .formatError(FormatError(.labelType, at: 12), questionEnd: nil, edns: nil))
  }

  @Test("a name of 255 octets is read, one of 256 is not (threats W7)")
  func nameLength() throws {
    let label = { (count: Int) in [UInt8(count)] + [UInt8](repeating: 97, count: count) }
    let head = Array(plain.prefix(12))
    let longest = label(63) + label(63) + label(63) + label(61) + [0]
    #expect(longest.count == 255)
    #expect(try parse(head + longest + [0, 1, 0, 1]).1 == longest)
    let tooLong = head + label(63) + label(63) + label(63) + label(62) + [0, 0, 1, 0, 1]
    #expect(
      fault(tooLong) == .formatError(FormatError(.nameTooLong, at: 12 + 3 * 64), questionEnd: nil, edns: nil))
    #expect(isFormatError(head + [UInt8](repeating: 1, count: 2 * 140) + [0, 0, 1, 0, 1]))
  }

  @Test("records in a query, counts that lie and trailing octets are format errors (threats W10, W11)")
  func extras() {
    for index in [7, 9, 11] {
      var message = plain
      message[index] = 1
      #expect(isFormatError(message))
    }
    #expect(isFormatError(plain + [0]))
    #expect(isFormatError(Messages.query("a.example", .A, opt: Messages.opt()) + [1]))
  }

  @Test("an OPT with another owner, lying options or a second one is a format error (threats W12)")
  func badOPT() {
    var owner = Messages.opt()
    owner.insert(contentsOf: [1, 97], at: 0)
    #expect(isFormatError(Messages.query("a.example", .A, opt: owner)))
    owner = Messages.opt()
    owner[0] = 1
    #expect(isFormatError(Messages.query("a.example", .A, opt: owner)))
    #expect(isFormatError(Messages.query("a.example", .A, opt: Messages.opt(options: [0, 10, 0, 9, 1]))))
    #expect(isFormatError(Messages.query("a.example", .A, opt: Messages.opt(options: [0, 10, 0]))))
    var two = Messages.query("a.example", .A, opt: Messages.opt() + Messages.opt())
    two[11] = 2
    #expect(isFormatError(two))
    let many = [[UInt8]](repeating: [0xFD, 0xE9, 0, 0], count: 16_000).flatMap { $0 }
    #expect(fault(Messages.query("a.example", .A, opt: Messages.opt(options: many))) == nil)
  }

  @Test("a COOKIE is of 8 octets, or of 16 to 40; any other is a format error with an OPT (RFC 7873 section 5.2.2)")
  func cookies() {
    func query(_ options: [UInt8], version: UInt8 = 0) -> [UInt8] {
      Messages.query("a.example", .A, opt: Messages.opt(version: version, options: options))
    }
    func cookie(_ length: Int) -> [UInt8] {
      Messages.be16(10) + Messages.be16(length) + [UInt8](repeating: 7, count: length)
    }
    let padding = Messages.be16(12) + Messages.be16(468) + [UInt8](repeating: 0, count: 468)
    for length in 0...64 {
      let isRight = length == 8 || (16...40).contains(length)
      for options in [cookie(length), padding + cookie(length), cookie(8) + cookie(length), cookie(length) + padding] {
        let fault = fault(query(options))
        #expect((fault == nil) == isRight, "\(length) octets")
        guard let fault else { continue }
        guard case .formatError(_, let end, let edns) = fault else {
          Issue.record("\(fault)")
          continue
        }
        #expect(end == Messages.query("a.example", .A).count && edns?.version == 0)
      }
    }
    // What another version's options mean is not known.
    guard case .badVersion = fault(query(cookie(7), version: 1)) else {
      Issue.record("not BADVERS")
      return
    }
  }

  @Test("a TSIG in a query is a format error (threats W14)")
  func tsig() {
    var opt = Messages.opt()
    opt[2] = 250
    #expect(isFormatError(Messages.query("a.example", .A, opt: opt)))
  }

  @Test("another EDNS version is BADVERS (threats W12)")
  func version() {
    let message = Messages.query("a.example", .A, opt: Messages.opt(version: 1))
    guard case .badVersion(let end, let edns) = fault(message) else {
      Issue.record("not BADVERS")
      return
    }
    #expect(end == message.count - 11 && edns?.version == 1)
  }

  @Test("every opcode but QUERY is not implemented (threats W15)", arguments: 1...15)
  func opcodes(_ opcode: UInt8) {
    var message = plain
    message[2] = opcode << 3
    #expect(fault(message) == .notImplemented(questionEnd: message.count, edns: nil))
  }

  @Test(
    "a dot, a NUL or a control octet in a label is no host name (threats N1, N2, N3)",
    arguments: [0x2E, 0, 10, 0x20, 0x5C, 0xE9])
  func notHostname(_ octet: UInt8) throws {
    let message = Array(plain.prefix(12)) + [3, 97, octet, 98, 3, 99, 111, 109, 0, 0, 1, 0, 1]
    #expect(try parse(message).0.isHostname == false)
  }

  @Test("a reply to another opcode echoes a question only if its name is one (threats W7, W15)")
  func echoedQuestion() {
    let head = Array(plain.prefix(2)) + [0x28] + Array(plain[3..<12])
    let label = { (count: Int) in [UInt8(count)] + [UInt8](repeating: 97, count: count) }
    let long = label(63) + label(63) + label(63)
    let whole = head + long + label(61) + [0, 0, 1, 0, 1]
    #expect(fault(whole) == .notImplemented(questionEnd: whole.count, edns: nil))
    for name in [
      long + label(62) + [0], long + label(63) + [0], [0xC0, 12], [0x40, 0], label(64) + [0], label(5), [UInt8](),
    ] {
      #expect(
        fault(head + name + [0, 1, 0, 1].prefix(name.isEmpty ? 0 : 4)) == .notImplemented(questionEnd: nil, edns: nil))
    }
  }

  @Test(
    "a reply to another opcode echoes no question where there is not one, and no OPT that is cut (threats W12, W15)")
  func nothingToEcho() {
    let message = [UInt8](plain[..<2]) + [0x20] + plain[3...]
    for count: UInt8 in [0, 2] {
      var other = message
      other[5] = count
      #expect(fault(other) == .notImplemented(questionEnd: nil, edns: nil))
    }
    var whole = Messages.query("a.example", .A, opt: Messages.opt(options: [0, 10, 0, 4, 1, 2, 3, 4]))
    whole[2] = 0x20
    let end = whole.count - 19
    #expect(
      fault(whole)
        == .notImplemented(questionEnd: end, edns: EDNS(udpPayloadSize: 1232, version: 0, dnssecOK: false)))
    #expect(fault(whole.dropLast()) == .notImplemented(questionEnd: end, edns: nil))
    for (index, count) in [(7, 1), (9, 1), (11, 0), (11, 2)] as [(Int, UInt8)] {
      var other = whole
      other[index] = count
      #expect(fault(other) == .notImplemented(questionEnd: end, edns: nil), "octet \(index) is \(count)")
    }
  }

  @Test("no cut and no flipped bit makes the parser trap")
  func mutations() {
    let message = Messages.query("www.example.com", .AAAA, opt: Messages.opt(options: [0, 10, 0, 2, 1, 2]))
    for count in 0...message.count { _ = fault(Array(message.prefix(count))) }
    for bit in 0..<(message.count * 8) {
      var flipped = message
      flipped[bit / 8] ^= 1 << UInt8(bit % 8)
      _ = fault(flipped)
    }
  }
}
