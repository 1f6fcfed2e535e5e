/// What a decision came to, as the audit event's `decision` says it.
package enum AuditDecision: String, Sendable, CaseIterable {
  case block
  case allow
  case observe
  case error
}

/// Why a decision was made: an open registry of stable numbers and tokens. Numbers are what rings and windows hold, which
/// outlive the process; tokens are what the log holds.
@usableFromInline
package struct AuditCode: RawRepresentable, Hashable, Sendable {
  @usableFromInline package let rawValue: UInt8

  @inlinable
  package init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  @inlinable package static var notListed: Self { Self(rawValue: 1) }
  @inlinable package static var typeNotAllowed: Self { Self(rawValue: 2) }
  @inlinable package static var classNotAllowed: Self { Self(rawValue: 3) }
  @inlinable package static var unknownClient: Self { Self(rawValue: 4) }
  @inlinable package static var answerNotPublic: Self { Self(rawValue: 5) }
  @inlinable package static var answerInvalid: Self { Self(rawValue: 6) }
  @inlinable package static var firewallUnavailable: Self { Self(rawValue: 7) }
  @inlinable package static var setFull: Self { Self(rawValue: 8) }
  @inlinable package static var upstreamUnreachable: Self { Self(rawValue: 9) }
  @inlinable package static var overloaded: Self { Self(rawValue: 10) }
  @inlinable package static var granted: Self { Self(rawValue: 11) }
  @inlinable package static var answered: Self { Self(rawValue: 12) }
  @inlinable package static var special: Self { Self(rawValue: 13) }
  @inlinable package static var policyReloaded: Self { Self(rawValue: 15) }
  @inlinable package static var policyRefused: Self { Self(rawValue: 16) }
  @inlinable package static var neverResolved: Self { Self(rawValue: 17) }
  @inlinable package static var wrongPort: Self { Self(rawValue: 18) }
  @inlinable package static var expired: Self { Self(rawValue: 19) }
  @inlinable package static var rawAddress: Self { Self(rawValue: 20) }
  @inlinable package static var otherResolver: Self { Self(rawValue: 21) }
  @inlinable package static var dnsOverTLS: Self { Self(rawValue: 22) }
  @inlinable package static var dnsOverHTTPS: Self { Self(rawValue: 23) }
  @inlinable package static var spoofedSource: Self { Self(rawValue: 24) }
  @inlinable package static var hostFence: Self { Self(rawValue: 25) }
  @inlinable package static var maxBytes: Self { Self(rawValue: 26) }
  @inlinable package static var maxBytesPerHour: Self { Self(rawValue: 27) }
  @inlinable package static var egressVolume: Self { Self(rawValue: 28) }
  @inlinable package static var enforcementDegraded: Self { Self(rawValue: 29) }
  @inlinable package static var enforcementRestored: Self { Self(rawValue: 30) }
  @inlinable package static var revoked: Self { Self(rawValue: 31) }
  @inlinable package static var cacheFlushed: Self { Self(rawValue: 32) }
  @inlinable package static var grantsRevoked: Self { Self(rawValue: 33) }
  @inlinable package static var allowedForTime: Self { Self(rawValue: 34) }
  @inlinable package static var allowanceEnded: Self { Self(rawValue: 35) }
  @inlinable package static var askedByOperator: Self { Self(rawValue: 36) }

  @inlinable package static var networkHeld: Self { Self(rawValue: 37) }
  @inlinable package static var inboundRefused: Self { Self(rawValue: 38) }
  @inlinable package static var upstreamMismatch: Self { Self(rawValue: 39) }
  @inlinable package static var interfaceEnclosed: Self { Self(rawValue: 40) }
  @inlinable package static var networkExposed: Self { Self(rawValue: 41) }
  @inlinable package static var refusals: Self { Self(rawValue: 42) }
  @inlinable package static var withdrawn: Self { Self(rawValue: 43) }
  @inlinable package static var grantLost: Self { Self(rawValue: 44) }

  @inlinable package static var noise: Self { Self(rawValue: 45) }
  @inlinable package static var logQuota: Self { Self(rawValue: 46) }
  @inlinable package static var summary: Self { Self(rawValue: 47) }
  @inlinable package static var started: Self { Self(rawValue: 48) }
  @inlinable package static var stopped: Self { Self(rawValue: 49) }
  @inlinable package static var crashed: Self { Self(rawValue: 50) }
  @inlinable package static var logDisturbed: Self { Self(rawValue: 51) }

  @inlinable package static var upstreamBlocked: Self { Self(rawValue: 52) }
  @inlinable package static var upstreamRefused: Self { Self(rawValue: 53) }
  @inlinable package static var chainTooLong: Self { Self(rawValue: 54) }
  @inlinable package static var familiesDiffer: Self { Self(rawValue: 55) }
  @inlinable package static var upstreamUntrusted: Self { Self(rawValue: 56) }
  @inlinable package static var noConnection: Self { Self(rawValue: 57) }
  @inlinable package static var upstreamIntercepted: Self { Self(rawValue: 58) }
  @inlinable package static var interrupted: Self { Self(rawValue: 59) }
  @inlinable package static var bogus: Self { Self(rawValue: 60) }
  @inlinable package static var insecure: Self { Self(rawValue: 61) }
  @inlinable package static var chainRefused: Self { Self(rawValue: 62) }
  @inlinable package static var answeredStale: Self { Self(rawValue: 63) }
  @inlinable package static var unvalidated: Self { Self(rawValue: 64) }

  @inlinable package static var nameVerified: Self { Self(rawValue: 72) }
  @inlinable package static var sniMismatch: Self { Self(rawValue: 73) }
  @inlinable package static var sniMissing: Self { Self(rawValue: 74) }
  @inlinable package static var notTLS: Self { Self(rawValue: 75) }
  @inlinable package static var echRefused: Self { Self(rawValue: 76) }
  @inlinable package static var unreachable: Self { Self(rawValue: 77) }
  @inlinable package static var inspectorRefused: Self { Self(rawValue: 78) }
  @inlinable package static var inspectorFlagged: Self { Self(rawValue: 79) }

  @inlinable package static var overMaxBytes: Self { Self(rawValue: 80) }
  @inlinable package static var overMaxBytesPerHour: Self { Self(rawValue: 81) }
  @inlinable package static var inspectorDown: Self { Self(rawValue: 82) }
  @inlinable package static var inspectorRestored: Self { Self(rawValue: 83) }
  @inlinable package static var gateFull: Self { Self(rawValue: 84) }

  /// An entry of `deny` has the name, or what its answer leads to.
  @inlinable package static var denied: Self { Self(rawValue: 85) }
  /// A network of it has the address of a connection.
  @inlinable package static var deniedAddress: Self { Self(rawValue: 86) }

  /// What a record of a code is about, and so what its keys mean.
  package enum Kind: Sendable {
    /// A DNS query was decided: the record holds a wire name, and the event has a type and an rcode.
    case query
    /// The firewall refused a packet: the record holds the destination as text.
    case connection
    /// The service itself or its state: every record is an event of its own.
    case service
  }

  package var kind: Kind { row.kind }
  package var isQuery: Bool { kind == .query }
  package var isConnection: Bool { kind == .connection }
  package var isService: Bool { kind == .service }

  /// For machines; never changes once released.
  package var token: StaticString { row.token }

  /// For people.
  package var reason: StaticString { row.reason }

  package var decision: AuditDecision { row.decision }
}

