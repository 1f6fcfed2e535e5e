import DNSWire
import TestSupport
import Testing

@testable import Upstream

@Suite("What leaves")
struct UpstreamQueryTests {
  @Test("a query is a function of name, type and our own randomness, and carries nothing else")
  func function() throws {
    var random = SeededRandom(seed: 5)
    for _ in 0..<2000 {
      let labels = (0...Int(random.next() % 4)).map { _ in
        String((0...Int(random.next() % 20)).map { _ in Character(Unicode.Scalar(UInt8(97 + random.next() % 26))) })
      }
      let name = Messages.name(labels.joined(separator: "."))
      let type = RRType(rawValue: UInt16(truncatingIfNeeded: random.next() % 300))
      let id = UInt16(truncatingIfNeeded: random.next())
      let octets = UpstreamQuery.message(id: id, name: name, type: type, withEDNS: true)
      // Id, RD alone, one question of class IN, an OPT with 1232 and no options (RFC 9715, RFC 6891).
      var expected = Messages.be16(Int(id)) + [1, 0, 0, 1, 0, 0, 0, 0, 0, 1] + name
      expected += Messages.be16(Int(type.rawValue)) + [0, 1]
      let plain = expected
      expected += [0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]
      #expect(octets == expected)
      var shorter = UpstreamQuery.message(id: id, name: name, type: type, withEDNS: false)
      #expect(shorter[11] == 0)
      shorter[11] = 1
      #expect(shorter == plain)
      // With our chance taken away, letter case and cookie, it is the same.
      let spelled = UpstreamQuery.spelled(name, by: random.next())
      let cookie = (0..<24).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      var other = UpstreamQuery.message(id: id, name: spelled, type: type, withEDNS: true, .init(cookie: cookie))
      #expect(Array(other.suffix(30)) == [0, 28, 0, 10, 0, 24] + cookie)
      other.removeLast(30)
      #expect(other.map(NameWire.lowercased) == octets.dropLast(2).map(NameWire.lowercased))
    }
  }

  @Test("a query for an answer with its signatures has DO and CD, and differs in nothing else")
  func signed() {
    let name = Messages.name("www.example.com")
    var octets = UpstreamQuery.message(id: 7, name: name, type: .A, withEDNS: true, .init(isSigned: true))
    let flags = octets.count - 4
    #expect(octets[3] == 0x10 && octets[flags] == 0x80)
    (octets[3], octets[flags]) = (0, 0)
    #expect(octets == UpstreamQuery.message(id: 7, name: name, type: .A, withEDNS: true))
  }

  @Test("each letter is written as its bit says, other octets stay, and after 64 letters the bits come again")
  func letters() {
    let name = Messages.name("a-1_b.c9z")
    #expect(UpstreamQuery.spelled(name, by: 0) == name)
    #expect(UpstreamQuery.spelled(name, by: .max) == Messages.name("A-1_B.C9Z"))
    #expect(UpstreamQuery.spelled(name, by: 0b0101) == Messages.name("A-1_b.C9z"))
    let long = Messages.name([String](repeating: "abcdefgh", count: 16).joined(separator: "."))
    let spelled = UpstreamQuery.spelled(long, by: 0xDEAD_BEEF_0123_4567)
    #expect(spelled.map(NameWire.lowercased) == long && Array(spelled[0..<72]) == Array(spelled[72..<144]))
    #expect(UpstreamQuery.spelled([0], by: .max) == [0])
  }

  @Test("a header alone is an answer where it is a response, and nothing stands behind it")
  func bareHeaders() {
    func match(_ octets: [UInt8]) -> UpstreamQuery.Match {
      UpstreamQuery.match(octets.span, id: 7, name: Messages.name("www.example.com"), type: .A)
    }
    let refused = Messages.be16(7) + Messages.be16(0x8185) + [UInt8](repeating: 0, count: 8)
    #expect(match(refused) == .answer)
    #expect(match(refused + [0]) == .none)
    #expect(match(Messages.be16(7) + Messages.be16(0x0185) + [UInt8](repeating: 0, count: 8)) == .none)
  }

