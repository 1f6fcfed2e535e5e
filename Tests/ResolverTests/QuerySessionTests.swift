import AuditLog
import DNSWire
import ResponseCache
import Synchronization
import TestSupport
import Testing

@testable import Resolver

/// An audit log that can be blocked, and that counts how often its writer is woken.
private final class Gate: AuditGate {
  private let blocked = Atomic<Bool>(false)
  private let woken = Atomic<Int>(0)

  var isBlocked: Bool { blocked.load(ordering: .relaxed) }
  var wakes: Int { woken.load(ordering: .relaxed) }

  func block(_ isBlocked: Bool) { blocked.store(isBlocked, ordering: .relaxed) }
  func wake() { woken.wrappingAdd(1, ordering: .relaxed) }
}

/// A session, and what stands around it.
private final class Serving {
  let gate = Gate()
  let current: CurrentSnapshot
  let epoch = FirewallEpoch()
  let reader: AuditRingReader
  /// How often the clocks were read.
  let readings: Readings
  var session: QuerySession

  final class Readings: Sendable {
    private let count = Atomic<UInt64>(0)
    func next() -> UInt64 { count.wrappingAdd(1, ordering: .relaxed).newValue }
    var value: UInt64 { count.load(ordering: .relaxed) }
  }

  init(_ world: World) throws {
    let (ring, readings) = (makeRing(), Readings())
    current = CurrentSnapshot(try world.snapshot())
    reader = AuditRingReader(ring)
    self.readings = readings
    let shared = SharedState(
      current: current, epoch: epoch, audit: gate,
      clocks: { (1000 * second + readings.next(), wall: 1_763_630_062 * second) }, resolveInterface: { _ in 0 },
      sink: { _, _ in })
    session = QuerySession(QueryThread(shared, ring: ring))
  }

  enum Said: Equatable {
    case reply(ResponseCode)
    case pending
    case drop
  }

  private func said(_ body: (inout OutputSpan<UInt8>) -> QuerySession.Disposition) throws -> Said {
    var outcome = QuerySession.Disposition.drop
    let octets = [UInt8](capacity: ReplyWriter.maxDatagram) { outcome = body(&$0) }
    switch outcome {
    case .drop: return .drop
    case .reply: return .reply(try Reply(octets).code)
    case .pending(let question):
      question.state.leave()
      return .pending
    }
  }

  private let source = QuerySource(client: address("10.77.1.2"), port: 40188, transport: .udp, interface: 3)

  /// What becomes of a query in the batch that is under way.
  func ask(_ name: String) throws -> Said {
    let message = Messages.query(name, .A)
    session.screen(5, message.span, from: source.client)
    session.prefetch(6)
    return try said { session.answer(5, message.span, from: source, into: &$0) }
  }

  /// What becomes of a query in a batch of its own.
  func askAlone(_ name: String) throws -> Said {
    let message = Messages.query(name, .A)
    return try said { session.answer(message.span, from: source, into: &$0) }
  }

  /// How many records were made since the last call; the writer sleeps from then on.
  func recorded() -> Int {
    var record = AuditRecord()
    var count = 0
    while case .record = reader.next(into: &record) { count += 1 }
    reader.commit()
    #expect(reader.declareAsleep())
    return count
  }
}

@Suite struct QuerySessionTests {
  @Test func `while the log cannot be written nothing is answered that would have to be recorded (P6)`() throws {
    let serving = try Serving(World())
    for isBlocked in [false, true, false] {
      serving.gate.block(isBlocked)
      #expect(try serving.askAlone("evil.example.com") == .reply(isBlocked ? .SERVFAIL : .NXDOMAIN))
      #expect(try serving.askAlone("api.example.com") == (isBlocked ? .reply(.SERVFAIL) : .pending))
      serving.session.begin()
      #expect(try serving.ask("evil.example.com") == .reply(isBlocked ? .SERVFAIL : .NXDOMAIN))
      serving.session.end()
      #expect(serving.recorded() == (isBlocked ? 0 : 2))
    }
  }

  @Test func `a batch is answered by the snapshot that was in force when it began`() throws {
    let serving = try Serving(World(["api.example.com"]))
    let other = try World(["new.example.com"]).snapshot()
    serving.session.begin()
    serving.current.replace(other)
    #expect(try serving.ask("api.example.com") == .pending && serving.ask("new.example.com") == .reply(.NXDOMAIN))
    #expect(serving.session.snapshot !== other)
    serving.session.end()
    serving.session.begin()
    #expect(try serving.ask("api.example.com") == .reply(.NXDOMAIN) && serving.ask("new.example.com") == .pending)
    #expect(serving.session.snapshot === other)
    serving.session.end()
    serving.current.replace(try World(["api.example.com"]).snapshot())
    #expect(try serving.askAlone("api.example.com") == .pending)
  }

  @Test func `a sleeping audit writer is woken once, at the end of the batch that has something for it`() throws {
    let serving = try Serving(World())
    #expect(serving.recorded() == 0)
    serving.session.begin()
    #expect(try serving.ask("api.example.com") == .pending)
    serving.session.end()
    #expect(serving.gate.wakes == 0, "nothing was recorded")
    serving.session.begin()
    for _ in 0..<3 { #expect(try serving.ask("evil.example.com") == .reply(.NXDOMAIN)) }
    #expect(serving.gate.wakes == 0, "the batch goes on")
    serving.session.end()
    #expect(serving.gate.wakes == 1)
    #expect(try serving.askAlone("evil.example.com") == .reply(.NXDOMAIN))
    #expect(serving.gate.wakes == 1, "it is awake")
    #expect(serving.recorded() == 4)
    #expect(try serving.askAlone("evil.example.com") == .reply(.NXDOMAIN))
    #expect(serving.gate.wakes == 2)
  }

  @Test func `clocks and epoch are read once for a batch, at its beginning`() throws {
    let serving = try Serving(World())
    let epoch = serving.epoch.current
    serving.current.load().servers[0].cache.store(
      Messages.name("api.example.com"), .A,
      CachedResponse(responseCode: .NOERROR, expires: 2000 * second, epoch: epoch))
    let read = serving.readings.value
    serving.session.begin()
    serving.epoch.advance()
    for _ in 0..<2 { #expect(try serving.ask("api.example.com") == .reply(.NOERROR)) }
    serving.session.end()
    #expect(serving.readings.value == read + 1)
    #expect(try serving.askAlone("api.example.com") == .pending)
    #expect(serving.readings.value == read + 2)
  }

  @Test func `a datagram that was not read is counted for its sender's server`() throws {
    let serving = try Serving(World())
    let snapshot = serving.current.load()
    for (client, counts) in [("10.77.1.2", snapshot.servers[0].counts), ("192.0.2.1", snapshot.unknownClients)] {
      let source = QuerySource(client: address(client), port: 40188, transport: .udp, interface: 3)
      serving.session.begin()
      serving.session.countOversized(from: source)
      serving.session.end()
      #expect(counts.total(.malformed) == 1)
    }
  }
}
