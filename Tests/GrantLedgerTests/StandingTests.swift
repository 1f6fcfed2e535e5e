import DNSWire
import IPNetwork
import Testing

@testable import GrantLedger

@Suite("The grant ledger: standing of refused packets")
struct StandingTests {
  private func standing(
    _ ledger: borrowing GrantLedger, _ last: Int, port: UInt16 = 443, server: UInt16 = 0, now: UInt64
  ) -> GrantLedger.GrantStatus {
    ledger.standing(of: address(last), transport: 6, port: port, server: server, at: now)
  }

  private func closed(
    _ name: Name, _ opened: UInt64, _ closed: UInt64, _ ending: GrantLedger.Ending? = nil
  ) -> GrantLedger.GrantStatus {
    .closed(GrantLedger.Closed(name: name, opened: opened, closed: closed, ending: ending))
  }

  @Test("open, wrong port, expired, resolved by another server, never resolved")
  func standings() throws {
    var ledger = makeSmall()
    let name = try Name(hostname: "a.example")
    try ledger.answer("a.example", [1], ttl: 1, now: 0)
    #expect(standing(ledger, 1, now: 1) == .open(name))
    #expect(standing(ledger, 1, port: 80, now: 1) == .wrongPort(name))
    #expect(ledger.standing(of: address(1), transport: 17, port: 443, server: 0, at: 1) == .wrongPort(name))
    #expect(standing(ledger, 1, server: 1, now: 1) == .resolvedByOther(name))
    #expect(standing(ledger, 2, now: 1) == .neverResolved)
    // Whether it was looked at since or not.
    #expect(standing(ledger, 1, now: 60 * second) == closed(name, 0, 60 * second))
    _ = ledger.replay(now: 60 * second)
    #expect(standing(ledger, 1, now: 61 * second) == closed(name, 0, 60 * second) && ledger.elementCount == 0)
    #expect(standing(ledger, 1, server: 1, now: 61 * second) == .resolvedByOther(name))
  }

  @Test("every port of an address that is open for any is open; what was revoked or evicted is expired")
  func anyPort() throws {
    var ledger = makeSmall(elements: 1)
    let (a, name) = (try key("a.example"), try Name(hostname: "a.example"))
    let plan = try ledger.plan(
      GrantLedger.Answer(key: a, addresses: [address(1)], targets: [(0, 0)], ttl: second), now: 0, epoch: 1)
    #expect(standing(ledger, 1, now: 1) == .neverResolved, "it is not open yet")
    ledger.committed(plan.commits, askedAt: 0, epoch: 1)
    _ = ledger.promise(a, elements: plan.elements, answerUntil: second, now: 0, epoch: 1)
    #expect(standing(ledger, 1, port: 9, now: 1) == .open(name))
    try ledger.answer("b.example", [2], ttl: 1, now: 10 * second)
    #expect(standing(ledger, 1, now: 10 * second) == closed(name, 0, 10 * second, .room))
    _ = ledger.end(now: 11 * second) { _ in true }
    let b = try Name(hostname: "b.example")
    #expect(standing(ledger, 2, now: 11 * second) == closed(b, 10 * second, 11 * second, .policy))
  }

  @Test("one port of an address that leaves takes no other with it")
  func onePort() throws {
    var ledger = makeSmall(elements: 3)
    let targets: [(transport: UInt8, port: UInt16)] = [(6, 443), (17, 443), (6, 80)]
    for (index, target) in targets.enumerated() {
      let key = try key("n\(index).example")
      let plan = try ledger.plan(
        GrantLedger.Answer(key: key, addresses: [address(1)], targets: [target], ttl: second), now: UInt64(index),
        epoch: 1)
      ledger.committed(plan.commits, askedAt: UInt64(index), epoch: 1)
      _ = ledger.promise(key, elements: plan.elements, answerUntil: second, now: UInt64(index), epoch: 1)
    }
    try ledger.answer("new.example", [2], ttl: 1, now: 10 * second)
    let names = try (0..<3).map { try Name(hostname: "n\($0).example") }
    let standings = targets.map {
      ledger.standing(of: address(1), transport: $0.transport, port: $0.port, server: 0, at: 10 * second)
    }
    #expect(standings == [.wrongPort(names[2]), .open(names[1]), .open(names[2])])
  }

