import AuditLog
import Control
import DNSWire
import EgressPolicy
import Resolver
import Settings

/// A permit: its rule, with who gave it and why.
struct Permit: Sendable {
  var id: UInt64
  var allowed: PermitRule
  var justification: String
  var peer: ControlPeer
  /// Nanoseconds since 1970.
  var given: UInt64
  /// Nanoseconds of the monotonic clock: a clock that is set back does not prolong it. What the kernel and clients were
  /// told before goes by the wall clock.
  var deadline: UInt64

  /// Seconds since 1970.
  var until: UInt64 { allowed.rule.until ?? 0 }

  func isOver(wall: UInt64, monotonic: UInt64) -> Bool { wall >= until || monotonic >= deadline }

  /// Whether the configuration allows such a permit.
  func isAllowed(by settings: Settings) -> Bool {
    let policy = settings.policies.first { $0.name == allowed.server }
    return settings.permits.maxSeconds > 0 && allowed.rule.ports.isWithin(settings.permits.ports(of: policy))
  }

  /// Of the audit event.
  var members: AuditMembers {
    AuditMembers(.permit, id)
      .with(.until, PolicyTime.text(until))
      .with(.ports, allowed.rule.ports.texts)
      .with(.types, allowed.rule.types.map(\.description))
      .with(.justification, justification)
  }
}

extension ResolutionService {
  /// False when it cannot be recorded: then nothing is allowed (P6).
  func record(permit: Permit) -> Bool {
    guard !shared.audit.isBlocked else { return false }
    return record(.allowedForTime, permit, permit.members.with(permit.peer.members))
  }

  /// - Parameter peer: who ended it; nil where its time is over, its server is gone, or it never came into force.
  func record(ended permit: Permit, by peer: ControlPeer?) {
    _ = record(.allowanceEnded, permit, permit.members.with(peer?.members))
  }

  private func record(_ code: AuditCode, _ permit: Permit, _ members: AuditMembers) -> Bool {
    push(
      AuditRecordHeader(service: code, wallClock: shared.clock().wall),
      server: Array(permit.allowed.server.text.utf8),
      destination: Array(permit.allowed.rule.pattern.description.utf8), members)
  }
}
