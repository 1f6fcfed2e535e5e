/// Timers by their time. A cancelled timer gives up its work at once and its place when it would have been due, or when
/// cancelled ones are the majority.
struct TimerHeap {
  private var heap: [(time: MonotonicTime, number: UInt64)] = []
  private var work: [UInt64: () -> Void] = [:]
  private var count: UInt64 = 0

  mutating func insert(_ time: MonotonicTime, _ body: @escaping () -> Void) -> UInt64 {
    count += 1
    work[count] = body
    heap.append((time, count))
    siftUp(heap.count - 1)
    return count
  }

  mutating func cancel(_ number: UInt64) {
    guard work.removeValue(forKey: number) != nil else { return }
    if heap.count > 64, heap.count > 2 * work.count {
      let live = heap.filter { work[$0.number] != nil }
      heap = []
      for timer in live {
        heap.append(timer)
        siftUp(heap.count - 1)
      }
    }
  }

  /// The number of the timer that was made last.
  var last: UInt64 { count }

  /// When the next timer is due. Cancelled ones go first: no thread is to be woken for them.
  mutating func next() -> MonotonicTime? {
    while let first = heap.first {
      if work[first.number] != nil { return first.time }
      removeFirst()
    }
    return nil
  }

  /// Takes the work of a timer that is due; of those due at the same time, the one that was made first.
  ///
  /// - Parameter last: newer timers wait for the next round, so that work which makes due timers can't hold the thread.
  mutating func takeDue(_ now: MonotonicTime, upTo last: UInt64) -> (() -> Void)? {
    while let first = heap.first, first.time <= now, first.number <= last {
      removeFirst()
      if let body = work.removeValue(forKey: first.number) { return body }
    }
    return nil
  }

  private func isBefore(_ left: Int, _ right: Int) -> Bool {
    (heap[left].time, heap[left].number) < (heap[right].time, heap[right].number)
  }

  private mutating func siftUp(_ index: Int) {
    var child = index
    while child > 0 {
      let parent = (child - 1) / 2
      guard isBefore(child, parent) else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  private mutating func removeFirst() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isBefore(child, least) {
        least = child
      }
      guard least != parent else { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
