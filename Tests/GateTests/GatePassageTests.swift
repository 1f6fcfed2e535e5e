import GateModel
import TestSupport
import Testing

@testable import Gate

@Suite("Connections that pass the gate")
struct GatePassageTests {
  private static let hello = Hello("api.example.com").records()
  private static let answer = Hello.records(Hello.answer([UInt8](repeating: 5, count: 32)))

  /// A gate that knows a name, a client that said it, and its peer, which has answered.
  private func passing(_ limits: GateLoop.Limits = GateLoop.Limits()) throws -> (PlayedGate, client: Plug, peer: Plug) {
    let gate = try PlayedGate(limits)
    try gate.open("api.example.com")
    gate.ready()
    let (client, peer) = try pass(gate)
    return (gate, client, peer)
  }

  private func pass(_ gate: PlayedGate) throws -> (client: Plug, peer: Plug) {
    let count = gate.peers.count
    let client = try gate.client()
    client.send(Self.hello)
    gate.settle()
    let peer = try #require(gate.peers.dropFirst(count).first)
    peer.send(Self.answer)
    gate.settle()
    #expect(client.look() == .open && peer.look() == .open)
    return (client, peer)
  }

  @Test("none before all is known, and none whose record does not stand (P6)")
  func records() throws {
    let gate = try PlayedGate()
    try gate.open("api.example.com")
    let client = try gate.client()
    client.send(Self.hello)
    gate.settle()
    #expect(client.look() == .open && gate.judged.isEmpty)
    gate.records = false
    gate.ready()
    #expect(client.look() == .reset && gate.judged.map(\.verdict) == [.verified])
    #expect(gate.peers.allSatisfy { $0.look() != .open && $0.received.isEmpty })
  }

  @Test("what was left to a predecessor lets none be judged by a table in which nothing stands yet")
  func predecessor() throws {
    let gate = try PlayedGate()
    gate.tell(.ready(process: 1))
    let client = try gate.client()
    client.send(Self.hello)
    gate.settle()
    #expect(client.look() == .open && gate.judged.isEmpty)
    try gate.open("api.example.com")
    gate.ready()
    #expect(gate.judged.map(\.verdict) == [.verified])
  }

  @Test("each side's end is told the other, and ends nothing by itself")
  func halves() throws {
    let (gate, client, peer) = try passing()
    client.finish()
    gate.settle()
    #expect(peer.look() == .closed)
    peer.send([7, 7])
    gate.settle()
    #expect(client.look() == .open && Array(client.received.suffix(2)) == [7, 7])
    peer.finish()
    gate.settle()
    #expect(client.look() == .closed)
  }

  @Test("an end behind octets that had to wait is passed on when they are gone, whichever side speaks then")
  func lateEnd() throws {
    let (gate, client, peer) = try passing()
    let part = [UInt8](repeating: 7, count: 1 << 20)
    var (sent, stuck) = (0, 0)
    while stuck < 3 {
      let count = client.send(part)
      (sent, stuck) = (sent + count, count == 0 ? stuck + 1 : 0)
      gate.settle()
    }
    client.finish()
    gate.settle()
    for _ in 0..<400 where peer.look() == .open {
      // The peer speaks whenever it has made room.
      peer.send([9])
      gate.settle()
      client.look()
    }
    #expect(peer.end == .closed && peer.received.count == Self.hello.count + sent)
    #expect(client.look() == .open)
  }

  @Test("a reset is passed on, from either side")
  func resets() throws {
    let (gate, client, peer) = try passing()
    client.cut()
    gate.settle()
    #expect(peer.look() == .reset)
    let (second, far) = try pass(gate)
    far.cut()
    gate.settle()
    #expect(second.look() == .reset)
    // Found out by what is on its way to it, before the kernel says so.
    let (third, last) = try pass(gate)
    last.send([1, 2])
    third.cut()
    gate.settle()
    #expect(last.look() == .reset)
  }

  @Test("that all is known may be said again")
  func readyAgain() throws {
    let (gate, client, peer) = try passing()
    gate.ready()
    #expect(client.look() == .open && peer.look() == .open)
    _ = try pass(gate)
  }

  @Test("what one side does not take the other cannot send, and every octet arrives in its order")
  func pressure() throws {
    let (gate, client, peer) = try passing()
    let whole = (0..<40).flatMap { part in [UInt8](repeating: UInt8(part), count: 1 << 20) }
    var sent = 0
    var isStuck = 0
    while sent < whole.count, isStuck < 50 {
      let count = client.send(Array(whole[sent..<min(sent + (1 << 20), whole.count)]))
      isStuck = count == 0 ? isStuck + 1 : 0
      sent += count
      gate.settle()
    }
    #expect(sent < whole.count, "the peer takes nothing, and the kernel's buffers and a pipe have an end")
    while sent < whole.count {
      peer.look()
      sent += client.send(Array(whole[sent..<min(sent + (1 << 20), whole.count)]))
      gate.settle()
    }
    client.finish()
    for _ in 0..<2_000 where peer.look() == .open { gate.settle() }
    #expect(peer.end == .closed && Array(peer.received.dropFirst(Self.hello.count)) == whole)
  }

