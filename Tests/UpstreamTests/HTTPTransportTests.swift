import DNSWire
import HTTP2
import IPNetwork
import LinuxIO
import TLS
import TestSupport
import Testing

@testable import Upstream

/// DNS over HTTPS against an upstream that does as it is told.
@Suite("DNS over HTTPS")
struct HTTPTransportTests {
  private static let authority = Result { try TestAuthority() }
  private static let name = "dns.example.net"
  private static let good = Result { try authority.get().issue(name) }

  private func upstream(
    protocols: [String] = ["h2"], greeting: String? = nil, streams: Int = 100,
    _ script: @escaping FakeHTTPUpstream.Script = { [.message($0.plain.answer([9]))] }
  ) throws -> FakeHTTPUpstream {
    try FakeHTTPUpstream(Self.good.get(), protocols: protocols, greeting: greeting, streams: streams, script)
  }

  private func asker(
    _ upstreams: [FakeHTTPUpstream], _ limits: UpstreamLimits = Asker.patient, name: String = HTTPTransportTests.name
  ) throws -> Asker {
    let client = try TLSClient(
      name: name, authorities: TLSAuthorities(file: Self.authority.get().certificate), pins: [],
      protocols: UpstreamServer.httpProtocols)
    let servers = upstreams.map {
      UpstreamServer(
        .https, address: IPAddress(v4: 0x7F00_0001), port: $0.port, tlsName: name, path: "/dns-query")
    }
    return try Asker(servers, clients: Dictionary(uniqueKeysWithValues: servers.map { ($0, client) }), limits: limits)
  }

