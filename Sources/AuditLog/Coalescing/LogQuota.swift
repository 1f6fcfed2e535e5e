/// How much of the log's history is kept, and for how many servers: what the octets of each server are bounded by.
package struct LogBounds: Equatable, Sendable {
  /// Octets of all rotated files together: `max-size` × `keep`.
  package var history: Int
  /// Servers that policies name; more may come.
  package var servers: Int

  package init(history: Int, servers: Int) {
    self.history = history
    self.servers = servers
  }
}

/// The octets of lines that each server may still have: a bucket for each, and a pool of what others left.
///
/// All servers together, each at its limit, fill the history in no less than 24 h: seven eighths of it flow into the
/// buckets in a day, the last eighth is what buckets and pool hold when they are full. A server has no less than 64 KiB
/// an hour, even where there are so many that all of them together are faster than that.
///
/// A server draws from the pool while others leave enough there, and then from its own bucket, which nobody else can
/// touch. It may owe what a few lines were longer than what was left. Nothing is kept over a restart.
struct LogQuota {
  /// How coarse a server's events are.
  enum Grain: Int, Comparable {
    /// Windows of 10 s.
    case fine
    /// Windows of 60 s.
    case coarse
    /// One line a minute.
    case coarsest

    static func < (one: Grain, other: Grain) -> Bool { one.rawValue < other.rawValue }
  }

  /// Octets an hour that every server has.
  static let floor = 65_536.0
  private static let day = 86_400.0

  /// Nil where octets are not bounded.
  private let bounds: LogBounds?
  /// By a seeded hash of the server's name.
  private var indexes: [UInt64: Int] = [:]
  /// Octets left, less than 0 where they are owed.
  private var buckets: [Double] = []
  private var pool = 0.0
  /// Monotonic nanoseconds; 0 before the first refill.
  private var filled: UInt64 = 0
  private var lastHash: UInt64 = 0
  private var lastIndex: Int?

  init(_ bounds: LogBounds?) { self.bounds = bounds }

  /// The index of a server, made where there is none.
  mutating func index(of server: Span<UInt8>) -> Int {
    let hash = CoalescingKey.hash(server)
    if let lastIndex, lastHash == hash { return lastIndex }
    let index = indexes[hash] ?? add(hash)
    lastHash = hash
    lastIndex = index
    return index
  }

  private mutating func add(_ hash: UInt64) -> Int {
    indexes[hash] = buckets.count
    buckets.append(0)
    // The share is smaller by now, if policies do not name this one.
    buckets[buckets.count - 1] = burst
    return buckets.count - 1
  }

  private var servers: Double { Double(max(bounds?.servers ?? 1, buckets.count, 1)) }
  private var history: Double { Double(bounds?.history ?? 0) }

  /// Octets a second that flow into the bucket of each server.
  private var share: Double { max(history * 7 / 8 / Self.day / servers, Self.floor / 3600) }
  /// Octets that a bucket holds.
  private var burst: Double { max(history / 16 / servers, Self.floor) }
  /// Octets that the pool holds.
  private var poolRoom: Double { history / 16 }

  /// How coarse the events of a server must be now.
  mutating func grain(_ server: Int, now: UInt64) -> Grain {
    guard bounds != nil else { return .fine }
    refill(now)
    let left = buckets[server] / burst
    let others = poolRoom > 0 ? pool / poolRoom : 0
    if left >= 1 / 2 || others >= 1 / 4 { return .fine }
    return left >= 1 / 4 || others >= 1 / 8 ? .coarse : .coarsest
  }

  /// Octets that a server may still have before it owes some.
  func left(_ server: Int) -> Int {
    guard bounds != nil else { return .max }
    return Int(max(buckets[server], 0))
  }

  /// A line of so many octets was made for a server.
  mutating func charge(_ server: Int, _ octets: Int) {
    guard bounds != nil else { return }
    if pool >= Double(octets) {
      pool -= Double(octets)
    } else {
      buckets[server] -= Double(octets)
    }
  }

  private mutating func refill(_ now: UInt64) {
    guard filled > 0 else { return filled = max(now, 1) }
    guard now >= filled &+ 1_000_000_000 else { return }
    let seconds = Double(now - filled) / 1e9
    filled = now
    let share = share
    let burst = burst
    // Of servers that made no line yet.
    var over = share * seconds * (servers - Double(buckets.count))
    for index in buckets.indices {
      buckets[index] += share * seconds
      over += max(buckets[index] - burst, 0)
      buckets[index] = min(buckets[index], burst)
    }
    pool = min(pool + over, poolRoom)
  }
}
