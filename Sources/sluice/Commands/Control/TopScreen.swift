import ControlAPI
import Foundation
import LinuxIO

/// What `top` shows.
struct TopScreen {
  /// Newest events that are shown at most.
  static let events = 10

  private struct Row: Encodable {
    var server: ControlAPI.Server
    /// A second.
    var queries: Double
    var denials: Double
    var failures: Double

    enum CodingKeys: String, CodingKey {
      case queries = "queriesPerSecond"
      case denials = "denialsPerSecond"
      case failures = "failuresPerSecond"
    }

    func encode(to encoder: any Encoder) throws {
      try server.encode(to: encoder)
      var members = encoder.container(keyedBy: CodingKeys.self)
      try members.encode(queries, forKey: .queries)
      try members.encode(denials, forKey: .denials)
      try members.encode(failures, forKey: .failures)
    }
  }

  private struct Screen: Encodable {
    var status: ControlAPI.Status?
    var servers: [Row]
  }

  /// The state, and each server with its rates.
  var json: String { ControlAPI.line(ControlAPI.encode(Screen(status: status, servers: rows))) }

  private var status: ControlAPI.Status?
  private var former: [String: ControlAPI.Counts] = [:]
  private var formerTime: Double?
  private var rows: [Row] = []
  private var newest: [String] = []

  mutating func take(_ status: ControlAPI.Status, _ servers: [ControlAPI.Server], events: [String], at time: Double) {
    let passed = max(formerTime.map { time - $0 } ?? 0, 0.001)
    rows = servers.map { server in
      // A server of which nothing was known has no rate yet; after a restart counts begin anew.
      func rate(_ count: KeyPath<ControlAPI.Counts, UInt64>) -> Double {
        guard let before = former[server.server] else { return 0 }
        let (old, new) = (before[keyPath: count], server.queries[keyPath: count])
        return new >= old ? Double(new - old) / passed : 0
      }
      return Row(server: server, queries: rate(\.total), denials: rate(\.denied), failures: rate(\.failed))
    }
    rows.sort {
      ($1.denials, $1.queries, $1.server.queries.denied, $0.server.server)
        < ($0.denials, $0.queries, $0.server.queries.denied, $1.server.server)
    }
    former = Dictionary(servers.map { ($0.server, $0.queries) }, uniquingKeysWith: { first, _ in first })
    formerTime = time
    self.status = status
    newest = events
  }

  func lines(width: Int, height: Int) -> [String] {
    guard let status else { return [] }
    let queries = rows.reduce(0) { $0 + $1.queries }
    var lines = [
      "sluice \(status.version), up \(StatusCommand.duration(status.uptime)), policy \(status.policy.fingerprint.prefix(8)), "
        + "\(counted(status.policy.servers, "server"))",
      String(format: "%.0f queries/s, %.0f denied/s; ", queries, rows.reduce(0) { $0 + $1.denials })
        + "firewall \(status.bridge.state)\(status.bridge.degraded ? ", DEGRADED" : ""), \(counted(status.bridge.grants, "address")) open; "
        + "audit \(status.audit.blocked ? "BLOCKED" : "ok"); upstreams \(status.upstreams.count { $0.healthy })/\(status.upstreams.count)",
      "",
    ]
    let shownEvents = height > 16 ? newest.suffix(min(Self.events, height / 3)) : []
    let room = max(height - lines.count - shownEvents.count - (shownEvents.isEmpty ? 1 : 3), 1)
    let heading = [
      "SERVER", "QUERIES/S", "DENIED/S", "FAILED/S", "CACHED", "RESOLVED", "DENIED", "FAILED", "OPEN", "CACHE",
    ]
    let table = lines.count
    lines += AlignedColumns.plainLines(
      heading,
      rows.prefix(room).map { row in
        let counts = row.server.queries
        return [
          row.server.server, String(format: "%.1f", row.queries), String(format: "%.1f", row.denials),
          String(format: "%.1f", row.failures), "\(counts.cached)", "\(counts.resolved)", "\(counts.denied)",
          "\(counts.failed)", "\(row.server.grants)", "\(row.server.cacheEntries)",
        ]
      })
    if !shownEvents.isEmpty { lines += ["", "newest events"] + shownEvents }
    var cut = lines.prefix(height).map { String($0.prefix(width)) }
    if table < cut.count { cut[table] = TerminalStyle.heading(cut[table]) }
    return cut
  }
}
