import AuditLog
import DNSWire
import EgressPolicy
import GrantLedger
import IPNetwork
import ResponseCache
import TestSupport
import Testing
import Validation

@testable import Resolver

/// A client's path that leads nowhere, with a number to know it by.
private struct Seat: ReplyPath {
  var number: Int

  func send(_ message: [UInt8]) {}
}

extension ResolutionEngine.Finished {
  /// Whether it was ended for this reason, as the event says.
  fileprivate func isInterrupted(by why: Interruption) -> Bool {
    event?.code == .interrupted && event?.members.octets == why.members.octets && event?.once == false
  }
}

/// An engine with a clock that the test turns, and everything that was said to it.
private final class Conversation {
  typealias Engine = ResolutionEngine

  /// Seconds since 1970.
  static let wall: UInt64 = 1_000_000

  var engine: Engine
  var snapshot: ResolverSnapshot
  var now = 1000 * second
  var epoch: UInt64 = 1
  private var seats = 0

  init(
    _ snapshot: ResolverSnapshot, minimum: UInt64 = 60, grace: UInt64 = 30, maximum: UInt64 = 3600,
    elements: Int = 1000,
    elementsPerName: Int = 1000
  ) {
    self.snapshot = snapshot
    engine = Engine(
      ledger: GrantLedger(
        lifetimes: .init(minimum: minimum * second, grace: grace * second, maximum: maximum * second),
        maxElementsPerServer: elements, maxElementsPerName: elementsPerName), wallSeconds: { Self.wall })
  }

  convenience init(_ world: World) throws {
    self.init(try world.snapshot())
    engine.forbidden = world.forbidden
  }

  func question(
    _ name: String, _ type: RRType = .A, client: String = "10.77.1.2", kind: PendingQuery.Kind? = nil
  ) throws -> PendingQuery {
    let asker = Asker(snapshot, ringCapacity: 1 << 16, interfaces: ["br-pinned": 7])
    asker.clock = QueryClock(monotonic: now, wall: 0, epoch: epoch)
    let said = try asker.ask(Messages.query(name, type), from: client, interface: 7)
    if case .pending(let question) = said { return question }
    // The path answered by itself, from the cache: the engine must cope with that as well.
    let wire = Messages.name(name)
    let server = client.hasPrefix("10.77.1.") ? 0 : 1
    guard case .allowed(let rule) = snapshot.policy.decide(server: server, name: wire.span, type: type) else {
      throw Asker.NoReply()
    }
    let message = Messages.query(name, type)
    return PendingQuery(
      snapshot: snapshot, server: server, rule: rule, name: wire, type: type, kind: kind ?? .resolve,
      source: QuerySource(client: address(client), port: 1, transport: .udp, interface: 7),
      query: try screen(message), message: message)
  }

  func submit(_ name: String, _ type: RRType = .A, client: String = "10.77.1.2") throws -> Engine.Action {
    seats += 1
    return engine.submit(try question(name, type, client: client), Seat(number: seats), now: now, epoch: epoch)
  }

  /// Takes an answer out of the server's cache.
  func forget(_ name: String) throws {
    try question(name).state.cache.remove(Messages.name(name).span, .A)
  }

  struct Unexpected: Error {}

  func ask(_ name: String, _ type: RRType = .A, client: String = "10.77.1.2") throws -> UInt64 {
    guard case .ask(let ticket, let asked, type) = try submit(name, type, client: client),
      asked == Messages.name(name.lowercased())
    else { throw Unexpected() }
    return ticket
  }

  func answer(
    _ ticket: UInt64, _ name: String, _ records: [[UInt8]], type: RRType = .A, code: Int = 0,
    authorities: [[UInt8]] = []
  ) -> Engine.Action? {
    let message = Messages.response(name, type, code: code, answers: records, authorities: authorities)
    return engine.answered(ticket, .answer(message, server: "udp://192.0.2.54"), now: now, epoch: epoch)
  }

  func commits(_ action: Engine.Action?) throws -> [GrantCommit] {
    guard case .commit(_, let commits, _) = action else { throw Unexpected() }
    return commits
  }

  func finished(_ action: Engine.Action?) throws -> Engine.Finished {
    guard case .finish(let finished) = action else { throw Unexpected() }
    return finished
  }

  /// Asks, answers and commits: what an undisturbed question goes through.
  @discardableResult
  func open(_ name: String, _ texts: [String], ttl: Int = 300, client: String = "10.77.1.2") throws -> Engine.Finished {
    let ticket = try ask(name, client: client)
    _ = try commits(answer(ticket, name, texts.map { a(name, $0, ttl: ttl) }))
    return try finished(engine.committed(ticket, .committed, now: now, epoch: epoch))
  }

  /// Whether the query path would hand out a cached answer now, and with which TTL.
  func cachedTTL(_ name: String, server: Int = 0) -> UInt32? {
    var ttl: UInt32?
    _ = snapshot.servers[server].cache.find(Messages.name(name).span, .A, now: now, epoch: epoch) { head, _, _ in
      ttl = head.remainingTTL(at: now)
    }
    return ttl
  }
}

private let api = "api.example.com"

@Suite("The resolution engine: shares (P8)")
struct EngineShareTests {
  @Test("a question that was not asked for want of a slot is told so, and asked the next time")
  func overloadedIsNotCached() throws {
    let talk = try Conversation(World())
    let ticket = try talk.ask(api)
    let finished = try talk.finished(
      talk.engine.answered(ticket, .overloaded, now: talk.now, epoch: talk.epoch))
    #expect(finished.response.responseCode == .SERVFAIL)
    #expect(finished.event?.code == .overloaded)
    #expect(talk.cachedTTL(api) == nil)
    _ = try talk.ask(api)
  }

