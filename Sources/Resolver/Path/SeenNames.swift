import DNSWire
import EgressPolicy

/// The names that were asked for under each server's patterns lately, so that each new one is recorded: what is asked under a
/// pattern carries data, whatever is answered.
///
/// Bounded: of a pattern the newest 4,096 names are known, of all patterns together 262,144, for 24 hours each. A name that
/// had to be forgotten counts as new once more.
struct SeenNames {
  static let namesPerPattern = 4_096
  static let namesInAll = 262_144
  /// Nanoseconds.
  static let memory: UInt64 = 24 * 3_600 * 1_000_000_000

  private struct Key: Hashable {
    var server: [UInt8]
    var pattern: NamePattern
  }

  /// Names by a hash of the process's own seed, in order of time.
  private struct Names {
    var times: [Int: UInt64] = [:]
    var order: [Int] = []
    /// Where the oldest stands in `order` once that is full.
    var oldest = 0
    var lastUsed: UInt64 = 0

    /// Whether it is new, and by how many names more are known then.
    mutating func insert(_ hash: Int, now: UInt64) -> (isNew: Bool, difference: Int) {
      lastUsed = now
      let before = times.count
      if let time = times.updateValue(now, forKey: hash) {
        // One whose time is over stays where it stands, and leaves a little early.
        guard now < time + SeenNames.memory else { return (true, 0) }
        times[hash] = time
        return (false, 0)
      }
      if order.count < SeenNames.namesPerPattern {
        order.append(hash)
      } else {
        times[order[oldest]] = nil
        order[oldest] = hash
        oldest = (oldest + 1) % order.count
      }
      return (true, times.count - before)
    }
  }

  private var patterns: [Key: Names] = [:]
  private(set) var count = 0

  /// Whether a name is new under a pattern of a server; it is known from then on.
  ///
  /// - Parameter name: canonical wire octets.
  mutating func isNew(_ name: [UInt8], server: [UInt8], pattern: NamePattern, now: UInt64) -> Bool {
    let key = Key(server: server, pattern: pattern)
    let (isNew, difference) = patterns[key, default: Names()].insert(Self.hash(name), now: now)
    count += difference
    if count > Self.namesInAll { forget(keeping: key) }
    return isNew
  }

  /// Makes a name new again: what was to be recorded of it was not.
  mutating func forget(_ name: [UInt8], server: [UInt8], pattern: NamePattern) {
    // Its position in the order stays, so that it may leave early the next time.
    let known = patterns[Key(server: server, pattern: pattern)]?.times.removeValue(forKey: Self.hash(name))
    if known != nil { count -= 1 }
  }

  private static func hash(_ name: [UInt8]) -> Int {
    Int(truncatingIfNeeded: NameHash.ofProcess(name.span))
  }

  /// Forgets the patterns that were used the longest ago, an eighth of what may be known at a time.
  private mutating func forget(keeping kept: Key) {
    for (key, names) in patterns.sorted(by: { $0.value.lastUsed < $1.value.lastUsed }) where key != kept {
      guard count > Self.namesInAll / 8 * 7 else { return }
      count -= names.times.count
      patterns[key] = nil
    }
  }
}
