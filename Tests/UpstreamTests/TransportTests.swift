import DNSWire
import Glibc
import IPNetwork
import LinuxIO
import TLS
import TestSupport
import Testing

@testable import Upstream

/// What a pool sees of a transport, and what a transport owes to a pool.
@Suite("Transports")
struct TransportTests {
  /// Carries nothing: a test says what comes of each call.
  private final class FakeTransport: UpstreamTransport {
    final class Call: TransportCall {
      let message: [UInt8]
      let server: UpstreamServer
      let client: any TransportClient
      var ends = 0

      init(_ message: [UInt8], _ server: UpstreamServer, _ client: any TransportClient) {
        (self.message, self.server, self.client) = (message, server, client)
      }

      func end() { ends += 1 }

      /// The question with an answer's header, flags and code.
      func answer(flags: Int = 0x8180) -> [UInt8] {
        let answer = Messages.response("www.example.com", .A, id: Int(message[0]) << 8 | Int(message[1]), flags: flags)
        // In the letters in which it was asked.
        return Array(answer[..<12]) + message[12..<29] + answer[29...]
      }
    }

    var calls: [Call] = []

    func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
      -> any TransportCall
    {
      let call = Call(message, server, client)
      calls.append(call)
      client.transmitted()
      return call
    }
  }

  private struct Bench {
    let reactor: Reactor
    let datagrams = FakeTransport()
    let streams = FakeTransport()
    let pool: UpstreamPool

    init(servers: Int = 1) throws {
      reactor = try Reactor()
      pool = UpstreamPool(
        reactor: reactor, servers: (1...servers).map { Asker.server(UInt16($0)) }, limits: UpstreamLimits(),
        transports: UpstreamTransports(datagram: datagrams, stream: streams, secure: FakeTransport()))
    }

    func ask(_ completion: @escaping UpstreamPool.Completion) {
      pool.ask(name: Messages.name("www.example.com").span, type: .A, for: 1, completion)
    }
  }

  @Test("a pool asks and answers without a socket of its own, and ends every call")
  func sockets() throws {
    let bench = try Bench()
    var result: Result<UpstreamAnswer, UpstreamFailure>?
    bench.ask { result = $0 }
    let first = try #require(bench.datagrams.calls.first)
    first.client.received(first.answer(flags: 0x8380).span)
    let second = try #require(bench.streams.calls.first, "a truncated answer is asked for by TCP")
    #expect(first.ends == 1)
    #expect(result == nil)
    second.client.received(second.answer().span)
    #expect(try result?.get().message == second.answer())
    #expect(second.ends == 1)
    #expect(bench.pool.statistics.messages == 2)
    #expect(bench.datagrams.calls.count == 1 && bench.streams.calls.count == 1)
  }

  @Test("only datagrams measure a round trip")
  func roundTrip() throws {
    let bench = try Bench()
    bench.ask { _ in }
    let first = try #require(bench.datagrams.calls.first)
    first.client.received(first.answer(flags: 0x8380).span)
    let second = try #require(bench.streams.calls.first)
    second.client.received(second.answer().span)
    #expect(bench.pool.states[0].latency == nil)
    bench.ask { _ in }
    let third = try #require(bench.datagrams.calls.last)
    third.client.received(third.answer().span)
    #expect(bench.pool.states[0].latency != nil)
  }

  @Test(
    "silence has the upstream probed, a broken connection does not; each turns to the next one",
    arguments: [TransportFailure.timeout, .unreachable, .broken])
  func failures(failure: TransportFailure) throws {
    let bench = try Bench(servers: 2)
    bench.ask { _ in }
    let first = try #require(bench.datagrams.calls.first)
    first.client.failed(failure)
    #expect(first.ends == 1)
    #expect(bench.pool.statistics.probes == (failure == .broken ? 0 : 1))
    #expect(bench.datagrams.calls.last?.server == Asker.server(2))
  }

  @Test("why TLS with an upstream is not used is told as it turned out last, and the same not twice")
  func faults() throws {
    let secure = FakeTransport()
    let server = UpstreamServer(.tls, address: IPAddress(v4: 0x7F00_0001), port: 853, tlsName: "a.example")
    let pool = UpstreamPool(
      reactor: try Reactor(), servers: [server], limits: UpstreamLimits(),
      transports: UpstreamTransports(datagram: FakeTransport(), stream: FakeTransport(), secure: secure))
    var told: [TLSFailure] = []
    pool.onUntrusted = { told.append($1) }
    for (failure, fault) in [
      (.untrusted(.expired), .expired), (.timeout, nil), (.untrusted(.expired), .expired), (.broken, nil),
      (.untrusted(.otherName), .otherName),
    ] as [(TransportFailure, TLSFailure?)] {
      pool.ask(name: Messages.name("www.example.com").span, type: .A, for: 1) { _ in }
      // Not a probe, which is for the root.
      let call = try #require(secure.calls.last { $0.message[12] == 3 })
      call.client.failed(failure)
      #expect(pool.states[0].fault == fault)
    }
    #expect(told == [.expired, .otherName])
  }

