import DNSWire
import Testing

@testable import GrantLedger

func makeSmall(elements: Int = 3, perName: Int = 100) -> GrantLedger {
  GrantLedger(
    lifetimes: .init(minimum: 60 * second, grace: 0, maximum: 3600 * second), maxElementsPerServer: elements,
    maxElementsPerName: perName)
}

extension GrantLedger {
  /// Plan, ack and promise an answer of which clients know for its TTL.
  @discardableResult
  mutating func answer(
    _ name: String, _ addresses: [Int], ttl: UInt64, now: UInt64, server: UInt16 = 0, caps: UInt16 = 0
  ) throws -> Plan {
    let key = try key(name, server: server)
    let answer = Answer(
      key: key, addresses: addresses.map(address), targets: [(6, 443)], caps: caps, ttl: ttl * second)
    let plan = try plan(answer, now: now, epoch: 1)
    committed(plan.commits, askedAt: now, epoch: 1)
    let until = promise(key, elements: plan.elements, answerUntil: now + ttl * second, now: now, epoch: 1)
    try #require(until != nil)
    return plan
  }
}

@Suite("The grant ledger: eviction and limits")
struct EvictionTests {
  @Test("holdings are counted as they are visited; what lapsed is remembered with its name")
  func holdings() throws {
    var ledger = makeSmall(elements: 100)
    for name in ["a.example", "b.example", "c.example"] { try ledger.answer(name, [1, 2], ttl: 5, now: 0) }
    try ledger.answer("d.example", [3], ttl: 5, now: 0)
    var visited = 0
    ledger.forEachHolding(now: second) { _, _, _, _ in visited += 1 }
    #expect(ledger.elementCount == 3 && ledger.holdingCount == 7 && visited == 7)
    let early = ledger.lapsed(ofServer: 0, now: second)
    #expect(early.isEmpty)
    let lapsed = ledger.lapsed(ofServer: 0, now: 100 * second).map { "\($0.address) \($0.name)" }.sorted()
    #expect(lapsed == [1, 2, 3].map { "\(address($0)) \($0 == 3 ? "d" : "c").example" }.sorted())
    let other = ledger.lapsed(ofServer: 7, now: 100 * second)
    #expect(other.isEmpty && ledger.holdingCount == 0)
  }

