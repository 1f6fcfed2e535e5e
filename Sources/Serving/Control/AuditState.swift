import AuditStore

/// What the control API tells of the audit log.
protocol AuditState {
  /// True while the log cannot be written.
  var isBlocked: Bool { get }
  var counters: AuditCounters { get }
  /// Octets that wait in the fullest ring, and its room.
  var pending: (octets: Int, room: Int) { get }
}

extension AuditStore: AuditState {}
