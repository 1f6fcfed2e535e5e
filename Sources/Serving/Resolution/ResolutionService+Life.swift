import AuditLog
import AuditStore
import ControlAPI
import EgressPolicy
import Glibc
import LinuxIO
import Resolver

/// When this run began and ended, and how the one before it did, as events: what the log does not tell of while no
/// serve ran is no silence of the servers.
extension ResolutionService {
  /// - Parameter audit: the log, of which this run is one from now on.
  func tellStart(in audit: AuditStore) {
    audit.begin()
    if case .broken(let began) = audit.former {
      record(.crashed, AuditMembers(.began, ControlAPI.time(nanoseconds: began)))
      StandardError.write("sluice: the run before this one ended without stopping")
    }
    record(
      .started,
      AuditMembers(.version, Release.version).with(.pid, getpid()).with(.policy, snapshot.policy.fingerprint))
  }

  /// - Parameter failure: why it cannot go on; nil where it was asked to stop.
  func tellEnd(_ failure: String?) {
    record(.stopped, AuditMembers(.version, Release.version).with(.error, failure))
  }

  private func record(_ code: AuditCode, _ members: AuditMembers) {
    _ = push(
      AuditRecordHeader(service: code, wallClock: shared.clock().wall), server: everybody, destination: [], members)
  }
}
