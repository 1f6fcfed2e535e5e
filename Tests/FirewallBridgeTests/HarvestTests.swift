import IPNetwork
import Testing

@testable import FirewallBridge

@Suite("Reading counters")
struct HarvestTests {
  private static let second: UInt64 = 1_000_000_000

  private static func key(_ number: UInt32) -> ElementKey {
    SetShape(family: .v4, kind: .ports).key(address: IPAddress(v4: number), transport: 6, port: 443)
  }

  @Test("nothing wakes while no set holds anything")
  func idle() {
    var schedule = HarvestSchedule(interval: 10)
    #expect(schedule.next == nil)
    schedule.opened(3, until: 5 * Self.second, now: 0)
    #expect(schedule.next != nil)
    var now: UInt64 = 0
    while let next = schedule.next {
      now = next * Self.second
      _ = schedule.take(now)
      guard now < 1_000 * Self.second else { break }
    }
    #expect(now < 30 * Self.second)
  }

  @Test("a set is read in the second before an element of it ends, and evenly before that")
  func beforeTheEnd() {
    var schedule = HarvestSchedule(interval: 10)
    schedule.opened(7, until: 64 * Self.second + 900_000_000, now: 0)
    var read: [UInt64] = []
    for second in 0...100 as ClosedRange<UInt64> where schedule.take(second * Self.second) == [7] {
      read.append(second)
    }
    #expect(read.contains(63) || read.contains(64))
    #expect(read.starts(with: [10, 20, 30, 40, 50, 60]))
    #expect(read.count <= 9)
  }

  @Test("renewals add no readings beyond one for each second")
  func renewals() {
    var schedule = HarvestSchedule(interval: 10)
    for millisecond in stride(from: 0, to: 60_000, by: 7) as StrideTo<UInt64> {
      schedule.opened(1, until: (millisecond + 90_000) * 1_000_000, now: millisecond * 1_000_000)
    }
    var readings = 0
    for second in 60...400 as ClosedRange<UInt64> where !schedule.take(second * Self.second).isEmpty {
      readings += 1
    }
    #expect(readings <= 110)
    #expect(schedule.next == nil)
  }

  @Test("what was counted is told once, whatever becomes of the element")
  func once() {
    var book = CounterBook()
    let (a, b) = (Self.key(1), Self.key(2))
    let first = book.read(0, [(a, ElementCounts(octets: 100, packets: 2)), (b, ElementCounts(octets: 0, packets: 0))])
    #expect(first.map(\.1) == [ElementCounts(octets: 100, packets: 2)])
    #expect(book.read(0, [(a, ElementCounts(octets: 100, packets: 2))]).isEmpty)
    #expect(
      book.read(0, [(a, ElementCounts(octets: 160, packets: 3))]).map(\.1) == [ElementCounts(octets: 60, packets: 1)])
    #expect(book.close(0, a, ElementCounts(octets: 200, packets: 4)) == ElementCounts(octets: 40, packets: 1))
    // Opened anew: its counter began at nothing.
    #expect(
      book.read(0, [(a, ElementCounts(octets: 50, packets: 1))]).map(\.1) == [ElementCounts(octets: 50, packets: 1)])
    // Expired and opened again between two readings.
    #expect(
      book.read(0, [(a, ElementCounts(octets: 20, packets: 1))]).map(\.1) == [ElementCounts(octets: 20, packets: 1)])
  }

  @Test("an hour's quota begins again only when the hour is over")
  func hours() {
    var windows = HourWindows()
    let place = SetPlace(set: 4, key: Self.key(9))
    let hour: UInt64 = 3_600 * Self.second
    let first = windows.step(place, lifetime: 90_000, now: 0)
    #expect(first == .init(lifetimeMilliseconds: 86_490_000, startsAnew: false))
    windows.opened(place, until: 86_490 * Self.second, anew: false, now: 0)
    // Renewed every minute, through the whole hour.
    for minute in 1..<60 as Range<UInt64> {
      #expect(windows.step(place, lifetime: 90_000, now: minute * 60 * Self.second) == nil)
    }
    #expect(windows.step(place, lifetime: 90_000, now: hour)?.startsAnew == true)
    windows.opened(place, until: hour + 86_490 * Self.second, anew: true, now: hour)
    #expect(windows.step(place, lifetime: 90_000, now: hour + Self.second) == nil)
  }
}
