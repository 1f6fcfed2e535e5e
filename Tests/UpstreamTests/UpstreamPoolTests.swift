import DNSWire
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
    #expect(Array(query.suffix(11)) == [0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0])
  }

  @Test("all upstreams silent: two datagrams to each, and the client is told 22")
  func silence() throws {
    let upstreams = try (0..<2).map { _ in try FakeUpstream { _ in [] } }
    defer { for upstream in upstreams { upstream.stop() } }
    let failure = try Asker(upstreams, limits: Asker.impatient).ask().failure
    #expect(failure == .timeout)
    #expect(failure?.extendedError == .noReachableAuthority)
    for upstream in upstreams {
      #expect(upstream.count(overStream: false) == 2)
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
    #expect(silent.arrivals.count == 1)
  }

  @Test("upstreams that fail are asked once each", arguments: [2, 5] as [UInt8])
  func refused(code: UInt8) throws {
    let upstreams = try (0..<2).map { _ in try FakeUpstream { [.message($0.answer(code: code))] } }
    defer { for upstream in upstreams { upstream.stop() } }
    #expect(try Asker(upstreams).ask().failure == .refused)
    for upstream in upstreams { #expect(upstream.arrivals.count == 1) }
  }

  @Test("no route is a failure of the network, told as 23")
  func noRoute() throws {
    let reactor = try Reactor()
    // The kernel lets nobody connect to it who did not ask to broadcast.
    let server = UpstreamServer(address: IPAddress(v4: 0xFFFF_FFFF), port: 53)
    let pool = UpstreamPool(reactor: reactor, servers: [server])
    var failure: UpstreamFailure?
    pool.ask(name: Messages.name("www.example.com").span, type: .A) {
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
      asker.pool.ask(name: Messages.name("n\(number).example").span, type: .A) {
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
    let bound = Descriptors.withLimit(256) { Result { try Asker([upstream], limits: Asker.impatient) } }
    let asker = try bound.get()
    var failures: [UpstreamFailure?] = []
    for number in 0..<140 {
      asker.pool.ask(name: Messages.name("n\(number).example").span, type: .A) {
        failures.append($0.failure)
        if failures.count == 140 { asker.reactor.stop() }
      }
    }
    asker.run()
    #expect(failures.count { $0 == .overloaded } == 12)
  }

  @Test("a completion may ask again, even for the same name")
  func again() throws {
    let upstream = try answering(6)
    defer { upstream.stop() }
    let asker = try Asker([upstream])
    let name = Messages.name("www.example.com")
    var rounds = 0
    func ask() {
      asker.pool.ask(name: name.span, type: .A) { _ in
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
    #expect(try Asker([upstream]).ask().failure == .refused)
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
    asker.pool.ask(name: Messages.name("first.example").span, type: .A) { [reactor = asker.reactor] _ in reactor.stop()
    }
    let whileOpen = Descriptors.connected(to: upstream.port)
    asker.run()
    #expect(whileOpen == 1)
    for number in 0..<50 { _ = try asker.ask("n\(number).example") }
    #expect(Descriptors.connected(to: upstream.port) == 0)
  }
}
