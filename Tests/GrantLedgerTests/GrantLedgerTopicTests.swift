import DNSWire
import IPNetwork
import Testing

@testable import GrantLedger

@Suite("The grant ledger: what is committed again")
struct ReplayTests {
  @Test("each server has its share in turn, and of each comes first what a client may still hold an answer for")
  func shares() throws {
    var ledger = makeLedger()
    // A greedy server of many, whose oldest answers are over while the grants are not; a modest one of one.
    for index in 0..<200 {
      try ledger.open(try key("n\(index).example"), [index], ttl: index < 100 ? 1 : 300, now: UInt64(index))
    }
    try ledger.open(try key("modest.example", server: 1), [250], ttl: 300, now: 200)
    let commits = ledger.replay(now: 2 * second)
    #expect(Set(commits.map(\.element)).count == 201 && commits.count == 201)
    let modest = try #require(commits.firstIndex { $0.element.server == 1 })
    #expect(modest == 64)
  }

  @Test("what an answer that is over left open comes after what one still stands for")
  func promisedFirst() throws {
    var ledger = makeLedger()
    for (name, last, ttl) in [("over.example", 1, 1), ("live.example", 2, 300)] as [(String, Int, UInt64)] {
      let plan = try ledger.plan(try key(name), [last], ttl: ttl, now: 0)
      ledger.committed(plan.commits, askedAt: 0, epoch: 1)
      _ = ledger.promise(
        try key(name), elements: plan.elements, answerUntil: ttl * second, now: 0, epoch: 1)
    }
    #expect(ledger.replay(now: 2 * second).map(\.element) == [element(2), element(1)])
  }
}

@Suite("The grant ledger: caps")
struct CapTests {
  @Test("an element carries the caps of every rule that holds it, and a new one is committed before the answer leaves")
  func union() throws {
    var ledger = makeSmall()
    #expect(try ledger.answer("a.example", [1], ttl: 300, now: 0, caps: 1).commits.map(\.caps) == [1])
    let b = try key("b.example")
    let plan = try ledger.plan(
      GrantLedger.Answer(key: b, addresses: [address(1)], targets: [(6, 443)], caps: 2, ttl: second), now: second,
      epoch: 1)
    #expect(plan.commits.map(\.caps) == [3])
    #expect(plan.commits.map(\.lifetimeMilliseconds) == [299_000], "an element is not shortened for a cap")
    #expect(ledger.promise(b, elements: plan.elements, now: second, epoch: 1) == nil)
    ledger.committed(plan.commits, askedAt: second, epoch: 1)
    #expect(ledger.promise(b, elements: plan.elements, now: second, epoch: 1) != nil)
    #expect(try ledger.answer("c.example", [1], ttl: 1, now: second).commits.isEmpty)
    #expect(ledger.replay(now: second).map(\.caps) == [3])
  }

  @Test("what holds for some TCP ports alone is asked for at these, and at no other")
  func ports() throws {
    var ledger = makeSmall(elements: 8)
    let plan = try ledger.plan(
      GrantLedger.Answer(
        key: try key("a.example"), addresses: [address(1)], targets: [(6, 443), (6, 22), (17, 443), (0, 0)], caps: 1,
        portCaps: (1 << 15, [443]), ttl: second), now: 0, epoch: 1)
    #expect(plan.commits.map(\.caps) == [1 | 1 << 15, 1, 1, 1])
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    #expect(ledger.promise(try key("a.example"), elements: plan.elements, now: 1, epoch: 1) != nil)
    #expect(ledger.replay(now: 1).map(\.caps).sorted() == [1, 1, 1, 1 | 1 << 15])
  }

