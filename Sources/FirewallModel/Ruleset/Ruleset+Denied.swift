import IPNetwork

/// Networks that a server may not reach, whatever is open.
extension Ruleset {
  /// Before all that opens without a name. The sets hold no address of theirs, so that what goes to an open element does not
  /// come here where nothing has a bound. What others began is no way out: its answers pass.
  static func denyNetworks(_ server: FirewallPlan.Server, _ chain: String, in text: inout RulesetScript) {
    let denied = RulesetReason.denied.chain(server.name)
    for family in [IPAddress.Family.v4, .v6] {
      let prefixes = server.deniedPrefixes.filter { $0.address.family == family }
      guard !prefixes.isEmpty else { continue }
      let match = "\(family.header) daddr { \(prefixes.map(\.nft).joined(separator: ", ")) }"
      // What is not tracked has no direction.
      for state in ["ct direction original", "ct state untracked"] {
        text.rule(chain, "\(state) \(match) goto \(denied)")
      }
    }
  }

  /// What becomes of packets to them.
  static func refuseDenied(
    _ server: FirewallPlan.Server, _ families: [IPAddress.Family], _ plan: FirewallPlan, in text: inout RulesetScript
  ) {
    guard !server.deniedPrefixes.isEmpty else { return }
    var telling = Telling(server.name, plan, reason: RulesetReason.denied.rawValue)
    telling.set = .closed
    refuse(RulesetReason.denied.chain(server.name), telling, families, in: &text)
  }
}
