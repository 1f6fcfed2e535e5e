/// What the threads that answer queries need of the audit log besides their rings.
package protocol AuditGate: Sendable {
  /// True while the log cannot be written.
  var isBlocked: Bool { get }
  /// Wakes the writer.
  func wake()
}
