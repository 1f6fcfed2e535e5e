/// What a decision came to, as the audit event's `decision` says it.
package enum AuditDecision: String, Sendable, CaseIterable {
  case block
  case allow
  case observe
  case error
}

/// Why a decision was made: an open registry of stable tokens, each with its sentence and its decision.
package struct AuditCode: RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  package static let notListed = AuditCode(rawValue: 1)
  package static let typeNotAllowed = AuditCode(rawValue: 2)
  package static let classNotAllowed = AuditCode(rawValue: 3)
  package static let unknownClient = AuditCode(rawValue: 4)
  package static let answerNotPublic = AuditCode(rawValue: 5)
  package static let answerInvalid = AuditCode(rawValue: 6)
  package static let firewallUnavailable = AuditCode(rawValue: 7)
  package static let setFull = AuditCode(rawValue: 8)
  package static let upstreamUnreachable = AuditCode(rawValue: 9)
  package static let overloaded = AuditCode(rawValue: 10)
  package static let granted = AuditCode(rawValue: 11)
  package static let answered = AuditCode(rawValue: 12)
  package static let special = AuditCode(rawValue: 13)
  package static let firewallChanged = AuditCode(rawValue: 14)
  package static let policyReloaded = AuditCode(rawValue: 15)
  package static let policyRefused = AuditCode(rawValue: 16)

  /// Every code that has a meaning.
  package static let registered: [AuditCode] = (1...16).map { AuditCode(rawValue: $0) }

  /// For machines; never changes once released.
  package var token: StaticString { meaning.token }

  /// For people.
  package var reason: StaticString { meaning.reason }

  package var decision: AuditDecision { meaning.decision }

  private var meaning: (token: StaticString, reason: StaticString, decision: AuditDecision) {
    switch self {
    case .notListed: ("not-listed", "destination not in allowlist", .block)
    case .typeNotAllowed: ("type-not-allowed", "type not allowed", .block)
    case .classNotAllowed: ("class-not-allowed", "class not allowed", .block)
    case .unknownClient: ("unknown-client", "unknown client", .block)
    case .answerNotPublic: ("answer-not-public", "answer not public", .block)
    case .answerInvalid: ("answer-invalid", "answer invalid", .error)
    case .firewallUnavailable: ("firewall-unavailable", "firewall unavailable", .error)
    case .setFull: ("set-full", "set full", .error)
    case .upstreamUnreachable: ("upstream-unreachable", "upstream unreachable", .error)
    case .overloaded: ("overloaded", "too many questions in flight", .error)
    case .granted: ("granted", "destination in allowlist, addresses opened", .allow)
    case .answered: ("answered", "destination in allowlist", .allow)
    case .special: ("special", "special-use name", .observe)
    case .firewallChanged: ("firewall-changed", "firewall changed by someone else", .error)
    case .policyReloaded: ("policy-reloaded", "policy reloaded", .observe)
    case .policyRefused: ("policy-refused", "policy refused, the old one stays", .error)
    default: ("unknown", "unknown", .error)
    }
  }
}
