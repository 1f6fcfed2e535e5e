import BridgeProcesses
import FirewallModel
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import Synchronization
import TestSupport
import Testing

@testable import FirewallBridge

/// Serve's end of the bridge over a socket whose other end a test holds, with a clock that stands still.
@Suite("Serve's end of the bridge")
struct BridgeLinkTests {
  /// Nanoseconds.
  private final class Clock: Sendable {
    private let time = Mutex<UInt64>(1_000_000_000)

    var clocks: Clocks {
      Clocks(monotonic: { [self] in MonotonicTime(nanoseconds: time.withLock { $0 }) }, wall: { 0 })
    }

    func pass(milliseconds: UInt64) { time.withLock { $0 += milliseconds * 1_000_000 } }
  }

  /// A link and the far end of its socket.
  private final class Far {
    private let clock = Clock()
    private let reactor: Reactor
    private var end: Int32
    private var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
    let link: BridgeLink
    let events: Events
    /// What was asked for, in the order in which it came to an end: `ping 3`, and `failed` behind it where it did.
    let ended: Events

    final class Events {
      var list: [String] = []
    }

    /// - Parameter incarnation: of the worker that greets; nil where none does.
    init(greetedBy incarnation: UInt64? = 1) throws {
      reactor = try Reactor(clocks: clock.clocks)
      var pair = try DescriptorPair.sockets(ofMessages: true)
      end = dup(pair.second)
      let events = Events()
      let file = try SharedCounter.makeFile(named: "sluice-test")
      // No process has the number, so there is no status to collect.
      let child = BridgeChild(pid: .max, socket: pair.takeFirst(), alarms: try SharedCounter(file.raw))
      link = try BridgeLink(reactor: reactor, child: child, plan: .sample()) { event in
        if case .up = event { events.list.append("up") } else { events.list.append("\(event)") }
      }
      (self.events, ended) = (events, Events())
      link.onEvictionFailure = { [events] elements, _ in events.list.append("\(elements.count) not closed") }
      if let incarnation { greet(incarnation) }
    }

    deinit { die() }

    func greet(_ incarnation: UInt64) {
      say(
        .hello(
          BridgeGreeting(
            incarnation: incarnation, refresh: .inPlace, generation: 1, plan: FirewallPlan.sample().fingerprint,
            servers: [.all, .all])))
    }

    func say(_ message: BridgeMessage) {
      _ = MessageSocket.send(message.encoded(), end, waiting: false)
      turn()
    }

    func turn() { for _ in 0..<3 { reactor.turn() } }

    /// In steps, so that timers which others set find their time.
    func pass(milliseconds: UInt64) {
      for _ in 0..<milliseconds / 50 {
        clock.pass(milliseconds: 50)
        turn()
      }
    }

    func die() {
      if end >= 0 { close(end) }
      end = -1
    }

    /// The next message of serve's; nil where there is none now.
    func next() -> BridgeMessage? {
      guard case .octets(let octets) = MessageSocket.receive(end, into: &buffer) else { return nil }
      return try? BridgeMessage(decoding: octets)
    }

    /// All that was sent, and what follows when there is room again.
    func all() -> [BridgeMessage] {
      var messages: [BridgeMessage] = []
      while let message = next() {
        messages.append(message)
        turn()
      }
      return messages
    }

    func commit(_ last: UInt32, within milliseconds: UInt64, evicting evictions: [GrantElement] = []) {
      let grant = GrantCommit(element: Self.element(last), lifetimeMilliseconds: 1_000)
      link.commit([grant], evicting: evictions, deadline: reactor.now.adding(milliseconds: milliseconds)) {
        [ended] outcome in
        ended.list.append("\(last) \(outcome)")
      }
    }

    func ping() { link.ping { [ended] in ended.list.append($0 == nil ? "pong" : "no pong") } }

    /// Asks until the socket has no room, and hundreds of messages wait for it.
    ///
    /// - Returns: how often it asked.
    func fill() -> Int {
      for _ in 0..<1_000 { ping() }
      return 1_000
    }

    static func element(_ last: UInt32) -> GrantElement {
      GrantElement(server: 0, address: IPAddress(v4: last), transport: 6, port: 443)
    }
  }

