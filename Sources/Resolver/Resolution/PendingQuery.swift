package import DNSWire
package import EgressPolicy
package import IPNetwork

/// A question that policy allowed and that the query path could not answer by itself.
package struct PendingQuery: Sendable {
  /// How the question is finished.
  package enum Kind: Sendable {
    /// Ask upstream, unless the cache or the ledger can answer by now.
    case resolve
    /// Answer from the local zones, opening the addresses first.
    case local
    /// A PTR: answered from what is open for the server.
    case reverse(IPAddress)
  }

  package var snapshot: ResolverSnapshot
  package var server: Int
  /// Index of the rule that decided; nil where none did, as for a PTR.
  package var rule: Int?
  /// Canonical wire name.
  package var name: [UInt8]
  package var type: RRType
  package var kind: Kind
  package var source: QuerySource
  package var query: Query
  /// When its batch was received: nanoseconds of the monotonic clock.
  package var arrived: UInt64 = 0
  /// The client's message, for its id, flags and question.
  package var message: [UInt8]

  package var state: ServerState { snapshot.servers[server] }
  /// The rule that decided.
  package var egressRule: EgressRule? { rule.map { snapshot.policy.rule(server: server, index: $0) } }
}