  @Test("questions share one connection, in padded messages with id 0, and nothing but them and the server is said")
  func reuse() throws {
    let upstream = try upstream()
    defer { upstream.stop() }
    let asker = try asker([upstream])
    for name in ["www.example.com", "a-rather-long-label-of-a-name.example.com", "x.example"] {
      #expect(try asker.ask(name).mark == 9)
    }
    #expect(upstream.connections == 1)
    #expect(upstream.arrivals.map(\.stream) == [1, 3, 5])
    for arrival in upstream.arrivals {
      #expect(arrival.octets.count == 128 && arrival.plain.id == 0 && arrival.plain.hasOPT)
      // Of the OPT: padding alone, which begins behind the question and eleven octets.
      let options = arrival.octets.count - arrival.plain.name.count - 12 - 4 - 11
      #expect(Array(arrival.octets.suffix(options).prefix(2)) == [0, 12])
      #expect(
        arrival.headers == [
          ":method: POST", ":scheme: https", ":authority: dns.example.net:\(upstream.port)", ":path: /dns-query",
          "accept: application/dns-message", "content-type: application/dns-message", "content-length: 128",
        ])
    }
    #expect(!upstream.heard("rather") && upstream.heard("example"), "but the server's own name is")
    #expect(asker.pool.statistics.messages == 3)
    #expect(asker.pool.states[0].latency != nil)
    #expect(asker.pool.states[0].address == "https://127.0.0.1:\(upstream.port)/dns-query#dns.example.net")
  }

  @Test("answers come in any order, and each goes to its question")
  func disorder() throws {
    let held = Synchronized<HTTPArrival>()
    let upstream = try upstream { arrival in
      if arrival.number == 0 {
        held.put(arrival)
        return []
      }
      let first = held.take()
      return [
        .message(arrival.plain.answer([2])), .message(first?.plain.answer([1]) ?? [], stream: first?.stream),
      ]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(asker.ask(["first.example", "second.example"]) == ["first.example": 1, "second.example": 2])
    #expect(upstream.connections == 1)
  }

  @Test("the upstream's bound on streams holds, and what waits for one is sent as others are answered")
  func streams() throws {
    let upstream = try upstream(streams: 3)
    defer { upstream.stop() }
    let asker = try asker([upstream])
    let names = (0..<60).map { "n\($0).example" }
    #expect(asker.ask(names).values.filter { $0 == 9 }.count == 60)
    #expect(upstream.connections == 1 && upstream.arrivals.count == 60)
    #expect(upstream.mostOpenStreams <= 3)
  }

  @Test(
    "a server that does not choose HTTP/2, or is another, gets no octet of a question", arguments: [[], ["http/1.1"]])
  func untrusted(protocols: [String]) throws {
    let upstream = try upstream(protocols: protocols)
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask("secret.example").failure == .untrusted(.otherProtocol, server: 0))
    #expect(asker.pool.states[0].fault == .otherProtocol)
    #expect(upstream.arrivals.isEmpty && !upstream.heard("secret"))
    let good = try self.upstream()
    defer { good.stop() }
    let other = try self.asker([good], name: "dns.example.org")
    #expect(try other.ask("secret.example").failure == .untrusted(.otherName, server: 0))
    #expect(good.arrivals.isEmpty)
  }

  @Test("a server that speaks something else within TLS is not asked, and the cause is told")
  func greeting() throws {
    let upstream = try upstream(greeting: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    defer { upstream.stop() }
    let asker = try asker([upstream])
    var told: [HTTPFailure] = []
    asker.pool.onHTTPFault = { told.append($1) }
    #expect(try asker.ask("secret.example").failure == .http(.notHTTP2, server: 0))
    #expect(told == [.notHTTP2] && asker.pool.states[0].httpFault == .notHTTP2)
  }

  @Test("a response that is no answer is told with its cause, once, until there is one")
  func refusals() throws {
    let upstream = try upstream { arrival in
      if arrival.plain.asks("missing") || arrival.plain.isProbe { return [.status(404)] }
      if arrival.plain.asks("page") { return [.status(200, type: "text/html")] }
      return [.message(arrival.plain.answer([9]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    var told: [HTTPFailure] = []
    asker.pool.onHTTPFault = { told.append($1) }
    let result = try asker.ask("missing.example")
    #expect(result.failure == .http(.status(404), server: 0))
    #expect(result.failure?.extendedError == .noReachableAuthority)
    try asker.settle()
    #expect(!asker.pool.states[0].isHealthy, "a question of our own was refused too")
    #expect(asker.pool.states[0].httpFault == .status(404))
    #expect(try asker.ask("page.example").failure == .http(.content, server: 0))
    #expect(told == [.status(404), .content])
    #expect(upstream.arrivals.filter { !$0.plain.isProbe }.count == 2, "each is asked once")
    #expect(upstream.connections == 1)
    #expect(try asker.ask().mark == 9)
    #expect(asker.pool.states[0].httpFault == nil && asker.pool.states[0].isHealthy)
  }

  @Test("one that gives no answers does not keep a good one from being asked")
  func failover() throws {
    let (bad, good) = (try upstream { _ in [.status(503)] }, try upstream())
    defer {
      bad.stop()
      good.stop()
    }
    #expect(try asker([bad, good]).ask().mark == 9)
  }

  @Test(
    "what does not answer the question is no answer",
    arguments: ["id", "high id", "question", "letters", "truncated", "too long"])
  func unasked(kind: String) throws {
    let upstream = try upstream { arrival in
      var answer = arrival.plain.answer([9])
      switch kind {
      case "id": answer[1] = 1
      case "high id": answer[0] = 1
      case "question": answer[13] ^= 1
      case "letters": answer[13] ^= 0x20
      case "truncated": answer = arrival.plain.answer(truncated: true)
      default: answer += [UInt8](repeating: 0, count: 65_536)
      }
      return [.message(answer)]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    let failure = try asker.ask().failure
    #expect(failure == (kind == "too long" ? .http(.length, server: 0) : .network))
    #expect(upstream.arrivals.filter { !$0.plain.isProbe }.count == (kind == "too long" ? 1 : 2))
  }

  @Test("a server that leaves is connected to anew; what it did not take is asked again, twice at most")
  func leaving() throws {
    let upstream = try upstream { arrival in
      arrival.connection == 0 ? [.leave(last: 0)] : [.message(arrival.plain.answer([9]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(upstream.connections == 2 && upstream.arrivals.count == 2)
    let always = try self.upstream { _ in [.leave(last: 0)] }
    defer { always.stop() }
    #expect(try self.asker([always]).ask().failure == .network)
    #expect(always.arrivals.count == 2)
  }

  @Test("what a server that leaves has taken it answers, and the next question goes to another connection")
  func quitting() throws {
    let upstream = try upstream { [.leave(last: $0.stream), .message($0.plain.answer([9]))] }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(try asker.ask("second.example").mark == 9)
    #expect(upstream.connections == 2 && upstream.arrivals.count == 2)
  }

  @Test("a stream that the server resets costs another try, and the connection goes on")
  func reset() throws {
    let upstream = try upstream { $0.number == 0 ? [.reset] : [.message($0.plain.answer([9]))] }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(upstream.connections == 1 && upstream.arrivals.count == 2)
  }

  @Test("a connection that ends costs another one, and twice the question")
  func cut() throws {
    let upstream = try upstream { $0.number == 0 ? [.close] : [.message($0.plain.answer([9]))] }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(upstream.connections == 2)
  }

  @Test("an upstream that refuses EDNS is asked without it on the same connection")
  func withoutEDNS() throws {
    let upstream = try upstream { arrival in
      [.message(arrival.plain.hasOPT ? arrival.plain.answer(code: 1) : arrival.plain.answer([9]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream])
    #expect(try asker.ask().mark == 9)
    #expect(upstream.connections == 1)
    #expect(upstream.arrivals.map(\.plain.hasOPT) == [true, false])
  }

  @Test("a stream by which nothing comes is left, and others are asked on")
  func silent() throws {
    let upstream = try upstream(streams: 1) { arrival in
      arrival.plain.asks("silent") ? [] : [.message(arrival.plain.answer([9]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream], Asker.limits(first: 50, longest: 100, total: 400))
    #expect(try asker.ask().mark == 9)
    #expect(try asker.ask("silent.example").failure == .timeout)
    try asker.settle()
    #expect(try asker.ask("second.example").mark == 9)
  }

  @Test("the place of one that is waited for no more goes to one that waits for it")
  func place() throws {
    let upstream = try upstream(streams: 1) { arrival in
      arrival.plain.asks("silent") ? [] : [.message(arrival.plain.answer([9]))]
    }
    defer { upstream.stop() }
    let asker = try asker([upstream], Asker.limits(first: 5_000, longest: 5_000, total: 1_000))
    #expect(try asker.ask().mark == 9)
    asker.pool.ask(name: Messages.name("silent.example").span, type: .A, for: 1) { _ in }
    try asker.until { _ in upstream.arrivals.contains { $0.plain.asks("silent") } }
    var mark: UInt8?
    _ = asker.reactor.schedule(at: .now().adding(milliseconds: 500)) { [asker] in
      asker.pool.ask(name: Messages.name("second.example").span, type: .A, for: 1) { [asker] result in
        mark = result.mark
        asker.reactor.stop()
      }
    }
    asker.run()
    #expect(mark == 9)
  }

  @Test("the time for which an answer was kept on the way is taken off its TTLs")
  func age() throws {
    // A with a TTL of 300 and an owner that points to the question.
    let record: [UInt8] = [0xC0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 9, 9, 9, 9]
    let upstream = try upstream { [.message($0.plain.answer(answers: 1, record), headers: ["age": "100"])] }
    defer { upstream.stop() }
    let answer = try asker([upstream]).ask().get().message
    #expect(Array(answer.suffix(10).prefix(4)) == [0, 0, 0, 200])
  }
}

/// What answers by HTTP have besides.
@Suite("Answers by HTTP")
struct HTTPAnswerTests {
  @Test("an age is taken off every TTL, down to nothing, and off the time for which a name is not there")
  func age() throws {
    func ttl(_ value: Int) -> [UInt8] { Messages.be16(value >> 16) + Messages.be16(value & 0xFFFF) }
    func record(_ type: Int, _ time: Int, _ data: [UInt8]) -> [UInt8] {
      [0xC0, 12] + Messages.be16(type) + [0, 1] + ttl(time) + Messages.be16(data.count) + data
    }
    // Names of the root, then five numbers, the last of which is the minimum.
    func soa(_ minimum: Int) -> [UInt8] { [0, 0] + [UInt8](repeating: 0, count: 16) + ttl(minimum) }
    func message(_ times: [Int]) -> [UInt8] {
      let question = Messages.name("a.example") + [0, 1, 0, 1]
      let opt: [UInt8] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]
      return [0, 0, 0x81, 0x80, 0, 1, 0, 2, 0, 1, 0, 1] + question + record(1, times[0], [1, 2, 3, 4])
        + record(1, times[1], [1, 2, 3, 5]) + record(6, times[2], soa(30)) + opt
    }
    var aged = message([300, 50, 3600])
    UpstreamQuery.age(&aged, by: 10)
    #expect(aged == message([290, 40, 20]))
    UpstreamQuery.age(&aged, by: 100)
    #expect(aged == message([190, 0, 0]))
    UpstreamQuery.age(&aged, by: .max)
    #expect(aged == message([0, 0, 0]))
    var young = message([300, 50, 3600])
    UpstreamQuery.age(&young, by: 0)
    #expect(young == message([300, 50, 3600]))
  }

  @Test("no octets of an answer trap where its age is taken off", arguments: 0..<20)
  func fuzz(seed: Int) {
    var random = SeededRandom(seed: UInt64(seed))
    for _ in 0..<200 {
      var octets = Messages.response("www.example.com", .A)
      for _ in 0..<(1 + random.next() % 8) {
        octets[Int(random.next() % UInt64(octets.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      octets = Array(octets.prefix(12 + Int(random.next() % UInt64(octets.count))))
      let count = octets.count
      UpstreamQuery.age(&octets, by: 7)
      #expect(octets.count == count)
      _ = UpstreamQuery.repeats(
        octets,
        questionOf: UpstreamQuery.message(id: 0, name: Messages.name("www.example.com"), type: .A, withEDNS: true))
    }
  }

  @Test("a query by HTTP has whole blocks too, and does not ask for how long the connection stays")
  func padding() {
    for length in 1...60 {
      let name = Messages.name(String(repeating: "a", count: length) + ".example.com")
      let plain = UpstreamQuery.message(id: 0, name: name, type: .A, withEDNS: true)
      let padded = UpstreamQuery.message(
        id: 0, name: name, type: .A, withEDNS: true, .init(isPadded: true, asksIdle: false))
      #expect(padded.count % 128 == 0 && padded.count - plain.count < 128 + 4)
      #expect(Array(padded[plain.count..<(plain.count + 2)]) == [0, 12])
      #expect(padded.span.read16(plain.count + 2) == UInt16(padded.count - plain.count - 4))
    }
  }

  @Test("whom a request is for is the name that the certificate is for, or the address")
  func authority() {
    let address = IPAddress(v4: 0xC000_0235)
    func authority(_ port: UInt16, _ name: String?) -> String {
      UpstreamServer(.https, address: address, port: port, tlsName: name, path: "/q").authority
    }
    #expect(authority(443, "a.example") == "a.example")
    #expect(authority(8443, "a.example") == "a.example:8443")
    #expect(authority(443, nil) == "192.0.2.53:443")
  }
}
