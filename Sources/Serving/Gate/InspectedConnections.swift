import EgressPolicy
import GateModel
import LinuxIO

/// The connections that go through inspectors, by the ids that these know them by: 128 random bits, so that what is found of one
/// cannot be said of another.
struct InspectedConnections {
  /// What is known of one.
  struct Entry {
    /// The gate's number for it.
    var connection: UInt64
    var inspector: Inspector
    /// As it was judged.
    var gated: GatedConnection
    /// Of the entry, `FILE:LINE`.
    var rule: String
    /// When it was found to have ended, in nanoseconds; nil while it lives.
    var ended: UInt64?
  }

  /// More than pass the gate at a time; beyond it those go first that ended first.
  static let maximum = 32_768
  /// Nanoseconds for which findings of a connection are taken that has ended.
  static let memory: UInt64 = 60_000_000_000

  private var entries: [String: Entry] = [:]
  private var ids: [UInt64: String] = [:]
  /// Those that have ended, the first first; up to `forgotten` they are not known any more.
  private var over: [String] = []
  private var forgotten = 0
  private var random = SecureRandom()

  /// Those that are known, whether they live or not.
  var count: Int { entries.count }

  subscript(id: String) -> Entry? { entries[id] }

  /// The id of one that goes through an inspector from now on; nil where no more can be known.
  mutating func enter(_ entry: Entry, now: UInt64) -> String? {
    // A number is one connection's at a time, whatever the gate says.
    ended(entry.connection, now: now)
    sweep(now: now)
    while entries.count >= Self.maximum { guard forgetFirst() else { return nil } }
    let id = Self.hexadecimal(random.uint64()) + Self.hexadecimal(random.uint64())
    entries[id] = entry
    ids[entry.connection] = id
    return id
  }

  private static func hexadecimal(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// What is known of a connection of the gate that lives.
  func entry(of connection: UInt64) -> Entry? { ids[connection].flatMap { entries[$0] } }

  /// It is no connection any more; findings of it are taken for a while.
  mutating func ended(_ connection: UInt64, now: UInt64) {
    guard let id = ids.removeValue(forKey: connection) else { return }
    entries[id]?.ended = now
    over.append(id)
    sweep(now: now)
  }

  /// The gate is another process, whose numbers begin anew: all connections of the one before have ended.
  mutating func endAll(now: UInt64) {
    for connection in ids.keys.sorted() { ended(connection, now: now) }
  }

  private mutating func sweep(now: UInt64) {
    while forgotten < over.count, let ended = entries[over[forgotten]]?.ended, now - min(now, ended) > Self.memory {
      _ = forgetFirst()
    }
  }

  /// False where none has ended.
  private mutating func forgetFirst() -> Bool {
    guard forgotten < over.count else { return false }
    entries[over[forgotten]] = nil
    forgotten += 1
    if forgotten * 2 > over.count {
      over.removeFirst(forgotten)
      forgotten = 0
    }
    return true
  }
}