  @Test("small and large by turns, both ways: every octet arrives")
  func turns() throws {
    let (gate, client, peer) = try passing()
    var (up, down) = (Self.hello, Self.answer)
    for round in 0..<60 {
      let octets = [UInt8](repeating: UInt8(round), count: [1, 16_384, 40_000, 300][round % 4])
      #expect(client.send(octets) == octets.count && peer.send(octets) == octets.count)
      (up, down) = (up + octets, down + octets)
      for _ in 0..<4 {
        gate.settle()
        client.look()
        peer.look()
      }
    }
    #expect(peer.received == up && client.received == down)
  }

  @Test("a peer that takes a hello and says nothing is given up after half a minute, and told")
  func silence() throws {
    let gate = try PlayedGate()
    try gate.open("api.example.com")
    gate.ready()
    let client = try gate.client()
    client.send(Self.hello + [UInt8](repeating: 1, count: 10_000))
    gate.settle()
    gate.pass(milliseconds: 29_000)
    #expect(client.look() == .open)
    gate.pass(milliseconds: 1_500)
    #expect(client.look() == .reset && gate.judged.map(\.verdict) == [.verified, .unreachable])
    // One that has answered may say nothing for as long as it likes.
    let (second, peer) = try pass(gate)
    gate.pass(milliseconds: 600_000)
    #expect(second.look() == .open && peer.look() == .open)
  }

  @Test("a client that resets in the middle of its hello leaves nothing behind, and is no event")
  func cutHello() throws {
    let gate = try PlayedGate(GateLoop.Limits(pending: 1, passing: 1))
    try gate.open("api.example.com")
    gate.ready()
    for _ in 0..<3 {
      let client = try gate.client()
      client.send(Array(Self.hello.prefix(60)))
      gate.settle()
      client.cut()
      gate.settle()
    }
    #expect(gate.judged.isEmpty && gate.peers.isEmpty)
    _ = try pass(gate)
    #expect(gate.judged.map(\.verdict) == [.verified], "none had to give way for it")
  }

  @Test("an address that refuses is told, and the client with it")
  func refusal() throws {
    let gate = try PlayedGate()
    try gate.open("api.example.com")
    gate.ready()
    gate.closePeer()
    let client = try gate.client()
    client.send(Self.hello)
    gate.settle()
    #expect(client.look() == .reset && gate.judged.contains { $0.verdict == .unreachable })
  }

  @Test("where no name stands any more that has to be said an address that refuses is not to blame")
  func refusalAtTheEnd() throws {
    let gate = try PlayedGate()
    gate.tell(.open(request: 0, [try gate.holding("api.example.com", milliseconds: 1_000)]))
    try gate.open("plain.example.com", isChecked: false)
    gate.ready()
    gate.closePeer()
    let early = try gate.client()
    gate.settle()
    #expect(early.look() == .reset && gate.judged.map(\.verdict) == [.unreachable])
    gate.pass(milliseconds: 2_000)
    let late = try gate.client()
    gate.settle()
    #expect(late.look() == .reset && gate.judged.map(\.verdict) == [.unreachable, .ended])
  }

  @Test("of a server over its share one is told for each that is cut, and its neighbour has its own")
  func shares() throws {
    let gate = try PlayedGate(GateLoop.Limits(pending: 8, passing: 8))
    try gate.open("api.example.com")
    try gate.open("api.example.com", server: 1)
    gate.ready()
    // Those that have said nothing: the oldest gives way.
    let silent = try (0..<12).map { _ in
      let client = try gate.client()
      gate.settle()
      return client
    }
    let cut = silent.filter { $0.look() == .reset }.count
    #expect(cut > 0 && gate.judged.map(\.verdict) == Array(repeating: .crowded, count: cut))
    #expect(silent.first?.end == .reset && silent.last?.end == .open)
    // Those that pass: the newest is refused.
    let passing = try (0..<12).map { _ in
      let client = try gate.client()
      client.send(Self.hello)
      gate.settle()
      return client
    }
    let refused = passing.filter { $0.look() == .reset }.count
    #expect(refused > 0 && passing.first?.end == .open && passing.last?.end == .reset)
    #expect(gate.judged.filter { $0.verdict == .crowded && $0.said == "api.example.com" }.count == refused)
    let neighbour = try gate.client(of: 1)
    neighbour.send(Self.hello)
    gate.settle()
    #expect(neighbour.look() == .open && gate.judged.last?.verdict == .verified)
  }

  @Test("what passed unread ends with the last name that needs not be said; what said its own stays")
  func unread() throws {
    let (gate, client, peer) = try passing()
    try gate.open("plain.example.com", isChecked: false)
    try gate.open("second.example.com", isChecked: false)
    let unread = try gate.client()
    gate.settle()
    unread.send([1, 2])
    gate.settle()
    let far = try #require(gate.peers.last)
    #expect(far.look() == .open && far.received == [1, 2])
    gate.tell(.close(request: 1, cuts: true, [try gate.holding("second.example.com")]))
    #expect(unread.look() == .open)
    gate.tell(.close(request: 1, cuts: true, [try gate.holding("plain.example.com")]))
    #expect(unread.look() == .reset && far.look() == .reset)
    #expect(client.look() == .open && peer.look() == .open)
    gate.tell(.close(request: 1, cuts: true, [try gate.holding("api.example.com")]))
    #expect(client.look() == .reset && peer.look() == .reset)
  }