  @Test("names times addresses have a bound: the names go whose answers are over, the oldest first")
  func holds() throws {
    var ledger = GrantLedger(
      lifetimes: .init(minimum: 60 * second, grace: 0, maximum: 3600 * second), maxElementsPerServer: 100,
      maxHoldsPerServer: 10)
    // The same four addresses: few elements, many holds.
    for (index, name) in ["a.example", "b.example"].enumerated() {
      try ledger.answer(name, [1, 2, 3, 4], ttl: 5, now: UInt64(index) * second)
    }
    #expect(ledger.holdingCount == 8 && ledger.elementCount == 4)
    let before = ledger.dump()
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.answer("c.example", [1, 2, 3], ttl: 5, now: 2 * second)
    }
    #expect(ledger.dump() == before, "no answer is over: nothing has changed")
    try ledger.answer("a.example", [1, 2, 3, 4], ttl: 5, now: 3 * second)
    try ledger.answer("c.example", [1, 2], ttl: 5, now: 3 * second)
    #expect(ledger.holdingCount == 10)
    // The answer of b is over, of a and c it is not.
    let plan = try ledger.answer("d.example", [5], ttl: 5, now: 8 * second)
    #expect(plan.evictions.isEmpty, "all that b held is held by others")
    let kept = Set(ledger.dump().map(\.key.name.description))
    #expect(kept == ["a.example", "c.example", "d.example"] && ledger.holdingCount == 7)
    // Neighbours have a bound of their own.
    for number in 0..<10 { try ledger.answer("n\(number).example", [1], ttl: 5, now: 8 * second, server: 1) }
    #expect(ledger.holdingCount == 17)
    ledger.checkConsistency(now: 8 * second)
  }

  @Test("what is over ends in slices, with every look a little; it is closed to every name at once")
  func slices() throws {
    var ledger = makeSmall(elements: 10_000)
    for number in 0..<2_000 { try ledger.answer("n\(number).example", [number + 1, 5_000], ttl: 5, now: 0) }
    #expect(ledger.holdingCount == 4_000)
    let late = 100 * second
    var counts = [ledger.holdingCount]
    while ledger.holdingCount > 1, counts.count < 150 {
      try ledger.answer("other.example", [1], ttl: 60, now: late, server: 1)
      counts.append(ledger.holdingCount)
      let isOpen = ledger.holds(element(5_000), now: late) || ledger.name(of: address(7), server: 0, now: late) != nil
      #expect(!isOpen && ledger.elements(ofServer: 0, now: late).isEmpty)
      ledger.checkConsistency(now: late)
    }
    for (before, after) in zip(counts, counts.dropFirst()) { #expect(before - after <= 129) }
    #expect(ledger.holdingCount == 1)
  }

  @Test("an element that is over and not closed yet is opened anew, for those who ask now")
  func anew() throws {
    var ledger = makeSmall(elements: 10_000)
    for number in 0..<500 { try ledger.answer("n\(number).example", [1], ttl: 5, now: 0) }
    let late = 100 * second
    let plan = try ledger.answer("n7.example", [1, 2], ttl: 5, now: late)
    #expect(plan.commits.map(\.element) == [element(1), element(2)] && plan.evictions.isEmpty)
    var opened: Set<UInt64> = []
    ledger.forEachHolding(now: late) { key, _, _, since in
      #expect(key.name.description == "n7.example")
      opened.insert(since)
    }
    #expect(opened == [late])
    ledger.checkConsistency(now: late)
  }

  @Test("holdings are visited in slices, each once, while others come and go")
  func visits() throws {
    var ledger = makeSmall(elements: 10_000)
    for number in 0..<300 { try ledger.answer("n\(number).example", [1, number + 2], ttl: 5, now: 0) }
    try ledger.answer("m.example", [1], ttl: 5, now: 0, server: 3)
    var cursor = GrantLedger.HoldingCursor()
    var (visited, slices): ([HoldRecord: Int], Int) = ([:], 0)
    while ledger.forEachHolding(
      now: second, from: &cursor, atMost: 50,
      { key, element, wish in
        visited[HoldRecord(key: key, element: element, until: wish.until, caps: 0), default: 0] += 1
      })
    {
      slices += 1
      try ledger.answer("late\(slices).example", [9_000 + slices], ttl: 5, now: second)
      _ = ledger.end(now: second, where: { $0.name.description == "n\(slices).example" })
    }
    #expect(slices >= 11 && slices <= 20 && visited.values.allSatisfy { $0 == 1 })
    let whole = ledger.dump().filter { !$0.key.name.description.hasPrefix("late") }.map { "\($0.key) \($0.element)" }
    #expect(Set(visited.keys.map { "\($0.key) \($0.element)" }).isSuperset(of: whole))
  }

  @Test("of a question that ends, what is kept stays open and is promised no more")
  func keeping() throws {
    var ledger = makeSmall(elements: 100)
    let name = try key("a.example")
    let plan = try ledger.plan(
      GrantLedger.Answer(key: name, addresses: [address(1)], targets: [(6, 443), (6, 80)], ttl: 300 * second), now: 0,
      epoch: 1)
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    #expect(ledger.promise(name, elements: plan.elements, answerUntil: 300 * second, now: 0, epoch: 1) != nil)
    let ended = ledger.end(now: second, where: { _ in true }, keeping: { $1.port == 443 })
    #expect(ended.closed.map(\.port) == [80] && ended.shortened.isEmpty)
    #expect(ledger.holds(element(1), now: second) && ledger.elements(of: name, now: second) == nil)
    #expect(ledger.end(now: second, where: { _ in true }).closed.map(\.port) == [443])
    #expect(ledger.elementCount == 0 && ledger.holdingCount == 0)
  }

  @Test("a full set gives up what ends soonest of what no live answer promises")
  func soonest() throws {
    var ledger = makeSmall()
    try ledger.answer("long.example", [1], ttl: 300, now: 0)
    try ledger.answer("a.example", [2], ttl: 5, now: second)
    try ledger.answer("b.example", [3], ttl: 5, now: 2 * second)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("c.example"), [4], ttl: 5, now: 3 * second)
    }
    let plan = try ledger.answer("c.example", [4, 5], ttl: 5, now: 20 * second)
    #expect(plan.evictions == [element(2), element(3)] && plan.commits.map(\.element) == [element(4), element(5)])
    let held = [1, 2, 3, 4, 5].map { ledger.holds(element($0), now: 20 * second) }
    #expect(held == [true, false, false, true, true])
    // Nor is the name of what was evicted held on to.
    #expect(ledger.name(of: address(2), server: 0, now: 20 * second) == nil)
    #expect(ledger.elements(of: try key("a.example"), now: 20 * second) == nil)
    let ended = ledger.end(now: 20 * second) { $0.name.description == "a.example" }.closed
    #expect(ended.isEmpty)
  }

  @Test("an answer of TTL 0 is not evicted before its client had the time to connect")
  func connectTime() throws {
    var ledger = makeSmall(elements: 1)
    try ledger.answer("a.example", [1], ttl: 0, now: 0)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("b.example"), [2], ttl: 0, now: second - 1)
    }
    #expect(try ledger.plan(try key("b.example"), [2], ttl: 0, now: second).evictions == [element(1)])
  }

  @Test("what is on its way to the kernel, or back, is not evicted")
  func inFlight() throws {
    var ledger = makeSmall(elements: 1)
    let a = try key("a.example")
    let plan = try ledger.plan(a, [1], ttl: 5, now: 0)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("b.example"), [2], ttl: 5, now: 30 * second)
    }
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("b.example"), [2], ttl: 5, now: 30 * second)
    }
    let until = ledger.promise(a, elements: plan.elements, answerUntil: 5 * second, now: 30 * second, epoch: 1)
    #expect(until == 60 * second)
    #expect(try ledger.plan(try key("b.example"), [2], ttl: 5, now: 31 * second).evictions == [element(1)])
  }

  @Test("an answer does not evict its own addresses, and all that is short of room changes nothing")
  func own() throws {
    var ledger = makeSmall()
    try ledger.answer("a.example", [1, 2, 3], ttl: 1, now: 0)
    let before = ledger.dump()
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("b.example"), [1, 2, 3, 4], ttl: 1, now: 10 * second)
    }
    #expect(ledger.dump() == before && ledger.elementCount == 3)
    let plan = try ledger.plan(try key("b.example"), [1, 2, 4], ttl: 1, now: 10 * second)
    #expect(plan.evictions == [element(3)])
  }

  @Test("an element that a live answer of another name promises stays")
  func shared() throws {
    var ledger = makeSmall(elements: 2)
    try ledger.answer("a.example", [1, 2], ttl: 1, now: 0)
    try ledger.answer("b.example", [1, 2], ttl: 50, now: 0)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("c.example"), [3], ttl: 1, now: 40 * second)
    }
    _ = ledger.end(now: 40 * second) { $0.name.description == "b.example" }
    #expect(try ledger.plan(try key("c.example"), [3], ttl: 1, now: 40 * second).evictions.count == 1)
  }

  @Test("a name whose answers are over makes room for another one, and leaves shared addresses to who else holds them")
  func names() throws {
    var ledger = makeSmall(elements: 3)
    try ledger.answer("a.example", [1], ttl: 20, now: 0)
    try ledger.answer("b.example", [1], ttl: 10, now: 0)
    try ledger.answer("c.example", [1], ttl: 30, now: 0)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("d.example"), [1], ttl: 1, now: 10 * second)
    }
    #expect(try ledger.answer("d.example", [1], ttl: 1, now: 11 * second).evictions.isEmpty)
    #expect(
      ledger.names(of: element(1), now: 11 * second).map(\.description) == ["a.example", "c.example", "d.example"])
    #expect(try ledger.answer("e.example", [2], ttl: 1, now: 13 * second).evictions.isEmpty)
    #expect(ledger.names(of: element(1), now: 13 * second).map(\.description) == ["a.example", "c.example"])
  }

  @Test("one server's limit is nothing to another")
  func perServer() throws {
    var ledger = makeSmall(elements: 1)
    try ledger.answer("a.example", [1], ttl: 1, now: 0)
    try ledger.answer("a.example", [1], ttl: 1, now: 30 * second, server: 1)
    #expect(ledger.elementCount == 2)
  }

  @Test("a name whose addresses rotate gives up its oldest, and what others hold as well stays open for them")
  func rotating() throws {
    var ledger = makeSmall(elements: 100, perName: 3)
    for index in 1...3 { try ledger.answer("a.example", [index], ttl: 1, now: UInt64(index) * second) }
    try ledger.answer("b.example", [1], ttl: 1, now: 4 * second)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("a.example"), [4, 5, 6, 7], ttl: 1, now: 10 * second)
    }
    let plan = try ledger.answer("a.example", [4, 5], ttl: 1, now: 10 * second)
    #expect(plan.evictions == [element(2)])
    let names = ledger.names(of: element(1), now: 10 * second).map(\.description)
    #expect(names == ["b.example"])
    let outcome = ledger.end(now: 10 * second) { $0.name.description == "b.example" }
    let (closed, shortened) = (outcome.closed, outcome.shortened)
    #expect(closed == [element(1)] && shortened.isEmpty)
  }

  @Test("a name does not give up what its live answers promise")
  func rotatingLive() throws {
    var ledger = makeSmall(elements: 100, perName: 2)
    try ledger.answer("a.example", [1, 2], ttl: 30, now: 0)
    #expect(throws: GrantLedger.CapacityError.setFull) {
      try ledger.plan(try key("a.example"), [3], ttl: 1, now: 10 * second)
    }
    #expect(try ledger.plan(try key("a.example"), [3], ttl: 1, now: 31 * second).evictions.count == 1)
  }

  @Test("opening and closing the same things for ever leaves nothing behind")
  func noGrowth() throws {
    var ledger = makeSmall(elements: 10)
    for round in 0..<2000 {
      try ledger.answer("n\(round % 20).example", [round % 200], ttl: 1, now: UInt64(round) * second / 4 + second)
      if round % 3 == 0 { _ = ledger.end(now: UInt64(round) * second / 4 + second) { $0.name.wire[2] == 49 } }
    }
    ledger.checkConsistency(now: 500 * second)
    let grants = ledger.servers[0]
    #expect(grants.dueOpenings.count <= 10 && grants.promised.count + grants.evictable.count <= 10)
    #expect(grants.dueQuestions.count <= 10 && grants.holds.count <= 10)
    #expect(ledger.replay(now: 10_000 * second).isEmpty && ledger.elementCount == 0)
    #expect(ledger.servers[0].holds.count == 0 && ledger.servers[0].questions.count == 0)
  }
}
