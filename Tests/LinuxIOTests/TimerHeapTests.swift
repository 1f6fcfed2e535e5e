import Testing

@testable import LinuxIO

@Suite("Timers")
struct TimerHeapTests {
  /// A small generator, so that a failure repeats.
  private struct Sequence {
    var state: UInt64

    mutating func next(below bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
  }

  @Test("the order is that of time and then that of making, whatever is cancelled")
  func order() {
    var random = Sequence(state: 7)
    var heap = TimerHeap()
    var fired: [Int] = []
    var expected: [(time: UInt64, index: Int)] = []
    final class Log { var entries: [Int] = [] }
    let log = Log()
    for index in 0..<2000 {
      let time = random.next(below: 50)
      let number = heap.insert(MonotonicTime(nanoseconds: time)) { log.entries.append(index) }
      if random.next(below: 3) == 0 {
        heap.cancel(number)
      } else {
        expected.append((time, index))
      }
    }
    let last = heap.last
    while let work = heap.takeDue(MonotonicTime(nanoseconds: 100), upTo: last) { work() }
    fired = log.entries
    #expect(fired == expected.sorted { ($0.time, $0.index) < ($1.time, $1.index) }.map(\.index))
    #expect(heap.next() == nil)
  }

  @Test("a cancelled timer is not what is waited for")
  func cancelled() {
    var heap = TimerHeap()
    let early = heap.insert(MonotonicTime(nanoseconds: 1)) {}
    _ = heap.insert(MonotonicTime(nanoseconds: 9)) {}
    #expect(heap.next() == MonotonicTime(nanoseconds: 1))
    heap.cancel(early)
    #expect(heap.next() == MonotonicTime(nanoseconds: 9))
  }

  @Test("nothing is due before its time, and newer timers wait for the next round")
  func rounds() {
    var heap = TimerHeap()
    _ = heap.insert(MonotonicTime(nanoseconds: 5)) {}
    #expect(heap.takeDue(MonotonicTime(nanoseconds: 4), upTo: heap.last) == nil)
    let last = heap.last
    _ = heap.insert(MonotonicTime(nanoseconds: 5)) {}
    #expect(heap.takeDue(MonotonicTime(nanoseconds: 5), upTo: last) != nil)
    #expect(heap.takeDue(MonotonicTime(nanoseconds: 5), upTo: last) == nil)
    #expect(heap.takeDue(MonotonicTime(nanoseconds: 5), upTo: heap.last) != nil)
  }
}
