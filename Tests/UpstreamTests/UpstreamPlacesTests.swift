import DNSWire
import HTTP2
import IPNetwork
import TLS
import TestSupport
import Testing

@testable import Upstream

/// Who is asked, in which order, and what is told of it: without a socket.
@Suite struct UpstreamPlacesTests {
  private static func server(_ number: Int, _ scheme: UpstreamServer.Scheme = .udp) throws -> UpstreamServer {
    UpstreamServer(scheme, address: try #require(IPAddress("192.0.2.\(number)")), port: 53)
  }

  private static func forward(_ zone: Int, _ servers: [Int]) throws -> UpstreamForward {
    UpstreamForward(
      zone: Name(canonical: Messages.name("zone\(zone).example").span), servers: try servers.map { try server($0) })
  }

  private static func places(_ servers: [UpstreamServer]) -> UpstreamPlaces {
    var count: UInt64 = 0
    return UpstreamPlaces(servers) {
      count += 1
      return count
    }
  }

  @Test("a place is another's only once nothing in flight is about it, and nothing is known of who has it then")
  func places() throws {
    var places = Self.places([try Self.server(1)])
    var first = places.use([try Self.forward(1, [2])], chance: { 7 }, isFree: { _ in true })
    #expect(first == [1] && places.used == [0, 1])
    places[1].health.heard(now: 5)
    _ = places[1].note(TLSFailure.otherProtocol)
    let cookie = places[1].cookie.octets(now: 0)
    first = places.use([try Self.forward(2, [3])], chance: { 8 }, isFree: { $0 != 1 })
    #expect(first == [2], "the first one's place is in flight")
    #expect(places[1].server == (try Self.server(2)) && places[1].health.hasAnswered)
    let second = places.use([try Self.forward(3, [4])], chance: { 9 }, isFree: { _ in true })
    #expect(second == [1] && places.count == 3)
    #expect(!places[1].health.hasAnswered && places[1].fault == nil && places[1].cookie.octets(now: 0) != cookie)
  }

  @Test(
    "a second server is asked early where the first is slow now and then, as long as few questions were asked of two")
  func early() throws {
    var places = Self.places([try Self.server(1), try Self.server(2)])
    for server in 0..<2 {
      for _ in 0..<100 { places[server].health.answered(after: 10 + Double(server), now: 1) }
    }
    var order = UpstreamOrder(UpstreamLimits())
    let first = order.candidates([0, 1], places, now: 2)[0].hedge
    for _ in 0..<20 { order.hedged() }
    let next = order.candidates([0, 1], places, now: 2)[0].hedge
    #expect(first != nil && next == nil)
  }

  @Test("a zone whose servers stay is asked on the same way; one whose servers change on another")
  func ways() throws {
    var places = Self.places([try Self.server(1)])
    _ = places.use([try Self.forward(1, [2]), try Self.forward(2, [2])], chance: { 0 }, isFree: { _ in true })
    let before = places.forwards.map(\.number)
    #expect(Set(before + [places.general.number]).count == 3)
    #expect(places.forwards[0].servers != places.forwards[1].servers, "of one zone nothing is known for another")
    _ = places.use([try Self.forward(1, [2]), try Self.forward(2, [3])], chance: { 0 }, isFree: { _ in true })
    #expect(places.forwards[0].number == before[0] && !before.contains(places.forwards[1].number))
  }

  @Test("the same is told once of a server, until it was heard", arguments: [false, true])
  func faults(byHTTP: Bool) throws {
    var upstream = KnownUpstream(try Self.server(1, .https), zone: nil, chance: 1)
    func note(_ upstream: inout KnownUpstream, _ first: Bool) -> Bool {
      byHTTP
        ? upstream.note(first ? HTTPFailure.notHTTP2 : .status(404))
        : upstream.note(first ? TLSFailure.otherProtocol : .expired)
    }
    #expect(note(&upstream, true) == true)
    #expect(note(&upstream, true) == false)
    #expect(note(&upstream, false) == true)
    #expect(note(&upstream, true) == true)
    #expect((upstream.fault == nil) == byHTTP && (upstream.httpFault == nil) != byHTTP)
    upstream.forgetFaults()
    #expect(upstream.fault == nil && upstream.httpFault == nil)
    #expect(note(&upstream, true) == true)
  }

  @Test("servers are asked healthy before unhealthy, then in secret before in the clear, and then by latency")
  func order() throws {
    var places = Self.places([
      try Self.server(1), try Self.server(2), try Self.server(3, .tls), try Self.server(4, .tls),
    ])
    for (place, latency) in [30.0, 10, 90, 1].enumerated() { places[place].health.answered(after: latency, now: 1) }
    _ = places[3].health.failed(now: 2, UpstreamLimits())
    var order = UpstreamOrder(UpstreamLimits())
    let candidates = order.candidates([0, 1, 2, 3], places, now: 3)
    #expect(candidates.map(\.server) == [2, 1, 0, 3])
    #expect(candidates.map(\.isSecure) == [true, false, false, true])
    #expect(candidates[0].hedge == nil, "the next one is easier to overhear")
  }

  @Test("no question goes early, or before its turn, to a server by which it is easier to overhear", arguments: 1...8)
  func secrecy(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let schemes: [UpstreamServer.Scheme] = (0..<4).map { _ in random.next() % 2 == 0 ? .udp : .tls }
    var places = Self.places(try schemes.enumerated().map { try Self.server($0 + 1, $1) })
    for place in 0..<4 {
      let (latency, time) = (Double(random.next() % 100), random.next() % 9)
      for _ in 0..<100 { places[place].health.answered(after: latency, now: time) }
    }
    var order = UpstreamOrder(UpstreamLimits())
    let isMixed = Set(schemes).count > 1
    var firsts: Set<Int> = []
    for now in 10..<200 {
      let candidates = order.candidates([0, 1, 2, 3], places, now: UInt64(now))
      let (first, second) = (candidates[0], candidates[1])
      firsts.insert(first.server)
      #expect(!isMixed || first.isSecure)
      #expect(first.hedge == nil || second.isSecure || !first.isSecure)
    }
    let peers = schemes.count { $0 == (isMixed ? .tls : schemes[0]) }
    #expect(firsts.count == min(peers, 2), "one of them is asked now and then, lest what is known of it grows old")
  }
}
