import FirewallModel
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import Enforcement

/// A machine with the world around it: an epoch, a clock, and what was asked of serve.
private final class World {
  var machine: Enforcement
  var now: UInt64 = 1_000_000_000_000
  var epoch: UInt64 = 1
  /// The replay that is under way, and the epoch in which it began.
  var replay: (number: UInt64, epoch: UInt64)?
  var replays = 0
  var searches: [Enforcement.Suspects] = []
  var told: [EnforcementIncident.Cause] = []
  var ended: [EnforcementIncident.Ended] = []
  var shortened: [[GrantElement]] = []
  var hasFailed = false
  var alarms: Set<UInt64> = []

  init(isManaged: Bool = true, incarnation: UInt64 = 1) {
    machine = Enforcement(isManaged: isManaged, incarnation: incarnation)
  }

  @discardableResult
  func tell(_ event: Enforcement.Event) -> [Enforcement.Action] {
    let actions = machine.handle(event, now: now, epoch: epoch)
    for action in actions {
      switch action {
      case .endEpoch: epoch += 1
      case .tell(let cause, let begins): if begins { told.append(cause) }
      case .tellEnded(let ended): self.ended.append(ended)
      case .replay(let number):
        replay = (number, epoch)
        replays += 1
      case .goOn: break
      case .search(let suspects): searches.append(suspects)
      case .shorten(let elements): shortened.append(elements)
      case .wake(let time): alarms.insert(time)
      case .fail: hasFailed = true
      }
    }
    return actions
  }

  /// A part of the newest replay ends.
  @discardableResult
  func replayed(_ isCommitted: Bool = true, left: Int = 0) -> [Enforcement.Action] {
    guard let replay else { return [] }
    return tell(
      .replayed(.init(number: replay.number, epoch: replay.epoch, isCommitted: isCommitted, left: left)))
  }

  /// As a timer of serve: at the first time that is due, if any is.
  func sleep() -> Bool {
    guard let time = alarms.min() else { return false }
    alarms.remove(time)
    now = max(now, time)
    tell(.woken)
    return true
  }

  func pass(milliseconds: UInt64) { now += milliseconds * 1_000_000 }

  var isOpen: Bool { machine.incident.isOpen }
}

private let element = GrantElement(server: 3, address: IPAddress("192.0.2.1")!, transport: 6, port: 443)

@Suite("What keeps kernel and promises in agreement")
struct EnforcementTests {
  private static let flush: TableChange = [.tableRemoved]

