/// What the threads that answer queries need of the audit log besides their rings: `AuditStore` as they see it.
package protocol AuditGate: Sendable {
  /// True while the log cannot be written: nothing that has to be recorded is answered (P6).
  var isBlocked: Bool { get }
  /// Wakes the writer.
  func wake()
}
