import DNSWire
import ResponseCache
import TestSupport
import Testing
import Zones

@testable import Resolver

private let now = 1000 * second

/// A response of `count` TXT-like records with 100 octets each.
private func response(
  _ count: Int, ttl: UInt64 = 300, grant: UInt64 = .max, error: ExtendedErrorCode? = nil,
  name: String = "api.example.com"
) -> CachedResponse {
  var writer = SectionWriter(question: Messages.name(name))
  for index in 0..<count {
    writer.append(.TXT, ttl: 9999, rdata: [87] + [UInt8](repeating: UInt8(index & 255), count: 87))
  }
  return CachedResponse(
    responseCode: error == nil ? .NOERROR : .SERVFAIL, answerCount: UInt16(count), sections: writer.octets,
    ttlOffsets: writer.ttlOffsets, expires: now + ttl * second, grantExpires: grant, extendedError: error)
}

private func write(
  _ response: CachedResponse, to message: [UInt8], isDatagram: Bool = true, at time: UInt64 = now,
  text: (server: [UInt8], token: StaticString)? = nil, capacity: Int = ReplyWriter.maxStream
) throws -> Reply {
  let query = try screen(message)
  return try Reply(
    [UInt8](capacity: capacity) { out in
      ReplyWriter(query, now: time, isDatagram: isDatagram).answer(
        message.span, response, errorText: text, into: &out)
    })
}

@Suite("Writing replies")
struct ReplyWriterTests {
  @Test("the question is echoed octet for octet, whatever its case")
  func question() throws {
    let message = Messages.query("aPi.ExAmPlE.CoM", .A, id: 0xBEEF)
    let reply = try write(response(1), to: message)
    #expect(reply.question == Array(message[12...]))
    #expect(reply.header.id == 0xBEEF && reply.header.questionCount == 1)
    #expect(reply.answers.map(\.owner) == ["api.example.com"])
  }

  @Test("QR and RA are set, RD and CD copied, AA, AD, TC and Z clear", arguments: 0..<128)
  func flags(bits: Int) throws {
    // AA, TC, RD, RA, Z, AD, CD of the query in every combination.
    var message = Messages.query("api.example.com", .A)
    let flags = bits << 4
    message[2] = UInt8(flags >> 8)
    message[3] = UInt8(flags & 0xFF)
    let reply = try write(response(1), to: message)
    #expect(Int(reply.header.flags) == 0x8080 | (flags & 0x0110))
  }

  @Test("TTLs are what is left of the answer, each begun second counted")
  func ageing() throws {
    let message = Messages.query("api.example.com", .A)
    for (elapsed, expected): (UInt64, UInt32) in [
      (0, 300), (1, 300), (second - 1, 300), (second, 299), (299 * second, 1), (300 * second - 1, 1), (300 * second, 0),
      (900 * second, 0),
    ] {
      let reply = try write(response(3), to: message, at: now + elapsed)
      #expect(reply.answers.map(\.header.ttl) == [expected, expected, expected])
    }
  }

  @Test("a TTL never reaches beyond the grant behind the answer")
  func grantTTL() throws {
    let message = Messages.query("api.example.com", .A)
    for (grant, expected): (UInt64, UInt32) in [
      (60 * second, 60), (60 * second - 1, 59), (second, 1), (second - 1, 0), (0, 0), (301 * second, 300),
    ] {
      let reply = try write(response(2, grant: now + grant), to: message)
      #expect(reply.answers.map(\.header.ttl) == [expected, expected])
    }
  }

  @Test(
    "records that do not fit are left out and TC set, at exactly the client's limit",
    arguments: [nil, 0, 511, 512, 513, 700, 1231, 1232, 1233, 4096, 65_535])
  func truncation(size: Int?) throws {
    let message = Messages.query("api.example.com", .A, opt: size.map { Messages.opt(size: $0) } ?? [])
    let limit = size.map { min(max($0, 512), 1232) } ?? 512
    for count in 0...16 {
      let whole = message.count + 100 * count
      let reply = try write(response(count), to: message)
      #expect(reply.octets.count <= limit)
      #expect(reply.header.isTruncated == (whole > limit), "\(count) records, \(whole) octets of \(limit)")
      #expect(reply.answers.count == min(count, (limit - message.count) / 100))
      #expect(reply.answers.allSatisfy { $0.header.ttl == 300 && $0.rdata.count == 88 })
    }
  }

