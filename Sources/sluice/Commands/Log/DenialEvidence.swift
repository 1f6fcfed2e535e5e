import AuditLog
import AuditStore
import LinuxIO

/// What the log has about one thing that was denied.
struct DenialEvidence {
  private static let shownClients = 3

  private(set) var count: UInt64 = 0
  private(set) var types: Set<String> = []
  private var clients: Set<String> = []
  private var isOfConnections = false
  /// Milliseconds since 1970; nil before the first event.
  private var interval: ClosedRange<Int64>?

  mutating func add(_ line: LogLine) {
    count &+= line.count
    if line[.type] != nil { types.insert(line.text(.type)) }
    if clients.count <= Self.shownClients { clients.insert(line.text(.client)) }
    isOfConnections = isOfConnections || line.code?.isConnection ?? false
    if let interval = line.interval { extend(interval) }
  }

  mutating func add(_ other: DenialEvidence) {
    count &+= other.count
    types.formUnion(other.types)
    clients.formUnion(other.clients)
    isOfConnections = isOfConnections || other.isOfConnections
    if let interval = other.interval { extend(interval) }
  }

  private mutating func extend(_ other: ClosedRange<Int64>) {
    let own = interval ?? other
    interval = min(own.lowerBound, other.lowerBound)...max(own.upperBound, other.upperBound)
  }

  /// From the first to the last, in milliseconds.
  var span: Int64 { interval.map { $0.upperBound - $0.lowerBound } ?? 0 }

  var text: String {
    let types = types.isEmpty ? "" : " (\(types.sorted().joined(separator: ", ")))"
    let clients = clients.count > Self.shownClients ? "several clients" : clients.sorted().joined(separator: ", ")
    return "\(counted(count, isOfConnections ? "connection" : "query"))\(types) of \(clients)\(times)"
  }

  private var times: String {
    guard let interval else { return "" }
    func text(_ milliseconds: Int64) -> String { Timestamp.text(milliseconds: milliseconds) }
    return ", \(text(interval.lowerBound)) to \(text(interval.upperBound))"
  }
}
