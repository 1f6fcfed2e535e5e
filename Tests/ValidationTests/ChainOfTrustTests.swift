import DNSWire
import LDNS
import TestSupport
import Testing

@testable import Validation

/// Zones that are asked as an upstream would be, and the validator's judgement without its process.
private struct World {
  let zones: [SignedZone]
  /// Names of zones that sign nothing: what is in them stands in `plain`.
  var plain: [MasterFile.Record] = []
  var chain: ChainOfTrust
  /// What was asked upstream, one after the other.
  private(set) var asked: [String] = []
  /// Changes a response before it is seen.
  var meddle: (ResponseText) -> ResponseText? = { $0 }
  private var nextTicket: UInt64 = 1

  init(_ zones: [SignedZone]) throws {
    self.zones = zones
    let root = try #require(zones.first)
    chain = ChainOfTrust(anchors: [root.name: root.signers])
  }

  /// The deepest zone that holds a name; the parent's for DS.
  private func zone(of name: Name, _ type: RRType) -> SignedZone? {
    zones.filter { name.isSubdomain(of: $0.name) && (type != .DS || name != $0.name) }
      .max { $0.name.labelCount < $1.name.labelCount }
  }

  func response(_ name: Name, _ type: RRType) -> ResponseText {
    var response = ResponseText(name: name, type: type)
    var end = name
    for _ in 0..<12 {
      let unsigned = plain.filter { $0.owner == end.wire && $0.type == type }
      response.answer += unsigned
      guard unsigned.isEmpty, let zone = zone(of: end, type) else { return response }
      let found = zone.signed(end, type)
      let alias = zone.signed(end, .CNAME)
      response.answer += found.isEmpty ? alias : found
      guard found.isEmpty else { return response }
      guard let target = alias.first(where: { $0.type == .CNAME }) else {
        response.authority = zone.denials
        if !zone.has(end) { response.code = .NXDOMAIN }
        return response
      }
      end = Name(canonical: target.rdata.span)
    }
    return response
  }

  /// What comes of an answer, and how many questions it took.
  mutating func outcome(
    _ name: String, _ type: RRType = .A, owner: UInt16 = 1, now: UInt64 = 0
  ) throws -> (outcome: ChainOfTrust.Outcome, questions: Int) {
    let before = asked.count
    let message = try #require(meddle(response(Name(name), type)))
    let ticket = nextTicket
    nextTicket += 1
    let answer = ChainOfTrust.Answer(to: Name(name), type, of: owner, message: message.octets)
    var actions = chain.begin(ticket, answer, now: now, wall: SignedZone.now)
    for _ in 0..<200 {
      guard let action = actions.first else { break }
      actions.removeFirst()
      switch action {
      case .finish(_, let outcome): return (outcome, asked.count - before)
      case .ask(let step):
        asked.append("\(step.name) \(step.type)")
        let octets = meddle(response(step.name, step.type))?.octets
        actions += chain.answered(step, octets, now: now, wall: SignedZone.now)
      case .judge(let number, let judgement, _):
        actions += chain.judged(number, judgement.verdict(), now: now, wall: SignedZone.now)
      }
    }
    throw Kernel.Failure(description: "the chain of \(name) has no end")
  }
}

@Suite("Chain of trust")
struct ChainOfTrustTests {
  private static func world(_ options: String = "") throws -> World {
    let child = try SignedZone(
      "child.example", "www A 192.0.2.5\nto CNAME www.other.\nb.c.d A 192.0.2.6\n", options: options)
    let example = try SignedZone(
      "example", "www A 192.0.2.2\nplain NS ns.plain\nchild NS ns.child\n\(child.delegation)\nlost CNAME host.plain\n",
      options: options)
    let other = try SignedZone("other", "www A 192.0.2.7\n", options: options)
    let root = try SignedZone(
      ".", "example NS ns.example\n\(example.delegation)\nother NS ns.other\n\(other.delegation)\n", options: options)
    var world = try World([root, example, child, other])
    world.plain = [
      MasterFile.Record(owner: Name("host.plain.example").wire, type: .A, ttl: 60, rdata: [192, 0, 2, 8], line: 1)
    ]
    return world
  }