  /// Takes what comes.
  private final class Listener: TransportClient {
    var messages = 0
    var failures: [TransportFailure] = []
    var call: (any TransportCall)?
    /// Whether the call ends with its first message.
    var endsAtOnce = false

    func transmitted() {}
    func received(_ message: Span<UInt8>) {
      messages += 1
      if endsAtOnce { call?.end() }
    }
    func failed(_ failure: TransportFailure) { failures.append(failure) }
  }

  private func transport(_ kind: TransportKind, _ reactor: Reactor) -> any UpstreamTransport {
    UpstreamTransports(
      datagram: DatagramTransport(reactor), stream: StreamTransport(reactor), secure: SecureTransport(reactor, [:]))[
        kind]
  }

  private let query = UpstreamQuery.message(id: 7, name: Messages.name("www.example.com"), type: .A, withEDNS: true)

  private func run(_ reactor: Reactor, milliseconds: UInt64) {
    _ = reactor.schedule(at: .now().adding(milliseconds: milliseconds)) { reactor.stop() }
    reactor.run()
  }

  @Test("a call whose deadline passes says so once", arguments: [TransportKind.datagram, .stream])
  func deadline(kind: TransportKind) throws {
    let upstream = try FakeUpstream { _ in [.hold] }
    defer { upstream.stop() }
    let reactor = try Reactor()
    let listener = Listener()
    let call = transport(kind, reactor).send(
      query, to: Asker.server(upstream.port), deadline: .now().adding(milliseconds: 30), for: listener)
    #expect(listener.failures.isEmpty)
    run(reactor, milliseconds: 60)
    #expect(listener.failures == [.timeout])
    #expect(Descriptors.connected(to: upstream.port, by: kind == .datagram ? SOCK_DGRAM : SOCK_STREAM) == 0)
    call.end()
  }

  @Test("a call that has ended says nothing more", arguments: [TransportKind.datagram, .stream])
  func ended(kind: TransportKind) throws {
    let upstream = try FakeUpstream { arrival in
      let answer = Reaction.message(arrival.answer([1]))
      return arrival.overStream ? [answer, .hold] : [answer, answer, answer]
    }
    defer { upstream.stop() }
    let reactor = try Reactor()
    let listener = Listener()
    listener.endsAtOnce = true
    listener.call = transport(kind, reactor).send(
      query, to: Asker.server(upstream.port), deadline: .now().adding(milliseconds: 300), for: listener)
    run(reactor, milliseconds: 400)
    #expect(listener.messages == 1)
    #expect(listener.failures.isEmpty)
    // A connection stays for the next message.
    #expect(
      Descriptors.connected(to: upstream.port, by: kind == .datagram ? SOCK_DGRAM : SOCK_STREAM)
        == (kind == .stream ? 1 : 0))
  }

  @Test("an upstream that cannot be reached is told of, later", arguments: [TransportKind.datagram, .stream])
  func unreachable(kind: TransportKind) throws {
    let reactor = try Reactor()
    let listener = Listener()
    // Without an interface no address of a link says where it is (RFC 4007 section 6).
    let server = UpstreamServer(address: try #require(IPAddress("fe80::1")), port: 53)
    let call = transport(kind, reactor).send(
      query, to: server, deadline: .now().adding(milliseconds: 20_000), for: listener)
    #expect(listener.failures.isEmpty)
    run(reactor, milliseconds: 30)
    #expect(listener.failures == [.unreachable])
    call.end()
  }

  @Test("of many datagrams each is told of its deadline once: not before it, and no more than a moment after it")
  func deadlines() throws {
    let upstream = try FakeUpstream { _ in [] }
    defer { upstream.stop() }
    let millisecond: UInt64 = 1_000_000
    let now = Synchronized<UInt64>()
    now.put(millisecond)
    let reactor = try Reactor(
      clocks: Clocks(monotonic: { MonotonicTime(nanoseconds: now.current ?? 0) }, wall: { now.current ?? 0 }))
    let transport = DatagramTransport(reactor)
    var random = SeededRandom(seed: 30)
    // Some of them at the same time: more than are told of between two looks at descriptors.
    let calls = (0..<160).map { number in
      let (listener, due) = (Listener(), number < 40 ? 50 : UInt64.random(in: 2...100, using: &random))
      let deadline = MonotonicTime(nanoseconds: due * millisecond)
      listener.call = transport.send(query, to: Asker.server(upstream.port), deadline: deadline, for: listener)
      return (listener: listener, due: due, endsAt: number % 4 == 3 ? UInt64.random(in: 1...100, using: &random) : .max)
    }
    for time in 1...110 as ClosedRange<UInt64> {
      now.put(time * millisecond)
      for call in calls where call.endsAt == time { call.listener.call?.end() }
      for _ in 0..<4 { reactor.turn() }
      for call in calls {
        let told = call.listener.failures
        if time < call.due { #expect(told.isEmpty) }
        if time >= call.due + 5, call.endsAt > call.due + 5 { #expect(told == [.timeout]) }
        if call.endsAt <= call.due { #expect(told.isEmpty) }
      }
    }
  }
}
