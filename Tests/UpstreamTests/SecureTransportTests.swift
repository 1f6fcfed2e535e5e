import DNSWire
import IPNetwork
import LinuxIO
import NIOSSL
import TLS
import TestSupport
import Testing

@testable import Upstream

/// DNS over TLS against an upstream that does as it is told.
@Suite("DNS over TLS")
struct SecureTransportTests {
  private static let authority = Result { try TestAuthority() }
  private static let name = "dns.example.net"
  private static let good = Result { try authority.get().issue(name) }

  private func upstream(
    _ face: FakeSecureUpstream.Face? = nil,
    _ script: @escaping FakeSecureUpstream.Script = { [.message($0.plain.answer([9]))] }
  ) throws -> FakeSecureUpstream {
    try FakeSecureUpstream(face ?? .tls(try Self.good.get()), script)
  }

  private func client(_ name: String = SecureTransportTests.name) throws -> TLSClient {
    try TLSClient(name: name, authorities: TLSAuthorities(file: Self.authority.get().certificate), pins: [])
  }

  private func asker(
    _ upstreams: [FakeSecureUpstream], _ limits: UpstreamLimits = Asker.patient, client: TLSClient? = nil
  ) throws -> Asker {
    let client = try client ?? self.client()
    let servers = upstreams.map {
      UpstreamServer(.tls, address: IPAddress(v4: 0x7F00_0001), port: $0.port, tlsName: Self.name)
    }
    return try Asker(servers, clients: Dictionary(uniqueKeysWithValues: servers.map { ($0, client) }), limits: limits)
  }

  @Test("questions share one connection, in padded messages with ids of its own, and none is in the clear")
  func reuse() throws {
    let upstream = try upstream()
    defer { upstream.stop() }
    let asker = try asker([upstream])
    for name in ["www.example.com", "a-rather-long-label-of-a-name.example.com", "x.example"] {
      #expect(try asker.ask(name).mark == 9)
    }
    #expect(upstream.connections == 1)
    #expect(upstream.arrivals.count == 3)
    #expect(upstream.arrivals.allSatisfy { $0.octets.count == 128 && $0.hasOPT })
    #expect(!upstream.heard("rather") && upstream.heard("example"), "but the server's own name is")
    #expect(asker.pool.statistics.messages == 3)
    #expect(asker.pool.states[0].latency != nil)
    #expect(asker.pool.states[0].address == "tls://127.0.0.1:\(upstream.port)#dns.example.net")
  }

