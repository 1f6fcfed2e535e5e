import AuditLog
import AuditStore
import Foundation
import LinuxIO

/// Says when the audit log does not rotate, and when its file was taken away: on the standard error and as events.
final class LogWatch {
  /// Milliseconds between two looks at the writer's counters.
  private static let rhythm: UInt64 = 1_000

  private let audit: AuditStore
  private let service: ResolutionService
  private let path: String
  private var replacements: UInt64 = 0
  private var fault: Int32?

  /// - Parameter path: of the log.
  init(_ audit: AuditStore, _ service: ResolutionService, path: String) {
    self.audit = audit
    self.service = service
    self.path = path
  }

  func start() { look() }

  private func look() {
    let counters = audit.counters
    if counters.rotationFault != fault {
      fault = counters.rotationFault
      if let fault {
        StandardError.write("sluice: \(LogFault.text(path, SystemError.text(fault)))")
        recordFault(AuditMembers(.fault, "not-rotated").with(.error, SystemError.text(fault)))
      } else {
        StandardError.write("sluice: the audit log \(path) is rotated again")
      }
    }
    if counters.replacements > replacements {
      replacements = counters.replacements
      StandardError.write(
        "sluice: the audit log was gone from \(path), or another file was there: writing goes on there")
      recordFault(AuditMembers(.fault, "replaced"))
    }
    _ = service.reactor.schedule(at: MonotonicTime.now().adding(milliseconds: Self.rhythm)) { [weak self] in
      self?.look()
    }
  }

  private func recordFault(_ members: AuditMembers) {
    _ = service.push(
      AuditRecordHeader(service: .logDisturbed, wallClock: WallClock.nanoseconds()), server: service.everybody,
      destination: Array(path.utf8), members)
  }
}
