import AuditLog
package import DNSWire
package import EgressPolicy
package import IPNetwork

/// A question that policy allowed and that the query path could not answer by itself.
///
/// A class: it goes through many hands, and each would keep a count of everything that it holds.
package final class PendingQuery: Sendable {
  /// How the question is finished.
  package enum Kind: Sendable {
    /// Ask upstream, unless the cache or the ledger can answer by now.
    case resolve
    /// Answer from the local zones, opening the addresses first.
    case local
    /// Ask upstream although a client has just got its answer from the cache: that ends soon. Nobody waits.
    case refresh
    /// A PTR: answered from what is open for the server.
    case reverse(IPAddress)
  }

  package let snapshot: ResolverSnapshot
  /// Index of the server in the policy.
  package let server: Int
  /// Index of the rule that decided; nil where none did, as for a PTR.
  package let rule: Int?
  /// Canonical wire name.
  package let name: [UInt8]
  package let type: RRType
  package let kind: Kind
  package let source: QuerySource
  package let query: Query
  /// When its batch was received: nanoseconds of the monotonic clock.
  package let arrived: UInt64
  /// The client's message, for its id, flags and question.
  package let message: [UInt8]

  /// - Parameters:
  ///   - rule: index of the rule that decided.
  ///   - name: canonical wire name.
  ///   - arrived: nanoseconds of the monotonic clock.
  package init(
    snapshot: ResolverSnapshot, server: Int, rule: Int?, name: [UInt8], type: RRType, kind: Kind,
    source: QuerySource, query: Query, arrived: UInt64 = 0, message: [UInt8]
  ) {
    self.snapshot = snapshot
    self.server = server
    self.rule = rule
    self.name = name
    self.type = type
    self.kind = kind
    self.source = source
    self.query = query
    self.arrived = arrived
    self.message = message
  }

  /// Whether its client has an answer already.
  package var isRefresh: Bool { if case .refresh = kind { true } else { false } }

  /// The same for the time after its client was answered.
  var refreshing: PendingQuery {
    PendingQuery(
      snapshot: snapshot, server: server, rule: rule, name: name, type: type, kind: .refresh, source: source,
      query: query, arrived: arrived, message: message)
  }

  package var state: ServerState { snapshot.servers[server] }

  /// Whether its server may ask for the address of a name.
  func allows(_ name: [UInt8]) -> Bool {
    if case .allowed = snapshot.policy.decide(server: server, name: name.span, type: .A) { true } else { false }
  }

  /// Whether its server is denied a name, whatever lists it.
  func denies(_ name: [UInt8]) -> Bool {
    if case .denied = snapshot.policy.decide(server: server, name: name.span, type: .A) { true } else { false }
  }

  /// Where the entry stands that denies an address to its server; nil where none does.
  func denial(of address: IPAddress) -> AuditMembers? {
    snapshot.policy.denial(of: address, server: server).map { EventMembers.place($0.location, $0.layer) }
  }

  /// Where the entry stands that denies a name to its server.
  func denial(of name: [UInt8]) -> AuditMembers? {
    guard case .denied(let index) = snapshot.policy.decide(server: server, name: name.span, type: .A) else {
      return nil
    }
    let rule = snapshot.policy.rule(server: server, index: index)
    return EventMembers.place(rule.location, rule.layer)
  }

  /// The families of which an answer of type HTTPS or SVCB may hold hints: those that may be asked for as well. Where the
  /// firewall opens other ports of one family than of the other, one answer cannot have both.
  func hintFamilies(of rule: EgressRule?) -> Set<IPAddress.Family> {
    guard type == .HTTPS || type == .SVCB, let rule else { return [] }
    var families: Set<IPAddress.Family> = rule.types.contains(.A) ? [.v4] : []
    if rule.types.contains(.AAAA), snapshot.rules.answersIPv6(serverOpensIPv6: state.opensIPv6) { families.insert(.v6) }
    return state.plainFamilies.count == 1 ? families.intersection([.v4]) : families
  }

  /// The rule that decided; made anew each time.
  package var egressRule: EgressRule? { rule.map { snapshot.policy.rule(server: server, index: $0) } }
}