  /// A chain of so many links with names of 60 octets that share nothing, and so many addresses at its end.
  private func chained(_ links: Int, _ addresses: Int, type: RRType = .A) -> CachedResponse {
    var writer = SectionWriter(question: Messages.name("api.example.com"))
    for link in 0..<links {
      let label = String(repeating: Character(Unicode.Scalar(UInt8(97 + link))), count: 56)
      writer.appendAlias(to: Messages.name("\(label).t\(link)"), ttl: 9)
    }
    for index in 0..<addresses {
      writer.append(type, ttl: 9, rdata: [UInt8](repeating: UInt8(index & 255), count: type == .A ? 4 : 16))
    }
    return CachedResponse(
      responseCode: .NOERROR, answerCount: UInt16(links + addresses), sections: writer.octets,
      ttlOffsets: writer.ttlOffsets, expires: now + 300 * second)
  }

  @Test(
    "some address always fits: behind its chain, or without it as the asked name's own", arguments: 0...11,
    [nil, 512, 1232])
  func partialChain(links: Int, size: Int?) throws {
    let message = Messages.query("api.example.com", .A, opt: size.map { Messages.opt(size: $0) } ?? [])
    for addresses in [1, 2, 20, 64] {
      let reply = try write(chained(links, addresses), to: message)
      #expect(reply.octets.count <= size ?? 512)
      let found = reply.answers.filter { $0.header.type == .A }
      #expect(!found.isEmpty && found.allSatisfy { $0.header.ttl == 300 })
      #expect(found.map { Int($0.rdata[0]) } == Array(0..<found.count), "in their order")
      #expect(reply.header.isTruncated == (reply.answers.count < links + addresses))
      // Whatever is there hangs together from the asked name on.
      var owner = "api.example.com"
      for record in reply.answers {
        #expect(record.owner == owner)
        guard record.header.type == .CNAME else { continue }
        owner = try reply.name(at: record.header.rdata.lowerBound)
      }
      // As many as there is room for.
      let room = (size ?? 512) - reply.octets.count
      #expect(found.count == addresses || room < 16)
    }
  }