  @Test("of many names that need not be said some are kept, and it ends with the last one of all")
  func manyUnread() throws {
    let gate = try PlayedGate()
    let names = (0..<12).map { "n\($0).example.com" }
    for name in names { try gate.open(name, isChecked: false) }
    gate.ready()
    let unread = try gate.client()
    gate.settle()
    gate.tell(.review(request: 2))
    #expect((1...8).contains(gate.passing.count), "\(gate.passing)")
    for name in names.dropLast() {
      gate.tell(.close(request: 3, cuts: true, [try gate.holding(name)]))
    }
    #expect(unread.look() == .open)
    gate.tell(.close(request: 4, cuts: true, [try gate.holding("n11.example.com")]))
    #expect(unread.look() == .reset && gate.cuts.last == 1)
  }

  @Test("one whose name had lapsed is known by it, and cut when it is withdrawn; how many is said")
  func lapsed() throws {
    let gate = try PlayedGate()
    gate.tell(.open(request: 0, [try gate.holding("api.example.com", milliseconds: 1_000)]))
    try gate.open("other.example.com")
    gate.ready()
    let (client, peer) = try pass(gate)
    gate.pass(milliseconds: 20_000)
    #expect(client.look() == .open)
    gate.tell(.review(request: 2))
    #expect(gate.passing == ["api.example.com"])
    gate.tell(.close(request: 3, cuts: true, [try gate.holding("other.example.com")]))
    #expect(client.look() == .open)
    gate.tell(.close(request: 4, cuts: true, [try gate.holding("api.example.com")]))
    #expect(client.look() == .reset && peer.look() == .reset && gate.cuts == [0, 1])
  }

  @Test("one that passed unread goes on when the name that let it in has lapsed, and is cut when that is withdrawn")
  func lapsedUnread() throws {
    let gate = try PlayedGate()
    gate.tell(.open(request: 0, [try gate.holding("plain.example.com", isChecked: false, milliseconds: 1_000)]))
    try gate.open("api.example.com")
    gate.ready()
    let unread = try gate.client()
    gate.settle()
    gate.pass(milliseconds: 20_000)
    gate.tell(.review(request: 2))
    #expect(gate.passing == ["plain.example.com"])
    gate.tell(.close(request: 3, cuts: true, [try gate.holding("api.example.com")]))
    #expect(unread.look() == .open && gate.cuts == [0])
    gate.tell(.close(request: 4, cuts: true, [try gate.holding("plain.example.com")]))
    #expect(unread.look() == .reset && gate.cuts == [0, 1])
  }

  @Test(
    "a name that stood for every port of an address takes connections of each port with it, unless it stands for one still"
  )
  func everyPort() throws {
    let gate = try PlayedGate()
    gate.tell(.open(request: 0, [try gate.holding("api.example.com", everyPort: true)]))
    gate.ready()
    let (client, _) = try pass(gate)
    try gate.open("api.example.com")
    let (second, _) = try pass(gate)
    gate.tell(.close(request: 1, cuts: true, [try gate.holding("api.example.com", everyPort: true)]))
    #expect(client.look() == .open && second.look() == .open)
    try gate.open("api.example.com")
    gate.tell(.open(request: 0, [try gate.holding("api.example.com", everyPort: true)]))
    gate.tell(.close(request: 2, cuts: false, [try gate.holding("api.example.com")]))
    gate.tell(.close(request: 3, cuts: true, [try gate.holding("api.example.com", everyPort: true)]))
    #expect(client.look() == .reset && second.look() == .reset && gate.cuts == [0, 2])
  }

  @Test(
    "of few descriptors those that have said nothing take a part, so that the others have theirs",
    arguments: [(65_536, 4_096, 24_576), (2_048, 384, 576), (1_024, 192, 288), (64, 12, 18), (4, 1, 1)])
  func limits(_ descriptors: Int, _ pending: Int, _ passing: Int) {
    let limits = GateLoop.Limits(descriptors: descriptors)
    #expect(limits == GateLoop.Limits(pending: pending, passing: passing))
    #expect(descriptors < 16 || limits.pending + 2 * limits.passing < descriptors)
  }

  @Test("go on when serve is gone, and no new one is taken")
  func alone() throws {
    let (gate, client, peer) = try passing()
    let waiting = try gate.client()
    gate.settle()
    gate.end()
    #expect(waiting.look() == .reset)
    client.send([4, 5])
    gate.settle()
    #expect(peer.look() == .open && Array(peer.received.suffix(2)) == [4, 5])
    #expect(throws: Plug.RefusedError.self) { try gate.client() }
  }
}