  @Test("one server's questions, as many as there may be, do not keep another's out: its own oldest goes")
  func displacing() throws {
    let talk = try Conversation(World())
    let count = ResolutionEngine.maxResolutions
    for number in 0..<count { _ = try talk.ask("n\(number).cdn.example.net") }
    // Alone and full, the server gets no other one for a moment, and then one for its oldest.
    let own = try talk.question("own.cdn.example.net")
    let none = talk.engine.makeRoom(for: own, now: talk.now)
    #expect(none?.waiting.count == nil)
    let refused = try talk.finished(talk.submit("own.cdn.example.net"))
    #expect(refused.event?.code == .overloaded)
    let other = try talk.question(api, client: "10.77.2.2")
    let room = talk.engine.makeRoom(for: other, now: talk.now)
    let displaced = try #require(room)
    #expect(displaced.event?.code == .overloaded)
    #expect(displaced.response.responseCode == .SERVFAIL)
    #expect(displaced.waiting.map(\.question.name) == [Messages.name("n0.cdn.example.net")])
    _ = try talk.ask(api, client: "10.77.2.2")
    #expect(talk.engine.resolutionCount == count)
    // One that is asked already needs no slot.
    let same = talk.engine.makeRoom(for: other, now: talk.now)
    #expect(same?.waiting.count == nil && talk.engine.resolutionCount == count)
    talk.now += 1_000_000_000
    let second = talk.engine.makeRoom(for: own, now: talk.now)
    #expect(second?.waiting.first?.question.name == Messages.name("n1.cdn.example.net"))
    // What has ended belongs to no client any more: a late answer opens nothing.
    #expect(talk.answer(1, "n0.cdn.example.net", [a("n0.cdn.example.net", "9.9.9.9")]) == nil)
  }
}

