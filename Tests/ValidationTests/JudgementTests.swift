import DNSWire
import LDNS
import TestSupport
import Testing

@testable import Validation

/// What signatures prove, by zones that ldns-signzone signed.
@Suite("Judgements")
struct JudgementTests {
  private static let text =
    "www A 192.0.2.2\nwww A 192.0.2.3\n*.w A 192.0.2.4\na.deep TXT x\nalias CNAME www\nplain NS ns.plain\nmail MX 5 Mail.Example.\n"

  private func verdict(
    _ zone: SignedZone, _ response: ResponseText, unsigned: [Name] = [], now: UInt32 = SignedZone.now
  ) -> Verdict {
    Judgement(
      .answer(name: response.name, type: response.type, zones: [zone.keys], unsigned: unsigned),
      message: response.octets,
      now: now
    ).verdict()
  }

  private func answer(_ zone: SignedZone, _ name: String, _ type: RRType) -> ResponseText {
    ResponseText(name: Name(name), type: type, answer: zone.signed(Name(name), type))
  }

  private func denial(_ zone: SignedZone, _ name: String, _ type: RRType, _ code: ResponseCode) -> ResponseText {
    ResponseText(name: Name(name), type: type, code: code, authority: zone.denials)
  }

  @Test(
    "what a zone signed is secure, by each algorithm that is verified",
    arguments: ["ECDSAP256SHA256", "ECDSAP384SHA384", "ED25519", "RSASHA256", "RSASHA512", "RSASHA1", "RSASHA1_NSEC3"])
  func algorithms(algorithm: String) throws {
    let zone = try SignedZone("example", Self.text, algorithm: algorithm)
    #expect(verdict(zone, answer(zone, "www.example", .A)) == .secure(ttl: 300))
    let mail = verdict(zone, answer(zone, "mail.example", .MX))
    #expect(mail == .secure(ttl: 300), "names in data are signed in lower case")
    var forged = answer(zone, "www.example", .A)
    forged.answer[0] = forged.answer[0].with(rdata: [203, 0, 113, 9])
    #expect(verdict(zone, forged) == .bogus(.forged))
    forged.answer.remove(at: 0)
    #expect(verdict(zone, forged) == .bogus(.forged), "a record is missing")
  }

  @Test("an answer counts from the inception of its signature to the expiration, and no longer than that")
  func times() throws {
    let zone = try SignedZone("example", Self.text, times: 1_700_000_000...1_700_001_000)
    let response = answer(zone, "www.example", .A)
    #expect(verdict(zone, response, now: 1_699_999_999) == .bogus(.notYetValid))
    #expect(verdict(zone, response, now: 1_700_000_000) == .secure(ttl: 300))
    #expect(verdict(zone, response, now: 1_700_000_990) == .secure(ttl: 10))
    #expect(verdict(zone, response, now: 1_700_001_001) == .bogus(.expired))
  }

  @Test("an answer without signatures, or with another zone's, is bogus where the zone signs")
  func unsigned() throws {
    let (zone, other) = (try SignedZone("example", Self.text), try SignedZone("other", Self.text))
    var response = answer(zone, "www.example", .A)
    response.answer = zone.find(Name("www.example"), .A)
    #expect(verdict(zone, response) == .bogus(.unsigned))
    response.answer += other.signatures(Name("www.other"), .A).map { $0.with(owner: Name("www.example")) }
    #expect(verdict(zone, response) == .bogus(.unsigned), "other does not lie above it")
    let same = try SignedZone("example", Self.text)
    #expect(verdict(same, answer(zone, "www.example", .A)) == .bogus(.noKey), "the keys are other ones")
  }

  @Test(
    "that a name or a type does not exist is shown, by NSEC and by NSEC3",
    arguments: ["", "-n -t 0", "-n -t 10 -s abcd", "-n -t 150 -s ab"])
  func denials(options: String) throws {
    let zone = try SignedZone("example", Self.text, options: options)
    for name in ["nothing.example", "a.b.c.nothing.example", "zzz.example", "x.www.example"] {
      #expect(verdict(zone, denial(zone, name, .A, .NXDOMAIN)) == .secure(ttl: 60), "\(name)")
    }
    #expect(verdict(zone, denial(zone, "www.example", .AAAA, .NOERROR)) == .secure(ttl: 60))
    #expect(verdict(zone, denial(zone, "deep.example", .A, .NOERROR)) == .secure(ttl: 60), "a name between others")
    #expect(verdict(zone, denial(zone, "x.w.example", .AAAA, .NOERROR)) == .secure(ttl: 60), "what a wildcard lacks")
  }

