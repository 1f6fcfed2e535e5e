import DNSWire
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import TestSupport
import Testing

@testable import Upstream

@Suite("Upstreams")
struct UpstreamPoolTests {
  private func answering(_ mark: UInt8) throws -> FakeUpstream {
    try FakeUpstream { [.message($0.answer([mark]))] }
  }

  @Test("an answer says who gave it")
  func answer() throws {
    let upstream = try answering(1)
    defer { upstream.stop() }
    let answer = try Asker([upstream]).ask().get()
    #expect(answer.server == Asker.server(upstream.port))
    #expect(answer.server.description == "udp://127.0.0.1:\(upstream.port)")
    let six = UpstreamServer(address: IPAddress(high: 0x2001_0DB8 << 32, low: 1), port: 53)
    #expect(six.description == "udp://[2001:db8::1]:53")
  }

  @Test("queries ask for answers of one unfragmented datagram")
  func payloadSize() throws {
    let upstream = try answering(1)
    defer { upstream.stop() }
    _ = try Asker([upstream]).ask()
    let query = try #require(upstream.arrivals.first).octets
    // Its one option is the cookie, 12 octets.
    #expect(Array(query.suffix(23).prefix(15)) == [0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8])
  }

  @Test("all upstreams silent: two datagrams to each, and the client is told 22")
  func silence() throws {
    let upstreams = try (0..<2).map { _ in try FakeUpstream { _ in [] } }
    defer { for upstream in upstreams { upstream.stop() } }
    let asker = try Asker(upstreams, limits: Asker.impatient)
    let failure = try asker.ask().failure
    #expect(failure == .timeout)
    #expect(failure?.extendedError == .noReachableAuthority)
    func asked(_ upstream: FakeUpstream) -> Int { upstream.arrivals.count { !$0.isProbe && !$0.overStream } }
    // Their threads may be late.
    try asker.until { _ in upstreams.allSatisfy { asked($0) >= 2 } }
    for upstream in upstreams {
      #expect(asked(upstream) == 2)
      #expect(upstream.count(overStream: true) == 0)
    }
  }

