import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import GrantLedger

@Suite("Making room in the grant ledger")
struct EvictionTests {
  private func ledger(server: Int, name: Int = 1024) -> GrantLedger {
    GrantLedger(
      lifetimes: .init(minimum: 60 * second, grace: 30 * second, maximum: 3_600 * second),
      maxElementsPerServer: server, maxElementsPerName: name)
  }

  /// Plan, ack and promise with the answer's own time.
  private func open(
    _ ledger: inout GrantLedger, _ key: GrantLedger.Key, _ addresses: [Int], ttl: UInt64, now: UInt64
  ) throws -> GrantLedger.Plan {
    let plan = try ledger.plan(key, addresses, ttl: ttl, now: now)
    ledger.committed(plan.commits, askedAt: now, epoch: 1)
    let until = ledger.promise(
      key, elements: plan.elements, answerUntil: now + ttl * second, now: now, epoch: 1)
    #expect(until != nil)
    return plan
  }

  @Test("what ends soonest makes room once its answer has run out, and not before")
  func soonest() throws {
    var ledger = ledger(server: 3)
    _ = try open(&ledger, try key("a.example"), [1], ttl: 20, now: 0)
    _ = try open(&ledger, try key("b.example"), [2], ttl: 300, now: 0)
    _ = try open(&ledger, try key("c.example"), [3], ttl: 600, now: 0)
    #expect(throws: GrantLedger.Refusal.setFull) {
      try ledger.plan(try key("d.example"), [4], ttl: 20, now: 19 * second)
    }
    #expect(ledger.elementCount == 3)
    let plan = try open(&ledger, try key("d.example"), [4], ttl: 20, now: 21 * second)
    #expect(plan.evictions == [element(1)])
    #expect(ledger.elementCount == 3 && !ledger.holds(element(1), now: 21 * second))
    #expect(ledger.name(of: address(1), server: 0, now: 21 * second) == nil)
    #expect(ledger.elements(of: try key("a.example"), now: 21 * second) == nil, "nothing of it may be renewed")
  }

  @Test("what is on its way to the kernel is not evicted")
  func inFlight() throws {
    var ledger = ledger(server: 1)
    _ = try ledger.plan(try key("a.example"), [1], ttl: 1, now: 0)
    #expect(throws: GrantLedger.Refusal.setFull) {
      try ledger.plan(try key("b.example"), [2], ttl: 1, now: 30 * second)
    }
  }

  @Test("a name whose addresses rotate keeps no more than its share, the newest of them")
  func rotation() throws {
    var ledger = ledger(server: 1_000, name: 4)
    let a = try key("a.example")
    for round in 0..<20 {
      let now = UInt64(round) * 20 * second
      let plan = try open(&ledger, a, [2 * round, 2 * round + 1], ttl: 15, now: now)
      #expect(ledger.elements(ofServer: 0, now: now).count <= 4)
      #expect(Set(plan.evictions).isDisjoint(with: plan.elements))
    }
    #expect(throws: GrantLedger.Refusal.setFull) { try ledger.plan(a, [1, 2, 3, 4, 5], ttl: 15, now: 400 * second) }
  }

  @Test("another server's elements are never touched")
  func otherServer() throws {
    var ledger = ledger(server: 2)
    _ = try open(&ledger, try key("x.example", server: 1), [1, 2], ttl: 1, now: 0)
    _ = try open(&ledger, try key("a.example"), [1, 2], ttl: 1, now: 0)
    let plan = try open(&ledger, try key("b.example"), [3, 4], ttl: 1, now: 30 * second)
    #expect(Set(plan.evictions) == [element(1), element(2)])
    #expect(ledger.elements(ofServer: 1, now: 30 * second).count == 2)
  }

  @Test(
    "over random histories no bound is passed and no live answer loses an address", arguments: 0..<30 as Range<UInt64>)
  func random(seed: UInt64) throws {
    var random = Seeded(seed)
    let (server, name) = (Int.random(in: 2...12, using: &random), Int.random(in: 1...6, using: &random))
    var ledger = ledger(server: server, name: name)
    var now = second
    var answers: [GrantLedger.Key: (elements: [GrantElement], until: UInt64)] = [:]
    var refused = 0
    for _ in 0..<400 {
      now += UInt64.random(in: 0...(8 * second), using: &random)
      let key = try key(
        "n\(Int.random(in: 0..<15, using: &random)).example", server: .random(in: 0...1, using: &random))
      let addresses = (0..<25).shuffled(using: &random).prefix(.random(in: 1...3, using: &random))
      let ttl = UInt64.random(in: 10...60, using: &random)
      do {
        let plan = try open(&ledger, key, Array(addresses), ttl: ttl, now: now)
        for (other, answer) in answers where other != key && answer.until > now {
          #expect(Set(plan.evictions).isDisjoint(with: answer.elements), "promised to \(other.name)")
        }
        #expect(plan.evictions.filter { ledger.holds($0, now: now) } == [])
        answers[key] = (plan.elements, now + ttl * second)
      } catch {
        #expect(error as? GrantLedger.Refusal == .setFull)
        refused += 1
      }
      for server in 0...1 as ClosedRange<UInt16> {
        #expect(ledger.elements(ofServer: server, now: now).count <= max(ledger.maxElementsPerServer, 0))
      }
      for (key, answer) in answers where answer.until > now {
        #expect(answer.elements.filter { !ledger.holds($0, now: now) } == [])
        #expect(ledger.elements(of: key, now: now) == answer.elements)
      }
    }
    #expect(refused < 400)
  }
}

