import IPNetwork
import Testing

@testable import FirewallModel

@Suite("Reading counters")
struct HarvestTests {
  private static let second: UInt64 = 1_000_000_000

  private static func key(_ number: UInt32) -> ElementKey {
    SetShape(family: .v4, kind: .ports).key(address: IPAddress(v4: number), transport: 6, port: 443)
  }

  /// Reads whatever is due in each second until `end`, of a set whose elements end then; says when.
  private static func readings(
    _ schedule: inout CounterPollSchedule, of set: Int, until end: UInt64, from start: UInt64 = 0, ends: [UInt64]
  ) -> [UInt64] {
    var read: [UInt64] = []
    for now in start...end {
      guard let taken = schedule.take(now * second) else { continue }
      #expect(taken == set)
      #expect(schedule.take(now * second) == nil)
      var found = CounterPollSchedule.Ends()
      for end in ends where end > now * second { found.add(end, horizon: schedule.horizon(now * second)) }
      schedule.read(set, found, now: now * second)
      read.append(now)
    }
    return read
  }

  @Test("nothing wakes while no set holds anything")
  func idle() {
    var schedule = CounterPollSchedule(interval: 10)
    #expect(schedule.next == nil && schedule.take(.max) == nil)
    schedule.opened(3, until: 5 * Self.second, now: 0)
    #expect(schedule.next != nil)
    #expect(Self.readings(&schedule, of: 3, until: 100, ends: [5 * Self.second]).count <= 2)
    #expect(schedule.next == nil)
  }

  @Test("a set is read in the second before an element of it ends, and evenly before that")
  func beforeTheEnd() {
    var schedule = CounterPollSchedule(interval: 10)
    let end = 68 * Self.second + 900_000_000
    schedule.opened(7, until: end, now: 0)
    let read = Self.readings(&schedule, of: 7, until: 100, ends: [end])
    #expect(read.starts(with: [10, 20, 30, 40, 50, 60]))
    #expect(read.contains(68))
    #expect(read.count <= 8)
  }

  @Test("a set whose elements end in every second is read once in half an interval, and near each of the ends")
  func ends() {
    for (interval, apart) in [(1, 1), (2, 1), (10, 5), (3_600, 5)] as [(UInt64, UInt64)] {
      var schedule = CounterPollSchedule(interval: interval)
      let ends = (30...330).map { UInt64($0) * Self.second + 500_000_000 }
      for end in ends { schedule.opened(0, until: end, now: 0) }
      let read = Self.readings(&schedule, of: 0, until: 5_000, ends: ends)
      for (earlier, later) in zip(read, read.dropFirst()) {
        #expect(later - earlier >= apart, "\(interval): \(read)")
      }
      for end in ends {
        let last: UInt64 = read.last { $0 * Self.second < end } ?? 0
        let unread: UInt64 = end - last * Self.second
        #expect(unread <= (apart + 2) * Self.second, "\(interval): \(end)")
      }
      #expect(schedule.next == nil)
    }
  }

  @Test("what is opened while a set is read counts for the next reading, and a set that could not be read stays due")
  func meanwhile() {
    var schedule = CounterPollSchedule(interval: 10)
    schedule.opened(1, until: 12 * Self.second, now: 0)
    #expect(schedule.take(10 * Self.second) == 1)
    schedule.opened(1, until: 90 * Self.second, now: 10 * Self.second)
    // It is being read; nothing else is due.
    #expect(schedule.next == nil)
    schedule.read(1, CounterPollSchedule.Ends(next: nil, last: 12 * Self.second), now: 13 * Self.second)
    #expect(schedule.next == 20 * Self.second)
    #expect(schedule.take(20 * Self.second) == 1)
    schedule.read(1, nil, now: 21 * Self.second)
    #expect(schedule.next == 30 * Self.second)
  }

  @Test("renewals add no readings")
  func renewals() {
    var schedule = CounterPollSchedule(interval: 10)
    for millisecond in stride(from: 0, to: 60_000, by: 7) as StrideTo<UInt64> {
      schedule.opened(1, until: (millisecond + 90_000) * 1_000_000, now: millisecond * 1_000_000)
    }
    let read = Self.readings(&schedule, of: 1, until: 400, from: 60, ends: [150 * Self.second])
    #expect(read.count <= 20)
    #expect(schedule.next == nil)
  }