  @Test("a silent upstream costs one wait; after it the other one is asked first")
  func failover() throws {
    let silent = try FakeUpstream { _ in [] }
    let good = try answering(2)
    defer {
      silent.stop()
      good.stop()
    }
    let asker = try Asker([silent, good], limits: Asker.steady)
    for number in 0..<20 { #expect(try asker.ask("n\(number).example").mark == 2) }
    #expect(silent.arrivals.count { !$0.isProbe } == 1)
  }

  @Test("each upstream is asked at the start, and is not said to answer before it has")
  func atStart() throws {
    let silent = try FakeUpstream { _ in [] }
    let good = try answering(1)
    defer {
      silent.stop()
      good.stop()
    }
    let asker = try Asker([silent, good], limits: Asker.impatient)
    #expect(asker.pool.states.allSatisfy { $0.isHealthy && !$0.hasAnswered })
    asker.pool.probeAll()
    try asker.until { $0.states[1].hasAnswered && !$0.states[0].isHealthy }
    #expect(!asker.pool.states[0].hasAnswered && asker.pool.states[1].isHealthy)
    #expect(asker.pool.statistics.exchanges == 0 && asker.pool.statistics.failures == 0, "no client's question")
  }

  @Test("thirty names of a zone that does not answer leave the upstreams healthy, and no other question waits longer")
  func silentNames() throws {
    let upstreams = try (0..<2).map { _ in try silentZone() }
    defer { for upstream in upstreams { upstream.stop() } }
    let asker = try Asker(upstreams, limits: Asker.impatient)
    var open = 30
    for number in 0..<open {
      asker.pool.ask(name: Messages.name("n\(number).silent").span, type: .A, for: 1) { _ in
        open -= 1
        if open == 0 { asker.reactor.stop() }
      }
    }
    asker.run()
    try asker.settle()
    #expect(asker.pool.states.allSatisfy { $0.isHealthy && $0.failures == 0 })
    #expect(asker.pool.statistics.failures == 30)
    for upstream in upstreams {
      let probes = upstream.arrivals.count { $0.isProbe }
      #expect(probes > 0 && probes < 8, "that is found out by a few questions of our own")
    }
  }

  @Test("what is counted as sent is what came to the upstreams: questions, repetitions, probes, datagrams and TCP")
  func messages() throws {
    let silent = try FakeUpstream { _ in [] }
    let truncating = try FakeUpstream { [.message($0.answer(truncated: !$0.overStream, [1]))] }
    let upstreams = [silent, truncating]
    defer { for upstream in upstreams { upstream.stop() } }
    let asker = try Asker(upstreams, limits: Asker.impatient)
    for number in 0..<5 { _ = try asker.ask("n\(number).example") }
    try asker.settle()
    func came() -> UInt64 { upstreams.reduce(0) { $0 + UInt64($1.arrivals.count) } }
    // Their threads may be late.
    try asker.until { came() >= $0.statistics.messages }
    let statistics = asker.pool.statistics
    #expect(came() == statistics.messages)
    #expect(statistics.probes > 0 && statistics.exchanges == 5)
    #expect(truncating.count(overStream: true) > 0 && statistics.messages > statistics.exchanges + statistics.probes)
  }

  @Test("an upstream that answers nothing is unhealthy, and healthy again when it does, without a client's asking")
  func recovers() throws {
    let isAwake = Synchronized<Bool>()
    let upstream = try FakeUpstream { arrival in isAwake.current == nil ? [] : [.message(arrival.answer([1]))] }
    defer { upstream.stop() }
    var limits = Asker.impatient
    limits.unhealthy = 50
    let asker = try Asker([upstream], limits: limits)
    #expect(try asker.ask().failure == .timeout)
    try asker.until { !($0.states.first?.isHealthy ?? true) }
    isAwake.put(true)
    try asker.until { $0.states.first?.isHealthy ?? false }
    #expect(upstream.arrivals.count { !$0.isProbe } == 2)
  }

  @Test("one name that an upstream refuses with and without OPT does not take OPT from the others")
  func refusedName() throws {
    let upstream = try FakeUpstream { arrival in
      let isOdd = arrival.asks("odd")
      return [.message(isOdd ? arrival.answer(code: 1) : arrival.answer([3]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    #expect(try asker.ask("odd.example").failure == .refused(.FORMERR, server: 0))
    #expect(try asker.ask("plain.example").mark == 3)
    #expect(upstream.arrivals.map(\.hasOPT) == [true, false, true])
  }

  @Test("upstreams that fail are asked once each", arguments: [2, 5] as [UInt8])
  func refused(code: UInt8) throws {
    let upstreams = try (0..<2).map { _ in try FakeUpstream { [.message($0.answer(code: code))] } }
    defer { for upstream in upstreams { upstream.stop() } }
    #expect(try Asker(upstreams).ask().failure == .refused(ResponseCode(rawValue: UInt16(code)), server: 1))
    for upstream in upstreams { #expect(upstream.arrivals.count == 1) }
  }

  @Test("an upstream that refuses one name stays trusted; one that refuses all is asked last, and first again later")
  func refusesAll() throws {
    let accepts = Synchronized<Bool>()
    accepts.put(true)
    let moody = try FakeUpstream { arrival in
      let isOdd = arrival.asks("odd")
      return [.message(accepts.current == nil || isOdd ? arrival.answer(code: 5) : arrival.answer([1]))]
    }
    let other = try answering(2)
    defer {
      moody.stop()
      other.stop()
    }
    var limits = Asker.patient
    limits.unhealthy = 50
    let asker = try Asker([moody], limits: limits)
    for number in 0..<8 {
      #expect(try asker.ask("n\(number).odd.example").failure == .refused(.REFUSED, server: 0))
    }
    // The question of our own is answered.
    try asker.until { $0.states[0].refusals == 0 }
    #expect(moody.arrivals.contains { $0.isProbe })
    #expect(try asker.ask().mark == 1)
    #expect(asker.pool.states[0].isRefusing == false && asker.pool.states[0].refusals == 0)
    _ = accepts.take()
    // What it answered of late speaks for it.
    Thread.sleep(forTimeInterval: 0.06)
    for number in 0..<8 { _ = try asker.ask("n\(number).example") }
    try asker.until { $0.states[0].isRefusing }
    #expect(asker.pool.states[0].isHealthy && asker.pool.states[0].lastRefusal == .REFUSED)
    accepts.put(true)
    // By a question of our own, though no client asks.
    try asker.until { !$0.states[0].isRefusing }
    let both = try Asker([moody, other], limits: limits)
    _ = accepts.take()
    for number in 0..<8 { _ = try both.ask("m\(number).example") }
    #expect(both.pool.statistics.refusals > 0)
    try both.until { $0.states[0].isRefusing }
    let asked = moody.arrivals.count { !$0.isProbe }
    #expect(try both.ask("last.example").mark == 2)
    #expect(moody.arrivals.count { !$0.isProbe } == asked)
  }

  @Test("an upstream that always needs longer than the longest try is heard, and stays healthy")
  func slow() throws {
    let upstream = try FakeUpstream { arrival in
      Thread.sleep(forTimeInterval: 0.15)
      return [.message(arrival.answer([5]))]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream], limits: Asker.limits(first: 40, longest: 60, total: 10_000))
    for number in 0..<4 { #expect(try asker.ask("n\(number).example").mark == 5) }
    try asker.settle()
    #expect(asker.pool.states[0].isHealthy)
    #expect((asker.pool.states[0].latency ?? 0) > 100, "measured from the message that was answered")
  }

  @Test("no route is a failure of the network, told as 23")
  func noRoute() throws {
    let reactor = try Reactor()
    // The kernel lets no socket connect to it that did not ask to broadcast.
    let server = UpstreamServer(address: IPAddress(v4: 0xFFFF_FFFF), port: 53)
    let pool = UpstreamPool(reactor: reactor, servers: [server])
    var failure: UpstreamFailure?
    pool.ask(name: Messages.name("www.example.com").span, type: .A, for: 1) {
      failure = $0.failure
      reactor.stop()
    }
    #expect(failure == nil)
    reactor.run()
    #expect(failure == .network)
    #expect(failure?.extendedError == .networkError)
  }

  @Test("beyond the bound of open questions the answer is no, at once and not inside ask")
  func overloaded() throws {
    let upstream = try FakeUpstream { _ in [] }
    defer { upstream.stop() }
    var limits = Asker.impatient
    limits.exchanges = 3
    let asker = try Asker([upstream], limits: limits)
    var results: [UpstreamFailure?] = []
    for number in 0..<5 {
      asker.pool.ask(name: Messages.name("n\(number).example").span, type: .A, for: 1) {
        results.append($0.failure)
        if results.count == 5 { asker.reactor.stop() }
      }
    }
    #expect(results.isEmpty)
    asker.run()
    #expect(results == [.overloaded, .overloaded, .timeout, .timeout, .timeout])
  }

  @Test("open questions take at most half of the descriptors that the process may have")
  func descriptorBound() throws {
    let upstream = try FakeUpstream { _ in [] }
    defer { upstream.stop() }
    // Nothing is opened under it: suites that run beside this one may have more than that open.
    let (reactor, servers) = (try Reactor(), [Asker.server(upstream.port)])
    let pool = Descriptors.withLimit(256) {
      UpstreamPool(reactor: reactor, servers: servers, limits: Asker.impatient)
    }
    let asker = Asker(reactor, pool)
    var failures: [UpstreamFailure?] = []
    for number in 0..<140 {
      asker.pool.ask(name: Messages.name("n\(number).example").span, type: .A, for: 1) {
        failures.append($0.failure)
        if failures.count == 140 { asker.reactor.stop() }
      }
    }
    asker.run()
    #expect(failures.count { $0 == .overloaded } == 12)
  }

  /// Answers but for names of one zone.
  private func silentZone() throws -> FakeUpstream {
    try FakeUpstream { arrival in
      arrival.asks("silent") ? [] : [.message(arrival.answer([1]))]
    }
  }

  @Test("two servers with all the unanswered names that they may have do not keep a third from its answers")
  func shares() throws {
    let upstream = try silentZone()
    defer { upstream.stop() }
    var limits = Asker.patient
    limits.exchanges = 40
    let asker = try Asker([upstream], limits: limits)
    var (first, second, overloads) = (0, 0, 0)
    func hold(_ number: Int, _ owner: UInt16) {
      let name = Messages.name("n\(number).of\(owner).silent")
      asker.pool.ask(name: name.span, type: .A, for: owner) { result in
        if result.failure == .overloaded { overloads += 1 }
        if owner == 1 { first += 1 } else { second += 1 }
      }
    }
    // The first is alone for now and takes all of it.
    for number in 0..<40 { hold(number, 1) }
    for number in 0..<40 { hold(number, 2) }
    for number in 0..<10 {
      var mark: UInt8?
      asker.pool.ask(name: Messages.name("n\(number).example").span, type: .A, for: 3) {
        mark = $0.mark
        asker.reactor.stop()
      }
      asker.run()
      #expect(mark == 1)
    }
    // Each question of theirs that has ended was told so, and theirs are all that were.
    #expect(first + second == overloads)
    #expect(asker.pool.statistics.overloads == UInt64(overloads))
    #expect(first >= 10 && first <= 20 && second == 30)
  }

  @Test("a question that another server waits for as well is not ended for the one who has too many")
  func sharedQuestion() throws {
    let upstream = try silentZone()
    defer { upstream.stop() }
    var limits = Asker.impatient
    limits.exchanges = 8
    let asker = try Asker([upstream], limits: limits)
    var failures: [UInt16: [UpstreamFailure?]] = [:]
    var open = 0
    func ask(_ name: String, _ owner: UInt16) {
      open += 1
      asker.pool.ask(name: Messages.name(name).span, type: .A, for: owner) {
        failures[owner, default: []].append($0.failure)
        open -= 1
        if open == 0 { asker.reactor.stop() }
      }
    }
    for number in 0..<8 { ask("n\(number).silent", 1) }
    ask("n0.silent", 2)
    // Two of the first server's are in the way of this one; the oldest is the second server's too.
    ask("one.silent", 3)
    asker.run()
    #expect(failures[1]?.count { $0 == .overloaded } == 2)
    #expect(failures[1]?.count { $0 == .timeout } == 6)
    #expect(failures[2] == [.timeout])
    #expect(failures[3] == [.timeout])
  }

  @Test("a completion may ask again, even for the same name")
  func again() throws {
    let upstream = try answering(6)
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    let name = Messages.name("www.example.com")
    var rounds = 0
    func ask() {
      asker.pool.ask(name: name.span, type: .A, for: 1) { _ in
        rounds += 1
        if rounds < 10 { ask() } else { asker.reactor.stop() }
      }
    }
    ask()
    asker.run()
    #expect(upstream.arrivals.count == 10)
  }

  @Test("EDNS that an upstream refuses is left out once, and then from the start", arguments: [1, 4, 16] as [UInt8])
  func withoutEDNS(code: UInt8) throws {
    let upstream = try FakeUpstream { arrival in
      guard arrival.hasOPT else { return [.message(arrival.answer([7]))] }
      guard code == 16 else { return [.message(arrival.answer(code: code))] }
      var message = arrival.answer([0, 0, 41, 0x04, 0xD0, 1, 0, 0, 0, 0, 0])
      message[11] = 1
      return [.message(message)]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    #expect(try asker.ask().mark == 7)
    #expect(try asker.ask("other.example").mark == 7)
    #expect(upstream.arrivals.map(\.hasOPT) == [true, false, false])
  }

  @Test("an upstream that refuses with and without EDNS is not asked a third time")
  func neverEDNS() throws {
    let upstream = try FakeUpstream { [.message($0.answer(code: 1))] }
    defer { upstream.stop() }
    #expect(try Asker([upstream]).ask().failure == .refused(.FORMERR, server: 0))
    #expect(upstream.arrivals.map(\.hasOPT) == [true, false])
  }

  @Test("no socket outlives its question")
  func descriptors() throws {
    let upstream = try FakeUpstream { arrival in
      if arrival.overStream { return [.message(arrival.answer())] }
      return arrival.number % 3 == 0 ? [.message(arrival.answer(truncated: true))] : [.message(arrival.answer())]
    }
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    // While a question is open, its socket is seen: the count below means something.
    asker.pool.ask(name: Messages.name("first.example").span, type: .A, for: 1) { [reactor = asker.reactor] _ in
      reactor.stop()
    }
    let whileOpen = Descriptors.connected(to: upstream.port, by: SOCK_DGRAM)
    asker.run()
    #expect(whileOpen == 1)
    for number in 0..<50 { _ = try asker.ask("n\(number).example") }
    // A connection, which may have brought the last answer, ends when the upstream ends it.
    try asker.until { _ in
      [SOCK_DGRAM, SOCK_STREAM].allSatisfy { Descriptors.connected(to: upstream.port, by: $0) == 0 }
    }
  }
}
