import FirewallModel
import AuditLog

/// What the kernel refused since the start, and how much of it has an event.
struct RefusalCounts {
  /// The name under which books have what is refused by the host's own chains.
  static let host = "host"

  struct Total: Sendable {
    var refused: UInt64 = 0
    var told: UInt64 = 0
  }

  /// By the name of the server.
  private(set) var totals: [String: Total] = [:]
  /// Told of, and without room in the ring, since the books were closed.
  private var lost: [String: UInt64] = [:]
  /// Servers whose counters something took away, and when they had been read last.
  private var cut: [String: UInt64] = [:]

  mutating func untold(_ server: String) { lost[server, default: 0] += 1 }

  /// Takes over books; returns how many of the packets have an event.
  mutating func close(_ book: RefusalBook) -> UInt64 {
    let told = book.told - min(book.told, lost.removeValue(forKey: book.server) ?? 0)
    totals[book.server, default: Total()].refused += book.refused
    totals[book.server, default: Total()].told += told
    if book.cutSince != 0 { cut[book.server] = book.cutSince }
    return told
  }

  /// At most this many servers are named by an event.
  private static let maximumNamed = 32

  /// Members of the event that ends an incident: whose counters went with the table, and until when they are known.
  mutating func takeLost() -> AuditMembers {
    guard let since = cut.values.min() else { return AuditMembers() }
    let names = cut.keys.sorted()
    cut = [:]
    var members = AuditMembers(.countersLost, Array(names.prefix(Self.maximumNamed)))
    if names.count > Self.maximumNamed { members.append(.countersLostMore, names.count - Self.maximumNamed) }
    members.append(.countedUntil, Timestamp.text(since))
    return members
  }
}