@Suite("What the kernel held before, and what refused packets meet")
struct AdoptionTests {
  @Test("an adopted element is open for its name until its end, and ends with its name")
  func adopted() throws {
    var ledger = makeLedger()
    let (a, b) = (try key("a.example"), try key("b.example"))
    ledger.adopt(a, element(1), until: 50 * second, caps: 2, now: 0, epoch: 1)
    ledger.adopt(b, element(1), until: 50 * second, caps: 1, now: 0, epoch: 1)
    ledger.adopt(a, element(2), until: 0, caps: 0, now: 0, epoch: 1)
    #expect(ledger.holds(element(1), now: 49 * second) && !ledger.holds(element(2), now: 0))
    #expect(ledger.name(of: address(1), server: 0, now: 0)?.name == b.name)
    #expect(ledger.replay(now: 0) == [GrantCommit(element: element(1), lifetimeMilliseconds: 50_000, caps: 3)])
    #expect(ledger.elements(of: a, now: 0) == nil, "nothing is promised")
    #expect(ledger.end { $0 == a }.closed == [])
    #expect(ledger.end { $0 == b }.closed == [element(1)])
    var names: [String] = []
    ledger.adopt(a, element(1), until: 50 * second, caps: 0, now: 0, epoch: 1)
    ledger.forEachHolding(now: 1) { key, _, until, opened in
      names.append("\(key.name) \(until) \(opened)")
    }
    #expect(names == ["a.example \(50 * second) 0"])
    #expect(ledger.elements(ofServer: 0, now: 50 * second) == [])
  }

  @Test("a refused packet meets an open, a wrong, a past, another's or no address")
  func standing() throws {
    var ledger = makeLedger()
    let a = try key("a.example")
    try ledger.open(a, [1], ttl: 30, now: 0)
    func standing(_ last: Int, port: UInt16 = 443, server: UInt16 = 0, now: UInt64 = 0) -> AddressStanding {
      ledger.standing(of: address(last), transport: 6, port: port, server: server, now: now)
    }
    #expect(standing(1) == .open(a.name))
    #expect(standing(1, port: 80) == .wrongPort(a.name))
    #expect(standing(1, now: 100 * second) == .expired(a.name))
    #expect(standing(1, server: 1) == .resolvedByOther(a.name))
    #expect(standing(2) == .neverResolved)
  }

  @Test("addresses of the past are forgotten in their order, and memory stays bounded")
  func history() throws {
    var history = AddressHistory()
    let name = try Name(hostname: "a.example")
    for number in 0..<100_000 as Range<UInt32> { history.resolved(IPAddress(v4: number), server: 7, name: name) }
    #expect(history.name(of: IPAddress(v4: 99_999), server: 7) == name)
    #expect(history.name(of: IPAddress(v4: 99_999 - 4_096), server: 7) == nil)
    #expect(history.nameForOther(of: IPAddress(v4: 99_999 - 65_536)) == nil)
    #expect(history.nameForOther(of: IPAddress(v4: 99_999 - 65_535)) == name)
  }

  @Test("what is in use is extended up to its bound, and its name holds it as long")
  func inUse() throws {
    var ledger = makeLedger()
    let a = try key("a.example")
    try ledger.open(a, [1], ttl: 30, now: 0)
    let bound = 100 * second
    #expect(ledger.due(within: 10 * second, openedWithin: bound, now: 40 * second) == [])
    #expect(ledger.due(within: 10 * second, openedWithin: bound, now: 55 * second) == [element(1)])
    var now = 55 * second
    var ends: [UInt64] = []
    for _ in 0..<5 {
      let commits = ledger.extend([element(1)], by: 30 * second, openedWithin: bound, now: now, epoch: 1)
      ledger.committed(commits, askedAt: now, epoch: 1)
      if let commit = commits.first { ends.append(now + UInt64(commit.lifetimeMilliseconds) * 1_000_000) }
      now += 15 * second
    }
    #expect(ends == [85 * second, 100 * second])
    #expect(ledger.elementCount == 0 || !ledger.holds(element(1), now: 100 * second))
    try ledger.open(a, [1], ttl: 30, now: 200 * second)
    _ = ledger.extend([element(1)], by: 90 * second, openedWithin: bound, now: 210 * second, epoch: 1)
    #expect(ledger.end(now: 280 * second) { $0 == a }.closed == [element(1)], "held for as long as it is open")
  }
}
