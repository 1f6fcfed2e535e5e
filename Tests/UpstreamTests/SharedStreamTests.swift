import DNSWire
import IPNetwork
import LinuxIO
import TestSupport
import Testing

@testable import Upstream

/// TCP connections that messages share, with an upstream that is asked by TCP alone.
@Suite("TCP that messages share")
struct SharedStreamTests {
  private func upstream(
    port: UInt16 = 0, _ script: @escaping FakeSecureUpstream.Script = { [.message($0.plain.answer([9]))] }
  ) throws -> FakeSecureUpstream {
    try FakeSecureUpstream(.plain, port: port, script)
  }

  private func asker(_ upstreams: [FakeSecureUpstream], _ limits: UpstreamLimits = Asker.patient) throws -> Asker {
    try Asker(
      upstreams.map { UpstreamServer(.tcp, address: IPAddress(v4: 0x7F00_0001), port: $0.port) }, clients: [:],
      limits: limits)
  }

  @Test("questions share one connection, with ids of its own, and a round trip of it is measured")
  func reuse() throws {
    let upstream = try upstream()
    defer { upstream.stop() }
    let asker = try asker([upstream])
    let names = (0..<20).map { "n\($0).example" }
    #expect(asker.ask(names).values.allSatisfy { $0 == 9 })
    #expect(try asker.ask().mark == 9)
    #expect(upstream.connections == 1 && upstream.arrivals.count == 21)
    // Those that wait at a time have ids that differ; a later one may have an earlier one's.
    #expect(Set(upstream.arrivals.map(\.plain.id)).count >= 20)
    #expect(asker.pool.statistics.messages == 21)
    #expect(asker.pool.states[0].latency != nil)
    #expect(asker.pool.states[0].address == "tcp://127.0.0.1:\(upstream.port)")
  }

  @Test("an upstream that is asked by TCP alone gets no datagram, whatever it says")
  func alone() throws {
    let upstream = try FakeUpstream { arrival in
      arrival.asks("refused") ? [.message(arrival.answer(code: 5))] : [.message(arrival.answer([3]))]
    }
    defer { upstream.stop() }
    let server = UpstreamServer(.tcp, address: IPAddress(v4: 0x7F00_0001), port: upstream.port)
    let asker = try Asker([server], clients: [:], limits: Asker.patient)
    #expect(try asker.ask().mark == 3)
    #expect(try asker.ask("refused.example").failure == .refused(.REFUSED, server: 0))
    #expect(try asker.ask("second.example").mark == 3)
    #expect(upstream.count(overStream: false) == 0)
  }

