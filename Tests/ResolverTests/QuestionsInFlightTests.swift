import AuditLog
import DNSWire
import EgressPolicy
import GrantLedger
import IPNetwork
import ResponseCache
import TestSupport
import Testing

@testable import Resolver

/// A client's path that leads nowhere.
private struct Nowhere: ReplyPath {
  func send(_ message: [UInt8]) {}
}

private func waiting(_ name: String, _ snapshot: ResolverSnapshot, server: Int = 0) throws
  -> ResolutionEngine.WaitingClient
{
  let message = Messages.query(name, .A)
  return ResolutionEngine.WaitingClient(
    question: PendingQuery(
      snapshot: snapshot, server: server, rule: 0, name: Messages.name(name), type: .A, kind: .resolve,
      source: QuerySource(client: address("10.77.1.2"), port: 1, transport: .udp, interface: 3),
      query: try screen(message), message: message), path: Nowhere())
}

private func key(_ name: String, server: UInt16 = 0) -> GrantLedger.Key {
  GrantLedger.Key(server: server, name: Name(canonical: Messages.name(name).span), type: .A)
}

@Suite("Questions in flight: one of a kind, each with one slot (P8)")
struct QuestionsInFlightTests {
  private let snapshot: ResolverSnapshot
  private var questions = QuestionsInFlight()

  init() throws { snapshot = try World().snapshot() }

  private mutating func open(_ name: String, server: UInt16 = 0, now: UInt64 = 0) throws -> UInt64? {
    questions.open(key(name, server: server), try waiting(name, snapshot, server: Int(server)), now: now)
  }

  @Test("a question is joined while it is in flight, by its own server alone, and not once it was revoked")
  mutating func joined() throws {
    let opened = try open("a.example")
    let ticket = try #require(opened)
    let second = try waiting("a.example", snapshot)
    #expect(!questions.join(key("a.example", server: 1), second) && !questions.join(key("b.example"), second))
    #expect(questions.join(key("a.example"), second) && questions[ticket]?.waiting.count == 2)
    questions.revoke(servers: [1], as: .policy) { _ in true }
    #expect(questions.isInFlight(key("a.example")) && questions[ticket]?.revocation == nil, "another server's")
    questions.revoke(servers: nil, as: .policy) { $0.server == 0 }
    #expect(!questions.join(key("a.example"), second) && questions[ticket]?.revocation != nil)
    // Who comes after the change has a question of its own, which the end of the former one leaves as it is.
    let reopened = try open("a.example")
    let later = try #require(reopened)
    #expect(questions.close(ticket)?.waiting.count == 2 && questions.isInFlight(key("a.example")))
    #expect(questions[later] != nil && questions.count == 1)
  }

  @Test("a ticket ends once and its slot is free then; without a slot nothing is opened")
  mutating func slots() throws {
    var tickets: [UInt64] = []
    while let ticket = try open("n\(tickets.count).example") { tickets.append(ticket) }
    #expect(tickets.count == QuestionsInFlight.capacity && questions.count == tickets.count)
    let here = key("n0.example", server: 0)
    #expect(questions.displaced(by: 0, now: 0) { here } == nil, "what is in flight needs no other slot")
    let other = key("x.example", server: 1)
    #expect(questions.displaced(by: 1, now: 0) { other } == tickets[0])
    #expect(questions.close(tickets[0]) != nil && questions.close(tickets[0]) == nil && questions[tickets[0]] == nil)
    #expect(questions.displaced(by: 1, now: 0) { other } == nil, "there is room")
    let opened = try open("x.example", server: 1)
    #expect(opened != nil && questions.count == QuestionsInFlight.capacity)
  }
}

@Suite("What is told of answers (P6)")
struct AnswerNewsTests {
  private static func resolution(
    _ name: String, _ snapshot: ResolverSnapshot, _ type: RRType = .A
  ) throws -> (ResolutionEngine.Resolution, ScrubbedAnswer) {
    var questions = QuestionsInFlight()
    var client = try waiting(name, snapshot)
    guard case .allowed(let rule) = snapshot.policy.decide(server: 0, name: Messages.name(name).span, type: type) else {
      throw Asker.NoReply()
    }
    let question = client.question
    client.question = PendingQuery(
      snapshot: snapshot, server: 0, rule: rule, name: question.name, type: type, kind: .resolve,
      source: question.source, query: question.query, message: question.message)
    let ticket = questions.open(key(name), client, now: 0)
    let resolution = try #require(ticket.flatMap { questions[$0] })
    let answer = ScrubbedAnswer(
      responseCode: .NOERROR, chain: [], addresses: [address("9.9.9.9")], ttl: 300, sections: [], ttlOffsets: [],
      answerCount: 1, authorityCount: 0)
    return (resolution, answer)
  }

  @Test(
    "a name that is new under a pattern is told whatever policy leaves out, once, and again where it could not be recorded",
    arguments: [ResolverRules.AllowedEvents.none, .grants])
  func newNames(events: ResolverRules.AllowedEvents) throws {
    var world = try World()
    world.allowedEvents = events
    let snapshot = try world.snapshot()
    var news = AnswerNews()
    let (resolution, answer) = try Self.resolution("new.cdn.example.net", snapshot)
    #expect(news.event(of: resolution, answer, now: 1)?.code == .answered)
    #expect(news.event(of: resolution, answer, now: 2) == nil)
    news.wasNotRecorded(try #require(resolution.waiting.first?.question))
    #expect(news.event(of: resolution, answer, now: 3)?.code == .answered)
    let (exact, _) = try Self.resolution("api.example.com", snapshot)
    #expect(news.event(of: exact, answer, now: 4) == nil, "an exact name is the policy's own")
  }

  @Test("that upstream knows a name for one family alone is told once; that it has no address of a family is not")
  func families() throws {
    let snapshot = try World().snapshot()
    let (resolution, addresses) = try Self.resolution("api.example.com", snapshot)
    let question = try #require(resolution.waiting.first?.question)
    var nothing = addresses
    (nothing.addresses, nothing.answerCount, nothing.authorityCount) = ([], 0, 1)
    var unknown = nothing
    unknown.responseCode = .NXDOMAIN
    var news = AnswerNews()
    func told(_ answer: ScrubbedAnswer, _ code: ResponseCode, answers: UInt16) -> AuditCode? {
      question.state.cache.store(
        question.name, .AAAA,
        CachedResponse(responseCode: code, answerCount: answers, authorityCount: answers == 0 ? 1 : 0, expires: second))
      return news.difference(of: resolution, answer, now: 1)?.code
    }
    #expect(news.difference(of: resolution, addresses, now: 1)?.code == nil, "of the other family nothing is known")
    #expect(told(addresses, .NOERROR, answers: 1) == nil && told(addresses, .NOERROR, answers: 0) == nil)
    #expect(told(nothing, .NXDOMAIN, answers: 0) == nil && told(unknown, .NXDOMAIN, answers: 0) == nil)
    #expect(told(unknown, .NOERROR, answers: 0) == nil)
    #expect(told(addresses, .NXDOMAIN, answers: 0) == .familiesDiffer)
    #expect(told(addresses, .NXDOMAIN, answers: 0) == nil, "told already")
    news = AnswerNews()
    #expect(told(unknown, .NOERROR, answers: 1) == .familiesDiffer)
  }
}