  @Test("what holds names is not moved out of a chain that has no room: they may point into it")
  func partialMail() throws {
    var writer = SectionWriter(question: Messages.name("api.example.com"))
    for link in 0..<7 { writer.appendAlias(to: Messages.name(String(repeating: "\(link)", count: 56) + ".t"), ttl: 9) }
    for number in 0..<2 {
      let exchange = Messages.name("mail\(number)." + String(repeating: "6", count: 56) + ".t")
      writer.append(.MX, ttl: 9, rdata: [0, 10] + exchange)
    }
    let mail = CachedResponse(
      responseCode: .NOERROR, answerCount: 9, sections: writer.octets, ttlOffsets: writer.ttlOffsets,
      expires: now + 300 * second)
    let cut = try write(mail, to: Messages.query("api.example.com", .MX))
    #expect(
      cut.header.isTruncated && cut.answers.allSatisfy { $0.header.type == .CNAME || $0.owner != "api.example.com" })
    let whole = try write(mail, to: Messages.query("api.example.com", .MX, opt: Messages.opt()))
    #expect(!whole.header.isTruncated && whole.answers.count == 9)
  }

  @Test("of a denial whose SOA has no room behind its chain the chain is there, and TC")
  func partialDenial() throws {
    var writer = SectionWriter(question: Messages.name("api.example.com"))
    for link in 0..<6 { writer.appendAlias(to: Messages.name(String(repeating: "\(link)", count: 56) + ".t"), ttl: 9) }
    let soa = Messages.name("ns.example.net") + Messages.name("h.example.net") + [UInt8](repeating: 1, count: 20)
    writer.append(owner: Messages.name(String(repeating: "z", count: 60)), .SOA, ttl: 9, rdata: soa)
    let denial = CachedResponse(
      responseCode: .NOERROR, answerCount: 6, authorityCount: 1, sections: writer.octets, ttlOffsets: writer.ttlOffsets,
      expires: now + 300 * second)
    let cut = try write(denial, to: Messages.query("api.example.com", .A))
    #expect(cut.header.isTruncated && cut.answers.count == 6 && cut.section(.authority).isEmpty)
    let whole = try write(denial, to: Messages.query("api.example.com", .A, opt: Messages.opt()))
    #expect(!whole.header.isTruncated && whole.section(.authority).count == 1)
  }

  @Test("over a stream nothing is cut")
  func stream() throws {
    let reply = try write(response(200), to: Messages.query("api.example.com", .A), isDatagram: false)
    #expect(!reply.header.isTruncated && reply.answers.count == 200)
  }

  @Test("an OPT only where the query had one, with DO as it came")
  func opt() throws {
    #expect(try write(response(1), to: Messages.query("api.example.com", .A)).opt == nil)
    for flags in [0, 0x8000, 0xFFFF, 0x4000] {
      let reply = try write(response(1), to: Messages.query("api.example.com", .A, opt: Messages.opt(flags: flags)))
      let opt = try #require(reply.opt)
      #expect(Int(opt.header.klass.rawValue) == 1232 && opt.rdata.isEmpty && opt.owner == ".")
      #expect(Int(opt.header.ttl) == 0 || flags & 0x8000 != 0)
      #expect(reply.octets.suffix(4).elementsEqual([flags & 0x8000 != 0 ? 0x80 : 0, 0, 0, 0]))
    }
  }

  @Test("a client's EDNS options are never echoed")
  func noEcho() throws {
    let cookie: [UInt8] = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
    let reply = try write(response(1), to: Messages.query("api.example.com", .A, opt: Messages.opt(options: cookie)))
    #expect(reply.opt?.rdata == [])
  }

  @Test("an extended error has its code and `server: token`")
  func extendedError() throws {
    let message = Messages.query("api.example.com", .A, opt: Messages.opt())
    let failure = response(0, error: .networkError)
    let named = try write(failure, to: message, text: (Array("mcp".utf8), "upstream-unreachable"))
    #expect(named.extendedError?.code == 23 && named.extendedError?.text == "mcp: upstream-unreachable")
    #expect(named.code == .SERVFAIL)
    let bare = try write(failure, to: message)
    #expect(bare.extendedError?.code == 23 && bare.extendedError?.text == "")
    #expect(try write(failure, to: Messages.query("api.example.com", .A)).opt == nil)
    #expect(try write(response(1), to: message).extendedError == nil)
  }

  @Test("no reply is larger than its limit, its error's text gives way first", arguments: [512, 600, 1232])
  func textGivesWay(size: Int) throws {
    let message = Messages.query("api.example.com", .A, opt: Messages.opt(size: size))
    let server = [UInt8](repeating: 120, count: 63)
    var withText = 0
    for padding in 0..<700 {
      var failure = CachedResponse(responseCode: .SERVFAIL, answerCount: 1, expires: now, extendedError: .otherError)
      var writer = SectionWriter(question: Messages.name("api.example.com"))
      writer.append(RRType(rawValue: 65_280), ttl: 1, rdata: [UInt8](repeating: 7, count: padding + size - 512))
      failure.sections = writer.octets
      let reply = try write(failure, to: message, text: (server, "firewall-unavailable"))
      #expect(reply.octets.count <= size)
      #expect(reply.extendedError?.code == 0)
      if reply.extendedError?.text.isEmpty == false, !reply.header.isTruncated { withText += 1 }
    }
    #expect(withText > 100 && withText < 600)
  }

  @Test("a short buffer cuts nothing in the middle of a record")
  func shortBuffer() throws {
    let message = Messages.query("api.example.com", .A, opt: Messages.opt())
    for capacity in (message.count - 11)..<(message.count + 60) {
      let octets = try write(
        response(0, error: .otherError), to: message, text: (Array("mcp".utf8), "set-full"), capacity: capacity
      ).octets
      #expect(octets.count <= capacity)
    }
  }

  @Test("a local answer stays within what the client takes and within its buffer, and its records are whole")
  func localAnswer() throws {
    var world = try World()
    world.zoneText =
      "lan. 60 IN SOA lan. lan. 1 2 3 4 5\n" + (1...60).map { "many.lan. 60 IN A 127.0.0.\($0)\n" }.joined()
    let name = Messages.name("many.lan")
    let answer = try #require(try world.snapshot().zones.answer(name: name.span, type: .A))
    let message = Messages.query("many.lan", .A, opt: Messages.opt())
    let query = try screen(message)
    let writer = ReplyWriter(query, now: 0, isDatagram: true)
    for capacity in query.questionEnd...600 {
      let octets = [UInt8](capacity: capacity) { LocalReply.write(answer, writer, message.span, into: &$0) }
      let room = min(capacity, writer.limit) - ReplyWriter.optWithError - query.questionEnd
      #expect(octets.count <= writer.limit)
      #expect(try Reply(octets).answers.count == min(max(room, 0) / 16, 60))
    }
  }

  @Test("what stands outside a reply is not changed, and what has no header gets no reply")
  func outside() {
    let octets = [UInt8](capacity: 8) { out in
      ReplyWriter.setTruncated(&out)
      for octet: UInt8 in 1...3 { out.append(octet) }
      for offset in [-1, 2, 3, 7] { out.patch16(0xFFFF, at: offset) }
    }
    #expect(octets == [1, 2, 3])
    let short: [UInt8] = [1, 2, 3]
    let reply = [UInt8](capacity: 100) { out in
      ErrorReply(.notImplemented(questionEnd: nil, edns: nil))?.write(short.span, into: &out)
    }
    #expect(reply == [])
  }
}