  @Test("a packet met what there was at its time, whatever came after it")
  func moments() throws {
    var ledger = makeSmall()
    let (a, b) = (try Name(hostname: "a.example"), try Name(hostname: "b.example"))
    try ledger.answer("a.example", [1], ttl: 1, now: 10 * second)
    #expect(standing(ledger, 1, now: 10 * second - 1) == .neverResolved, "refused first, resolved then")
    #expect(standing(ledger, 1, port: 80, now: 10 * second - 1) == .neverResolved)
    #expect(standing(ledger, 1, server: 1, now: 10 * second - 1) == .neverResolved, "nor had another server it then")
    #expect(standing(ledger, 1, now: 10 * second) == .open(a))
    // The other name at the address is the last one, whether it was looked at since or not.
    try ledger.answer("b.example", [1], ttl: 1, now: 100 * second)
    #expect(standing(ledger, 1, now: 99 * second) == closed(a, 10 * second, 70 * second))
    #expect(standing(ledger, 1, now: 200 * second) == closed(b, 100 * second, 160 * second))
    // Renewed, and closed by an operator; one that is open again is, and was not between.
    try ledger.answer("b.example", [1], ttl: 1, now: 300 * second)
    try ledger.answer("b.example", [1], ttl: 1, now: 310 * second)
    _ = ledger.end(now: 320 * second, as: .operator) { $0.name == b }
    try ledger.answer("a.example", [1], ttl: 1, now: 330 * second)
    #expect(standing(ledger, 1, now: 319 * second) == .open(b))
    #expect(standing(ledger, 1, now: 325 * second) == closed(b, 300 * second, 320 * second, .operator))
    #expect(standing(ledger, 1, now: 330 * second) == .open(a))
  }

  @Test("an earlier run is remembered as such, and what is taken over of it is open")
  func restart() throws {
    var ledger = makeSmall()
    let key = try key("a.example")
    ledger.remember(key, element(1), opened: 1, now: 10)
    ledger.remember(key, element(2), opened: 2, now: 10)
    let isTaken = ledger.takeOver(
      GrantLedger.Inherited(key: key, element: element(2), until: 100, opened: 2), now: 10, epoch: 1)
    #expect(isTaken)
    #expect(standing(ledger, 1, now: 20) == closed(key.name, 1, 10, .restart))
    #expect(standing(ledger, 2, now: 20) == .open(key.name))
    #expect(standing(ledger, 2, now: 100) == closed(key.name, 2, 100))
  }

  @Test("a cap is that of the name that has it")
  func capped() throws {
    var ledger = makeSmall()
    for (name, caps) in [("capped.example", UInt16(2)), ("free.example", 0)] {
      let key = try key(name)
      let plan = try ledger.plan(
        GrantLedger.Answer(key: key, addresses: [address(1)], targets: [(6, 443)], caps: caps, ttl: second), now: 0,
        epoch: 1)
      ledger.committed(plan.commits, askedAt: 0, epoch: 1)
      let until = ledger.promise(key, elements: plan.elements, now: 0, epoch: 1)
      #expect(until != nil)
    }
    let free = try Name(hostname: "free.example")
    #expect(standing(ledger, 1, now: 1) == .open(free))
    func capped(_ caps: UInt16) -> String? {
      ledger.cappedName(of: element(1), caps: caps, at: 1)?.description
    }
    #expect(capped(2) == "capped.example" && capped(6) == "capped.example" && capped(1) == nil)
  }

  @Test("closed addresses are remembered up to a limit, the latest ones")
  func bounded() throws {
    var ledger = makeSmall(elements: 1)
    let count = GrantLedger.maxClosedPerServer + 10
    for index in 0...count {
      let key = try key("n\(index).example")
      let plan = try ledger.plan(
        GrantLedger.Answer(key: key, addresses: [IPAddress(v4: UInt32(index))], targets: [(6, 443)], ttl: 0),
        now: UInt64(index + 1) * second, epoch: 1)
      ledger.committed(plan.commits, askedAt: UInt64(index + 1) * second, epoch: 1)
      _ = ledger.promise(
        key, elements: plan.elements, answerUntil: UInt64(index + 1) * second, now: UInt64(index + 1) * second, epoch: 1
      )
    }
    #expect(ledger.servers[0].addressTable.closedCount == GrantLedger.maxClosedPerServer)
    let now = UInt64(count + 2) * second
    let standings = [9, 10].map {
      ledger.standing(of: IPAddress(v4: $0), transport: 6, port: 443, server: 0, at: now)
    }
    let last = try Name(hostname: "n10.example")
    #expect(standings[0] == .neverResolved && standings[1].name == last)
  }

  @Test("the index of addresses over all servers forgets the oldest")
  func index() {
    var index = AddressIndex()
    for value in 0...UInt32(AddressIndex.capacity) {
      index.record(IPAddress(v4: value), server: 1)
      index.record(IPAddress(v4: value), server: 2)
    }
    #expect(index[IPAddress(v4: 0)] == nil && index[IPAddress(v4: 1)] == 2)
    #expect(
      GrantLedger.maxClosed(1) == 4096 && GrantLedger.maxClosed(1000) == 262 && GrantLedger.maxClosed(60_000) == 64)
  }
}
