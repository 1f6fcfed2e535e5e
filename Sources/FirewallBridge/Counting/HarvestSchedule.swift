/// When which set's counters are read: at an even pace, and once more just before elements of it end, since the kernel
/// takes the counter of an expired element with it and says nothing.
struct HarvestSchedule {
  private static let second: UInt64 = 1_000_000_000

  private let interval: UInt64
  private var dueAt: [UInt64: Set<Int>] = [:]
  /// Of each set that holds anything: when its last element ends, and the second of its next even reading.
  private var sets: [Int: (end: UInt64, even: UInt64)] = [:]

  /// - Parameter interval: seconds between two readings of a set.
  init(interval: UInt64) {
    self.interval = max(interval, 1)
  }

  /// The monotonic second at which the next set is due; nil when no set holds anything.
  var next: UInt64? { dueAt.keys.min() }

  /// An element of `set` is open until `end`, nanoseconds.
  mutating func opened(_ set: Int, until end: UInt64, now: UInt64) {
    let second = now / Self.second
    if let known = sets[set] {
      sets[set] = (max(known.end, end), known.even)
    } else {
      sets[set] = (end, second &+ interval)
      due(set, at: second &+ interval)
    }
    // The second before its last whole one: late enough to miss little, early enough not to come too late.
    let last = end / Self.second
    due(set, at: max(last &- min(last, 1), second &+ 1))
  }

  /// The sets to read now; each of them is scheduled again while it holds anything.
  mutating func take(_ now: UInt64) -> Set<Int> {
    let second = now / Self.second
    var taken: Set<Int> = []
    for due in dueAt.keys where due <= second {
      taken.formUnion(dueAt.removeValue(forKey: due) ?? [])
    }
    for set in taken {
      guard let known = sets[set] else { continue }
      if known.end <= now {
        sets[set] = nil
      } else if known.even <= second {
        sets[set] = (known.end, second &+ interval)
        due(set, at: second &+ interval)
      }
    }
    return taken
  }

  private mutating func due(_ set: Int, at second: UInt64) {
    dueAt[second, default: []].insert(set)
  }
}
