import AuditLog
import EgressPolicy
import IPNetwork

/// The members that an event of a finished question appends, in the order of `Documentation/event.md`.
enum EventMembers {
  /// Of a chain of more than two names the first and the last, and the length: each is as long as its zone's owner likes.
  ///
  /// - Parameter lifetime: seconds.
  static func allowed(
    _ answer: ScrubbedAnswer, rule: EgressRule, lifetime: UInt32, upstream: String
  ) -> AuditMembers {
    var members = AuditMembers(capacity: 224)
    members.append(.rule, rule.location.description)
    let ends = answer.chain.count > 2 ? [answer.chain[0], answer.chain[answer.chain.count - 1]] : answer.chain
    members.append(.chain, names: ends)
    if answer.chain.count > 2 { members.append(.chainLength, answer.chain.count) }
    members.append(.addresses, answer.addresses)
    switch rule.ports {
    case .any: members.append(.ports, ["any"])
    case .ports(let ports): members.append(.ports, ports.map(\.description))
    }
    members.append(.ttl, answer.ttl)
    members.append(.lifetime, lifetime)
    members.append(.upstream, upstream)
    return members
  }

  /// - Parameter judge: why an address may not be answered; told where it is public, or worse than not.
  static func refused(
    _ failure: ScrubError, upstream: String, judge: (IPAddress) -> ForbiddenAddresses.Reason?
  ) -> AuditMembers {
    var members = AuditMembers(.upstream, upstream)
    if case .notPublic(let address?) = failure {
      members.append(.addresses, [address])
      if let refusal = judge(address), refusal != .notPublic { members.append(.refusedAs, refusal.rawValue) }
    }
    return members
  }
}
