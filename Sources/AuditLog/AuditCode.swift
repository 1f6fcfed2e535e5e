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
  package static let neverResolved = AuditCode(rawValue: 17)
  package static let wrongPort = AuditCode(rawValue: 18)
  package static let expired = AuditCode(rawValue: 19)
  package static let rawAddress = AuditCode(rawValue: 20)
  package static let otherResolver = AuditCode(rawValue: 21)
  package static let dnsOverTLS = AuditCode(rawValue: 22)
  package static let dnsOverHTTPS = AuditCode(rawValue: 23)
  package static let spoofedSource = AuditCode(rawValue: 24)
  package static let hostFence = AuditCode(rawValue: 25)
  package static let maxBytes = AuditCode(rawValue: 26)
  package static let maxBytesPerHour = AuditCode(rawValue: 27)
  package static let egressVolume = AuditCode(rawValue: 28)
  package static let enforcementDegraded = AuditCode(rawValue: 29)
  package static let enforcementRestored = AuditCode(rawValue: 30)
  package static let revoked = AuditCode(rawValue: 31)
  package static let cacheFlushed = AuditCode(rawValue: 32)
  package static let grantsRevoked = AuditCode(rawValue: 33)
  package static let allowedForTime = AuditCode(rawValue: 34)
  package static let allowanceEnded = AuditCode(rawValue: 35)
  package static let askedByOperator = AuditCode(rawValue: 36)

  package static let networkHeld = AuditCode(rawValue: 37)
  package static let inboundRefused = AuditCode(rawValue: 38)
  package static let upstreamMismatch = AuditCode(rawValue: 39)
  package static let interfaceEnclosed = AuditCode(rawValue: 40)
  package static let networkExposed = AuditCode(rawValue: 41)
  package static let refusals = AuditCode(rawValue: 42)
  package static let withdrawn = AuditCode(rawValue: 43)
  package static let grantLost = AuditCode(rawValue: 44)

  package static let noise = AuditCode(rawValue: 45)
  package static let logQuota = AuditCode(rawValue: 46)
  package static let summary = AuditCode(rawValue: 47)
  package static let started = AuditCode(rawValue: 48)
  package static let stopped = AuditCode(rawValue: 49)
  package static let crashed = AuditCode(rawValue: 50)
  package static let logDisturbed = AuditCode(rawValue: 51)

  /// Every code that has a meaning.
  package static let registered: [AuditCode] = (1...51).map { AuditCode(rawValue: $0) }

  /// About a query: its record holds a wire name, and its event a type and an rcode.
  package var isQuery: Bool { (1...13).contains(rawValue) }

  /// About a connection that was refused: its record holds the destination as text.
  package var isConnection: Bool { (17...27).contains(rawValue) || [37, 38, 43, 44].contains(rawValue) }

  /// About the service itself or its state: every record is an event of its own.
  package var isService: Bool { !isQuery && !isConnection }

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
    default: firewallMeaning
    }
  }

  private var firewallMeaning: (token: StaticString, reason: StaticString, decision: AuditDecision) {
    switch self {
    case .neverResolved: ("never-resolved", "address never resolved by this server", .block)
    case .wrongPort: ("wrong-port", "address open, but not on this port", .block)
    case .expired: ("expired", "address no longer open", .block)
    case .withdrawn: ("withdrawn", "address closed before its time", .block)
    case .grantLost: ("grant-lost", "address granted, but gone from the firewall", .block)
    case .rawAddress: ("raw-address", "address never resolved by any server", .block)
    case .otherResolver: ("other-resolver", "DNS to another resolver", .block)
    case .dnsOverTLS: ("dns-over-tls", "DNS over TLS to another resolver", .block)
    case .dnsOverHTTPS: ("dns-over-https", "HTTPS to a known public resolver", .block)
    case .spoofedSource: ("spoofed-source", "source address on the wrong interface", .block)
    case .networkHeld: ("network-held", "network that no policy governs any more", .block)
    case .inboundRefused: ("inbound-refused", "connection to a port that the server does not list", .block)
    case .hostFence: ("host-fence", "port of the host that is not the resolver's", .block)
    case .maxBytes: ("max-bytes", "connection over its octets", .block)
    case .maxBytesPerHour: ("max-bytes-per-hour", "destination over its octets in an hour", .block)
    case .egressVolume: ("egress-volume", "octets sent to an open address", .observe)
    case .enforcementDegraded: ("enforcement_degraded", "firewall does not hold what was granted", .error)
    case .enforcementRestored: ("enforcement_restored", "firewall holds what was granted again", .observe)
    case .revoked: ("revoked", "address closed before its time", .observe)
    case .cacheFlushed: ("cache-flushed", "answers forgotten by an operator", .observe)
    case .grantsRevoked: ("grants-revoked", "addresses closed by an operator", .observe)
    case .allowedForTime: ("allowed-for-time", "destination allowed for a time by an operator", .observe)
    case .allowanceEnded: ("allowance-ended", "destination no longer allowed by an operator", .observe)
    case .upstreamMismatch: ("upstream-mismatch", "answers that were not the upstream's", .error)
    case .interfaceEnclosed: ("interface-enclosed", "nothing passes from the interface but its servers", .observe)
    case .networkExposed: ("network-exposed", "network closed by its source alone", .error)
    case .refusals: ("refusals", "packets refused, of which not every one has an event", .observe)
    case .askedByOperator: ("asked-by-operator", "asked by an operator in the server's name", .observe)
    case .started: ("started", "sluice serves", .observe)
    case .stopped: ("stopped", "sluice stopped", .observe)
    case .crashed: ("crashed", "the run before ended without stopping", .error)
    case .logDisturbed: ("log-disturbed", "the log was not as it should be", .error)
    case .logQuota: ("log-quota", "server over its share of the log, its events are coarser", .error)
    case .noise: ("noise", "more destinations or clients than have lines of their own", .observe)
    case .summary: ("summary", "events of a server over its share of the log", .observe)
    default: ("unknown", "unknown", .error)
    }
  }
}
