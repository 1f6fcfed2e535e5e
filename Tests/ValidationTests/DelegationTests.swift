import DNSWire
import LDNS
import TestSupport
import Testing

@testable import Validation

/// How keys of one zone lead to those of another.
@Suite("Delegations")
struct DelegationTests {
  private func verdict(_ question: Judgement.Question, _ response: ResponseText) -> Verdict {
    Judgement(question, message: response.octets, now: SignedZone.now).verdict()
  }

  private func keys(_ zone: SignedZone) -> ResponseText {
    ResponseText(name: zone.name, type: .DNSKEY, answer: zone.signed(zone.name, .DNSKEY))
  }

  @Test("a zone's keys are those that its parent names, and no others")
  func keysOfZone() throws {
    let (zone, other) = (try SignedZone("example", "www A 192.0.2.2\n"), try SignedZone("example", "www A 192.0.2.2\n"))
    let own = verdict(.keys(zone: zone.name, signers: zone.signers), keys(zone))
    #expect(own == .keys(zone.keys.records, ttl: 300))
    #expect(verdict(.keys(zone: zone.name, signers: other.signers), keys(zone)) == .bogus(.noKey))
    var added = keys(zone)
    added.answer += other.find(other.name, .DNSKEY)
    #expect(verdict(.keys(zone: zone.name, signers: zone.signers), added) == .bogus(.forged))
    var signed = added
    signed.answer += other.signatures(other.name, .DNSKEY)
    #expect(verdict(.keys(zone: zone.name, signers: zone.signers), signed) == .bogus(.forged))
  }

  @Test("what only names algorithms or digests that are not followed is as good as not signed")
  func unsupported() throws {
    let zone = try SignedZone("example", "www A 192.0.2.2\n")
    let rdata = try #require(zone.signers.first).rdata
    let signers: [[UInt8]] = [[rdata[0], rdata[1], 16, 2] + rdata[4...], [rdata[0], rdata[1], 13, 3] + rdata[4...]]
    let question = Judgement.Question.keys(zone: zone.name, signers: signers.compactMap { DelegationSigner($0) })
    #expect(verdict(question, keys(zone)) == .unsigned(ttl: .max))
    let both = Judgement.Question.keys(
      zone: zone.name, signers: (signers + [rdata]).compactMap { DelegationSigner($0) })
    #expect(verdict(both, keys(zone)) == .keys(zone.keys.records, ttl: 300))
  }

  @Test("a digest by SHA-1 counts only where there is no better one")
  func olderDigest() throws {
    let zone = try SignedZone("example", "www A 192.0.2.2\n")
    let (rdata, key) = (try #require(zone.signers.first).rdata, try #require(zone.keys.records.first))
    let old = try #require(DelegationSigner(Array(rdata[..<3]) + [1] + SHA1.digest(of: zone.name.wire + key)))
    #expect(verdict(.keys(zone: zone.name, signers: [old]), keys(zone)) == .keys(zone.keys.records, ttl: 300))
    var wrong = rdata
    wrong[10] ^= 1
    let better = try #require(DelegationSigner(wrong))
    #expect(verdict(.keys(zone: zone.name, signers: [old, better]), keys(zone)) == .bogus(.noKey))
  }

  @Test(
    "a parent says where a signed zone begins, where an unsigned one does, and where none does",
    arguments: ["", "-n -t 1"])
  func cuts(options: String) throws {
    let child = try SignedZone("child.example", "www A 192.0.2.2\n")
    let zone = try SignedZone(
      "example", "www A 192.0.2.2\nplain NS ns.plain\nchild NS ns.child\n\(child.delegation)alias CNAME www\n",
      options: options)
    func ask(_ name: String, _ change: (inout ResponseText) -> Void = { _ in }) -> Verdict {
      let found = zone.signed(Name(name), .DS)
      var response = ResponseText(
        name: Name(name), type: .DS, answer: found, authority: found.isEmpty ? zone.denials : [])
      change(&response)
      return verdict(.delegation(of: Name(name), parent: zone.keys), response)
    }
    #expect(ask("child.example") == .delegated(child.signers, ttl: 300))
    #expect(ask("plain.example") == .unsigned(ttl: 60))
    #expect(ask("www.example") == .noCut(ttl: 60))
    #expect(ask("nothing.example") == .noCut(ttl: 60))
    #expect(ask("alias.example") { $0.answer = zone.signed(Name("alias.example"), .CNAME) } == .noCut(ttl: 300))
    #expect(
      ask("child.example") { ($0.answer, $0.authority) = ([], zone.denials) } == .bogus(.notDenied),
      "a signed zone cannot be made an unsigned one")
    #expect(ask("plain.example") { $0.authority = [] } == .bogus(.notDenied))
    #expect(ask("example") { $0.authority = zone.denials } == .bogus(.notDenied), "a zone denies nothing of itself")
  }

