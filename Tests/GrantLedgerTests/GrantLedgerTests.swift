import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import GrantLedger

let second: UInt64 = 1_000_000_000

func key(_ name: String, server: UInt16 = 0, type: RRType = .A) throws -> GrantLedger.Key {
  GrantLedger.Key(server: server, name: try Name(hostname: name), type: type)
}

func address(_ last: Int) -> IPAddress { IPAddress(v4: 0x0909_0900 + UInt32(last)) }

func element(_ last: Int, server: UInt16 = 0, port: UInt16 = 443) -> GrantElement {
  GrantElement(server: server, address: address(last), transport: 6, port: port)
}

func makeLedger(minimum: UInt64 = 60, grace: UInt64 = 30, maximum: UInt64 = 3600, elements: Int = 1000) -> GrantLedger {
  GrantLedger(
    lifetimes: .init(minimum: minimum * second, grace: grace * second, maximum: maximum * second),
    maxElementsPerServer: elements)
}

extension GrantLedger {
  mutating func plan(
    _ key: Key, _ addresses: [Int], ttl: UInt64, now: UInt64, epoch: UInt64 = 1, ports: [UInt16] = [443]
  ) throws -> Plan {
    let answer = Answer(
      key: key, addresses: addresses.map(address), targets: ports.map { (6, $0) }, ttl: ttl * second)
    return try plan(answer, now: now, epoch: epoch)
  }

  /// Plan, ack and promise in one moment.
  @discardableResult
  mutating func open(_ key: Key, _ addresses: [Int], ttl: UInt64, now: UInt64, epoch: UInt64 = 1) throws -> UInt64? {
    let plan = try plan(key, addresses, ttl: ttl, now: now, epoch: epoch)
    committed(plan.commits, askedAt: now, epoch: epoch)
    return promise(key, elements: plan.elements, now: now, epoch: epoch)
  }
}

@Suite("The grant ledger")
struct GrantLedgerTests {
  @Test(
    "a grant lives clamp(TTL + grace, minimum, maximum)",
    arguments: [
      (0, 60), (29, 60), (30, 60), (31, 61), (300, 330), (3570, 3600), (3571, 3600), (86_400, 3600),
    ] as [(UInt64, UInt64)])
  func lifetime(ttl: UInt64, expected: UInt64) throws {
    var ledger = makeLedger()
    let plan = try ledger.plan(try key("a.example"), [1], ttl: ttl, now: 5)
    #expect(plan.commits == [GrantCommit(element: element(1), lifetimeMilliseconds: UInt32(expected * 1000))])
    ledger.committed(plan.commits, askedAt: 5, epoch: 1)
    #expect(ledger.promise(try key("a.example"), elements: plan.elements, now: 5, epoch: 1) == 5 + expected * second)
  }

  @Test("nothing is promised before it is committed, in another epoch, or after its end")
  func promiseNeedsCommit() throws {
    var ledger = makeLedger()
    let a = try key("a.example")
    let plan = try ledger.plan(a, [1, 2], ttl: 60, now: 0)
    #expect(ledger.promise(a, elements: plan.elements, now: 0, epoch: 1) == nil)
    ledger.committed([plan.commits[0]], askedAt: 0, epoch: 1)
    #expect(ledger.promise(a, elements: plan.elements, now: 0, epoch: 1) == nil)
    ledger.committed([plan.commits[1]], askedAt: 0, epoch: 1)
    #expect(ledger.promise(a, elements: plan.elements, now: 0, epoch: 2) == nil)
    #expect(ledger.promise(a, elements: plan.elements, now: 90 * second, epoch: 1) == nil)
    #expect(ledger.promise(a, elements: plan.elements, now: 90 * second - 1, epoch: 1) == 90 * second)
    #expect(ledger.promise(a, elements: [], now: 0, epoch: 1) == nil)
  }