  @Test("what was counted is told once, whatever becomes of the element")
  func once() {
    var book = CounterReadings()
    book.retain(["a": [:]])
    let (a, b) = (Self.key(1), Self.key(2))
    func read(_ octets: UInt64, _ packets: UInt64) -> [ElementCounts] {
      book.read("a", [a: ElementCounts(octets: octets, packets: packets)]).map(\.1)
    }
    let first = book.read("a", [a: ElementCounts(octets: 100, packets: 2), b: ElementCounts(octets: 0, packets: 0)])
    #expect(first.map(\.1) == [ElementCounts(octets: 100, packets: 2)])
    #expect(read(100, 2).isEmpty)
    #expect(read(160, 3) == [ElementCounts(octets: 60, packets: 1)])
    #expect(book.close("a", a, ElementCounts(octets: 200, packets: 4)) == ElementCounts(octets: 40, packets: 1))
    // Opened anew: its counter began at nothing.
    #expect(read(50, 1) == [ElementCounts(octets: 50, packets: 1)])
    // Expired and opened again between two readings.
    #expect(read(20, 1) == [ElementCounts(octets: 20, packets: 1)])
  }

  @Test("what was closed while a set was read is told by its closing, and what came in its place by the next reading")
  func closedMeanwhile() {
    var book = CounterReadings()
    book.retain(["a": [:]])
    let key = Self.key(1)
    _ = book.read("a", [key: ElementCounts(octets: 100, packets: 1)])
    #expect(book.close("a", key, ElementCounts(octets: 300, packets: 3)) == ElementCounts(octets: 200, packets: 2))
    // Of before the closing, or of the new one after it.
    for octets in [200, 300, 10] as [UInt64] {
      #expect(book.read("a", [key: ElementCounts(octets: octets, packets: 1)], closed: [key]).isEmpty)
    }
    #expect(
      book.read("a", [key: ElementCounts(octets: 400, packets: 4)]).map(\.1) == [ElementCounts(octets: 400, packets: 4)]
    )
    // A counter that stands lower in one of both numbers began again.
    for lower in [ElementCounts(octets: 900, packets: 3), ElementCounts(octets: 30, packets: 9)] {
      #expect(book.read("a", [key: ElementCounts(octets: 400, packets: 4)]).count <= 1)
      #expect(book.read("a", [key: lower]).map(\.1) == [lower])
    }
    let unused = ElementCounts(octets: 0, packets: 0)
    #expect(book.missing("a", in: [:]) == [key])
    #expect(book.missing("a", in: [key: unused]).isEmpty)
  }

  @Test("a plan that keeps a set keeps its book; what another bridge counted is not told again")
  func plans() {
    var book = CounterReadings()
    let known = [Self.key(1): ElementCounts(octets: 100, packets: 1)]
    book.retain(["a": known, "b": [:]])
    #expect(book.read("a", known).isEmpty)
    #expect(book.read("b", known).count == 1)
    book.retain(["a": [:]])
    #expect(book.read("a", known).isEmpty)
    #expect(book.read("b", known).isEmpty)
  }

  @Test("an hour's quota begins again only when the hour is over")
  func hours() {
    var windows = HourlyQuotas()
    let reference = SetReference(set: 4, key: Self.key(9))
    let hour: UInt64 = 3_600 * Self.second
    let first = windows.step(reference, lifetime: 90_000, now: 0)
    #expect(first == .init(lifetimeMilliseconds: 86_490_000, startsAnew: false))
    windows.opened(reference, until: 86_490 * Self.second, anew: false, now: 0)
    // Renewed every minute, through the whole hour.
    for minute in 1..<60 as Range<UInt64> {
      #expect(windows.step(reference, lifetime: 90_000, now: minute * 60 * Self.second) == nil)
    }
    #expect(windows.step(reference, lifetime: 90_000, now: hour)?.startsAnew == true)
    windows.opened(reference, until: hour + 86_490 * Self.second, anew: true, now: hour)
    #expect(windows.step(reference, lifetime: 90_000, now: hour + Self.second) == nil)
    // One that has ended is not the one that is opened next.
    let later = hour + 86_490 * Self.second
    #expect(windows.step(reference, lifetime: 90_000, now: later) == first)
  }
}
