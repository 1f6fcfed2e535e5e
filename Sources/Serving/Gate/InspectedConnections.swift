import EgressPolicy
import GateModel
import GrantLedger
import LinuxIO
import Sharing

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

  /// As many as pass the gate at a time.
  static let maximumLiving = 24_576
  /// Those that have ended, shared among servers (P8): of the one that has more than its share the one goes that ended first.
  static let maximumEnded = 16_384
  /// Nanoseconds for which findings of a connection are taken that has ended.
  static let memory: UInt64 = 60_000_000_000

  private var entries: [String: Entry] = [:]
  /// Of those that live, by the gate's numbers.
  private var ids: [UInt64: String] = [:]
  private var ended = Shares<UInt16>(capacity: maximumEnded, leastAge: 0)
  private var idsOfEnded: [Shares<UInt16>.Slot: String] = [:]
  /// Those that have ended, the first first; up to `forgotten` they are not known any more, nor are some behind it.
  private var order: [Shares<UInt16>.Slot] = []
  private var forgotten = 0
  private var random = SecureRandom()

  /// Those that are known, whether they live or not.
  var count: Int { entries.count }

  subscript(id: String) -> Entry? { entries[id] }

  /// The id of one that goes through an inspector from now on; nil where no more can be known.
  mutating func enter(_ entry: Entry, now: UInt64) -> String? {
    // A number is one connection's at a time, whatever the gate says.
    ended(entry.connection, now: now)
    guard ids.count < Self.maximumLiving else { return nil }
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
    sweep(now: now)
    guard let id = ids.removeValue(forKey: connection), let server = entries[id]?.gated.element.server else { return }
    entries[id]?.ended = now
    guard makeRoom(for: server, now: now) else {
      entries[id] = nil
      return
    }
    let slot = ended.enter(server, now: now)
    idsOfEnded[slot] = id
    order.append(slot)
  }

  private mutating func makeRoom(for server: UInt16, now: UInt64) -> Bool {
    while true {
      switch ended.admission(of: server, now: now) {
      case .free: return true
      case .refused: return false
      case .displacing(let slot): forget(slot)
      }
    }
  }

  /// The gate is another process, whose numbers begin anew: all connections of the one before have ended.
  mutating func endAll(now: UInt64) {
    for connection in ids.keys.sorted() { ended(connection, now: now) }
  }

  /// Forgets those that ended too long ago.
  private mutating func sweep(now: UInt64) {
    while forgotten < order.count {
      let slot = order[forgotten]
      if let ended = idsOfEnded[slot].flatMap({ entries[$0]?.ended }) {
        guard now - min(now, ended) > Self.memory else { break }
        forget(slot)
      }
      forgotten += 1
    }
    // Most of it is not known any more.
    guard order.count > 2 * idsOfEnded.count + 32 else { return }
    order = order.filter { idsOfEnded[$0] != nil }
    forgotten = 0
  }

  private mutating func forget(_ slot: Shares<UInt16>.Slot) {
    ended.leave(slot)
    if let id = idsOfEnded.removeValue(forKey: slot) { entries[id] = nil }
  }
}