  @Test("a flush ends the epoch before anything else is done, and the incident when all is committed again")
  func flushed() {
    let world = World()
    #expect(
      world.tell(.changed(Self.flush, servers: []))
        == [.endEpoch, .tell(.tableRemoved, begins: true), .replay(1)])
    world.pass(milliseconds: 40)
    world.tell(.changed([.tableRemoved, .reinstalled], servers: []))
    #expect(world.replays == 2)
    world.replayed(left: 3)
    #expect(world.isOpen, "a part is not everything")
    world.replayed()
    #expect(world.ended == [.init(cause: .tableRemoved, milliseconds: 40, disturbances: 2)])
    #expect(world.told == [.tableRemoved] && !world.isOpen)
  }

  @Test("what is promised may be committed, and the table still not whole: the incident lasts")
  func notWhole() {
    let world = World()
    world.tell(.changed(Self.flush, servers: []))
    world.replayed()
    #expect(world.isOpen)
    world.pass(milliseconds: 100)
    world.tell(.changed([.reinstalled], servers: []))
    world.replayed()
    #expect(!world.isOpen)
  }

  @Test("in mode sets the table is its owner's: it is not put back, and the incident ends with the commits")
  func notManaged() {
    let world = World(isManaged: false)
    world.tell(.changed([.elementsRemoved], servers: [1]))
    world.replayed()
    #expect(!world.isOpen)
    world.pass(milliseconds: 100)
    world.tell(.changed([.setRemoved], servers: []))
    world.replayed()
    #expect(world.ended.map(\.cause) == [.elementsRemoved, .setRemoved])
  }

  @Test("an alarm during a replay ends its epoch, and another replay begins, at once or after the pause")
  func alarmDuringReplay() {
    let world = World()
    world.tell(.changed([.elementsRemoved], servers: []))
    let first = world.replay!
    world.pass(milliseconds: 1)
    #expect(world.tell(.alarm) == [.endEpoch, .wake(at: world.now - 1_000_000 + Enforcement.replayPause)])
    // The part that was under way was committed before what the alarm saw.
    world.tell(.replayed(.init(number: first.number, epoch: first.epoch, isCommitted: true, left: 0)))
    #expect(world.isOpen)
    #expect(world.sleep() && world.replays == 2)
    world.replayed()
    #expect(!world.isOpen)
  }

  @Test("an alarm after the incident ends the epoch and begins nothing")
  func lateAlarm() {
    let world = World()
    world.tell(.changed([.elementsRemoved], servers: []))
    world.replayed()
    world.pass(milliseconds: 100)
    #expect(world.tell(.alarm) == [.endEpoch])
    #expect(!world.isOpen)
  }

  @Test("an alarm that only the shared page has told yet makes the part that ends count for nothing")
  func unreadAlarm() {
    let world = World()
    world.tell(.changed([.elementsRemoved], servers: []))
    world.epoch += 1
    world.replayed()
    #expect(world.isOpen)
    world.pass(milliseconds: 50)
    world.tell(.alarm)
    world.replayed()
    #expect(!world.isOpen)
  }

  @Test("a thousand changes a second are a replay each thirty milliseconds")
  func flood() {
    let world = World()
    for _ in 0..<1_000 {
      world.tell(.changed([.elementsRemoved], servers: []))
      while let next = world.alarms.min(), next <= world.now { _ = world.sleep() }
      world.pass(milliseconds: 1)
    }
    #expect((30...36).contains(world.replays), "\(world.replays)")
    #expect(world.told.count == 1)
    while world.sleep() {}
    world.replayed()
    #expect(world.ended.first?.disturbances == 1_000)
  }

  @Test("a part that was late is tried again after a second, as often as it takes")
  func late() {
    let world = World()
    world.tell(.changed([.elementsRemoved], servers: []))
    for round in 1...3 {
      world.replayed(false, left: 2)
      world.replayed()
      #expect(world.isOpen)
      let before = world.now
      #expect(world.sleep() && world.now == before + Enforcement.retryPause && world.replays == round + 1)
    }
    world.replayed(left: 2)
    world.replayed()
    #expect(!world.isOpen)
  }

  @Test("parts of an older replay neither end the incident nor go on")
  func twoReplays() {
    let world = World()
    world.tell(.notShortened([element]))
    world.pass(milliseconds: 100)
    world.tell(.changed([.elementsRemoved], servers: []))
    let older = world.replay!
    world.pass(milliseconds: 100)
    // Begins another replay in the same epoch.
    world.tell(.shortened([element]))
    #expect(world.replays == 2 && world.epoch == older.epoch)
    let late = Enforcement.ReplayUnit(number: older.number, epoch: older.epoch, isCommitted: true, left: 5)
    #expect(world.tell(.replayed(late)) == [])
    world.replayed(false)
    world.tell(.replayed(late))
    #expect(world.isOpen, "of the newer one a part has failed")
    while world.sleep() {}
    world.replayed()
    #expect(!world.isOpen)
  }

  // MARK: - The bridge

  @Test("a greeting while a plan is on its way is its success, and ends no epoch")
  func installing() {
    let world = World()
    world.tell(.installing)
    #expect(world.tell(.greeted(incarnation: 1)) == [])
    world.tell(.installed)
    #expect(world.epoch == 1)
    #expect(world.tell(.greeted(incarnation: 1)) == [.endEpoch, .replay(1)], "one that was not asked for does")
  }

  @Test("a flush while a plan is on its way: the greeting makes the table whole, and all is committed again")
  func flushWhileInstalling() {
    let world = World()
    world.tell(.installing)
    world.tell(.changed(Self.flush, servers: []))
    world.replayed(false)
    world.pass(milliseconds: 50)
    #expect(world.tell(.greeted(incarnation: 1)) == [.endEpoch, .replay(2)])
    world.tell(.installed)
    world.replayed()
    #expect(!world.isOpen)
  }

  @Test("a worker that dies while a plan is on its way is another one that greets: sets are searched, all is replayed")
  func deathWhileInstalling() {
    let world = World()
    world.tell(.installing)
    #expect(
      world.tell(.greeted(incarnation: 2))
        == [.endEpoch, .tell(.bridgeRestarted, begins: true), .search(.all), .replay(1)])
    world.replayed()
    #expect(world.isOpen, "what was not watched is searched for first")
    world.tell(.searched(.all, isDone: true))
    #expect(world.ended.map(\.cause) == [.bridgeRestarted])
  }

  @Test(
    "a bridge that is silent, broken or gone is down from that moment, in whatever state",
    arguments: [Enforcement.Event.silent, .broken, .gone])
  func down(_ end: Enforcement.Event) {
    let before: [[Enforcement.Event]] = [
      [], [.installing], [.changed([.tableRemoved], servers: [])], [.suspected([1])], [.notShortened([element])],
      [.alarm], [.silent], [.broken],
    ]
    for events in before {
      let world = World()
      for event in events { world.tell(event) }
      let epoch = world.epoch
      world.tell(end)
      #expect(world.epoch == epoch + 1 && !world.machine.isBridgeUp && world.isOpen)
      #expect(world.hasFailed == (end == .gone))
      // Nothing that was under way can end it.
      world.replayed()
      #expect(world.isOpen)
      guard end != .gone else { continue }
      world.tell(.installed)
      world.pass(milliseconds: 2_000)
      world.tell(.greeted(incarnation: 2))
      #expect(world.machine.isBridgeUp && world.machine.incarnation == 2)
      world.tell(.searched(.all, isDone: true))
      world.tell(.searched(.all, isDone: true))
      world.tell(.shortened([element]))
      while world.sleep() {}
      world.replayed()
      #expect(!world.isOpen, "\(events)")
    }
  }

  @Test("while the bridge is down nothing is replayed, and no incident ends by a replay of nothing")
  func silentWithRetry() {
    let world = World()
    world.tell(.changed([.elementsRemoved], servers: []))
    world.replayed(false)
    world.tell(.silent)
    let replays = world.replays
    world.tell(.alarm)
    while world.sleep() { world.replayed() }
    #expect(world.isOpen && world.replays == replays)
    world.pass(milliseconds: 2_000)
    world.tell(.heard)
    #expect(world.replays == replays + 1)
    world.replayed()
    #expect(!world.isOpen)
  }

  @Test("a bridge that acknowledges out of order has everything searched and committed again, and its table is whole")
  func disordered() {
    let world = World()
    let epoch = world.epoch
    #expect(
      world.tell(.disordered) == [.endEpoch, .tell(.bridgeDisordered, begins: true), .search(.all), .replay(1)])
    #expect(world.epoch == epoch + 1 && world.machine.isBridgeUp)
    world.replayed()
    #expect(world.isOpen)
    world.tell(.searched(.all, isDone: true))
    #expect(world.ended.map(\.cause) == [.bridgeDisordered])
  }

  @Test("a bridge that is heard again commits everything again before the incident is over")
  func heard() {
    let world = World()
    world.tell(.silent)
    world.pass(milliseconds: 700)
    #expect(world.tell(.heard) == [.replay(1)])
    #expect(world.machine.isBridgeUp && world.isOpen)
    world.replayed()
    #expect(world.ended == [.init(cause: .bridgeSilent, milliseconds: 700, disturbances: 1)])
  }

  // MARK: - Searches

  @Test("a flush during a search: one search at a time, and the next looks where something was found out meanwhile")
  func flushDuringSearch() {
    let world = World()
    world.tell(.changed([.elementsAdded], servers: [4]))
    #expect(world.searches == [.some([4])])
    world.pass(milliseconds: 50)
    world.tell(.changed([.tableRemoved, .unknown, .reinstalled], servers: []))
    #expect(world.searches.count == 1)
    world.replayed()
    world.tell(.searched(.some([4]), isDone: true))
    #expect(world.searches == [.some([4]), .all])
    #expect(world.isOpen)
    world.tell(.searched(.all, isDone: true))
    #expect(!world.isOpen)
  }

  @Test("a search that failed is done again after a second, with what was found out meanwhile")
  func searchFailed() {
    let world = World()
    world.tell(.suspected([1]))
    world.tell(.suspected([2]))
    world.tell(.searched(.some([1]), isDone: false))
    #expect(world.searches == [.some([1])])
    #expect(world.sleep())
    #expect(world.searches == [.some([1]), .some([1, 2])])
    world.tell(.searched(.some([1, 2]), isDone: true))
    #expect(!world.sleep())
    world.tell(.suspected([1]))
    #expect(world.searches.count == 3, "the next is found out at once")
  }

  // MARK: - What should end sooner

  @Test("what could not be shortened is tried each second, keeps an incident open, and ends it")
  func overlong() {
    let other = GrantElement(server: 3, address: IPAddress("192.0.2.2")!, transport: 6, port: 443)
    let world = World()
    world.tell(.notShortened([element]))
    #expect(world.told == [.notShortened])
    world.tell(.notShortened([other]))
    #expect(world.sleep())
    #expect(world.shortened.map(Set.init) == [[element, other]])
    world.tell(.notShortened([other]))
    world.tell(.shortened([element]))
    world.replayed()
    #expect(world.isOpen)
    #expect(world.sleep() && world.shortened.count == 2)
    world.tell(.shortened([other]))
    world.replayed()
    #expect(world.ended.map(\.cause) == [.notShortened])
  }

  @Test("none that could not be shortened are no trouble, and what is found later puts nothing off")
  func overlongTimes() {
    let world = World()
    #expect(world.tell(.notShortened([])) == [] && !world.isOpen)
    world.tell(.notShortened([element]))
    let due = world.alarms
    world.pass(milliseconds: 500)
    world.tell(.notShortened([element]))
    #expect(world.alarms == due)
    #expect(world.sleep() && world.shortened == [[element]])
  }

  // MARK: - Whatever comes

  /// P2 as the machine has it: an incident never ends unless everything was committed in the epoch of now, by a replay that
  /// began after the last thing that went wrong; and once all is quiet and everything succeeds, it ends.
  @Test("in any order of events no incident ends early, and each ends", arguments: 0..<200)
  func anyOrder(_ seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let world = World()
    var lastTrouble = 0
    for step in 0..<300 {
      world.pass(milliseconds: random.next() % 40)
      let endedBefore = world.ended.count
      switch random.next() % 15 {
      case 0: world.tell(.changed([.elementsRemoved], servers: [UInt16(random.next() % 4)]))
      case 1: world.tell(.changed([.tableRemoved], servers: []))
      case 2: world.tell(.changed([.rulesChanged, .reinstalled], servers: []))
      case 3: world.tell(.changed([.elementsAdded], servers: [UInt16(random.next() % 4)]))
      case 4: world.tell(.alarm)
      case 5: world.tell(.silent)
      case 6: world.tell(.heard)
      case 7: world.tell(.greeted(incarnation: random.next() % 3 + 1))
      case 8: world.tell(random.next() % 2 == 0 ? .installing : .installed)
      case 9: world.replayed(random.next() % 3 > 0, left: Int(random.next() % 2))
      case 10: if let last = world.searches.last { world.tell(.searched(last, isDone: random.next() % 2 == 0)) }
      case 11: world.tell(random.next() % 2 == 0 ? .notShortened([element]) : .shortened([element]))
      case 12: world.epoch += 1
      case 13: world.tell(.disordered)
      default: _ = world.sleep()
      }
      if world.isOpen, world.ended.count == endedBefore { lastTrouble = step }
      if world.ended.count > endedBefore {
        #expect(world.replay?.epoch == world.epoch, "step \(step), last open at \(lastTrouble)")
      }
    }
    // Quiet, and everything succeeds.
    world.tell(.installed)
    world.tell(.heard)
    world.tell(.changed([.reinstalled], servers: []))
    for _ in 0..<20 {
      if let last = world.searches.last { world.tell(.searched(last, isDone: true)) }
      for elements in world.shortened { world.tell(.shortened(elements)) }
      world.tell(.shortened([element]))
      while world.sleep() {}
      world.replayed()
    }
    #expect(!world.isOpen)
  }
}