  @Test("with its holder a cap leaves at the next commit, and an ack from before does not bring it back")
  func leaving() throws {
    var ledger = makeSmall()
    try ledger.answer("a.example", [1], ttl: 300, now: 0, caps: 1)
    let late = try ledger.plan(
      GrantLedger.Answer(
        key: try key("a.example"), addresses: [address(1)], targets: [(6, 443)], caps: 1, ttl: 310 * second),
      now: second, epoch: 1)
    try ledger.answer("b.example", [1], ttl: 300, now: 2 * second, caps: 2)
    _ = ledger.end(now: 3 * second) { $0.name.description == "a.example" }
    let plan = try ledger.plan(
      GrantLedger.Answer(
        key: try key("b.example"), addresses: [address(1)], targets: [(6, 443)], caps: 2, ttl: 600 * second),
      now: 4 * second, epoch: 1)
    #expect(plan.commits.map(\.caps) == [2])
    ledger.committed(late.commits, askedAt: second, epoch: 1)
    let again = try ledger.plan(
      GrantLedger.Answer(key: try key("c.example"), addresses: [address(1)], targets: [(6, 443)], caps: 1, ttl: second),
      now: 5 * second, epoch: 1)
    #expect(again.commits.map(\.caps) == [3])
  }
}

@Suite("The grant ledger: ends")
struct EndingTests {
  @Test("what others hold for a shorter time is shortened to their time, and promises reach no further")
  func shortened() throws {
    var ledger = makeSmall()
    try ledger.answer("long.example", [1], ttl: 1000, now: 0)
    let short = try key("short.example")
    #expect(try ledger.open(short, [1], ttl: 100, now: 0) == 100 * second)
    let outcome = ledger.end(now: 10 * second, servers: [0]) { $0.name.description == "long.example" }
    let (closed, shortened) = (outcome.closed, outcome.shortened)
    let commit = GrantCommit(element: element(1), lifetimeMilliseconds: 90_000, shortens: true)
    #expect(closed.isEmpty && shortened == [commit])
    let isHeld = [ledger.holds(element(1), now: 100 * second - 1), ledger.holds(element(1), now: 100 * second)]
    #expect(isHeld == [true, false])
  }

  @Test("an ack from before an element was shortened, or closed and opened again, is not believed")
  func overtaken() throws {
    var ledger = makeSmall()
    let (a, b) = (try key("a.example"), try key("b.example"))
    let first = try ledger.plan(a, [1], ttl: 1000, now: 0)
    _ = try ledger.plan(b, [1], ttl: 100, now: 1)
    _ = ledger.end(now: 2) { $0 == a }
    ledger.committed(first.commits, askedAt: 0, epoch: 1)
    #expect(ledger.promise(b, elements: [element(1)], now: 3, epoch: 1) == nil)
    _ = ledger.end(now: 4) { $0 == b }
    let again = try ledger.plan(b, [1], ttl: 100, now: 5)
    ledger.committed(first.commits, askedAt: 0, epoch: 1)
    #expect(ledger.promise(b, elements: again.elements, now: 6, epoch: 1) == nil)
    ledger.committed(again.commits, askedAt: 5, epoch: 1)
    #expect(ledger.promise(b, elements: again.elements, now: 6, epoch: 1) == 5 + 100 * second)
  }

  @Test("only the questions of the servers that were named are looked at")
  func servers() throws {
    var ledger = makeSmall(elements: 100)
    for server: UInt16 in 0..<3 { try ledger.answer("a.example", [1], ttl: 100, now: 0, server: server) }
    var seen: [UInt16] = []
    let closed = ledger.end(now: 0, servers: [1, 9]) { key in
      seen.append(key.server)
      return true
    }.closed
    #expect(seen == [1] && closed == [element(1, server: 1)])
  }
}

