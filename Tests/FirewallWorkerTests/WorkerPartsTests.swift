import FirewallModel
import GrantLedger
import IPNetwork
import Testing

@testable import FirewallWorker

/// What the worker's loop goes by, on a clock of the test's.
@Suite("Parts of the worker")
struct WorkerPartsTests {
  private static let millisecond: UInt64 = 1_000_000

  // MARK: - What serve has no room for

  @Test("what serve has no room for is kept whole and told later, in order, so much at once as a message takes")
  func untold() {
    var queue = UntoldQueue<Int>()
    queue.append(contentsOf: 1...7)
    queue.append(8)
    var sent: [[Int]] = []
    var room = 2
    func send(_ part: [Int]) -> Bool {
      guard room > 0 else { return false }
      room -= 1
      sent.append(part)
      return true
    }
    var told = queue.tell(atOnce: 3, send)
    #expect(sent == [[1, 2, 3], [4, 5, 6]] && told == [1, 2, 3, 4, 5, 6])
    #expect(!queue.isEmpty)
    told = queue.tell(atOnce: 3, send)
    #expect(told.isEmpty && sent.count == 2)
    room = 9
    told = queue.tell(atOnce: 3, send)
    #expect(told == [7, 8] && sent.last == [7, 8])
    #expect(queue.isEmpty)
  }

  /// What a set counted, with the number of the set as its octets.
  private static func news(_ number: UInt64) -> (set: String, news: [(ElementKey, ElementCounts)]) {
    ("\(number)", [(ElementKey([UInt8(number)]), ElementCounts(octets: number, packets: 1))])
  }

  @Test(
    "what sets counted is told a message in a millisecond, ten later without room, and a set that is gone takes no turn"
  )
  func volumes() {
    var volumes = BridgeWorker.Volumes()
    volumes.untold = (1...4).map(Self.news)
    var sent: [UInt64] = []
    var hasRoom = true
    func tell(at milliseconds: UInt64) {
      volumes.tell(now: milliseconds * Self.millisecond) { set, news in
        // The second one is no plan's any more.
        set == "2"
          ? []
          : news.map {
            ElementVolume(
              element: GrantElement(server: 0, address: IPAddress(v4: 1), transport: 6, port: 443),
              octets: $1.octets, packets: $1.packets)
          }
      } _: { told in
        if hasRoom { sent += told.map(\.octets) }
        return hasRoom
      }
    }
    tell(at: 100)
    #expect(sent == [1])
    tell(at: 100)
    #expect(sent == [1], "not before a millisecond is over")
    tell(at: 101)
    #expect(sent == [1, 3])
    hasRoom = false
    tell(at: 102)
    hasRoom = true
    tell(at: 111)
    #expect(sent == [1, 3] && volumes.untold.count == 1)
    tell(at: 112)
    #expect(sent == [1, 3, 4] && volumes.untold.isEmpty)
  }

  // MARK: - Waiting

  @Test(
    "the loop waits until something is due and no longer, for ever where nothing is, and not at all for what is to be told"
  )
  func pause() {
    func wait(tells: Bool = false, retries: Bool = false, due: UInt64 = .max, now: UInt64) -> Int32 {
      LoopPause(tells: tells, retries: retries, due: due).milliseconds(now: now)
    }
    let (now, hour) = (5_000 * Self.millisecond, 3_600_000 * Self.millisecond)
    #expect(wait(now: now) == -1)
    #expect(wait(due: now + hour, now: now) == 3_600_001)
    #expect(wait(due: now + 1, now: now) == 1, "and never 0 before it is due, which would be a loop without a rest")
    #expect(wait(due: now - 2 * Self.millisecond, now: now) == 0)
    #expect(wait(due: .max - 1, now: now) == .max)
    #expect(wait(retries: true, due: now + hour, now: now) == 1_000)
    #expect(wait(retries: true, now: now) == 1_000)
    #expect(wait(tells: true, retries: true, due: now + hour, now: now) == 1)
    #expect(wait(tells: true, now: now) == 1)
  }

  @Test(
    "books are read and closed when it is time, and what was read last is closed when the kernel's log has come (P6)")
  func books() {
    var times = BookTimes(closes: 60, reads: 5)
    #expect(times.next(isBusy: false) == 60 && times.next(isBusy: true) == 5)
    #expect(times.due(4, isBusy: true) == nil && times.due(59, isBusy: false) == nil)
    #expect(times.due(5, isBusy: true) == .reading)
    times.reads = 65
    #expect(times.due(60, isBusy: false) == .lastReading && times.due(60, isBusy: true) == .lastReading)
    (times.closes, times.settles) = (120, 62)
    #expect(times.due(61, isBusy: true) == nil, "the log may still hold some of it")
    #expect(times.due(62, isBusy: false) == .closing)
    #expect(times.next(isBusy: true) == 62)
    #expect(BookTimes().due(.max - 1, isBusy: true) == nil)
  }
}
