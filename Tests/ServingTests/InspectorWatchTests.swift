import EgressPolicy
import GateModel
import GrantLedger
import IPNetwork
import Testing

@testable import Serving

@Suite("What serve knows of inspectors and of the connections that go through them")
struct InspectorWatchTests {
  private static let second: UInt64 = 1_000_000_000
  private let proxy = Inspector(address: IPAddress(v4: 0x7F00_0001), port: 8080)
  private let other = Inspector(address: IPAddress(v4: 0x7F00_0001), port: 8081)

  @Test("an incident is told once, and its end once connections are taken and ten seconds were quiet")
  func incident() {
    var watch = InspectorWatch()
    let nothing = watch.passed(proxy)
    #expect(nothing == nil && watch.down.isEmpty)
    let begins = watch.failed(proxy, now: 5 * Self.second)
    let again = watch.failed(proxy, now: 6 * Self.second)
    #expect(begins && !again && watch.down == [proxy] && watch.count == 1)
    let quiet = 6 * Self.second + InspectorWatch.quiet
    let early = watch.settle(proxy, now: quiet)
    #expect(early == nil, "it takes none yet")
    let looks = [watch.passed(proxy), watch.passed(proxy)]
    #expect(looks == [quiet, nil] && watch.down.isEmpty)
    let ends = [quiet - 1, quiet, quiet].map { watch.settle(proxy, now: $0) }
    #expect(ends == [nil, InspectorWatch.Ended(milliseconds: 11_000, refused: 2), nil])
  }

  @Test("one that fails and takes by turns makes no more than an event in ten seconds, whatever a server does")
  func flapping() {
    var watch = InspectorWatch()
    var (begun, ended) = (0, 0)
    for step in 0..<1_000 as Range<UInt64> {
      let now = step * Self.second / 10
      if watch.failed(proxy, now: now) { begun += 1 }
      _ = watch.passed(proxy)
      if watch.settle(proxy, now: now + 1) != nil { ended += 1 }
    }
    #expect(begun == 1 && ended == 0 && watch.count == 1)
    // Another one has incidents of its own, and of what policy names no more nothing is told.
    let second = watch.failed(other, now: 200 * Self.second)
    #expect(second)
    watch.keep([proxy])
    #expect(watch.down.isEmpty)
  }

  private func entry(_ connection: UInt64, server: UInt16 = 0) -> InspectedConnections.Entry {
    let gated = GatedConnection(
      verdict: .verified,
      element: GrantElement(server: server, address: IPAddress(v4: 0xC000_0207), transport: 6, port: 443),
      client: IPAddress(v4: 0x0A4D_0102), clientPort: 40_000, said: "api.example.com", length: 517, time: 0)
    return InspectedConnections.Entry(
      connection: connection, inspector: proxy, gated: gated, rule: "policy.yaml:3", ended: nil)
  }

  @Test("a connection is known by an id that cannot be guessed, while it lives and for a minute after")
  func ids() throws {
    var known = InspectedConnections()
    var ids: Set<String> = []
    for connection in 1...500 as ClosedRange<UInt64> {
      let entered = known.enter(entry(connection), now: 0)
      let id = try #require(entered)
      #expect(id.count == 32 && ids.insert(id).inserted)
      #expect(known[id]?.connection == connection && known[id]?.ended == nil)
    }
    let first = try #require(ids.first)
    let connection = try #require(known[first]?.connection)
    #expect(known["\(connection)"] == nil && known[""] == nil)
    known.ended(connection, now: 5)
    #expect(known.entry(of: connection) == nil && known[first]?.ended == 5)
    known.ended(1_000, now: 5)
    let later = 6 + InspectedConnections.memory
    _ = known.enter(entry(1_001), now: later)
    #expect(known[first] == nil && known.count == 500)
    // Another gate counts from the beginning.
    known.endAll(now: later)
    _ = known.enter(entry(1), now: later)
    #expect(known.entry(of: 1)?.ended == nil && known.entry(of: 2) == nil)
  }

  @Test("no more live than have a place, and a gate that says one number again and again takes none for good (P8)")
  func living() {
    var known = InspectedConnections()
    for connection in 0..<UInt64(InspectedConnections.maximumLiving) { _ = known.enter(entry(connection), now: 0) }
    let refused = known.enter(entry(99_999), now: 1)
    #expect(refused == nil && known.count == InspectedConnections.maximumLiving)
    known.ended(0, now: 1)
    let taken = known.enter(entry(99_999), now: 2)
    #expect(taken != nil)
    let again = (3..<20_000 as Range<UInt64>).map { known.enter(entry(7), now: $0) }
    #expect(again.allSatisfy { $0 != nil })
    #expect(known.count == InspectedConnections.maximumLiving + InspectedConnections.maximumEnded)
  }

  @Test("of one server so many may end that others' are forgotten neither before their time nor after (P8)")
  func shares() throws {
    var known = InspectedConnections()
    // A neighbour, a server that opens 2,000 a second, and another one that does.
    let own = (0..<1_000 as Range<UInt64>).map { known.enter(entry($0), now: 0) }.compactMap(\.self)
    for connection in 0..<1_000 as Range<UInt64> { known.ended(connection, now: 0) }
    var last: String?
    for connection in 1_000..<30_000 as Range<UInt64> {
      last = known.enter(entry(connection, server: 1 + UInt16(connection % 2)), now: 1)
      known.ended(connection, now: 1)
    }
    #expect(own.count == 1_000 && own.allSatisfy { known[$0] != nil })
    #expect(last.flatMap { known[$0] } != nil, "of those that open many the last are known")
    #expect(known.count <= InspectedConnections.maximumEnded)
    known.ended(0, now: 2 + InspectedConnections.memory)
    #expect(known.count == 0)
  }

  @Test("of what a proxy did only what is its own fault begins an incident: a server can ask for what it says no to")
  func faults() {
    let blamed = GateVerdict.allCases.filter { $0.inspectorFault != nil }
    #expect(blamed == [.inspectorGone, .inspectorSilent, .inspectorGarbled])
    #expect(GateVerdict.allCases.filter(\.isOfInspector) == [.inspectorRefused] + blamed)
  }
}