// MARK: - The table

extension AuditCode {
  /// All that there is to know of a code.
  private struct Row: Sendable {
    let code: AuditCode
    let kind: Kind
    let token: StaticString
    let reason: StaticString
    let decision: AuditDecision
    /// What earlier versions wrote in place of the token: read, and not written any more.
    let former: StaticString?

    init(
      _ code: AuditCode, _ kind: Kind, _ token: StaticString, _ reason: StaticString, _ decision: AuditDecision,
      formerly former: StaticString? = nil
    ) {
      self.code = code
      self.kind = kind
      self.token = token
      self.reason = reason
      self.decision = decision
      self.former = former
    }

    func isSpelled(_ octets: ArraySlice<UInt8>) -> Bool {
      Self.equals(token, octets) || former.map { Self.equals($0, octets) } ?? false
    }

    private static func equals(_ token: StaticString, _ octets: ArraySlice<UInt8>) -> Bool {
      // The buffer is as long as the literal.
      octets.count == token.utf8CodeUnitCount && token.withUTF8Buffer { unsafe $0.elementsEqual(octets) }
    }
  }

  /// Every code that has a meaning, by number. `Documentation/event.md` has a row for each.
  private static let table: [Row] = [
    Row(.notListed, .query, "not-listed", "destination not in allowlist", .block),
    Row(.typeNotAllowed, .query, "type-not-allowed", "type not allowed", .block),
    Row(.classNotAllowed, .query, "class-not-allowed", "class not allowed", .block),
    Row(.unknownClient, .query, "unknown-client", "unknown client", .block),
    Row(.answerNotPublic, .query, "answer-not-public", "answer not public", .block),
    Row(.answerInvalid, .query, "answer-invalid", "answer invalid", .error),
    Row(.firewallUnavailable, .query, "firewall-unavailable", "firewall unavailable", .error),
    Row(.setFull, .query, "set-full", "set full", .error),
    Row(.upstreamUnreachable, .query, "upstream-unreachable", "upstream unreachable", .error),
    Row(.overloaded, .query, "overloaded", "too many questions in flight", .error),
    Row(.granted, .query, "granted", "destination in allowlist, addresses opened", .allow),
    Row(.answered, .query, "answered", "destination in allowlist", .allow),
    Row(.special, .query, "special", "special-use name", .observe),
    // 14 was `firewall-changed`, which no version wrote: no other code gets the number.
    Row(.policyReloaded, .service, "policy-reloaded", "policy reloaded", .observe),
    Row(.policyRefused, .service, "policy-refused", "policy refused, the old one stays", .error),
    Row(.neverResolved, .connection, "never-resolved", "address never resolved by this server", .block),
    Row(.wrongPort, .connection, "wrong-port", "address open, but not on this port", .block),
    Row(.expired, .connection, "expired", "address no longer open", .block),
    Row(.rawAddress, .connection, "raw-address", "address never resolved by any server", .block),
    Row(.otherResolver, .connection, "other-resolver", "DNS to another resolver", .block),
    Row(.dnsOverTLS, .connection, "dns-over-tls", "DNS over TLS to another resolver", .block),
    Row(.dnsOverHTTPS, .connection, "dns-over-https", "HTTPS to a known public resolver", .block),
    Row(.spoofedSource, .connection, "spoofed-source", "source address on the wrong interface", .block),
    Row(.hostFence, .connection, "host-fence", "port of the host that is not the resolver's", .block),
    Row(.maxBytes, .connection, "max-bytes", "connection over its octets", .block),
    Row(.maxBytesPerHour, .connection, "max-bytes-per-hour", "destination over its octets in an hour", .block),
    Row(.egressVolume, .service, "egress-volume", "octets sent to an open address", .observe),
    Row(
      .enforcementDegraded, .service, "enforcement-degraded", "firewall does not hold what was granted", .error,
      formerly: "enforcement_degraded"),
    Row(
      .enforcementRestored, .service, "enforcement-restored", "firewall holds what was granted again", .observe,
      formerly: "enforcement_restored"),
    Row(.revoked, .service, "revoked", "address closed before its time", .observe),
    Row(.cacheFlushed, .service, "cache-flushed", "answers forgotten by an operator", .observe),
    Row(.grantsRevoked, .service, "grants-revoked", "addresses closed by an operator", .observe),
    Row(.allowedForTime, .service, "allowed-for-time", "destination allowed for a time by an operator", .observe),
    Row(.allowanceEnded, .service, "allowance-ended", "destination no longer allowed by an operator", .observe),
    Row(.askedByOperator, .service, "asked-by-operator", "asked by an operator in the server's name", .observe),
    Row(.networkHeld, .connection, "network-held", "network that no policy governs any more", .block),
    Row(.inboundRefused, .connection, "inbound-refused", "connection to a port that the server does not list", .block),
    Row(.upstreamMismatch, .service, "upstream-mismatch", "answers that were not the upstream's", .error),
    Row(
      .interfaceEnclosed, .service, "interface-enclosed", "nothing passes from the interface but its servers", .observe),
    Row(.networkExposed, .service, "network-exposed", "network closed by its source alone", .error),
    Row(.refusals, .service, "refusals", "packets refused, of which not every one has an event", .observe),
    Row(.withdrawn, .connection, "withdrawn", "address closed before its time", .block),
    Row(.grantLost, .connection, "grant-lost", "address granted, but gone from the firewall", .block),
    Row(.noise, .service, "noise", "more destinations or clients than have lines of their own", .observe),
    Row(.logQuota, .service, "log-quota", "server over its share of the log, its events are coarser", .error),
    Row(.summary, .service, "summary", "events of a server over its share of the log", .observe),
    Row(.started, .service, "started", "sluice serves", .observe),
    Row(.stopped, .service, "stopped", "sluice stopped", .observe),
    Row(.crashed, .service, "crashed", "the run before ended without stopping", .error),
    Row(.logDisturbed, .service, "log-disturbed", "the log was not as it should be", .error),
    Row(.upstreamBlocked, .query, "upstream-blocked", "upstream blocks the name", .block),
    Row(.upstreamRefused, .query, "upstream-refused", "upstream answered with a failure of its own", .error),
    Row(.chainTooLong, .query, "chain-too-long", "answer leads through more names than are followed", .error),
    Row(
      .familiesDiffer, .query, "families-differ", "upstream has addresses of one family, and no such name of the other",
      .observe),
    Row(.upstreamUntrusted, .query, "upstream-untrusted", "TLS with the upstream cannot be used", .error),
    Row(.noConnection, .connection, "no-connection", "packet of no connection", .block),
    Row(
      .upstreamIntercepted, .service, "upstream-intercepted", "upstream answers every name from one network", .error),
    Row(.interrupted, .query, "interrupted", "policy, grants or service changed while it was answered", .error),
    Row(.bogus, .query, "bogus", "answer is not what its zone signed", .error),
    Row(.insecure, .query, "insecure", "answer is not signed, and policy requires it", .error),
    Row(.chainRefused, .query, "chain-refused", "answer leads to a name that `cname` does not allow", .block),
    Row(
      .answeredStale, .query, "answered-stale", "no upstream answers in time, so the answer from before is given",
      .allow),
    Row(.unvalidated, .query, "unvalidated", "answer could not be validated", .error),
    Row(.nameVerified, .connection, "name-verified", "connection said a name that was opened at the address", .allow),
    Row(
      .sniMismatch, .connection, "sni-mismatch", "connection said another name than the address was opened for", .block),
    Row(.sniMissing, .connection, "sni-missing", "connection said no name", .block),
    Row(.notTLS, .connection, "not-tls", "connection that has to say a name, and is no TLS", .block),
    Row(.echRefused, .connection, "ech-refused", "connection that may hide another name than it says", .block),
    Row(.unreachable, .connection, "unreachable", "host could not connect to the address", .block),
    Row(
      .inspectorRefused, .connection, "inspector-refused", "connection that its inspector did not let through", .block),
    Row(.inspectorFlagged, .connection, "inspector-flagged", "inspector found something in a connection", .observe),
    Row(.overMaxBytes, .connection, "over-max-bytes", "connection over its octets, and goes on", .observe),
    Row(
      .overMaxBytesPerHour, .connection, "over-max-bytes-per-hour",
      "destination over its octets in an hour, and goes on", .observe),
    Row(.inspectorDown, .service, "inspector-down", "inspector does not take connections, which are refused", .error),
    Row(.inspectorRestored, .service, "inspector-restored", "inspector takes connections again", .observe),
    Row(.gateFull, .connection, "gate-full", "server over its share of connections", .block),
    Row(.denied, .query, "denied", "destination denied, whatever allows it", .block),
    Row(.deniedAddress, .connection, "denied-address", "connection to an address that is denied", .block),
  ]

  /// The rows by number; what no row is for is an error without a name.
  private static let rows: [Row] = {
    var rows = (0...UInt8.max).map { Row(AuditCode(rawValue: $0), .service, "unknown", "unknown", .error) }
    for row in table { rows[Int(row.code.rawValue)] = row }
    return rows
  }()

  private var row: Row { Self.rows[Int(rawValue)] }

  /// Every code that has a meaning, by number.
  package static let registered = table.map(\.code)

  /// Those whose records tell of what other records count: in a sum of what happened they would be counted twice.
  package static let countedElsewhere: [AuditCode] = [.familiesDiffer, .noise, .logQuota]

  /// The code that is written like this, or was by an earlier version; nil for what this version does not know.
  package init?(token: ArraySlice<UInt8>) {
    guard let row = Self.table.first(where: { $0.isSpelled(token) }) else { return nil }
    self = row.code
  }

  /// How it is written, and how it was by an earlier version, in octets.
  package var spellings: [[UInt8]] {
    ([row.token] + (row.former.map { [$0] } ?? [])).map { Array($0.description.utf8) }
  }

  /// Whether this is how it is written, or was by an earlier version.
  package func isSpelled(_ octets: ArraySlice<UInt8>) -> Bool { row.isSpelled(octets) }
}