  @Test("what exists cannot be denied, by NSEC nor by NSEC3", arguments: ["", "-n -t 1 -s ab"])
  func falseDenials(options: String) throws {
    let zone = try SignedZone("example", Self.text, options: options)
    let expected = Verdict.bogus(.notDenied)
    #expect(verdict(zone, denial(zone, "www.example", .A, .NOERROR)) == expected)
    #expect(verdict(zone, denial(zone, "www.example", .A, .NXDOMAIN)) == expected)
    #expect(verdict(zone, denial(zone, "deep.example", .A, .NXDOMAIN)) == expected, "there are names below")
    #expect(verdict(zone, denial(zone, "x.w.example", .A, .NXDOMAIN)) == expected, "a wildcard would be taken")
    #expect(verdict(zone, denial(zone, "x.w.example", .A, .NOERROR)) == expected, "a wildcard has it")
    #expect(verdict(zone, denial(zone, "alias.example", .A, .NOERROR)) == expected, "a CNAME would be followed")
    #expect(verdict(zone, denial(zone, "plain.example", .A, .NOERROR)) == expected, "the child's is not the parent's")
    #expect(verdict(zone, denial(zone, "x.plain.example", .A, .NXDOMAIN)) == expected)
    for index in zone.denials.indices {
      var cut = denial(zone, "nothing.example", .A, .NXDOMAIN)
      cut.authority.remove(at: index)
      if case .unsigned = verdict(zone, cut) { Issue.record("without \(index) it is as good as unsigned") }
    }
  }

