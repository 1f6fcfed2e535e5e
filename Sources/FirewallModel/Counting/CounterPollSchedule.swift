/// When which set's counters are read: at an even pace, and once more before elements of it end, since the kernel takes the
/// counter of an expired element with it and says nothing.
///
/// Two readings of a set are at least half an interval apart, five seconds at the most, in however many different seconds
/// its elements end. What it holds is fixed for each set. All times are nanoseconds of the monotonic clock.
package struct CounterPollSchedule {
  /// When elements of a set end.
  package struct Ends: Equatable {
    /// The first end that another reading comes before; nil where there is none.
    package var next: UInt64?
    /// The last end of all; 0 where nothing ends.
    package var last: UInt64

    package init(next: UInt64? = nil, last: UInt64 = 0) {
      self.next = next
      self.last = last
    }

    /// Takes note of one.
    ///
    /// - Parameter horizon: what ends before is not read again.
    package mutating func add(_ end: UInt64, horizon: UInt64) {
      last = max(last, end)
      if end >= horizon { next = min(next ?? .max, end) }
    }
  }

  private struct Entry {
    /// The last reading; of a set that was not read yet, when it got its first element.
    var read: UInt64
    var ends = Ends()
    /// Of a set that is being read: what was known before. Its ends are those of what was opened since.
    var former: Ends?
  }

  private static let second: UInt64 = 1_000_000_000
  /// So long before its end an element is read: late enough to miss little, early enough not to come too late.
  private static let lead = second

  private let interval: UInt64
  private let pause: UInt64
  /// Each set that holds anything.
  private var sets: [Int: Entry] = [:]
  /// When the next set is due; nil when none holds anything.
  package private(set) var next: UInt64?

  /// - Parameter interval: seconds between two readings of a set.
  package init(interval: UInt64) {
    self.interval = max(interval, 1) * Self.second
    pause = min(max(self.interval / 2, Self.second), 5 * Self.second)
  }

  /// What ends before is not read again when a set is read at `now`.
  package func horizon(_ now: UInt64) -> UInt64 { now &+ pause &+ Self.lead }

  /// An element of `set` is open until `end`.
  package mutating func opened(_ set: Int, until end: UInt64, now: UInt64) {
    var entry = sets[set] ?? Entry(read: now)
    entry.ends.add(end, horizon: horizon(entry.read))
    sets[set] = entry
    if entry.former == nil { next = min(next ?? .max, due(entry)) }
  }

  /// The set whose turn it is; it has no other before `read` says that it was read.
  package mutating func take(_ now: UInt64) -> Int? {
    guard let next, next <= now else { return nil }
    let waiting = sets.lazy.filter { $0.value.former == nil }
    guard let (set, entry) = waiting.min(by: { due($0.value) < due($1.value) }) else { return nil }
    sets[set] = Entry(read: now, former: entry.ends)
    findNext()
    return set
  }

  /// A set was read; with nil it could not be, and what was known of it holds.
  package mutating func read(_ set: Int, _ ends: Ends?, now: UInt64) {
    guard var entry = sets[set], let former = entry.former else { return }
    entry.former = nil
    let ends = ends ?? former
    entry.ends.last = max(entry.ends.last, ends.last)
    if let end = ends.next { entry.ends.add(end, horizon: horizon(entry.read)) }
    sets[set] = entry.ends.last > now ? entry : nil
    findNext()
  }

  private func due(_ entry: Entry) -> UInt64 {
    let even = entry.read &+ interval
    guard let end = entry.ends.next else { return even }
    return min(even, end &- Self.lead)
  }

  private mutating func findNext() {
    next = sets.values.lazy.filter { $0.former == nil }.map(due).min()
  }
}