  /// The numbers of requests among messages that are pings.
  private static func pings(_ messages: [BridgeMessage]) -> [UInt32] {
    messages.compactMap { if case .ping(let request) = $0 { request } else { nil } }
  }

  @Test("closing nothing ends at once, and asks the bridge for nothing")
  func nothingToClose() throws {
    let far = try Far()
    var failures: [Bool] = []
    far.link.revoke([]) { failure, flows in failures.append(failure != nil || flows != 0) }
    far.turn()
    #expect(failures == [false])
    far.link.evict([])
    far.turn()
    #expect(far.all().isEmpty)
  }

  @Test("of two deadlines each is kept, also where the later one came last (P2)")
  func deadlines() throws {
    let far = try Far()
    far.commit(1, within: 100)
    far.commit(2, within: 600)
    far.pass(milliseconds: 200)
    #expect(far.ended.list == ["1 late"])
    far.pass(milliseconds: 500)
    #expect(far.ended.list == ["1 late", "2 late"])
  }

  @Test("where the bridge does not run a commit ends at once, not at its deadline")
  func silent() throws {
    let far = try Far()
    far.pass(milliseconds: 3_000)
    #expect(far.events.list.last == "silent")
    far.commit(1, within: 60_000)
    far.turn()
    #expect(far.ended.list == ["1 unavailable"])
  }

  @Test("a worker that greets again has lost nothing, and its successor is asked again")
  func greetings() throws {
    let far = try Far(greetedBy: 2)
    far.ping()
    #expect(Self.pings(far.all()) == [1])
    far.greet(2)
    #expect(Self.pings(far.all()).isEmpty)
    far.greet(3)
    #expect(Self.pings(far.all()) == [1])
    #expect(far.events.list == ["up", "up", "up"])
  }

  @Test("what the former policy left to close is told as not closed, and nothing where it left nothing")
  func otherPlan() throws {
    let far = try Far()
    far.link.install(.sample(table: "other")) { _ in }
    far.turn()
    #expect(far.events.list == ["up"])
    far.commit(1, within: 60_000)
    // It waits behind the first.
    far.commit(2, within: 60_000, evicting: [Far.element(7)])
    far.link.install(.sample(table: "third")) { _ in }
    far.turn()
    #expect(far.events.list == ["up", "1 not closed"])
  }

  @Test("of a bridge that is gone every request fails, those that waited and those that come")
  func gone() throws {
    let far = try Far()
    far.ping()
    far.die()
    far.turn()
    #expect(far.events.list == ["up", "down"] && far.ended.list == ["no pong"])
    far.ping()
    far.commit(1, within: 60_000)
    far.turn()
    far.pass(milliseconds: 20_000)
    #expect(far.events.list == ["up", "down"] && far.ended.list == ["no pong", "no pong", "1 unavailable"])
  }

  @Test("more requests than a bound fail at once, and no longer when others have ended (P8)")
  func bound() throws {
    let far = try Far()
    for _ in 0..<1_024 { far.ping() }
    far.turn()
    #expect(far.ended.list.isEmpty)
    far.ping()
    far.turn()
    #expect(far.ended.list == ["no pong"])
    far.say(.done(request: 1, refusal: nil, flows: 0, text: ""))
    far.ping()
    far.turn()
    #expect(far.ended.list == ["no pong", "pong"])
  }

  @Test("what finds no room in the socket is sent later, all of it, in the order in which it was asked")
  func room() throws {
    let far = try Far()
    let count = UInt32(far.fill())
    // There is room for one, and more than one waits.
    var seen = try [#require(far.next())]
    far.turn()
    seen += try [#require(far.next())]
    far.ping()
    #expect(Self.pings(seen + far.all()) == Array(1...count + 1))
  }

  @Test("while the socket has no room commits wait here, where what is closed meanwhile takes them back (P2)")
  func waitingForRoom() throws {
    let far = try Far()
    let count = far.fill()
    far.commit(1, within: 60_000)
    far.commit(2, within: 60_000)
    far.link.revoke([Far.element(1)])
    far.turn()
    #expect(far.ended.list == ["1 unavailable"])
    let messages = far.all()
    #expect(Self.pings(messages).count == count)
    let units = messages.flatMap { message -> [UnitGrant] in
      if case .grants(_, _, let grants) = message { grants } else { [] }
    }
    #expect(units.map(\.commit.element) == [Far.element(2)])
  }
}
