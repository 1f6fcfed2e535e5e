import AuditStore
import ControlAPI
import Foundation
import LinuxIO

/// What `top` shows.
struct TopScreen {
  /// Newest events that are shown at most: more rows than most terminals have.
  static let events = 100

  /// The newest, in the columns of the log's table, or why they cannot be read.
  struct Events {
    var rows: [[String]] = []
    var fault: String?
  }

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
  private var newest = Events()

  mutating func take(_ status: ControlAPI.Status, _ servers: [ControlAPI.Server], events: Events, at time: Double) {
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
    let events = eventLines(width: width, height: height - lines.count)
    let room = max(height - lines.count - events.count - 1, 1)
    let table = lines.count
    lines += Self.fitting(
      [
        "SERVER", "QUERIES/S", "DENIED/S", "FAILED/S", "CACHED", "RESOLVED", "DENIED", "FAILED", "OPEN", "CACHE",
      ],
      rows.prefix(room).map { row in
        let counts = row.server.queries
        return [
          row.server.server, String(format: "%.1f", row.queries), String(format: "%.1f", row.denials),
          String(format: "%.1f", row.failures), "\(counts.cached)", "\(counts.resolved)", "\(counts.denied)",
          "\(counts.failed)", "\(row.server.grants)", "\(row.server.cacheEntries)",
        ]
      }, width: width, leavingOut: [9, 4, 5, 8, 7, 3, 6])
    let eventTable = lines.count + 2
    lines += events
    var cut = lines.prefix(height).map { String($0.prefix(width)) }
    for heading in [table, eventTable] where heading < cut.count { cut[heading] = TerminalStyle.heading(cut[heading]) }
    return cut
  }

  /// A blank line, a title, the names of the columns and the newest events: what the servers leave, a third at least.
  private func eventLines(width: Int, height: Int) -> [String] {
    guard height > 13, !newest.rows.isEmpty || newest.fault != nil else { return [] }
    if let fault = newest.fault { return ["", "newest events", fault] }
    let room = max(height - rows.count - 4, height / 3)
    return ["", "newest events"]
      + Self.fitting(
        LogTable.names, newest.rows.suffix(min(room, Self.events)), width: width, leavingOut: [7, 2, 6, 4, 1])
  }

  /// Aligned columns, without those that are named first while a line is wider than there is room.
  static func fitting(_ heading: [String], _ rows: [[String]], width: Int, leavingOut: [Int]) -> [String] {
    var kept = Array(heading.indices)
    for next in [nil] + leavingOut.map(Optional.some) {
      kept.removeAll { $0 == next }
      let lines = AlignedColumns.plainLines(kept.map { heading[$0] }, rows.map { row in kept.map { row[$0] } })
      if lines.allSatisfy({ $0.count <= width }) { return lines }
    }
    return AlignedColumns.plainLines(kept.map { heading[$0] }, rows.map { row in kept.map { row[$0] } })
  }
}