@Suite("The grant ledger: what an earlier run left, and lists")
struct AdoptionTests {
  @Test("what the kernel holds at start is held, counts to the limits, and ends when the kernel ends it")
  func takenOver() throws {
    var ledger = makeSmall(elements: 2, perName: 1)
    let a = try key("a.example")
    #expect(
      ledger.takeOver(
        GrantLedger.Inherited(key: a, element: element(1), until: 50 * second, caps: 1, opened: 3, answerUntil: 0),
        now: 10, epoch: 1) == true)
    #expect(
      ledger.takeOver(GrantLedger.Inherited(key: a, element: element(2), until: 50 * second), now: 10, epoch: 1)
        == false)
    let b = try key("b.example")
    #expect(
      ledger.takeOver(GrantLedger.Inherited(key: b, element: element(2), until: 60 * second), now: 10, epoch: 1) == true
    )
    #expect(ledger.takeOver(GrantLedger.Inherited(key: b, element: element(3), until: 10), now: 10, epoch: 1) == false)
    #expect(Set(ledger.elements(ofServer: 0, now: 10)) == [element(1), element(2)])
    #expect(ledger.elements(of: a, now: 10) == nil)
    #expect(ledger.name(of: address(1), server: 0, now: 10)?.name == a.name)
    var other = makeSmall()
    #expect(other.takeOver(.init(key: a, element: element(3), until: 10), now: 10, epoch: 1) == false, "it is over")
    #expect(
      other.takeOver(.init(key: a, element: element(3, server: 1), until: 20), now: 10, epoch: 1) == false,
      "of another server")
    #expect(other.takeOver(.init(key: a, element: element(3), until: 20), now: 10, epoch: 1) == true)
    var held: [GrantElement: [UInt64]] = [:]
    ledger.forEachHolding(now: 10) { _, element, until, opened in held[element] = [until, opened] }
    #expect(held == [element(1): [50 * second, 3], element(2): [60 * second, 10]])
    #expect(try ledger.plan(try key("c.example"), [3], ttl: 5, now: second).evictions == [element(1)])
    #expect(ledger.replay(now: 60 * second).isEmpty)
  }

  @Test("what is asked for is held, and listed with its names, the latest last; only what is open is in force")
  func lists() throws {
    var ledger = makeSmall()
    try ledger.answer("a.example", [1], ttl: 100, now: 0)
    try ledger.answer("b.example", [1], ttl: 100, now: 0)
    try ledger.answer("a.example", [1], ttl: 100, now: 1)
    _ = try ledger.plan(try key("c.example"), [2], ttl: 100, now: 1)
    #expect(ledger.names(of: element(1), now: 2).map(\.description) == ["b.example", "a.example"])
    #expect(ledger.names(of: element(1), now: 101 * second).map(\.description) == [])
    #expect(ledger.holds(element(2), now: 2) == true)
    #expect(ledger.holds(element(3), now: 2) == false && ledger.holds(element(1, server: 7), now: 2) == false)
    var count = 0
    ledger.forEachHolding(now: 2) { _, element, _, _ in
      #expect(element.address == address(1))
      count += 1
    }
    #expect(count == 2)
  }
}

@Suite("The grant ledger: promises")
struct PromiseTests {
  @Test("an element that an answer names twice is promised like any other")
  func twice() throws {
    var ledger = makeSmall()
    let key = try key("a.example")
    let plan = try ledger.plan(key, [1, 2], ttl: 100, now: 0)
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    #expect(ledger.promise(key, elements: plan.elements + plan.elements, now: 0, epoch: 1) == 100 * second)
  }

  @Test("what is not there, of another epoch or over is not promised, and not committed or shortened again")
  func nothing() throws {
    var ledger = makeSmall()
    let key = try key("a.example")
    let plan = try ledger.plan(key, [1], ttl: 100, now: 0)
    #expect(ledger.renewal(of: [element(1)], now: 1, epoch: 2) == [], "it is not committed yet")
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    let (unknown, over) = ([element(9)], 1000 * second)
    #expect(ledger.promise(key, elements: unknown, now: 1, epoch: 1) == nil)
    #expect(ledger.promise(key, elements: plan.elements, now: 1, epoch: 2) == nil)
    #expect(ledger.promise(key, elements: plan.elements, now: over, epoch: 1) == nil)
    #expect(ledger.renewal(of: plan.elements, now: 1, epoch: 2).map(\.element) == plan.elements)
    #expect(ledger.renewal(of: plan.elements, now: 1, epoch: 1) == [])
    #expect(ledger.renewal(of: unknown, now: 1, epoch: 2) == [])
    #expect(ledger.renewal(of: plan.elements, now: over, epoch: 2) == [])
    #expect(ledger.shortening(of: plan.elements, now: 1).map(\.element) == plan.elements)
    #expect(ledger.shortening(of: unknown, now: 1) == [] && ledger.shortening(of: plan.elements, now: over) == [])
    #expect(ledger.names(of: element(9), now: 1) == [])
  }

