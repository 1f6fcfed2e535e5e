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
/// A server draws from the pool while others leave enough there, and then from its own bucket, which no other can
/// touch. It may owe what a few lines were longer than what was left. Nothing is kept over a restart.
///
/// A sixteenth of each bucket is for grants of new names alone, and another for the first grant of each entry of the
/// policy: what a server owes for other lines is not taken from there.
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

    /// The windows in which its records are counted.
    var span: WindowSpan { self == .fine ? .short : .minute }
  }

  /// What a line is for that is told although its server is far over its share.
  enum Purpose: Int, Comparable {
    /// A destination that is new in this hour.
    case destination
    /// A grant of one.
    case grant
    /// The first grant of an entry of the policy in this hour.
    case entry

    static func < (one: Purpose, other: Purpose) -> Bool { one.rawValue < other.rawValue }
  }

  /// Octets left, less than 0 where they are owed.
  private struct Bucket {
    var main: Double
    var grants: Double
    var entries: Double

    init(_ burst: Double) {
      main = burst * (1 - 2 * LogQuota.part)
      grants = burst * LogQuota.part
      entries = burst * LogQuota.part
    }

    /// Lets octets flow in; what has no room.
    mutating func fill(_ octets: Double, _ burst: Double) -> Double {
      let full = Bucket(burst)
      entries += octets * LogQuota.part
      grants += octets * LogQuota.part + max(entries - full.entries, 0)
      main += octets * (1 - 2 * LogQuota.part) + max(grants - full.grants, 0)
      entries = min(entries, full.entries)
      grants = min(grants, full.grants)
      defer { main = min(main, full.main) }
      return max(main - full.main, 0)
    }
  }

  /// Of a bucket and what flows into it: for grants, and for first grants of entries.
  private static let part = 1.0 / 16
  /// Octets an hour that every server has.
  static let floor = 65_536.0
  private static let day = 86_400.0

  /// Nil where octets are not bounded.
  private let bounds: LogBounds?
  /// By a seeded hash of the server's name.
  private var indexes: [UInt64: Int] = [:]
  private var buckets: [Bucket] = []
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
    buckets.append(Bucket(0))
    // The share is smaller by now, if policies do not name this one.
    buckets[buckets.count - 1] = Bucket(burst)
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
    let left = buckets[server].main / Bucket(burst).main
    let others = poolRoom > 0 ? pool / poolRoom : 0
    if left >= 1 / 2 || others >= 1 / 4 { return .fine }
    return left >= 1 / 4 || others >= 1 / 8 ? .coarse : .coarsest
  }

  /// Octets that a server may still have before it owes some: of what is for everything.
  func left(_ server: Int) -> Int {
    guard bounds != nil else { return .max }
    return Int(max(buckets[server].main, 0))
  }

  /// Whether a line of a server that is far over its share can be made.
  func mayTell(_ purpose: Purpose, _ server: Int) -> Bool {
    guard bounds != nil else { return true }
    let bucket = buckets[server]
    return bucket.main > 0 || purpose >= .grant && bucket.grants > 0 || purpose >= .entry && bucket.entries > 0
  }

  /// A line of so many octets was made for a server.
  mutating func charge(_ server: Int, _ octets: Int, for purpose: Purpose = .destination) {
    guard bounds != nil else { return }
    let octets = Double(octets)
    if pool >= octets {
      pool -= octets
    } else if purpose >= .grant, buckets[server].main <= 0, buckets[server].grants > 0 {
      buckets[server].grants -= octets
    } else if purpose >= .entry, buckets[server].main <= 0, buckets[server].entries > 0 {
      buckets[server].entries -= octets
    } else {
      buckets[server].main -= octets
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
      over += buckets[index].fill(share * seconds, burst)
    }
    pool = min(pool + over, poolRoom)
  }
}
