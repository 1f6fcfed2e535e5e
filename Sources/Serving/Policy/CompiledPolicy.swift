import EgressPolicy

/// What of the policies is in force at a time, compiled: a million names are not the resolver's thread to compile.
struct CompiledPolicy: Sendable {
  var policies: [ServerPolicy]
  var snapshot: PolicySnapshot
  /// The permits that are in it: those of servers that the policies have.
  var permits: [Permit]
  /// What differs from the policy in force when the change began, where that was asked for.
  var difference: PolicyDifference?
  /// Since 1970.
  var seconds: UInt64

  /// - Parameters:
  ///   - seconds: since 1970.
  ///   - compares: of a million names it takes a second.
  init(
    _ policies: [ServerPolicy], _ permits: [Permit], at seconds: UInt64, former: PolicySnapshot, compares: Bool
  ) {
    self.seconds = seconds
    let names = Set(policies.map(\.name))
    self.permits = permits.filter { names.contains($0.allowed.server) }
    let permitRules = self.permits.map(\.allowed)
    self.policies = policies.map { $0.inForce(at: seconds).adding(permitRules) }
    snapshot = PolicySnapshot(self.policies)
    if compares { difference = PolicyDifference(from: former.servers, to: self.policies) }
  }
}