  @Test("hashes that cost more than is spent, and another hash than SHA-1, deny nothing")
  func costlyHashes() throws {
    let zone = try SignedZone("example", Self.text, options: "-n -t 151 -s ab")
    #expect(verdict(zone, denial(zone, "nothing.example", .A, .NXDOMAIN)) == .bogus(.tooManyIterations))
    let deep = (0..<20).map { "l\($0)" }.joined(separator: ".") + ".example"
    let cheap = try SignedZone("example", Self.text, options: "-n -t 1 -s ab")
    var budget = WorkBudget()
    let question = Judgement.Question.answer(name: Name(deep), type: .A, zones: [cheap.keys], unsigned: [])
    let message = denial(cheap, deep, .A, .NXDOMAIN).octets
    #expect(
      Judgement(question, message: message, now: SignedZone.now).verdict(spending: &budget) == .bogus(.tooMuchWork))
    #expect(budget.hashCount == WorkBudget.hashes && budget.verified <= WorkBudget.verifications)
    let span = try #require(cheap.denials.first { $0.type == .NSEC3 })
    let (owner, rdata) = (Name(canonical: span.owner.span), span.rdata)
    #expect(NSEC3Span(owner: owner, rdata) != nil)
    #expect(NSEC3Span(owner: owner, [2] + rdata.dropFirst()) == nil)
  }

  @Test(
    "what was made of a wildcard counts only where it is shown that nothing stands closer", arguments: ["", "-n -t 1"])
  func wildcards(options: String) throws {
    let zone = try SignedZone("example", Self.text, options: options)
    let (name, wildcard) = (Name("x.y.w.example"), Name("*.w.example"))
    var response = ResponseText(
      name: name, type: .A, answer: zone.signed(wildcard, .A).map { $0.with(owner: name) }, authority: zone.denials)
    #expect(verdict(zone, response) == .secure(ttl: 60))
    response.authority = []
    #expect(verdict(zone, response) == .bogus(.notDenied))
    response.name = Name("www.example")
    response.answer = zone.signed(wildcard, .A).map { $0.with(owner: Name("www.example")) }
    response.authority = zone.denials
    #expect(verdict(zone, response) == .bogus(.forged), "of another wildcard than one above it")
  }

  @Test("a signature that lies about its labels is none")
  func labels() throws {
    let zone = try SignedZone("example", Self.text)
    for count in [0, 1, 3, 127, 255] {
      var response = answer(zone, "www.example", .A)
      response.answer = response.answer.map { record in
        guard record.type == .RRSIG else { return record }
        var rdata = record.rdata
        rdata[3] = UInt8(count)
        return record.with(rdata: rdata)
      }
      #expect(verdict(zone, response) == .bogus(.forged), "\(count)")
    }
  }

  @Test("each link of a chain is held against its own zone, and one in a zone that does not sign makes it unsigned")
  func chains() throws {
    let zone = try SignedZone("example", Self.text + "out CNAME host.plain.example.\n")
    var response = ResponseText(
      name: Name("alias.example"), type: .A,
      answer: zone.signed(Name("alias.example"), .CNAME) + zone.signed(Name("www.example"), .A))
    #expect(verdict(zone, response) == .secure(ttl: 300))
    response.answer.removeAll { $0.owner == Name("alias.example").wire && $0.type == .RRSIG }
    #expect(verdict(zone, response) == .bogus(.unsigned), "where it leads is signed, that it leads there is not")
    let host = MasterFile.Record(
      owner: Name("host.plain.example").wire, type: .A, ttl: 9, rdata: [192, 0, 2, 9], line: 1)
    response = ResponseText(
      name: Name("out.example"), type: .A, answer: zone.signed(Name("out.example"), .CNAME) + [host])
    #expect(verdict(zone, response) == .bogus(.unsigned))
    #expect(verdict(zone, response, unsigned: [Name("plain.example")]) == .unsigned(ttl: 300))
    response.answer[0] = response.answer[0].with(rdata: Name("evil.plain.example").wire)
    response.answer[2] = host.with(owner: Name("evil.plain.example"))
    #expect(verdict(zone, response, unsigned: [Name("plain.example")]) == .bogus(.forged))
  }

  @Test("a link that follows from a signed DNAME needs no signature of its own")
  func aliasesOfSubtrees() throws {
    let zone = try SignedZone("example", Self.text + "old DNAME deep.example.\n")
    let (name, target) = (Name("a.old.example"), Name("a.deep.example"))
    let link = MasterFile.Record(owner: name.wire, type: .CNAME, ttl: 300, rdata: target.wire, line: 1)
    var response = ResponseText(
      name: name, type: .TXT, answer: zone.signed(Name("old.example"), .DNAME) + [link] + zone.signed(target, .TXT))
    #expect(verdict(zone, response) == .secure(ttl: 300))
    response.answer[2] = link.with(rdata: Name("www.example").wire)
    #expect(verdict(zone, response) == .bogus(.unsigned), "it does not follow")
  }

  @Test("whatever one octet of a signed answer becomes, no other address is secure")
  func changedOctets() throws {
    let zone = try SignedZone("example", Self.text)
    let good = answer(zone, "www.example", .A)
    let octets = good.octets
    let addresses: Set<[UInt8]> = [[192, 0, 2, 2], [192, 0, 2, 3]]
    for index in octets.indices {
      for bit in 0..<8 {
        var changed = octets
        changed[index] ^= 1 << UInt8(bit)
        let question = Judgement.Question.answer(name: good.name, type: .A, zones: [zone.keys], unsigned: [])
        guard case .secure = Judgement(question, message: changed, now: SignedZone.now).verdict() else { continue }
        let set = try SignedMessage(changed.span, type: .A).answer(good.name, .A)
        #expect(Set(set?.records ?? []) == addresses, "bit \(bit) of \(index)")
      }
    }
  }

  @Test("no octets trap", arguments: [1, 2, 3])
  func anyOctets(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let zone = try SignedZone("example", Self.text, options: seed == 2 ? "-n -t 1" : "")
    let octets = denial(zone, "nothing.example", .A, .NXDOMAIN).octets
    for _ in 0..<400 {
      var changed = octets
      for _ in 0...random.below(6) { changed[random.below(changed.count)] = random.octet() }
      changed.removeLast(random.below(40))
      for question: Judgement.Question in [
        .answer(name: Name("nothing.example"), type: .A, zones: [zone.keys], unsigned: []),
        .delegation(of: Name("nothing.example"), parent: zone.keys), .keys(zone: zone.name, signers: zone.signers),
      ] { _ = Judgement(question, message: changed, now: SignedZone.now).verdict() }
    }
  }
}