  @Test("an element that lives long enough is not committed again, a shorter one is extended, none is shortened")
  func extending() throws {
    var ledger = makeLedger()
    try ledger.open(try key("a.example"), [1], ttl: 300, now: 0)
    let b = try key("b.example")
    #expect(try ledger.plan(b, [1], ttl: 300, now: 0).commits.isEmpty)
    #expect(try ledger.plan(b, [1], ttl: 10, now: 0).commits.isEmpty)
    let extended = try ledger.plan(b, [1], ttl: 301, now: 0)
    #expect(extended.commits.map(\.lifetimeMilliseconds) == [331_000])
    // Asked for, not yet acknowledged: another commit must not undo it.
    #expect(
      try ledger.plan(try key("c.example"), [1], ttl: 300, now: second).commits.map(\.lifetimeMilliseconds) == [330_000]
    )
    let other = try ledger.plan(try key("d.example"), [1], ttl: 10, now: 0, epoch: 2)
    #expect(other.commits.map(\.lifetimeMilliseconds) == [331_000])
  }

  @Test("a renewal or replay does not shorten what another name asked for meanwhile")
  func renewalKeeps() throws {
    var ledger = makeLedger()
    try ledger.open(try key("a.example"), [1], ttl: 100, now: 0)
    _ = try ledger.plan(try key("b.example"), [1], ttl: 500, now: 0, epoch: 2)
    #expect(ledger.renewal(of: [element(1)], now: 0, epoch: 2).map(\.lifetimeMilliseconds) == [530_000])
    #expect(ledger.replay(now: 0).map(\.lifetimeMilliseconds) == [530_000])
  }

  @Test("an ack of an epoch that is over does not undo one of the present")
  func lateAck() throws {
    var ledger = makeLedger()
    let a = try key("a.example")
    let plan = try ledger.plan(a, [1], ttl: 60, now: 0, epoch: 1)
    let again = try ledger.plan(a, [1], ttl: 60, now: 0, epoch: 2)
    ledger.committed(again.commits, askedAt: 0, epoch: 2)
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    #expect(ledger.promise(a, elements: plan.elements, now: 0, epoch: 2) == 90 * second)
  }

  @Test("an address of two names stays open until the last of them leaves")
  func shared() throws {
    var ledger = makeLedger()
    let (a, b) = (try key("a.example"), try key("b.example"))
    try ledger.open(a, [1, 2], ttl: 300, now: 0)
    try ledger.open(b, [2, 3], ttl: 300, now: 0)
    let ended = ledger.end(now: 0) { $0 == a }.closed
    #expect(ended == [element(1)])
    #expect(ledger.elementCount == 2)
    #expect(Set(ledger.end(now: 0) { $0 == b }.closed) == [element(2), element(3)])
    #expect(ledger.elementCount == 0 && ledger.end(now: 0) { _ in true }.closed.isEmpty)
  }

  @Test("servers do not share: the same address of two servers is two elements")
  func servers() throws {
    var ledger = makeLedger()
    try ledger.open(try key("a.example"), [1], ttl: 300, now: 0)
    try ledger.open(try key("a.example", server: 1), [1], ttl: 300, now: 0)
    #expect(ledger.elementCount == 2)
    #expect(ledger.end(now: 0) { $0.server == 1 }.closed == [element(1, server: 1)])
    #expect(ledger.name(of: address(1), server: 1, now: 0) == nil)
    #expect(ledger.name(of: address(1), server: 0, now: 0)?.name.description == "a.example")
  }

  @Test("a name that is dropped takes the addresses of its earlier answers with it")
  func rotated() throws {
    var ledger = makeLedger()
    let a = try key("a.example")
    try ledger.open(a, [1], ttl: 300, now: 0)
    try ledger.open(a, [2], ttl: 300, now: second)
    try ledger.open(a, [3], ttl: 10, now: 2 * second)
    #expect(ledger.name(of: address(1), server: 0, now: 2 * second)?.name == a.name)
    #expect(Set(ledger.end(now: 0) { $0 == a }.closed) == [element(1), element(2), element(3)])
  }

  @Test("a name whose time is over holds nothing back")
  func overdue() throws {
    var ledger = makeLedger()
    let (a, b) = (try key("a.example"), try key("b.example"))
    try ledger.open(a, [1], ttl: 60, now: 0)
    try ledger.open(b, [1], ttl: 600, now: 0)
    let ended = ledger.end(now: 100 * second) { $0 == b }.closed
    #expect(ended == [element(1)])
  }

  @Test("a name that is dropped takes what was asked for and not acknowledged with it")
  func unacknowledged() throws {
    var ledger = makeLedger()
    let a = try key("a.example")
    let plan = try ledger.plan(a, [1], ttl: 300, now: 0)
    let ended = ledger.end(now: 0) { $0 == a }.closed
    #expect(ended == [element(1)])
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    #expect(ledger.promise(a, elements: plan.elements, now: 0, epoch: 1) == nil)
    #expect(ledger.replay(now: 0).isEmpty)
  }

  @Test("an address is named after the name it was opened for last that is still open")
  func names() throws {
    var ledger = makeLedger()
    try ledger.open(try key("long.example"), [1], ttl: 1000, now: 0)
    try ledger.open(try key("short.example"), [1], ttl: 50, now: second)
    #expect(ledger.name(of: address(1), server: 0, now: second)?.name.description == "short.example")
    _ = ledger.end(now: second) { $0.name.description == "short.example" }
    #expect(ledger.name(of: address(1), server: 0, now: second)?.name.description == "long.example")
    #expect(ledger.name(of: address(1), server: 0, now: second)?.until == 1030 * second)
    #expect(ledger.name(of: address(1), server: 0, now: 1030 * second) == nil)
    #expect(ledger.name(of: address(2), server: 0, now: second) == nil)
  }

  @Test("a full set refuses what needs more room, and changes nothing")
  func full() throws {
    var ledger = makeLedger(elements: 3)
    try ledger.open(try key("a.example"), [1, 2], ttl: 300, now: 0)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("b.example"), [3, 4], ttl: 300, now: 0)
    }
    #expect(ledger.elementCount == 2)
    #expect(try ledger.plan(try key("b.example"), [1, 2, 3], ttl: 300, now: 0).commits.map(\.element) == [element(3)])
    #expect(try ledger.plan(try key("b.example", server: 1), [1, 2, 3], ttl: 300, now: 0).commits.count == 3)
    // Room comes back with time.
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("c.example"), [9], ttl: 1, now: 330 * second - 1)
    }
    #expect(try ledger.plan(try key("c.example"), [7, 8, 9], ttl: 1, now: 330 * second).commits.count == 3)
  }

  @Test("any number of names that lead to one address is bounded as well")
  func manyNames() throws {
    var ledger = makeLedger(elements: 50)
    for index in 0..<50 { try ledger.open(try key("n\(index).example"), [1], ttl: 300, now: 0) }
    #expect(throws: GrantLedger.CapacityError.setFull) { try ledger.plan(try key("x.example"), [1], ttl: 300, now: 0) }
    #expect(throws: Never.self) { try ledger.plan(try key("n7.example"), [1], ttl: 300, now: 0) }
    #expect(throws: Never.self) { try ledger.plan(try key("x.example"), [1], ttl: 300, now: 330 * second) }
  }

  @Test("an address that stands twice in an answer is one element")
  func repeated() throws {
    var ledger = makeLedger(elements: 2)
    let plan = try ledger.plan(try key("a.example"), [1, 1, 2, 1], ttl: 300, now: 0)
    #expect(plan.elements == [element(1), element(2)] && plan.commits.count == 2)
  }

  @Test("the elements of an answer are known until its grant ends")
  func elements() throws {
    var ledger = makeLedger()
    let a = try key("a.example")
    let until = try #require(try ledger.open(a, [1, 2], ttl: 300, now: 0))
    #expect(ledger.elements(of: a, now: until - 1) == [element(1), element(2)])
    #expect(ledger.elements(of: a, now: until) == nil)
    #expect(ledger.elements(of: try key("b.example"), now: 0) == nil)
  }
}