  @Test("an answer without addresses holds nothing, and one of more than a name may have is refused")
  func counts() throws {
    var ledger = makeSmall(elements: 10, perName: 2)
    let key = try key("a.example")
    let plan = try ledger.plan(key, [], ttl: 100, now: 0)
    #expect(plan.elements == [] && plan.commits == [] && ledger.dump().isEmpty)
    ledger.checkConsistency(now: 0)
    #expect(throws: GrantLedger.CapacityError.setFull) { try ledger.plan(key, [1, 2, 3], ttl: 100, now: 0) }
    #expect(try ledger.plan(key, [1, 2], ttl: 100, now: 0).commits.count == 2)
  }
}

@Suite("The grant ledger: addresses in use")
struct InUseTests {
  @Test("what ends soon is due, and stays open up to a bound that counts from its first opening")
  func extending() throws {
    var ledger = makeSmall()
    try ledger.answer("a.example", [1], ttl: 100, now: 0)
    try ledger.answer("b.example", [2], ttl: 300, now: 0)
    let bound = 150 * second
    #expect(ledger.due(within: 10 * second, bound: bound, now: 89 * second) == [])
    #expect(ledger.due(within: 10 * second, bound: bound, now: 90 * second) == [element(1)])
    let commits = ledger.extend([element(1), element(9)], by: 30 * second, bound: bound, now: 90 * second)
    #expect(commits == [GrantCommit(element: element(1), lifetimeMilliseconds: 30_000)])
    ledger.committed(commits, askedAt: 90 * second, epoch: 1)
    let again = ledger.extend([element(1)], by: 90 * second, bound: bound, now: 100 * second)
    #expect(again.map(\.lifetimeMilliseconds) == [50_000])
    ledger.committed(again, askedAt: 100 * second, epoch: 1)
    #expect(ledger.due(within: 1000 * second, bound: bound, now: 140 * second) == [])
    #expect(ledger.extend([element(1)], by: 90 * second, bound: bound, now: 140 * second) == [])
    #expect(ledger.extend([element(1)], by: .max, bound: bound, now: 151 * second) == [])
    // What was asked for and is not open cannot be in use.
    _ = try ledger.plan(try key("c.example"), [3], ttl: 1, now: 151 * second)
    #expect(ledger.extend([element(3)], by: 90 * second, bound: .max, now: 152 * second) == [])
  }

  @Test("an element whose holders are not found among the latest ones is not kept open")
  func unfound() throws {
    var ledger = makeSmall(elements: 100)
    try ledger.answer("long.example", [1], ttl: 3_000, now: 0)
    for number in 0..<64 { try ledger.answer("n\(number).example", [1], ttl: 60, now: second) }
    #expect(ledger.extend([element(1)], by: 3_600 * second, bound: .max, now: 100 * second) == [])
  }

  @Test("what is kept open leaves with the name that holds it, and makes room when room is needed")
  func leaving() throws {
    var ledger = makeSmall(elements: 1)
    try ledger.answer("a.example", [1], ttl: 60, now: 0)
    let commits = ledger.extend([element(1)], by: 100 * second, bound: .max, now: 50 * second)
    ledger.committed(commits, askedAt: 50 * second, epoch: 1)
    #expect(ledger.names(of: element(1), now: 140 * second).map(\.description) == ["a.example"])
    #expect(try ledger.plan(try key("b.example"), [2], ttl: 1, now: 70 * second).evictions == [element(1)])

    var other = makeSmall()
    try other.answer("a.example", [1], ttl: 60, now: 0)
    _ = other.extend([element(1)], by: 100 * second, bound: .max, now: 50 * second)
    let closed = other.end(now: 70 * second) { _ in true }.closed
    #expect(closed == [element(1)])
  }
}