@Suite("The resolution engine: commit before answer (P2)")
struct EngineCommitTests {
  @Test("what makes room is closed even when nothing new has to be committed")
  func evictionWithoutCommit() throws {
    let talk = Conversation(try World().snapshot(), elementsPerName: 1)
    try talk.open(api, ["9.9.9.9"], ttl: 10)
    try talk.open("x.cdn.example.net", ["8.8.8.8"], ttl: 3000)
    talk.now += 20 * second
    let ticket = try talk.ask(api)
    guard case .commit(ticket, [], let evicted) = talk.answer(ticket, api, [a(api, "8.8.8.8", ttl: 10)]) else {
      throw Conversation.Unexpected()
    }
    #expect(evicted.map(\.address) == [address("9.9.9.9")])
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.answerCount == 1)
  }

  @Test("an answer leaves only after its addresses were committed, and is cached then")
  func commitBeforeAnswer() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    let commits = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9"), a(api, "8.8.8.8")]))
    #expect(
      commits
        == ["9.9.9.9", "8.8.8.8"].map {
          GrantCommit(
            element: GrantElement(server: 0, address: address($0), transport: 6, port: 443),
            lifetimeMilliseconds: 330_000)
        })
    #expect(talk.cachedTTL(api) == nil)
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .NOERROR && finished.response.answerCount == 2)
    #expect(finished.event?.code == .granted && finished.event?.once == true)
    #expect(talk.cachedTTL(api) == 300 && talk.engine.resolutionCount == 0)
    let members = String(decoding: finished.event?.members.octets ?? [], as: UTF8.self)
    #expect(
      members == #","rule":"policy.yaml:7","chain":[],"addresses":["9.9.9.9","8.8.8.8"],"ports":["443/tcp"],"ttl":300,"#
        + #""lifetime":330,"upstream":"udp://192.0.2.54""#)
  }

  @Test("what a rule opens whose time ends soon ends with it, in the kernel too, and so does the answer's TTL")
  func ruleEndsSoon() throws {
    var world = try World()
    world.rules = [
      try rule(api, until: Conversation.wall + 20), try rule("b.example.com", until: Conversation.wall + 9000),
      try rule("c.example.com", until: .max), try rule("d.example.com", until: Conversation.wall),
    ]
    let talk = try Conversation(world)
    let ticket = try talk.ask(api)
    let commits = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    #expect(commits.map(\.lifetimeMilliseconds) == [23_000])
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .NOERROR && finished.response.remainingTTL(at: talk.now) == 20)
    for name in ["b.example.com", "c.example.com"] {
      let later = try talk.commits(talk.answer(try talk.ask(name), name, [a(name, "8.8.8.8")]))
      #expect(later.map(\.lifetimeMilliseconds) == [330_000], "\(name)")
    }
    // Over by now, although it was not taken out of the policy yet.
    let over = "d.example.com"
    let last = try talk.finished(talk.answer(try talk.ask(over), over, [a(over, "1.1.1.1")]))
    #expect(last.response.responseCode == .SERVFAIL && last.isInterrupted(by: .time))
  }

  @Test("every port of the rule is opened for every address")
  func ports() throws {
    var world = try World()
    world.rules = [
      try rule(api, ports: PortSet([PortRule(443, .tcp), PortRule(53, .udp)])),
      try rule("any.example.com", ports: .any),
    ]
    let talk = try Conversation(world)
    let commits = try talk.commits(talk.answer(try talk.ask(api), api, [a(api, "9.9.9.9"), a(api, "8.8.8.8")]))
    #expect(
      Set(commits.map { "\($0.element.address) \($0.element.transport) \($0.element.port)" }) == [
        "9.9.9.9 6 443", "9.9.9.9 17 53", "8.8.8.8 6 443", "8.8.8.8 17 53",
      ])
    let any = "any.example.com"
    let open = try talk.commits(talk.answer(try talk.ask(any), any, [a(any, "9.9.9.9")]))
    #expect(open.map { [UInt16($0.element.transport), $0.element.port] } == [[0, 0]])
  }

  @Test("a commit that is refused, late or too much is SERVFAIL, and nothing is cached", arguments: [0, 1])
  func failedCommit(kind: Int) throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    _ = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    let result: ResolutionEngine.CommitResult = kind == 0 ? .unavailable : .setFull
    let finished = try talk.finished(talk.engine.committed(ticket, result, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .SERVFAIL && finished.response.sections.isEmpty)
    #expect(finished.response.extendedError == .otherError)
    #expect(finished.event?.code == (kind == 0 ? .firewallUnavailable : .setFull) && finished.event?.once == false)
    #expect(talk.cachedTTL(api) == nil && talk.engine.resolutionCount == 0)
    // The ack that comes too late changes nothing, and the next question commits again.
    #expect(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1) == nil)
    #expect(try talk.commits(talk.answer(try talk.ask(api), api, [a(api, "9.9.9.9")])).count == 1)
  }

  @Test("when the epoch moves between commit and ack, the answer is committed again before it leaves")
  func epochMoves() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    let first = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    talk.epoch = 2
    let second = try talk.commits(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 2))
    #expect(second.map(\.element) == first.map(\.element) && talk.cachedTTL(api) == nil)
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 2))
    #expect(finished.response.responseCode == .NOERROR && finished.response.epoch == 2)
  }

  @Test(
    "an epoch that moves a hundred times a second is outlived for a second; one that never rests ends in SERVFAIL",
    arguments: [false, true])
  func restless(isCached: Bool) throws {
    let talk = try Conversation(try World())
    var action: ResolutionEngine.Action?
    if isCached {
      try talk.open(api, ["9.9.9.9"])
      talk.epoch += 1
      action = try talk.submit(api)
    } else {
      action = talk.answer(try talk.ask(api), api, [a(api, "9.9.9.9")])
    }
    let began = talk.now
    while case .commit(let ticket, _, _) = action, talk.now - began < 10 * second {
      talk.now += second / 100
      talk.epoch += 1
      // Nothing leaves before it is committed in the epoch of its leaving (P2).
      #expect(talk.cachedTTL(api) == nil)
      action = talk.engine.committed(ticket, .committed, now: talk.now, epoch: talk.epoch)
    }
    #expect(talk.now - began == second)
    let finished = try talk.finished(action)
    #expect(finished.response.responseCode == .SERVFAIL && finished.event?.code == .firewallUnavailable)
    #expect(talk.cachedTTL(api) == nil && talk.engine.resolutionCount == 0)
  }

  @Test("a cached answer whose epoch is over is committed again without asking upstream")
  func renewal() throws {
    let talk = try Conversation(try World())
    try talk.open(api, ["9.9.9.9"])
    talk.now += 100 * second
    talk.epoch = 2
    #expect(talk.cachedTTL(api) == nil)
    guard case .commit(let ticket, let commits, _) = try talk.submit(api) else {
      Issue.record("not committed again")
      return
    }
    #expect(commits.map(\.lifetimeMilliseconds) == [230_000])
    guard case .wait = try talk.submit(api) else {
      Issue.record("a second question did not join")
      return
    }
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 2))
    #expect(finished.waiting.count == 2 && finished.response.responseCode == .NOERROR)
    #expect(finished.response.remainingTTL(at: talk.now) == 200 && finished.event == nil)
    #expect(talk.cachedTTL(api) == 200)
  }

  @Test("a renewal that fails is SERVFAIL, and the cached answer still does not leave")
  func failedRenewal() throws {
    let talk = try Conversation(try World())
    try talk.open(api, ["9.9.9.9"])
    talk.epoch = 2
    guard case .commit(let ticket, _, _) = try talk.submit(api) else {
      Issue.record("not committed again")
      return
    }
    let finished = try talk.finished(talk.engine.committed(ticket, .unavailable, now: talk.now, epoch: 2))
    #expect(finished.response.responseCode == .SERVFAIL && talk.cachedTTL(api) == nil)
  }

  @Test("a replay by the firewall makes a renewal need no commit")
  func replayed() throws {
    let talk = try Conversation(try World())
    try talk.open(api, ["9.9.9.9"])
    talk.epoch = 2
    let commits = talk.engine.ledger.replay(now: talk.now)
    talk.engine.ledger.committed(commits, askedAt: talk.now, epoch: 2)
    #expect(try talk.finished(talk.submit(api)).response.responseCode == .NOERROR)
  }

  @Test("an answer of a server with no firewall leaves at once and lives in any epoch")
  func withoutFirewall() throws {
    var world = try World()
    world.opensFirewall = false
    let talk = try Conversation(world)
    let finished = try talk.finished(talk.answer(try talk.ask(api), api, [a(api, "9.9.9.9")]))
    #expect(finished.response.answerCount == 1 && finished.event == nil)
    talk.epoch = 9
    #expect(talk.cachedTTL(api) == 300)
  }

  @Test("a full set is SERVFAIL without a commit")
  func setFull() throws {
    let talk = Conversation(try World().snapshot(), elements: 2)
    try talk.open("a.deep.example.org", ["9.9.9.9"])
    let name = "b.deep.example.org"
    let finished = try talk.finished(
      talk.answer(try talk.ask(name), name, [a(name, "9.9.9.10"), a(name, "9.9.9.11")]))
    #expect(finished.response.responseCode == .SERVFAIL && finished.event?.code == .setFull)
    #expect(try talk.open(name, ["9.9.9.10"]).response.responseCode == .NOERROR)
  }

  @Test("a local zone's routable address is granted before it leaves, without asking upstream")
  func localZone() throws {
    var world = try World(["db.corp.example"])
    world.zoneText = """
      corp.example. 300 IN SOA ns.corp.example. h.corp.example. 1 3600 600 86400 60
      db.corp.example. 200 IN A 10.0.0.9

      """
    let talk = try Conversation(world)
    guard case .commit(let ticket, let commits, _) = try talk.submit("db.corp.example") else {
      Issue.record("not granted")
      return
    }
    #expect(commits.map(\.element.address) == [address("10.0.0.9")])
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.answerCount == 1 && finished.response.remainingTTL(at: talk.now) == 200)
    #expect(finished.event?.code == .granted)
  }
}

