import GrantLedger
import IPNetwork
import LinuxIO
import Testing

import FirewallModel

@testable import FirewallBridge

@Suite struct CommitQueueTests {
  private static func at(_ milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: 0).adding(milliseconds: milliseconds)
  }

  private static func grant(_ last: UInt32, server: UInt16 = 0) -> GrantCommit {
    GrantCommit(
      element: GrantElement(server: server, address: IPAddress(v4: last), transport: 6, port: 443),
      lifetimeMilliseconds: 1_000)
  }

  private static func taken(_ batch: CommitQueue.Batch?) throws -> CommitQueue.Batch {
    try #require(batch)
  }

  private static func refused(_ result: Result<UInt32, CommitRefusal>) -> CommitOutcome? {
    if case .failure(let refusal) = result { refusal.outcome } else { nil }
  }

  @Test("nothing is taken before the bridge greeted")
  func down() {
    var queue = CommitQueue(plan: 1)
    #expect(Self.refused(queue.submit([Self.grant(1)], deadline: Self.at(100))) == .unavailable)
    #expect(queue.nextBatch(now: Self.at(0)) == nil)
  }

  @Test("one batch is in flight and every commit that comes meanwhile joins the next")
  func grouping() throws {
    var queue = CommitQueue(plan: 9)
    _ = queue.greeted(now: Self.at(0))
    let first = try queue.submit([Self.grant(1)], deadline: Self.at(100)).get()
    let one = try Self.taken(queue.nextBatch(now: Self.at(0)))
    #expect(one.plan == 9)
    #expect(one.grants.map(\.unit) == [first])
    let second = try queue.submit([Self.grant(2), Self.grant(3)], deadline: Self.at(100)).get()
    let third = try queue.submit([Self.grant(4)], deadline: Self.at(100)).get()
    #expect(queue.nextBatch(now: Self.at(1)) == nil)
    #expect(queue.answered(one.identifier, refused: []) == [.init(unit: first, outcome: .committed)])
    let two = try Self.taken(queue.nextBatch(now: Self.at(1)))
    #expect(two.grants.map(\.unit) == [second, second, third])
    let full = BridgeRefusal(.setFull, errno: 23)
    let finished = queue.answered(two.identifier, refused: [RefusedUnit(unit: second, refusal: full)])
    #expect(
      finished == [.init(unit: second, outcome: .refused(full)), .init(unit: third, outcome: .committed)])
    #expect(queue.unitCount == 0)
  }

  @Test("more grants than a message holds are refused, and no eviction is sent while a batch is in flight")
  func largest() throws {
    var queue = CommitQueue(plan: 1)
    _ = queue.greeted(now: Self.at(0))
    let most = (0..<UInt32(BridgeMessage.maximumGrants)).map { Self.grant($0) }
    let refused = queue.submit(most + [Self.grant(.max)], deadline: Self.at(100))
    #expect(Self.refused(refused) == .refused(BridgeRefusal(.overloaded)))
    _ = try queue.submit([Self.grant(1)], deadline: Self.at(100)).get()
    let batch = try Self.taken(queue.nextBatch(now: Self.at(0)))
    queue.leave([Self.grant(9).element])
    #expect(queue.nextEvictions().isEmpty)
    _ = queue.answered(batch.identifier, refused: [])
    #expect(queue.nextEvictions() == [Self.grant(9).element])
  }

  @Test("a batch of which every answer is late is not sent again")
  func allLate() throws {
    var queue = CommitQueue(plan: 1)
    _ = queue.greeted(now: Self.at(0))
    _ = try queue.submit([Self.grant(1)], deadline: Self.at(100)).get()
    _ = try Self.taken(queue.nextBatch(now: Self.at(0)))
    let again = queue.greeted(now: Self.at(200))
    #expect(again.resend == nil && again.finished.map(\.outcome) == [.late])
  }

  @Test("a batch stays small even when many wait")
  func batchLimit() throws {
    var limits = CommitQueue.Limits()
    limits.batchGrants = 4
    var queue = CommitQueue(plan: 1, limits: limits)
    _ = queue.greeted(now: Self.at(0))
    for unit in 0..<3 {
      _ = try queue.submit([Self.grant(UInt32(unit)), Self.grant(9)], deadline: Self.at(100)).get()
    }
    let first = try Self.taken(queue.nextBatch(now: Self.at(0)))
    #expect(first.grants.count == 4)
    _ = queue.answered(first.identifier, refused: [])
    #expect(queue.nextBatch(now: Self.at(0))?.grants.count == 2)
  }

  @Test("an answer larger than a batch still goes, alone")
  func largeUnit() throws {
    var limits = CommitQueue.Limits()
    limits.batchGrants = 2
    var queue = CommitQueue(plan: 1, limits: limits)
    _ = queue.greeted(now: Self.at(0))
    _ = try queue.submit((0..<5).map { Self.grant($0) }, deadline: Self.at(100)).get()
    #expect(queue.nextBatch(now: Self.at(0))?.grants.count == 5)
  }

  @Test("more than may wait is refused at once")
  func bounded() throws {
    var limits = CommitQueue.Limits()
    limits.waitingGrants = 16
    var queue = CommitQueue(plan: 1, limits: limits)
    _ = queue.greeted(now: Self.at(0))
    _ = try queue.submit([Self.grant(1)], deadline: Self.at(1)).get()
    _ = try queue.submit([Self.grant(1)], deadline: Self.at(1)).get()
    let overloaded = CommitOutcome.refused(BridgeRefusal(.overloaded))
    #expect(Self.refused(queue.submit([Self.grant(1)], deadline: Self.at(1))) == overloaded)
    let many = (0...UInt32(BridgeMessage.maximumGrants)).map { Self.grant($0) }
    #expect(Self.refused(queue.submit(many, deadline: Self.at(1))) == overloaded)
  }

  @Test("one server's thousand answers are before no other's first")
  func turns() throws {
    var limits = CommitQueue.Limits()
    limits.batchGrants = 4
    var queue = CommitQueue(plan: 1, limits: limits)
    _ = queue.greeted(now: Self.at(0))
    let flood = try (0..<1_000).map { try queue.submit([Self.grant($0)], deadline: Self.at(250)).get() }
    let other = try queue.submit([Self.grant(1, server: 1)], deadline: Self.at(250)).get()
    let third = try queue.submit([Self.grant(1, server: 2)], deadline: Self.at(250)).get()
    let batch = try Self.taken(queue.nextBatch(now: Self.at(0)))
    #expect(batch.grants.map(\.unit) == [flood[0], other, third, flood[1]])
    // And what is left goes on in its order.
    _ = queue.answered(batch.identifier, refused: [])
    #expect(queue.nextBatch(now: Self.at(0))?.grants.map(\.unit) == Array(flood[2..<6]))
  }

  @Test("grants of several servers overtake nothing, and nothing overtakes them")
  func barrier() throws {
    var limits = CommitQueue.Limits()
    limits.batchGrants = 3
    var queue = CommitQueue(plan: 1, limits: limits)
    _ = queue.greeted(now: Self.at(0))
    let units: [[GrantCommit]] = [
      [Self.grant(1)], [Self.grant(2)], [Self.grant(1), Self.grant(1, server: 1)], [Self.grant(3, server: 1)],
      [Self.grant(3)],
    ]
    let sent = try units.map { try queue.submit($0, deadline: Self.at(250)).get() }
    var order: [UInt32] = []
    while let batch = queue.nextBatch(now: Self.at(0)) {
      for grant in batch.grants where order.last != grant.unit { order.append(grant.unit) }
      _ = queue.answered(batch.identifier, refused: [])
    }
    #expect(order == sent)
  }

  @Test("servers that have all that may wait do not keep another's answer out: the oldest of the greediest goes")
  func shares() throws {
    var limits = CommitQueue.Limits()
    limits.waitingGrants = 64
    limits.leastWeight = 1
    var queue = CommitQueue(plan: 1, limits: limits)
    _ = queue.greeted(now: Self.at(0))
    let overloaded = CommitOutcome.refused(BridgeRefusal(.overloaded))
    let first = try queue.submit([Self.grant(0)], deadline: Self.at(250)).get()
    for last in 1..<64 as Range<UInt32> { _ = try queue.submit([Self.grant(last)], deadline: Self.at(250)).get() }
    #expect(queue.makeRoom(for: [Self.grant(64)]).isEmpty)
    #expect(Self.refused(queue.submit([Self.grant(64)], deadline: Self.at(250))) == overloaded)
    let answer = [Self.grant(1, server: 1), Self.grant(2, server: 1)]
    #expect(
      queue.makeRoom(for: answer)
        == [.init(unit: first, outcome: overloaded), .init(unit: first + 1, outcome: overloaded)])
    _ = try queue.submit(answer, deadline: Self.at(250)).get()
    // Beside another one no server gets more than a quarter.
    for last in 0..<14 as Range<UInt32> {
      let grant = [Self.grant(10 + last, server: 1)]
      _ = queue.makeRoom(for: grant)
      _ = try queue.submit(grant, deadline: Self.at(250)).get()
    }
    #expect(queue.makeRoom(for: [Self.grant(99, server: 1)]).isEmpty)
    #expect(Self.refused(queue.submit([Self.grant(99, server: 1)], deadline: Self.at(250))) == overloaded)
  }

  @Test("a unit is late at its deadline, in flight or waiting, and its late answer changes nothing")
  func late() throws {
    var queue = CommitQueue(plan: 1)
    _ = queue.greeted(now: Self.at(0))
    let flying = try queue.submit([Self.grant(1)], deadline: Self.at(250)).get()
    let batch = try Self.taken(queue.nextBatch(now: Self.at(0)))
    let waiting = try queue.submit([Self.grant(2)], deadline: Self.at(300)).get()
    #expect(queue.earliestDeadline == Self.at(250))
    #expect(queue.expire(now: Self.at(249)).isEmpty)
    #expect(queue.expire(now: Self.at(250)) == [.init(unit: flying, outcome: .late)])
    #expect(queue.earliestDeadline == Self.at(300))
    #expect(queue.expire(now: Self.at(300)) == [.init(unit: waiting, outcome: .late)])
    #expect(queue.answered(batch.identifier, refused: []).isEmpty)
    #expect(queue.earliestDeadline == nil)
  }

  @Test("a new worker is sent the batch in flight again, without what is late")
  func resend() throws {
    var queue = CommitQueue(plan: 1)
    _ = queue.greeted(now: Self.at(0))
    let soon = try queue.submit([Self.grant(1)], deadline: Self.at(10)).get()
    let later = try queue.submit([Self.grant(2)], deadline: Self.at(500)).get()
    let lost = try Self.taken(queue.nextBatch(now: Self.at(0)))
    let again = queue.greeted(now: Self.at(100))
    #expect(again.finished == [.init(unit: soon, outcome: .late)])
    let batch = try #require(again.resend)
    #expect(batch.grants.map(\.unit) == [later])
    #expect(batch.identifier != lost.identifier)
    #expect(queue.answered(lost.identifier, refused: []).isEmpty)
    #expect(queue.answered(batch.identifier, refused: []) == [.init(unit: later, outcome: .committed)])
  }

  @Test("when the bridge is gone every commit is refused")
  func gone() throws {
    var queue = CommitQueue(plan: 1)
    _ = queue.greeted(now: Self.at(0))
    let first = try queue.submit([Self.grant(1)], deadline: Self.at(10)).get()
    _ = queue.nextBatch(now: Self.at(0))
    let second = try queue.submit([Self.grant(1)], deadline: Self.at(10)).get()
    let finished = Set(queue.down())
    #expect(
      finished == [.init(unit: first, outcome: .unavailable), .init(unit: second, outcome: .unavailable)])
    #expect(Self.refused(queue.submit([Self.grant(1)], deadline: Self.at(100))) == .unavailable)
  }

  private static func elements(_ range: Range<UInt32>, server: UInt16 = 0) -> [GrantElement] {
    range.map { grant($0, server: server).element }
  }

  @Test("what an answer evicts goes with it, in turns like it, and counts to its server's share")
  func evictions() throws {
    var limits = CommitQueue.Limits()
    limits.batchGrants = 8
    limits.waitingGrants = 64
    var queue = CommitQueue(plan: 1, limits: limits)
    _ = queue.greeted(now: Self.at(0))
    var busy = 0
    for number in 0..<10 as Range<UInt32> {
      let room = queue.makeRoom(for: [Self.grant(number)], evicting: Self.elements(100..<107))
      #expect(room.isEmpty)
      if (try? queue.submit([Self.grant(number)], evicting: Self.elements(100..<107), deadline: Self.at(100)).get())
        != nil
      {
        busy += 1
      }
    }
    #expect(busy == 8, "eight answers of eight elements are all that may wait")
    // Another server's answer displaces one, and has its turn with the first batch that it can be in.
    #expect(queue.makeRoom(for: [Self.grant(1, server: 7)]).count == 1)
    let other = try queue.submit([Self.grant(1, server: 7)], deadline: Self.at(100)).get()
    let first = try Self.taken(queue.nextBatch(now: Self.at(0)))
    #expect(first.grants.count <= 2 && first.evictions.count <= 15)
    _ = queue.answered(first.identifier, refused: [])
    let second = try Self.taken(queue.nextBatch(now: Self.at(0)))
    #expect((first.grants + second.grants).map(\.unit).contains(other))
  }

  @Test("evictions of answers that end before their turn are closed all the same, but for what is open again")
  func leftEvictions() throws {
    var queue = CommitQueue(plan: 1)
    #expect(
      Self.refused(queue.submit([Self.grant(1)], evicting: Self.elements(50..<52), deadline: Self.at(9)))
        == .unavailable)
    #expect(queue.nextEvictions().isEmpty)
    _ = queue.greeted(now: Self.at(0))
    #expect(Set(queue.nextEvictions()) == Set(Self.elements(50..<52)) && queue.nextEvictions().isEmpty)
    // Late before it was sent; of what it was to close another answer opens one again.
    _ = try queue.submit([Self.grant(1)], evicting: Self.elements(10..<13), deadline: Self.at(5)).get()
    _ = try queue.submit([Self.grant(11)], deadline: Self.at(100)).get()
    #expect(queue.expire(now: Self.at(6)).map(\.outcome) == [.late])
    #expect(queue.nextEvictions().isEmpty, "they go with what waits")
    let batch = try Self.taken(queue.nextBatch(now: Self.at(6)))
    #expect(Set(batch.evictions) == Set([Self.grant(10), Self.grant(12)].map(\.element)))
    _ = queue.answered(batch.identifier, refused: [])
    // And one that is asked for after it was left.
    queue.leave(Self.elements(20..<22))
    _ = try queue.submit([Self.grant(20)], deadline: Self.at(100)).get()
    #expect(try Self.taken(queue.nextBatch(now: Self.at(7))).evictions == [Self.grant(21).element])
    // Under another plan the numbers mean something else: it is told what is still open.
    queue.leave(Self.elements(30..<31))
    #expect(queue.switchPlan(to: 2).unclosed == Self.elements(30..<31) && queue.nextEvictions().isEmpty)
  }

  @Test("a batch that is sent again closes nothing again")
  func sentAgain() throws {
    var queue = CommitQueue(plan: 1)
    _ = queue.greeted(now: Self.at(0))
    _ = try queue.submit([Self.grant(1)], evicting: Self.elements(10..<13), deadline: Self.at(50)).get()
    #expect(try Self.taken(queue.nextBatch(now: Self.at(0))).evictions.count == 3)
    #expect(queue.greeted(now: Self.at(1)).resend?.evictions == [], "the request to close them has a life of its own")
  }

  @Test("a commit of another plan, or of a revoked element, is never sent")
  func cancelled() throws {
    var queue = CommitQueue(plan: 1)
    _ = queue.greeted(now: Self.at(0))
    let old = try queue.submit([Self.grant(1)], deadline: Self.at(10)).get()
    #expect(queue.switchPlan(to: 2).finished == [.init(unit: old, outcome: .unavailable)])
    #expect(queue.nextBatch(now: Self.at(0)) == nil)
    let revoked = try queue.submit([Self.grant(1), Self.grant(2)], deadline: Self.at(10)).get()
    let kept = try queue.submit([Self.grant(3)], deadline: Self.at(10)).get()
    #expect(queue.revoke([Self.grant(2).element]) == [.init(unit: revoked, outcome: .unavailable)])
    let batch = try Self.taken(queue.nextBatch(now: Self.at(0)))
    #expect(batch.plan == 2)
    #expect(batch.grants.map(\.unit) == [kept])
    let stale = RefusedUnit(unit: kept, refusal: BridgeRefusal(.otherPlan))
    #expect(
      queue.answered(batch.identifier, refused: [stale]) == [.init(unit: kept, outcome: .unavailable)])
  }
}
