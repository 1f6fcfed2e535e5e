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
    members.append(.rule, file: rule.location.file, line: rule.location.line)
    let ends = answer.chain.count > 2 ? [answer.chain[0], answer.chain[answer.chain.count - 1]] : answer.chain
    members.append(.chain, names: ends)
    if answer.chain.count > 2 { members.append(.chainLength, answer.chain.count) }
    members.append(.addresses, answer.addresses)
    switch rule.ports {
    case .any: members.append(.ports, ["any"])
    case .ports(let ports): members.append(.ports, ports: ports.map { ($0.port, $0.transport.name) })
    }
    members.append(.ttl, number: UInt64(answer.ttl))
    members.append(.lifetime, number: UInt64(lifetime))
    members.append(.upstream, upstream)
    if answer.recordsCut > 0 { members.append(.recordsCut, answer.recordsCut) }
    return members
  }

  /// Of a chain that the rule's `cname` does not allow: its first name and the one that is refused.
  static func refused(chain: [[UInt8]], _ rule: EgressRule?, upstream: String) -> AuditMembers {
    var members = AuditMembers(capacity: 192)
    if let rule { members.append(.rule, file: rule.location.file, line: rule.location.line) }
    append(chain, to: &members)
    if let rule { members.append(.cname, rule.cname.rawValue) }
    members.append(.upstream, upstream)
    return members
  }

  /// Where an entry of `deny` stands.
  static func place(_ location: SourceLocation, _ layer: String?) -> AuditMembers {
    var members = AuditMembers()
    members.append(.rule, file: location.file, line: location.line)
    members.append(.layer, layer)
    return members
  }

  /// Of a chain that leads through a name which the entry at a place denies: its first name, and that one.
  static func denied(chain: [[UInt8]], by place: AuditMembers, upstream: String) -> AuditMembers {
    var members = place
    append(chain, to: &members)
    members.append(.upstream, upstream)
    return members
  }

  /// Of addresses of which the entry at a place denies one: all that may not be answered, and those beside them that might.
  static func denied(
    _ addresses: [IPAddress], others: [IPAddress], by place: AuditMembers, upstream: String
  ) -> AuditMembers {
    var members = place
    members.append(.upstream, upstream)
    members.append(.addresses, addresses)
    if !others.isEmpty { members.append(.others, others) }
    return members
  }

  private static func append(_ chain: [[UInt8]], to members: inout AuditMembers) {
    members.append(.chain, names: chain.count > 2 ? [chain[0], chain[chain.count - 1]] : chain)
    if chain.count > 2 { members.append(.chainLength, chain.count) }
  }

  /// Of addresses that may not be answered: all of them, those beside them that might, why, and the line of the entry that
  /// would admit them, where one would.
  ///
  /// - Parameter judge: why an address may not be answered with these prefixes as `private`; nil where it may.
  static func refused(
    _ addresses: [IPAddress], others: [IPAddress], upstream: String,
    judge: (IPAddress, [IPPrefix]) -> ForbiddenAddresses.Reason?
  ) -> AuditMembers {
    var members = AuditMembers(.upstream, upstream)
    guard let first = addresses.first else { return members }
    members.append(.addresses, addresses)
    if let refusal = judge(first, []), refusal != .notPublic { members.append(.refusedAs, refusal.rawValue) }
    if !others.isEmpty { members.append(.others, others) }
    let prefixes = (addresses + addresses.flatMap(\.embedded)).filter { judge($0, []) != nil }.compactMap {
      IPPrefix($0, length: $0.octetCount * 8)
    }
    if addresses.allSatisfy({ judge($0, prefixes) == nil }) {
      let list = prefixes.map { $0.address.family == .v4 ? "\($0)" : "\"\($0)\"" }
      members.append(.remedy, "private: [ \(list.joined(separator: ", ")) ]")
    }
    return members
  }
}