  @Test("where a zone says so, what it has no hash for may be an unsigned zone")
  func optOut() throws {
    let zone = try SignedZone("example", "www A 192.0.2.2\nplain NS ns.plain\n", options: "-n -t 1 -p")
    // As if its NSEC3 had been left out, which is what the flag is for.
    let hidden = zone.denials
    let response = ResponseText(name: Name("any.example"), type: .DS, authority: hidden)
    #expect(verdict(.delegation(of: Name("any.example"), parent: zone.keys), response) == .unsigned(ttl: 60))
    let absent = ResponseText(name: Name("any.example"), type: .A, code: .NXDOMAIN, authority: hidden)
    let question = Judgement.Question.answer(name: absent.name, type: .A, zones: [zone.keys], unsigned: [])
    #expect(verdict(question, absent) == .unsigned(ttl: 60), "a denial that may be none is not secure")
  }

  @Test("keys that collide by the thousand cost eight trials, and the digests of their parent sixty-four")
  func collidingKeys() throws {
    let zone = try SignedZone("example", "www A 192.0.2.2\n")
    let key = try #require(zone.keys.records.first)
    var random = SeededRandom(seed: 5)
    let tag = PublicKey.tag(of: key)
    let colliding = (0..<1_000).map { _ -> [UInt8] in
      // Two octets of the key make up for what the others changed (RFC 4034 appendix B).
      while true {
        var other = Array(key[..<4]) + random.octets(64)
        (other[66], other[67]) = (0, 0)
        let missing = tag &- PublicKey.tag(of: other)
        (other[66], other[67]) = (UInt8(missing >> 8), UInt8(missing & 0xFF))
        if PublicKey.tag(of: other) == tag { return other }
      }
    }
    let owner = Name("www.example")
    let signature = try #require(zone.signatures(owner, .A).first)
    let forged = (0..<1_000).map { _ in signature.with(rdata: Array(signature.rdata.dropLast(8)) + random.octets(8)) }
    let response = ResponseText(name: owner, type: .A, answer: zone.find(owner, .A) + forged)
    let keys = ZoneKeys(zone: zone.name, records: colliding + [key])
    let question = Judgement.Question.answer(name: owner, type: .A, zones: [keys], unsigned: [])
    var budget = WorkBudget()
    let tried = Judgement(question, message: response.octets, now: SignedZone.now).verdict(spending: &budget)
    #expect(tried == .bogus(.tooMuchWork) && budget.verified == WorkBudget.failures && budget.hashCount == 0)
    var set = self.keys(zone)
    set.answer += colliding.map { set.answer[0].with(rdata: $0) }
    let digest = try #require(zone.signers.first).rdata
    let signers = (0..<500).compactMap { _ in DelegationSigner(Array(digest[..<4]) + random.octets(32)) }
    budget = WorkBudget()
    let named = Judgement(
      .keys(zone: zone.name, signers: signers), message: set.octets, now: SignedZone.now
    ).verdict(spending: &budget)
    #expect(named == .bogus(.tooMuchWork) && budget.digested == WorkBudget.digests && budget.verified == 0)
  }

  @Test("both ends of the validator's socket say the same, and no octets trap")
  func messages() throws {
    let zone = try SignedZone("example", "www A 192.0.2.2\n")
    let questions: [Judgement.Question] = [
      .keys(zone: zone.name, signers: zone.signers), .delegation(of: Name("a.example"), parent: zone.keys),
      .answer(name: Name("www.example"), type: .A, zones: [zone.keys], unsigned: [Name("plain.example"), .root]),
    ]
    let verdicts: [Verdict] =
      [
        .keys(zone.keys.records, ttl: 7), .delegated(zone.signers, ttl: 8), .noCut(ttl: 9), .secure(ttl: 1),
        .unsigned(ttl: 0),
      ] + ValidationFault.allCases.map { .bogus($0) }
    var random = SeededRandom(seed: 9)
    for question in questions {
      let judgement = Judgement(question, message: keys(zone).octets, now: 77)
      let octets = try #require(ValidatorMessage.encode(5, judgement))
      let read = try #require(ValidatorMessage.judgement(octets))
      #expect(read.id == 5 && ValidatorMessage.encode(5, read.judgement) == octets)
      for count in octets.indices { #expect(ValidatorMessage.judgement(Array(octets[..<count])) == nil) }
      for _ in 0..<500 {
        var changed = octets
        changed[random.below(changed.count)] = random.octet()
        _ = ValidatorMessage.judgement(changed)
      }
    }
    for verdict in verdicts {
      let octets = ValidatorMessage.encode(6, verdict)
      #expect(ValidatorMessage.verdict(octets).map { $0.id == 6 && $0.verdict == verdict } == true)
      for count in octets.indices { #expect(ValidatorMessage.verdict(Array(octets[..<count])) == nil) }
    }
    #expect(ValidatorMessage.judgement(ValidatorMessage.greeting) == nil)
    #expect(
      ValidatorMessage.encode(1, Judgement(questions[0], message: [UInt8](repeating: 0, count: 70_000), now: 0)) == nil)
  }
}