  @Test("a cookie is read wherever it stands among options, and one of a length that none has is none")
  func cookies() {
    func message(_ options: [UInt8]) -> [UInt8] {
      let opt = [0] + Messages.be16(41) + Messages.be16(1232) + [0, 0, 0, 0] + Messages.be16(options.count) + options
      return Messages.response("www.example.com", .A, additionals: [opt])
    }
    func option(_ code: Int, _ count: Int) -> [UInt8] {
      Messages.be16(code) + Messages.be16(count) + (0..<count).map { UInt8($0) }
    }
    for count in 0...48 {
      let found = UpstreamQuery.cookie(message(option(3, 2) + option(10, count) + option(12, 0)).span)
      #expect(found?.count == (count == 8 || (16...40).contains(count) ? count : nil), "\(count)")
    }
    for message in [message([]), Messages.response("www.example.com", .A), []] {
      #expect(UpstreamQuery.cookie(message.span) == nil)
    }
  }

  @Test("a cookie is found behind whatever records, and an OPT among answers has none")
  func cookieBehindRecords() {
    let cookie = [UInt8](0..<24)
    let options = Messages.be16(10) + Messages.be16(24) + cookie
    let opt = [0] + Messages.be16(41) + Messages.be16(1232) + [0, 0, 0, 0] + Messages.be16(options.count) + options
    let records = (0..<3).map { Messages.record("n\($0).example.com", .A, [192, 0, 2, $0]) }
    // Its owner is a pointer to the question.
    let compressed = [0xC0, 12] + Messages.be16(16) + [0, 1, 0, 0, 0, 9] + Messages.be16(3) + [2, 0xC0, 0]
    let message = Messages.response(
      "www.example.com", .A, answers: records + [compressed], authorities: records, additionals: records + [opt])
    #expect(UpstreamQuery.cookie(message.span) == cookie)
    let cut = Array(message.dropLast())
    #expect(UpstreamQuery.cookie(cut.span) == nil)
    // Too little for an option, and much behind the record.
    for count in 1...3 {
      for rest in [[], options] {
        let short =
          [0] + Messages.be16(41) + Messages.be16(1232) + [0, 0, 0, 0] + Messages.be16(rest.count + count) + rest
          + [UInt8](repeating: 0, count: count)
        let message = Messages.response("www.example.com", .A, additionals: [short]) + [UInt8](repeating: 0, count: 9)
        #expect(UpstreamQuery.cookie(message.span) == (rest.isEmpty ? nil : cookie))
        #expect(UpstreamQuery.keepalive(message.span) == nil)
      }
    }
    let misplaced = Messages.response("www.example.com", .A, answers: [opt], additionals: records)
    #expect(UpstreamQuery.cookie(misplaced.span) == nil)
  }

  @Test("the OPT of an answer with records adds nothing to its code, that of one without does")
  func extendedCode() {
    let opt = [0] + Messages.be16(41) + Messages.be16(1232) + [1, 0, 0, 0] + Messages.be16(0)
    let record = Messages.record("www.example.com", .A, [192, 0, 2, 1])
    let empty = Messages.response("www.example.com", .A, additionals: [opt])
    let full = Messages.response("www.example.com", .A, answers: [record], additionals: [opt])
    #expect(UpstreamQuery.responseCode(empty.span) == .BADVERS)
    #expect(UpstreamQuery.responseCode(full.span) == .NOERROR)
  }

  @Test("no octet sequence of the network traps, and none but the answer is one")
  func hostile() {
    var random = SeededRandom(seed: 11)
    let name = Messages.name("www.example.com")
    let good = Messages.response("www.example.com", .A, id: 7, additionals: [Messages.opt()])
    for _ in 0..<20_000 {
      var message = good
      for _ in 0...Int(random.next() % 4) {
        message[Int(random.next() % UInt64(message.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      message.removeLast(Int(random.next() % UInt64(message.count)))
      let match = UpstreamQuery.match(message.span, id: 7, name: name, type: .A)
      _ = UpstreamQuery.responseCode(message.span)
      _ = UpstreamQuery.cookie(message.span)
      guard match != .none, message.count > Header.octetCount else { continue }
      #expect(message[0] == 0 && message[1] == 7 && message[2] & 0xF8 == 0x80)
      let asked = message[12..<(12 + name.count)].map { NameWire.lowercased($0) }
      #expect((match == .answer) == (Array(message[12..<(12 + name.count)]) == name))
      #expect(asked == name && Array(message[(12 + name.count)..<(16 + name.count)]) == [0, 1, 0, 1])
    }
  }
}
