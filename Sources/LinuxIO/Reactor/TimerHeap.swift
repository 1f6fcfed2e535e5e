/// Timers by their time. A cancelled timer gives up its work at once and its place when it would have been due, or when
/// cancelled ones are the majority.
struct TimerHeap {
  /// Names a timer: its number, which no other one has, and where its work lies.
  struct Key: Hashable {
    fileprivate var number: UInt64
    fileprivate var slot: Int
  }

  private struct Entry {
    var time: MonotonicTime
    var key: Key

    /// Of those due at the same time, the one that was made first.
    func isBefore(_ other: Entry) -> Bool {
      time.nanoseconds != other.time.nanoseconds
        ? time.nanoseconds < other.time.nanoseconds : key.number < other.key.number
    }
  }

  private struct Slot {
    /// 0 while it is free.
    var number: UInt64
    var work: (() -> Void)?
  }

  private var heap: [Entry] = []
  private var slots: [Slot] = []
  private var free: [Int] = []
  private var count: UInt64 = 0

  mutating func insert(_ time: MonotonicTime, _ body: @escaping () -> Void) -> Key {
    count += 1
    let slot = free.popLast() ?? slots.count
    if slot == slots.count { slots.append(Slot(number: 0, work: nil)) }
    slots[slot] = Slot(number: count, work: body)
    let key = Key(number: count, slot: slot)
    heap.append(Entry(time: time, key: key))
    siftUp(heap.count - 1)
    return key
  }

  mutating func cancel(_ key: Key) {
    guard take(key) != nil else { return }
    if heap.count > 64, heap.count > 2 * (slots.count - free.count) {
      let live = heap.filter { isLive($0.key) }
      heap.removeAll(keepingCapacity: true)
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
      if isLive(first.key) { return first.time }
      removeFirst()
    }
    return nil
  }

  /// Takes the work of a timer that is due; of those due at the same time, the one that was made first.
  ///
  /// - Parameter last: newer timers wait for the next round, so that work which makes due timers can't hold the thread.
  mutating func takeDue(_ now: MonotonicTime, upTo last: UInt64) -> (() -> Void)? {
    while let first = heap.first, first.time <= now, first.key.number <= last {
      removeFirst()
      if let body = take(first.key) { return body }
    }
    return nil
  }

  private func isLive(_ key: Key) -> Bool { slots[key.slot].number == key.number }

  private mutating func take(_ key: Key) -> (() -> Void)? {
    guard isLive(key) else { return nil }
    let body = slots[key.slot].work
    slots[key.slot] = Slot(number: 0, work: nil)
    free.append(key.slot)
    return body
  }

  private mutating func siftUp(_ index: Int) {
    let entry = heap[index]
    var child = index
    while child > 0 {
      let parent = (child - 1) / 2
      guard entry.isBefore(heap[parent]) else { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = entry
  }

  private mutating func removeFirst() {
    guard let entry = heap.popLast(), !heap.isEmpty else { return }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
      guard heap[child].isBefore(entry) else { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = entry
  }
}