  @Test("answers come in any order, several in one segment or one in many pieces, and each goes to its question")
  func disorder() throws {
    let held = Synchronized<SecureArrival>()
    let upstream = try upstream { arrival in
      if arrival.number == 0 {
        held.put(arrival)
        return []
      }
      let first = FakeUpstream.framed(held.take()?.plain.answer([1]) ?? [])
      let second = FakeUpstream.framed(arrival.plain.answer([2]))
      return [.octets(second + first[..<1])] + first[1...].map { .octets([$0]) }
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(asker.ask(["first.example", "second.example"]) == ["first.example": 1, "second.example": 2])
    #expect(upstream.connections == 1)
  }

  @Test("an answer whose connection ends right behind it is an answer, and the next question has another connection")
  func halfClosed() throws {
    let upstream = try upstream { [.message($0.plain.answer([9])), .close] }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    for number in 1...3 {
      #expect(try asker.ask("n\(number).example").mark == 9)
      try asker.until { _ in upstream.openConnections == 0 }
      #expect(upstream.connections == number)
    }
    #expect(asker.pool.states[0].failures == 0)
  }

  @Test("what was sent on a connection that had brought answers and ends is sent once more by another one, not twice")
  func repeated() throws {
    let upstream = try upstream { arrival in
      if arrival.plain.asks("last") || arrival.connection == 0 && arrival.number > 0 { return [.cut] }
      return [.message(arrival.plain.answer([9]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(try asker.ask("second.example").mark == 9)
    #expect(upstream.connections == 2 && upstream.arrivals.count == 3)
    #expect(try asker.ask("last.example").failure == .network)
    #expect(upstream.arrivals.count { $0.plain.asks("last") } == 2)
    #expect(asker.pool.statistics.messages == UInt64(upstream.arrivals.count), "each is counted")
  }

  @Test("what was sent by a second connection that had brought answers too is not sent by a third")
  func repeatedOnce() throws {
    let upstream = try upstream { arrival in
      if arrival.plain.asks("last") { return [] }
      return [.message(arrival.plain.answer([9]))] + (arrival.plain.asks("end") ? [.cut] : [])
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    var failure: UpstreamFailure?
    asker.pool.ask(name: Messages.name("last.example").span, type: .A, for: 1) { failure = $0.failure }
    for number in 0..<2 {
      try asker.until { _ in upstream.arrivals.count { $0.plain.asks("last") } == number + 1 }
      #expect(try asker.ask("end\(number).example").mark == 9)
    }
    try asker.until { _ in failure != nil }
    #expect(failure == .network && upstream.arrivals.count { $0.plain.asks("last") } == 2)
  }

  @Test("of an upstream that is asked no more no connection is kept, and of the others each is")
  func removed() throws {
    let (general, zoned) = (try upstream(), try upstream())
    defer { for upstream in [general, zoned] { upstream.stop() } }
    let asker = try asker([general])
    let server = UpstreamServer(.tcp, address: IPAddress(v4: 0x7F00_0001), port: zoned.port)
    asker.pool.use([UpstreamForward(zone: Name(canonical: Messages.name("zone.example").span), servers: [server])])
    #expect(try asker.ask().mark == 9)
    var mark: UInt8?
    asker.pool.ask(name: Messages.name("a.zone.example").span, type: .A, for: 1, as: .init(by: 0)) { mark = $0.mark }
    try asker.until { _ in mark == 9 }
    #expect(zoned.openConnections == 1)
    asker.pool.use([])
    try asker.until { _ in zoned.openConnections == 0 }
    #expect(try asker.ask("second.example").mark == 9)
    #expect(general.connections == 1)
  }

  @Test("of a connection that never brought an answer nothing is sent again")
  func neverAnswered() throws {
    let upstream = try upstream { _ in [.cut] }
    defer { upstream.stop() }
    #expect(try asker([upstream]).ask().failure == .network)
    #expect(upstream.arrivals.count == 1)
  }

  @Test(
    "what answers no question ends the connection, and is no answer",
    arguments: ["another id", "another question", "too short", "truncated"])
  func unasked(kind: String) throws {
    let upstream = try upstream { arrival in
      var answer = arrival.plain.answer([9])
      switch kind {
      case "another id": answer[1] ^= 1
      case "another question": answer[13] ^= 1
      case "too short": return [.octets([0, 2, answer[0], answer[1]])]
      default: answer = arrival.plain.answer(truncated: true)
      }
      return [.message(answer)]
    }
    defer { upstream.stop() }
    #expect(try asker([upstream]).ask().failure == .network)
    #expect(upstream.arrivals.count == 1)
  }

  @Test("a slow answer holds up no other one, and comes when it comes")
  func slow() throws {
    let held = Synchronized<SecureArrival>()
    let upstream = try upstream { arrival in
      if arrival.plain.asks("slow") {
        held.put(arrival)
        return []
      }
      let answer = SecureReaction.message(arrival.plain.answer([9]))
      guard arrival.plain.asks("last"), let late = held.take() else { return [answer] }
      return [answer, .message(late.plain.answer([1]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    var slow: UInt8?
    asker.pool.ask(name: Messages.name("slow.example").span, type: .A, for: 1) { slow = $0.mark }
    for name in ["first.example", "second.example"] { #expect(try asker.ask(name).mark == 9 && slow == nil) }
    #expect(try asker.ask("last.example").mark == 9)
    try asker.until { _ in slow != nil }
    #expect(slow == 1 && upstream.connections == 1)
  }

  @Test("a server that is asked by TCP alone and is silent is left as early as any other")
  func silent() throws {
    let mute = try upstream { _ in [] }
    let good = try upstream { [.message($0.plain.answer([2]))] }
    defer {
      mute.stop()
      good.stop()
    }
    // The longest try would be over in 20 s.
    let asker = try asker([mute, good], Asker.limits(first: 100, longest: 20_000))
    let start = MonotonicTime.now()
    #expect(try asker.ask().mark == 2)
    #expect(mute.arrivals.count { !$0.plain.isProbe } == 1)
    #expect(MonotonicTime.now() < start.adding(milliseconds: 15_000))
  }

  @Test("the next server is asked where one does not listen, and one that listens again is asked again")
  func failover() throws {
    let first = try upstream { [.message($0.plain.answer([1]))] }
    let second = try upstream { [.message($0.plain.answer([2]))] }
    defer { second.stop() }
    var limits = Asker.patient
    limits.unhealthy = 50
    let asker = try asker([first, second], limits)
    first.stop()
    for number in 0..<3 { #expect(try asker.ask("n\(number).example").mark == 2) }
    let again = try upstream(port: first.port) { [.message($0.plain.answer([3]))] }
    defer { again.stop() }
    try asker.until { $0.states[0].isHealthy && again.connections > 0 }
    #expect(again.connections > 0)
  }
}