  @Test(
    "messages that leave together are each in a record of their own: what a server decrypts by one reading is one message"
  )
  func records() throws {
    let upstream = try upstream()
    defer { upstream.stop() }
    let asker = try asker([upstream])
    _ = try asker.ask("www.example.com")
    let before = upstream.raw.count
    for name in ["first.example", "second.example", "third.example"] {
      asker.pool.ask(name: Messages.name(name).span, type: .A, for: 1) { _ in
        if upstream.arrivals.count == 4 { asker.reactor.stop() }
      }
    }
    asker.run()
    let records = TLSRecords.counts(Array(upstream.raw[before...]))
    #expect(records.count == 3 && records.allSatisfy { $0 == records[0] && $0 < 2 * 130 }, "octets: \(records)")
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

  struct Refusal: Sendable, CustomTestStringConvertible {
    var failure: TLSFailure
    var face: @Sendable () throws -> FakeSecureUpstream.Face
    var testDescription: String { failure.rawValue }
  }

  @Test(
    "an upstream that does not show who it is gets no octet of a question, and the cause is told once",
    arguments: [
      Refusal(failure: .untrusted) { .tls(try TestAuthority().issue(name)) },
      Refusal(failure: .expired) { .tls(try authority.get().issue(name, days: -3 ... -1)) },
      Refusal(failure: .notYetValid) { .tls(try authority.get().issue(name, days: 1...3)) },
      Refusal(failure: .otherName) { .tls(try authority.get().issue("dns.example.org")) },
      Refusal(failure: .oldVersion) { .tls(try good.get(), newest: .tlsv11) },
      Refusal(failure: .notTLS) { .clear("HTTP/1.1 400 Bad Request\r\n\r\n") },
      Refusal(failure: .cut) { .hangUp },
    ])
  func untrusted(refusal: Refusal) throws {
    let upstream = try upstream(refusal.face())
    defer { upstream.stop() }
    let asker = try asker([upstream])
    var told: [TLSFailure] = []
    asker.pool.onUntrusted = { told.append($1) }
    let result = try asker.ask("secret.example")
    #expect(result.failure == .untrusted(refusal.failure, server: 0))
    #expect(result.failure?.extendedError == .noReachableAuthority)
    try asker.settle()
    #expect(try asker.ask("secret.example").failure == .untrusted(refusal.failure, server: 0))
    #expect(told == [refusal.failure])
    #expect(asker.pool.states[0].fault == refusal.failure)
    #expect(upstream.arrivals.isEmpty)
    #expect(!upstream.heard("secret"))
    #expect(asker.pool.statistics.messages == 0)
  }

  @Test("one that cannot be trusted does not keep a good one from being asked")
  func failover() throws {
    let (bad, good) = (try upstream(.hangUp), try upstream())
    defer {
      bad.stop()
      good.stop()
    }
    let asker = try asker([bad, good])
    #expect(try asker.ask().mark == 9)
  }

  @Test("a connection that ends in the middle of an answer costs another one, and twice the question")
  func cut() throws {
    let upstream = try upstream { arrival in
      let answer = FakeUpstream.framed(arrival.plain.answer([9]))
      return arrival.number == 0 ? [.octets(Array(answer[..<20])), .cut] : [.octets(answer)]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(upstream.connections == 2)
    let always = try self.upstream { [.octets(Array(FakeUpstream.framed($0.plain.answer())[..<20])), .cut] }
    defer { always.stop() }
    let other = try self.asker([always])
    #expect(try other.ask().failure == .network)
    #expect(always.arrivals.count == 2)
  }

  @Test("a connection that the upstream closed while nothing was asked is made anew")
  func idle() throws {
    let upstream = try upstream { [.message($0.plain.answer([9])), .close] }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    try asker.until { _ in upstream.openConnections == 0 }
    #expect(try asker.ask("other.example").mark == 9)
    #expect(upstream.connections == 2)
    #expect(asker.pool.states[0].failures == 0)
  }

  @Test("an idle connection is kept as long as the upstream says")
  func keepalive() throws {
    let option: [UInt8] = [0, 11, 0, 2, 0, 1]
    let upstream = try upstream { arrival in
      var answer = arrival.plain.answer([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6] + option)
      answer[11] = 1
      return [.message(answer)]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().failure == nil)
    #expect(upstream.openConnections == 1)
    try asker.until { _ in upstream.openConnections == 0 }
    #expect(upstream.connections == 1)
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
    let asker = try asker([upstream])
    #expect(try asker.ask().failure == .network)
    #expect(upstream.arrivals.count == 2)
    #expect(asker.pool.statistics.wrongAnswers == 0)
  }

  @Test("an upstream that refuses EDNS is asked without it on the same connection")
  func withoutEDNS() throws {
    let upstream = try upstream { arrival in
      [.message(arrival.hasOPT ? arrival.plain.answer(code: 1) : arrival.plain.answer([9]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(upstream.connections == 1)
    #expect(upstream.arrivals.map(\.hasOPT) == [true, false])
  }

  @Test("a connection by which nothing comes any more is left, and a question is sent once on each")
  func stalled() throws {
    let upstream = try upstream { $0.connection == 0 && $0.number > 0 ? [] : [.message($0.plain.answer([9]))] }
    defer { upstream.stop() }
    let asker = try asker([upstream], Asker.limits(first: 50, longest: 100, total: 400))
    #expect(try asker.ask().mark == 9)
    #expect(try asker.ask("second.example").failure == .timeout)
    #expect(upstream.arrivals.count { !$0.plain.isProbe } == 2)
    try asker.until { _ in upstream.openConnections < 1 || upstream.connections > 1 }
    #expect(try asker.ask("third.example").mark == 9)
    #expect(upstream.connections == 2)
  }

  @Test("an upstream that takes a connection and says nothing costs the time of the question, no more")
  func silent() throws {
    let upstream = try upstream(.silent)
    defer { upstream.stop() }
    let asker = try asker([upstream], Asker.impatient)
    #expect(try asker.ask().failure == .timeout)
    #expect(!upstream.heard("www"))
  }

  @Test("an upstream that is down is connected to again once it runs")
  func restart() throws {
    let first = try upstream()
    var limits = Asker.patient
    limits.unhealthy = 50
    let asker = try asker([first], limits)
    #expect(try asker.ask().mark == 9)
    first.stop()
    #expect(try asker.ask("second.example").failure == .network)
    let second = try FakeSecureUpstream(.tls(try Self.good.get()), port: first.port) {
      [.message($0.plain.answer([8]))]
    }
    defer { second.stop() }
    try asker.until { $0.states[0].isHealthy && second.connections > 0 }
    #expect(try asker.ask("third.example").mark == 8)
  }

  @Test("a server that is asked by TLS and of which nothing is to be believed is not asked, until there is")
  func unknown() throws {
    let upstream = try upstream()
    defer { upstream.stop() }
    let server = UpstreamServer(
      .tls, address: IPAddress(v4: 0x7F00_0001), port: upstream.port, tlsName: Self.name)
    let asker = try Asker([server], clients: [:], limits: Asker.patient)
    #expect(try asker.ask().failure == .network)
    #expect(upstream.connections == 0)
    asker.pool.renew([server: try client()])
    #expect(try asker.ask("second.example").mark == 9)
  }

  @Test("authorities that are read again count for the next connection")
  func renewal() throws {
    let upstream = try upstream()
    defer { upstream.stop() }
    let asker = try asker([upstream], client: client("dns.example.org"))
    #expect(try asker.ask().failure == .untrusted(.otherName, server: 0))
    let server = UpstreamServer(
      .tls, address: IPAddress(v4: 0x7F00_0001), port: upstream.port, tlsName: Self.name)
    asker.pool.renew([server: try client()])
    #expect(asker.pool.states[0].fault == nil, "what was the matter says nothing any more")
    #expect(try asker.ask("second.example").mark == 9)
    #expect(asker.pool.states[0].fault == nil)
  }
}