@Suite("The resolution engine: questions and failures")
struct EngineQuestionTests {
  @Test("identical questions of a server are one question upstream; other types, names and servers are not")
  func coalescing() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    for _ in 0..<5 {
      guard case .wait = try talk.submit("API.example.com") else {
        Issue.record("asked twice")
        return
      }
    }
    _ = try talk.ask(api, .AAAA)
    _ = try talk.ask("x.deep.example.org")
    _ = try talk.ask(api, client: "10.77.2.2")
    #expect(talk.engine.resolutionCount == 4)
    _ = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    guard case .wait = try talk.submit(api) else {
      Issue.record("asked again while the commit was under way")
      return
    }
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(
      finished.waiting.map { ($0.path as? Seat)?.number } == [1, 2, 3, 4, 5, 6, 10] && talk.engine.resolutionCount == 3)
  }

  @Test("a PTR whose event finds no room in the ring is let go like any other question")
  func unrecordedPointer() throws {
    let talk = try Conversation(try World())
    let question = try talk.question("4.3.2.1.in-addr.arpa", .PTR)
    #expect(question.rule == nil && question.egressRule == nil)
    talk.engine.wasNotRecorded(question)
    #expect(talk.engine.resolutionCount == 0)
  }

  @Test(
    "`allowed: all` records every answer: of those who waited for one grant, from the cache, of a renewal, of PTR",
    arguments: [false, true])
  func everyAnswer(all: Bool) throws {
    var world = try World()
    world.allowedEvents = all ? .all : .grants
    let talk = try Conversation(world)
    let ticket = try talk.ask(api)
    _ = try talk.submit(api)
    _ = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    let granted = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(granted.waiting.count == 2 && granted.event?.code == .granted && granted.event?.once == true)
    #expect(granted.event?.further == (all ? .answered : nil))
    // It was not in the cache when a worker looked.
    let late = try talk.finished(talk.submit(api))
    #expect(late.event?.code == (all ? .answered : nil) && late.event?.once != true)
    talk.epoch = 2
    guard case .commit(let renewal, _, _) = try talk.submit(api) else { throw Conversation.Unexpected() }
    let renewed = try talk.finished(talk.engine.committed(renewal, .committed, now: talk.now, epoch: 2))
    #expect(renewed.event?.code == (all ? .answered : nil) && renewed.event?.once != true)
    let pointer = try talk.finished(talk.submit("9.9.9.9.in-addr.arpa", .PTR))
    #expect(pointer.response.answerCount == 1 && pointer.event?.code == (all ? .answered : nil))
  }

  @Test("an answered ticket is heard once")
  func heardOnce() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    _ = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    #expect(talk.answer(ticket, api, [a(api, "8.8.8.8")]) == nil)
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.sections.suffix(4) == [9, 9, 9, 9])
    #expect(talk.answer(ticket, api, [a(api, "8.8.8.8")]) == nil)
    #expect(talk.answer(999, api, [a(api, "8.8.8.8")]) == nil)
  }

  @Test(
    "a failure of upstream is SERVFAIL, remembered for five seconds",
    arguments: [ExtendedErrorCode.noReachableAuthority, .networkError])
  func failureCache(code: ExtendedErrorCode) throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    let finished = try talk.finished(talk.engine.answered(ticket, .failure(code), now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .SERVFAIL && finished.response.extendedError == code)
    #expect(finished.event?.code == .upstreamUnreachable && finished.event?.once == false)
    talk.now += 5 * second - 1
    let again = try talk.finished(talk.submit(api))
    #expect(again.response.responseCode == .SERVFAIL && again.response.extendedError == code)
    talk.now += 1
    _ = try talk.ask(api)
  }

  @Test(
    "what upstream says instead of an answer is SERVFAIL, and told with its code", arguments: [2, 4, 5, 9] as [UInt16])
  func upstreamRefused(code: UInt16) throws {
    let talk = try Conversation(try World())
    let code = ResponseCode(rawValue: code)
    let said = ResolutionEngine.UpstreamResult.refused(code, server: "udp://192.0.2.54")
    let finished = try talk.finished(talk.engine.answered(try talk.ask(api), said, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .SERVFAIL && finished.event?.code == .upstreamRefused)
    #expect(
      String(decoding: finished.event?.members.octets ?? [], as: UTF8.self)
        == #","upstream":"udp://192.0.2.54","upstream_rcode":"\#(code)""#)
    #expect(try talk.finished(talk.submit(api)).event?.code == .upstreamRefused)
  }

  @Test("an upstream that TLS cannot be used with is SERVFAIL, told with the cause")
  func upstreamUntrusted() throws {
    let talk = try Conversation(try World())
    let said = ResolutionEngine.UpstreamResult.untrusted(
      cause: "certificate-expired", server: "tls://192.0.2.54:853#a.example")
    let finished = try talk.finished(talk.engine.answered(try talk.ask(api), said, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .SERVFAIL && finished.response.extendedError == .noReachableAuthority)
    #expect(finished.event?.code == .upstreamUntrusted)
    #expect(
      String(decoding: finished.event?.members.octets ?? [], as: UTF8.self)
        == #","upstream":"tls://192.0.2.54:853#a.example","cause":"certificate-expired""#)
    #expect(try talk.finished(talk.submit(api)).event?.code == .upstreamUntrusted)
  }

  private func validating(_ mode: ValidationMode) throws -> Conversation {
    var world = try World()
    world.rules = world.rules.map { EgressRule(pattern: $0.pattern, dnssec: mode, location: $0.location) }
    return try Conversation(world)
  }

  @Test(
    "an answer that must be signed opens nothing and is not given before there is a verdict, and for no longer than it is signed"
  )
  func validated() throws {
    let talk = try validating(.verify)
    let ticket = try talk.ask(api)
    let wantsSignatures = talk.engine.wantsSignatures(ticket)
    #expect(wantsSignatures)
    guard case .validate(ticket, Messages.name(api), .A, _)? = talk.answer(ticket, api, [a(api, "9.9.9.9", ttl: 300)])
    else { throw Conversation.Unexpected() }
    #expect(talk.engine.ledger.elementCount == 0)
    #expect(talk.answer(ticket, api, [a(api, "9.9.9.8")]) == nil, "upstream is heard once")
    _ = try talk.commits(talk.engine.validated(ticket, .secure(ttl: 20), now: talk.now, epoch: 1))
    let again = talk.engine.validated(ticket, .unsigned, now: talk.now, epoch: 1)
    #expect(again == nil, "a verdict is heard once")
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .NOERROR && finished.response.remainingTTL(at: talk.now) == 20)
  }

  @Test(
    "without the verdict that the rule asks for the answer is SERVFAIL, told with its cause",
    arguments: [
      (ValidationMode.verify, ChainOfTrust.Outcome.failed(.forged), AuditCode.bogus, ExtendedErrorCode.dnssecBogus, 5),
      (.require, .failed(.expired), .bogus, .dnssecBogus, 5), (.require, .unsigned, .insecure, .rrsigsMissing, 5),
      (.verify, .failed(.unanswered), .unvalidated, .dnssecIndeterminate, 5),
      (.verify, .failed(.validatorDown), .unvalidated, .dnssecIndeterminate, 0),
    ] as [(ValidationMode, ChainOfTrust.Outcome, AuditCode, ExtendedErrorCode, UInt64)])
  func unproven(
    mode: ValidationMode, outcome: ChainOfTrust.Outcome, code: AuditCode, error: ExtendedErrorCode, remembered: UInt64
  ) throws {
    let talk = try validating(mode)
    let ticket = try talk.ask(api)
    _ = talk.answer(ticket, api, [a(api, "9.9.9.9")])
    let finished = try talk.finished(talk.engine.validated(ticket, outcome, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .SERVFAIL && finished.response.extendedError == error)
    #expect(finished.response.answerCount == 0 && finished.event?.code == code && finished.event?.once == false)
    #expect(talk.engine.ledger.elementCount == 0)
    let members = String(decoding: finished.event?.members.octets ?? [], as: UTF8.self)
    if case .failed(let fault) = outcome { #expect(members.contains(#""cause":"\#(fault.word)""#), "\(members)") }
    talk.now += remembered * second
    _ = try talk.ask(api)
  }

  @Test(
    "what no verdict can be about is not taken beside what is signed: a DNAME alone, a link behind more records than are read",
    arguments: [ValidationMode.verify, .require])
  func besides(mode: ValidationMode) throws {
    let forged = a("api.evil.net", "9.9.9.8")
    let alone = Messages.record("example.com", .DNAME, Messages.name("evil.net"))
    let junk = [[UInt8]](repeating: cname("junk.net", "junk.org"), count: 512)
    for records in [
      [a(api, "9.9.9.9"), alone, forged],
      junk + [a(api, "9.9.9.8"), cname(api, "www.example.net"), a("www.example.net", "9.9.9.9")],
    ] {
      let talk = try validating(mode)
      let finished = try talk.finished(talk.answer(try talk.ask(api), api, records))
      #expect(finished.response.responseCode == .SERVFAIL && finished.event?.code == .bogus)
      #expect(talk.engine.ledger.elementCount == 0)
    }
  }

  @Test("an answer that is held against its signatures is among those that hold its addresses")
  func heldMeanwhile() throws {
    let talk = try validating(.verify)
    _ = talk.answer(try talk.ask(api), api, [a(api, "9.9.9.9")])
    let found = talk.engine.questions(now: talk.now) { $1 == address("9.9.9.9") }
    #expect(found.count == 1)
  }

  @Test("what is shown to be unsigned is answered where signatures are verified, and not required")
  func unsigned() throws {
    let talk = try validating(.verify)
    let ticket = try talk.ask(api)
    _ = talk.answer(ticket, api, [a(api, "9.9.9.9")])
    #expect(try talk.commits(talk.engine.validated(ticket, .unsigned, now: talk.now, epoch: 1)).count == 1)
  }

  @Test("what was held against signatures is not given beyond its end, whatever it said; what was not is")
  func neverStale() throws {
    for mode in ValidationMode.allCases {
      var world = try World()
      world.maxStale = 3_600
      world.rules = world.rules.map { EgressRule(pattern: $0.pattern, dnssec: mode, location: $0.location) }
      let talk = try Conversation(world)
      let first = try talk.ask(api)
      var action = talk.answer(first, api, [a(api, "9.9.9.9", ttl: 20)])
      if mode != .off { action = talk.engine.validated(first, .secure(ttl: 20), now: talk.now, epoch: 1) }
      _ = try talk.commits(action)
      _ = try talk.finished(talk.engine.committed(first, .committed, now: talk.now, epoch: 1))
      talk.now += 21 * second
      let ticket = try talk.ask(api)
      let hasStale = talk.engine.hasStale(ticket, now: talk.now, epoch: 1)
      #expect(hasStale == (mode == .off), "\(mode)")
      guard mode != .off else { continue }
      let early = talk.engine.outwaited(ticket, now: talk.now, epoch: 1)
      #expect(early == nil, "\(mode)")
      let said = ResolutionEngine.UpstreamResult.failure(.noReachableAuthority)
      let finished = try talk.finished(talk.engine.answered(ticket, said, now: talk.now, epoch: 1))
      #expect(finished.response.responseCode == .SERVFAIL && finished.event?.code == .upstreamUnreachable, "\(mode)")
    }
  }

  @Test("a stricter rule leaves nothing open that a milder one opened, and a milder one leaves all of it")
  func stricter() throws {
    let (off, verify) = (try validating(.off).snapshot, try validating(.verify).snapshot)
    let name = Messages.name(api)
    #expect(!verify.grantsAsBefore(off, server: 0, name: name, type: .A))
    #expect(off.grantsAsBefore(verify, server: 0, name: name, type: .A))
  }

  @Test("an answer that is not public is NODATA with EDE 15 and names the addresses; an invalid one is told apart")
  func refusedAnswers() throws {
    let talk = try Conversation(try World())
    let finished = try talk.finished(
      talk.answer(try talk.ask(api), api, [a(api, "9.9.9.9"), a(api, "169.254.169.254")]))
    #expect(finished.response.responseCode == .NOERROR && finished.response.extendedError == .blocked)
    #expect(finished.response.answerCount == 0 && finished.response.authorityCount == 1)
    #expect(finished.response.remainingTTL(at: talk.now) == 5 && finished.event?.code == .answerNotPublic)
    #expect(
      String(decoding: finished.event?.members.octets ?? [], as: UTF8.self)
        == #","upstream":"udp://192.0.2.54","addresses":["169.254.169.254"],"refused_as":"metadata","others":["9.9.9.9"]"#
    )
    let again = try talk.finished(talk.submit(api))
    #expect(again.response.responseCode == .NOERROR && again.event?.code == .answerNotPublic)
    #expect(talk.engine.ledger.elementCount == 0)
    let other = "x.deep.example.org"
    let invalid = try talk.finished(talk.answer(try talk.ask(other), other, [cname(other, other)]))
    #expect(invalid.event?.code == .answerInvalid && invalid.response.extendedError == .invalidData)
  }

  @Test("the host's own addresses are refused, whatever the rule says; what is on its links only if the rule does not")
  func forbiddenAddresses() throws {
    var world = try World()
    world.forbidden = ForbiddenAddresses(hostAddresses: [address("9.9.9.9")], onLink: [prefix("9.9.8.0/23")])
    func code(_ text: String) throws -> AuditCode? {
      let talk = try Conversation(world)
      return try talk.finished(talk.answer(try talk.ask(api), api, [a(api, text)])).event?.code
    }
    #expect(try code("9.9.9.9") == .answerNotPublic)
    #expect(try code("9.9.8.8") == .answerNotPublic)
    world.rules = [try rule(api, private: [prefix("9.9.8.0/23")])]
    #expect(try code("9.9.9.9") == .answerNotPublic)
    #expect(try Conversation(world).open(api, ["9.9.8.8"]).response.answerCount == 1)
  }

  @Test("an answer on its way is turned away when what it would open is refused meanwhile, and closed")
  func refusedMeanwhile() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    _ = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    let other = "x.deep.example.org"
    _ = try talk.open(other, ["9.9.9.10"])
    talk.engine.forbidden = ForbiddenAddresses(hostAddresses: [address("9.9.9.9")])
    let refused = talk.engine.questions(now: talk.now) { $1 == address("9.9.9.9") }
    #expect(refused.map(\.name.description) == [api])
    let closing = talk.engine.end(now: talk.now, as: .answerNotPublic, where: refused.contains)
    #expect(closing.closed.map(\.address) == [address("9.9.9.9")])
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.responseCode == .NOERROR && finished.response.answerCount == 0)
    #expect(finished.response.extendedError == .blocked && finished.event?.code == .answerNotPublic)
    #expect(talk.engine.questions(now: talk.now) { _, _ in true }.map(\.name.description) == [other])
  }

  @Test("a chain through an unlisted name is answered; through a special-use name it is not")
  func chains() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    _ = try talk.commits(
      talk.answer(ticket, api, [cname(api, "edge.cdn.invalid-corp.com"), a("edge.cdn.invalid-corp.com", "9.9.9.9")]))
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.answerCount == 2)
    for target in ["localhost", "x.local", "y.home.arpa", "x.test"] {
      let name = "n.deep.example.org"
      let refused = try talk.finished(
        talk.answer(try talk.ask(name), name, [cname(name, target), a(target, "9.9.9.9")]))
      #expect(refused.event?.code == .answerNotPublic, "\(target)")
      talk.now += 10 * second
    }
    #expect(talk.cachedTTL("edge.cdn.invalid-corp.com") == nil)
  }

  @Test("the event of a long chain says its ends and its length, of a short one all names, of addresses all")
  func longChain() throws {
    let talk = try Conversation(try World())
    for links in 1...9 {
      let names = [api] + (1...links).map { "n\($0).cdn.example.net" }
      let records = zip(names, names.dropFirst()).map { cname($0, $1) }
      let addresses = (1...30).map { "9.9.\(links).\($0)" }
      let ticket = try talk.ask(api)
      _ = try talk.commits(talk.answer(ticket, api, records + addresses.map { a(names[links], $0) }))
      let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
      let members = String(decoding: finished.event?.members.octets ?? [], as: UTF8.self)
      let chain = links > 2 ? [names[1], names[links]] : Array(names.dropFirst())
      #expect(members.contains("\"chain\":[" + chain.map { "\"\($0)\"" }.joined(separator: ",") + "]"))
      #expect(members.contains("\"chain_length\":\(links),") == (links > 2))
      #expect(addresses.allSatisfy { members.contains("\"\($0)\"") })
      talk.now += 1000 * second
    }
  }

  @Test("NXDOMAIN and NODATA pass through and are cached by their SOA; without one they are not")
  func negative() throws {
    let talk = try Conversation(try World())
    let denied = try talk.finished(
      talk.answer(try talk.ask(api), api, [], code: 3, authorities: [Messages.soa("example.com", minimum: 60)]))
    #expect(denied.response.responseCode == .NXDOMAIN && denied.response.authorityCount == 1 && denied.event == nil)
    #expect(talk.cachedTTL(api) == 60)
    let name = "a.deep.example.org"
    _ = try talk.finished(talk.answer(try talk.ask(name), name, []))
    #expect(talk.cachedTTL(name) == nil)
    _ = try talk.ask(name)
  }

  @Test("an answer with TTL 0 is handed out once, for the minimum lifetime, and not stored")
  func zeroTTL() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    let commits = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9", ttl: 0)]))
    #expect(commits.map(\.lifetimeMilliseconds) == [60_000])
    let finished = try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1))
    #expect(finished.response.answerCount == 1 && finished.response.remainingTTL(at: talk.now) == 0)
    #expect(talk.cachedTTL(api) == nil)
    _ = try talk.ask(api)
  }

  @Test("an answer that was not stored does not bring an older one back to life")
  func olderAnswer() throws {
    let talk = Conversation(try World().snapshot(), maximum: 60)
    try talk.open(api, ["9.9.9.9"], ttl: 900)
    talk.now += 61 * second
    try talk.open(api, ["8.8.8.8"], ttl: 0)
    // The address of the first answer is closed: only upstream can say what to open now.
    #expect(talk.cachedTTL(api) == nil)
    _ = try talk.ask(api)
  }

  @Test("PTR of an open address is the name it was opened for; of any other it is a recorded denial")
  func pointer() throws {
    let talk = try Conversation(try World())
    try talk.open(api, ["9.9.9.8"], ttl: 100)
    talk.now += 50 * second
    let open = try talk.finished(talk.submit("8.9.9.9.in-addr.arpa", .PTR))
    #expect(open.response.sections.suffix(17).elementsEqual(Messages.name(api)) && open.event == nil)
    #expect(open.response.remainingTTL(at: talk.now) == 80)
    let closed = try talk.finished(talk.submit("7.9.9.9.in-addr.arpa", .PTR))
    #expect(closed.response.responseCode == .NXDOMAIN && closed.event?.code == .notListed)
    #expect(closed.response.extendedError == .blocked && closed.response.authorityCount == 1)
    let stranger = try talk.finished(talk.submit("8.9.9.9.in-addr.arpa", .PTR, client: "10.77.2.2"))
    #expect(stranger.response.responseCode == .NXDOMAIN && stranger.event?.code == .notListed)
    talk.now += 80 * second
    #expect(try talk.finished(talk.submit("8.9.9.9.in-addr.arpa", .PTR)).response.responseCode == .NXDOMAIN)
  }

  @Test("PTR of an address of private space is a recorded special-use name, and says why it does not exist")
  func privatePointer() throws {
    let talk = try Conversation(try World())
    let finished = try talk.finished(talk.submit("4.3.2.10.in-addr.arpa", .PTR))
    #expect(finished.response.responseCode == .NXDOMAIN && finished.event?.code == .special)
    #expect(finished.response.extendedError == .blocked)
  }

  @Test(
    "what ends before its time takes its questions in flight with it: nothing is opened, and the event says why",
    arguments: [false, true], [Interruption.policy, .operator])
  func revoked(committing: Bool, why: Interruption) throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    if committing { _ = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")])) }
    let closed = talk.engine.end(now: talk.now, as: why == .policy ? .policy : .operator) { $0.name.description == api }
    #expect(closed.closed.count == (committing ? 1 : 0))
    let action =
      committing
      ? talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1)
      : talk.answer(ticket, api, [a(api, "9.9.9.9")])
    let finished = try talk.finished(action)
    #expect(finished.response.responseCode == .SERVFAIL && finished.isInterrupted(by: why))
    #expect(finished.waiting.count == 1 && talk.cachedTTL(api) == nil)
    #expect(talk.engine.ledger.elementCount == 0 && talk.engine.resolutionCount == 0)
  }

  @Test("a renewal whose answer left the cache meanwhile is SERVFAIL with a record")
  func renewalOfNothing() throws {
    let talk = try Conversation(try World())
    try talk.open(api, ["9.9.9.9"], ttl: 300)
    talk.epoch += 1
    guard case .commit(let ticket, let commits, _) = try talk.submit(api) else { throw Conversation.Unexpected() }
    #expect(commits.count == 1)
    try talk.forget(api)
    let finished = try talk.finished(
      talk.engine.committed(ticket, .committed, now: talk.now, epoch: talk.epoch))
    #expect(finished.response.responseCode == .SERVFAIL && finished.isInterrupted(by: .cache))
  }

  @Test("what is turned away because of a reload or the end of the service is a failure, whatever lists the name")
  func turnedAway() throws {
    let talk = try Conversation(try World())
    for why in [Interruption.policy, .stopping] {
      let finished = talk.engine.refuse(try talk.question(api), Seat(number: 7), why, now: talk.now)
      #expect(finished.response.responseCode == .SERVFAIL && finished.isInterrupted(by: why))
      #expect(finished.event?.code.decision == .error && finished.waiting.map { ($0.path as? Seat)?.number } == [7])
    }
  }

  @Test("what policy still lists is not disturbed by the end of something else")
  func spared() throws {
    let talk = try Conversation(try World())
    let ticket = try talk.ask(api)
    #expect(talk.engine.end(now: talk.now) { $0.name.description != api }.closed.isEmpty)
    _ = try talk.commits(talk.answer(ticket, api, [a(api, "9.9.9.9")]))
    #expect(
      try talk.finished(talk.engine.committed(ticket, .committed, now: talk.now, epoch: 1)).response.answerCount == 1)
  }
}