/// Everything that was ever acknowledged or asked for, looked through from the start for every question.
private struct Oracle {
  struct Ask {
    var key: GrantLedger.Key
    var element: GrantElement
    /// When what was asked for on behalf of this key ends.
    var until: UInt64
  }

  struct Ack {
    var element: GrantElement
    var until: UInt64
    var epoch: UInt64
  }

  var asks: [Ask] = []
  var acks: [Ack] = []
  /// What the kernel was last asked for, by any question.
  var requested: [GrantElement: UInt64] = [:]

  /// Until when a question wants an element, whatever others want.
  func asked(_ key: GrantLedger.Key, _ element: GrantElement) -> UInt64 {
    asks.filter { $0.key == key && $0.element == element }.map(\.until).max() ?? 0
  }

  func committedUntil(_ element: GrantElement, epoch: UInt64) -> UInt64 {
    acks.filter { $0.element == element && $0.epoch == epoch }.map(\.until).max() ?? 0
  }
}

@Suite("The grant ledger against a brute-force oracle")
struct GrantLedgerOracleTests {
  @Test("promises, renewals, ends and replays agree over random histories", arguments: 0..<60)
  func histories(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let minimum = UInt64.random(in: 1...100, using: &random)
    let maximum = UInt64.random(in: minimum...400, using: &random)
    let grace = UInt64.random(in: 0...50, using: &random)
    var ledger = makeLedger(minimum: minimum, grace: grace, maximum: maximum)
    var oracle = Oracle()
    var (now, epoch) = (second, UInt64(1))
    /// The kernel's view: what it was told, in order.
    var kernel: [GrantElement: UInt64] = [:]
    var promised = 0
    let keys = try (0..<5).map { try key("n\($0).example", server: UInt16($0 % 2)) }
    for _ in 0..<300 {
      now += UInt64.random(in: 0...(15 * second), using: &random)
      let key = keys[Int.random(in: 0..<5, using: &random)]
      switch Int.random(in: 0..<12, using: &random) {
      case 0:
        epoch += 1
        kernel = [:]
      case 1:
        let outcome = ledger.end(now: now) { $0 == key }
        let (closed, shortened) = (outcome.closed, outcome.shortened)
        let ended = Set(closed)
        let held = Set(oracle.asks.filter { $0.key == key && $0.until > now }.map(\.element))
        let others = Set(oracle.asks.filter { $0.key != key && $0.until > now }.map(\.element))
        // What ended by itself meanwhile may be named or not; what is open must be exact.
        #expect(ended.isSuperset(of: held.subtracting(others)))
        #expect(ended.isDisjoint(with: others))
        oracle.asks.removeAll { $0.key == key }
        oracle.acks.removeAll { ended.contains($0.element) }
        for element in ended {
          kernel[element] = nil
          oracle.requested[element] = nil
        }
        for commit in shortened {
          let left = oracle.asks.filter { $0.element == commit.element }.map(\.until).max() ?? 0
          let ends = now + UInt64(commit.lifetimeMilliseconds) * 1_000_000
          #expect(ends >= left && ends < left + 1_000_000 && left < oracle.requested[commit.element] ?? 0)
          oracle.requested[commit.element] = left
          kernel[commit.element] = ends
          for index in oracle.acks.indices where oracle.acks[index].element == commit.element {
            oracle.acks[index].until = min(oracle.acks[index].until, left)
          }
        }
        #expect(ledger.elements(of: key, now: now) == nil)
      case 2:
        let replay = ledger.replay(now: now)
        #expect(Set(replay.map(\.element)).count == replay.count)
        ack(replay, &oracle, &kernel, now, epoch)
        ledger.committed(replay, askedAt: now, epoch: epoch)
      default:
        let addresses = (1...6).shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random))
        let ttl = UInt64.random(in: 0...500, using: &random)
        let plan = try ledger.plan(key, Array(addresses), ttl: ttl, now: now, epoch: epoch)
        #expect(plan.elements.map(\.address) == addresses.map(address))
        let wanted = now + min(max((ttl + grace) * second, minimum * second), maximum * second)
        for element in plan.elements {
          let previous = oracle.requested[element] ?? 0
          let isAsked = plan.commits.contains { $0.element == element }
          oracle.requested[element] = isAsked ? max(wanted, previous) : previous
          oracle.asks.append(.init(key: key, element: element, until: min(wanted, oracle.requested[element] ?? 0)))
        }
        for commit in plan.commits {
          let ends = now + UInt64(commit.lifetimeMilliseconds) * 1_000_000
          #expect(ends >= wanted)
          #expect(ends >= kernel[commit.element] ?? 0 || ends + 1_000_000 > kernel[commit.element] ?? 0, "shortened")
        }
        let isAcked = Int.random(in: 0..<5, using: &random) > 0
        if isAcked {
          ack(plan.commits, &oracle, &kernel, now, epoch)
          ledger.committed(plan.commits, askedAt: now, epoch: epoch)
        }
        let expected =
          plan.elements.map { min(oracle.committedUntil($0, epoch: epoch), oracle.asked(key, $0)) }.min() ?? 0
        let until = ledger.promise(key, elements: plan.elements, now: now, epoch: epoch)
        if expected > now {
          // The kernel was told whole milliseconds, rounded up.
          let until = try #require(until)
          #expect(until <= expected && until + 1_000_000 > expected)
          #expect(!isAcked || until >= now + min((ttl + grace) * second, maximum * second))
          for element in plan.elements {
            #expect(kernel[element, default: 0] >= until)
            #expect(ledger.name(of: element.address, server: key.server, now: now)?.name == key.name)
          }
          #expect(ledger.elements(of: key, now: until - 1) == plan.elements)
          promised += 1
        } else {
          #expect(until == nil)
        }
      }
    }
    #expect(promised > 50)
    now += 1000 * second
    #expect(ledger.replay(now: now).isEmpty && ledger.elementCount == 0)
  }

  private func ack(
    _ commits: [GrantCommit], _ oracle: inout Oracle, _ kernel: inout [GrantElement: UInt64], _ now: UInt64,
    _ epoch: UInt64
  ) {
    for commit in commits {
      let ends = now + UInt64(commit.lifetimeMilliseconds) * 1_000_000
      kernel[commit.element] = ends
      oracle.acks.append(.init(element: commit.element, until: ends, epoch: epoch))
    }
  }
}
