import LinuxIO
import TestSupport
import Testing

@testable import Upstream

@Suite("Deadlines")
struct DeadlinesTests {
  private final class Item { var place: Int? }

  private func time(_ nanoseconds: UInt64) -> MonotonicTime { MonotonicTime(nanoseconds: nanoseconds) }

  @Test(
    "whatever comes and goes: what is due is taken out once, and nothing else", arguments: 1...20 as ClosedRange<UInt64>
  )
  func property(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var deadlines = Deadlines<Item>()
    var held: [ObjectIdentifier: (item: Item, time: UInt64)] = [:]
    for now in 0..<2_000 as Range<UInt64> {
      switch Int.random(in: 0..<4, using: &random) {
      case 0, 1:
        let (item, due) = (Item(), now + UInt64.random(in: 0..<100, using: &random))
        item.place = deadlines.add(item, at: time(due))
        held[ObjectIdentifier(item)] = (item, due)
      case 2:
        guard let entry = held.values.randomElement(using: &random), let place = entry.item.place else { continue }
        deadlines.remove(place)
        held[ObjectIdentifier(entry.item)] = nil
      default:
        #expect(deadlines.earliest == held.values.map(\.time).min().map(time))
        let due = held.values.count { $0.time <= now }
        let taken = deadlines.takeDue(time(now), atMost: 3)
        #expect(taken.count == min(due, 3))
        for item in taken { #expect(held.removeValue(forKey: ObjectIdentifier(item)).map { $0.time <= now } == true) }
      }
    }
  }
}