@Suite("The resolution engine: no outliving (P3)")
struct NoOutlivingTests {
  /// The kernel as far as it matters here: when each element ends, whatever the ledger thinks.
  private struct Kernel {
    var ends: [GrantElement: UInt64] = [:]

    mutating func apply(_ commits: [GrantCommit], at time: UInt64) {
      for commit in commits {
        ends[commit.element] = time + UInt64(commit.lifetimeMilliseconds) * 1_000_000
      }
    }
  }

  @Test(
    "no TTL handed out reaches beyond the kernel's element, over random times, settings and forgetful kernels",
    arguments: 0..<40)
  func property(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let minimum = UInt64.random(in: 1...120, using: &random)
    let maximum = UInt64.random(in: minimum...600, using: &random)
    let talk = Conversation(
      try World().snapshot(), minimum: minimum, grace: .random(in: 0...60, using: &random), maximum: maximum)
    var kernel = Kernel()
    var handedOut = 0
    let names = (0..<4).map { "n\($0).deep.example.org" }
    let pool = (1...5).map { "9.9.9.\($0)" }
    for _ in 0..<400 {
      talk.now += UInt64.random(in: 0...(20 * second), using: &random)
      if Int.random(in: 0..<20, using: &random) == 0 {
        talk.epoch += 1
        kernel.ends = [:]
      }
      let name = names[Int.random(in: 0..<4, using: &random)]
      var action: ResolutionEngine.Action? = try talk.submit(name)
      var steps = 0
      while steps < 20 {
        steps += 1
        if case .ask(let ticket, _, _) = action {
          let addresses = pool.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random))
          talk.now += UInt64.random(in: 0...second, using: &random)
          action = talk.answer(
            ticket, name, addresses.map { a(name, $0, ttl: Int.random(in: 0...900, using: &random)) })
        } else if case .commit(let ticket, let commits, _) = action {
          // The kernel takes it at any time before the ack arrives.
          let asked = talk.now
          talk.now += UInt64.random(in: 0...(second / 4), using: &random)
          kernel.apply(commits, at: UInt64.random(in: asked...talk.now, using: &random))
          if Int.random(in: 0..<15, using: &random) == 0 {
            talk.epoch += 1
            kernel.ends = [:]
          }
          action = talk.engine.committed(
            ticket, Int.random(in: 0..<10, using: &random) == 0 ? .unavailable : .committed, now: talk.now,
            epoch: talk.epoch)
        } else {
          break
        }
      }
      guard case .finish(let finished) = action, finished.response.responseCode == .NOERROR else { continue }
      let reply = try Reply(
        Messages.be16(1) + Messages.be16(0x8180) + Messages.be16(1) + Messages.be16(Int(finished.response.answerCount))
          + [0, 0, 0, 0] + Messages.name(name) + [0, 1, 0, 1] + finished.response.sections)
      let ttl = UInt64(finished.response.remainingTTL(at: talk.now))
      for record in reply.answers {
        guard let found = IPAddress(octets: record.rdata.span) else {
          Issue.record("no address in the answer")
          continue
        }
        let ends = kernel.ends[GrantElement(server: 0, address: found, transport: 6, port: 443)] ?? 0
        #expect(ends > talk.now && talk.now + ttl * second <= ends, "\(name) \(found): \(ttl) s")
        handedOut += 1
      }
    }
    #expect(handedOut > 100)
  }
}