  @Test("from the root's key down each zone's keys are asked for once", arguments: ["", "-n -t 1 -s ab"])
  func secure(options: String) throws {
    var world = try Self.world(options)
    #expect(try world.outcome("www.child.example").outcome == .secure(ttl: 300))
    #expect(
      world.asked == [". DNSKEY", "example DS", "example DNSKEY", "child.example DS", "child.example DNSKEY"])
    #expect(try world.outcome("b.c.d.child.example") == (.secure(ttl: 300), 0))
    #expect(try world.outcome("to.child.example") == (.secure(ttl: 300), 2), "its chain leads through another zone")
    #expect(try world.outcome("nothing.child.example") == (.secure(ttl: 60), 0))
    #expect(try world.outcome("www.child.example", .AAAA) == (.secure(ttl: 60), 0))
  }

  @Test(
    "what lies in a zone that does not sign is unsigned, and that is shown by its parent", arguments: ["", "-n -t 1"])
  func unsigned(options: String) throws {
    var world = try Self.world(options)
    #expect(try world.outcome("host.plain.example").outcome == .unsigned)
    #expect(try world.outcome("lost.example").outcome == .unsigned)
    world.meddle = { response in
      guard response.type == .DS else { return response }
      var response = response
      response.authority.removeAll { $0.type == .NSEC || $0.type == .NSEC3 }
      return response
    }
    let later: UInt64 = 4_000_000_000_000
    #expect(try world.outcome("host.plain.example", now: later).outcome == .failed(.notDenied))
  }

  @Test("without signatures, or with the signatures of a zone above, a signed zone's answer is bogus")
  func stripped() throws {
    var world = try Self.world()
    world.meddle = { response in
      var response = response
      if response.type == .A { response.answer.removeAll { $0.type == .RRSIG } }
      return response
    }
    #expect(try world.outcome("www.child.example").outcome == .failed(.unsigned))
    #expect(try world.outcome("www.example").outcome == .failed(.unsigned))
    world.meddle = { response in
      var response = response
      if response.type == .DS { (response.answer, response.authority) = ([], []) }
      return response
    }
    #expect(try world.outcome("www.other", owner: 2).outcome == .failed(.notDenied))
  }

  @Test("who signs above an anchor has no say below it, and what lies in no signed zone excuses no signed one")
  func island() throws {
    var world = try Self.world()
    let child = try #require(world.zones.first { $0.name == Name("child.example") })
    world.chain = ChainOfTrust(anchors: [child.name: child.signers])
    #expect(try world.outcome("www.child.example").outcome == .secure(ttl: 300))
    #expect(try world.outcome("to.child.example").outcome == .unsigned, "it leads where nothing is known")
    /// Changes each signature of the child's.
    func meddle(_ change: @escaping ([UInt8]) -> [UInt8]) {
      world.meddle = { response in
        var response = response
        response.answer = response.answer.map { record in
          guard record.type == .RRSIG, response.type == .A else { return record }
          return record.with(rdata: change(record.rdata))
        }
        return response
      }
    }
    meddle { $0.prefix(18) + Name("example").wire + $0.suffix(64) }
    #expect(try world.outcome("www.child.example").outcome == .failed(.wrongSigner))
    meddle { $0.dropLast() + [$0[$0.count - 1] ^ 1] }
    #expect(try world.outcome("to.child.example").outcome == .failed(.forged))
  }

  @Test("what an upstream does not say is no verdict, and is asked again after five seconds")
  func unanswered() throws {
    var world = try Self.world()
    world.meddle = { $0.type == .DNSKEY ? nil : $0 }
    #expect(try world.outcome("www.example") == (.failed(.unanswered), 1))
    #expect(try world.outcome("www.other") == (.failed(.unanswered), 0))
    world.meddle = { $0 }
    #expect(try world.outcome("www.other", now: 6_000_000_000).outcome == .secure(ttl: 300))
  }

  @Test("what was found for one server is asked again for another, and when its time is over")
  func memory() throws {
    var world = try Self.world()
    #expect(try world.outcome("www.example").questions == 3)
    #expect(try world.outcome("www.example", owner: 2).questions == 3)
    #expect(try world.outcome("www.example", now: 299_000_000_000).questions == 0)
    #expect(try world.outcome("www.example", now: 301_000_000_000).questions == 3)
  }

  @Test("an answer has sixteen questions and no more, whatever its names are")
  func bounded() throws {
    var world = try Self.world()
    let labels = (0..<40).map { "l\($0)" }.joined(separator: ".") + ".example"
    world.plain.append(
      MasterFile.Record(owner: Name(labels).wire, type: .A, ttl: 60, rdata: [192, 0, 2, 8], line: 1))
    let found = try world.outcome(labels)
    #expect(found.outcome == .failed(.tooManyQuestions))
    #expect(found.questions == ChainOfTrust.maxQuestions)
  }

  @Test("after eight seconds no further question is asked for an answer")
  func late() throws {
    var world = try Self.world()
    let message = world.response(Name("www.example"), .A).octets
    let answer = ChainOfTrust.Answer(to: Name("www.example"), .A, of: 1, message: message)
    let begun = world.chain.begin(1, answer, now: 5, wall: SignedZone.now)
    #expect(begun.count == 1)
    let keys = world.response(.root, .DNSKEY).octets
    let step = ChainOfTrust.Step(owner: 1, name: .root, type: .DNSKEY)
    let later: UInt64 = 8_000_000_006
    guard
      case .judge(let number, let judgement, _)? = world.chain.answered(
        step, keys, now: later, wall: SignedZone.now
      ).first
    else { throw Kernel.Failure(description: "the keys are not judged") }
    let ends = world.chain.judged(number, judgement.verdict(), now: later, wall: SignedZone.now)
    guard case .finish(1, .failed(.unanswered))? = ends.first, ends.count == 1 else {
      Issue.record("\(ends.count) more to do")
      return
    }
  }

  @Test("questions are for zones above the names of the answer, and for nothing else")
  func onlyAncestors() throws {
    var world = try Self.world()
    for name in ["to.child.example", "lost.example", "host.plain.example", "nothing.example"] {
      _ = try world.outcome(name)
    }
    let names = ["to.child.example", "www.other", "host.plain.example", "nothing.example"].map { Name($0) }
    for question in world.asked {
      let words = question.split(separator: " ")
      #expect(["DS", "DNSKEY"].contains(words[1]))
      #expect(names.contains { $0.isSubdomain(of: Name(String(words[0]))) }, "\(question)")
    }
  }

  @Test("two answers of a server that need the same question ask it once, and each has its end")
  func joined() throws {
    var world = try Self.world()
    let message = world.response(Name("www.example"), .A).octets
    let answer = ChainOfTrust.Answer(to: Name("www.example"), .A, of: 1, message: message)
    func begin(_ ticket: UInt64) -> [ChainOfTrust.Action] {
      world.chain.begin(ticket, answer, now: 0, wall: SignedZone.now)
    }
    #expect(begin(1).count == 1)
    #expect(begin(2).isEmpty)
    let step = ChainOfTrust.Step(owner: 1, name: .root, type: .DNSKEY)
    let actions = world.chain.answered(step, nil, now: 0, wall: SignedZone.now)
    let ends = actions.compactMap { if case .finish(let ticket, .failed(.unanswered)) = $0 { ticket } else { nil } }
    #expect(ends == [1, 2])
    #expect(world.chain.count == 0)
  }
}
