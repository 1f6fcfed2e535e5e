import EgressPolicy
import IPNetwork

/// The rules of each chain.
extension Ruleset {
  /// Marks connections whose first packet a rule accepted.
  static let acceptedLabel = 54
  /// What belongs to such a connection: its own packets, and the ICMP errors about it. What a helper of the kernel expects
  /// is a connection of its own, and bears no mark.
  static let accepted = "ct state established,related ct label \(acceptedLabel)"
  static let mark = "ct label set \(acceptedLabel)"

  static func serverRules(
    _ server: FirewallPlan.Server, own: [OwnedRange], _ plan: FirewallPlan, in text: inout RulesetScript
  ) {
    let chain = server.name
    let open = SetName.all(of: server).filter(\.opens)
    let isBounded = !server.caps.isEmpty || server.staticRules.contains { $0.maxBytes != nil }
    // What nearly every packet needs comes first, where nothing has a bound: an answered connection, then one that was
    // accepted and that nothing answered yet.
    for state in isBounded ? [] : ["established", "new ct label \(acceptedLabel)"] {
      for set in open { text.rule(chain, "ct state \(state) \(set.key) @\(set.text) accept") }
    }
    // It belongs to no connection.
    if refusesExcess(server) { discovery(chain, in: &text) }
    // The kernel turns to the next hop of a source route behind this hook: its destination here is only the first of them.
    for range in own {
      let direct = range.family == .v4 ? "ip option lsrr missing ip option ssrr missing" : "exthdr rt missing"
      text.rule(chain, "\(range.matches("daddr")) \(direct) accept")
    }
    // A packet that belongs to no connection counts against none: it would be a way around every bound.
    let unconnected = RulesetReason.unconnected
    text.rule(
      chain,
      "ct state \(refusesExcess(server) ? "invalid,untracked" : "invalid") goto \(unconnected.chain(chain))")
    denyNetworks(server, chain, in: &text)
    bounds(server, in: &text)
    // Once for each connection: what is marked already has been there, answered or not.
    text.rule(chain, "ct state new ct label ! \(acceptedLabel) jump \(RulesetReason.new.chain(chain))")
    // What a helper of the kernel expects, and what another program keeps from being tracked; the others were looked up above
    // where nothing has a bound.
    refuseUngated(server, chain, in: &text)
    for set in open {
      text.rule(chain, "\(isBounded ? "" : "ct state related,untracked ")\(set.key) @\(set.text) accept")
    }
    // After the sets: their counters see every packet to an open address. What an entry opens without a name is counted by
    // that, once for each packet: where it is accepted.
    for rule in server.staticRules {
      text.rule(chain, "\(accepted) \(rule.match) \(count(rule, server)) accept")
    }
    text.rule(chain, "\(accepted) accept")
    // An element of no set, but open all the same: also to connections from before the mark.
    for rule in server.staticRules {
      text.rule(chain, "\(rule.match) \(count(rule, server)) accept")
    }
    if !refusesExcess(server) { discovery(chain, in: &text) }
    let families = [IPAddress.Family.v4, .v6].filter { family in
      server.prefixes.contains { $0.address.family == family }
    }
    var closed = Telling(server.name, plan)
    closed.set = .closed
    refuse(chain, closed, families, in: &text)
    refuseDenied(server, families, plan, in: &text)
    newRules(server, open, plan, in: &text)
    boundRules(server, plan, families, in: &text)
    // As many as the server likes, and none of them begins a connection. An answer would be one to no connection, too.
    tellForged(unconnected.chain(chain), "", Telling(server.name, plan, reason: unconnected.rawValue), in: &text)
    text.rule(unconnected.chain(chain), "drop")
    guard server.interface != nil else { return }
    let spoofed = RulesetReason.spoofed
    tellForged(spoofed.chain(chain), "", Telling(server.name, plan, reason: spoofed.rawValue), in: &text)
    // A forged source is not answered.
    text.rule(spoofed.chain(chain), "drop")
  }

  /// The first packet of a connection: what accepts it marks the connection, and nothing else does.
  private static func newRules(
    _ server: FirewallPlan.Server, _ sets: [SetName], _ plan: FirewallPlan, in text: inout RulesetScript
  ) {
    let chain = RulesetReason.new.chain(server.name)
    // What one server may reach is no way around what another one lets in.
    toServers(plan) { text.rule(chain, "\($0) jump \(inbound)") }
    // What an entry opens without a name is open without one; else the sets come first, which count.
    let rules = server.staticRules.map { "\($0.match) \(count($0, server)) \(mark) accept" }
    for rule in server.checksNames ? rules : [] { text.rule(chain, rule) }
    refuseUngatedNew(server, chain, in: &text)
    for set in sets {
      text.rule(chain, "\(set.key) @\(set.text) \(mark) accept")
    }
    for rule in server.checksNames ? [] : rules { text.rule(chain, rule) }
  }

  /// Counts what an entry opens without a name.
  private static func count(_ rule: FirewallPlan.StaticRule, _ server: FirewallPlan.Server) -> String {
    "counter name \(counter(of: rule.prefix, server: server.name))"
  }

  /// The chains that are no server's own.
  static func sharedRules(_ plan: FirewallPlan, _ surroundings: Surroundings, in text: inout RulesetScript) {
    discovery(held, in: &text)
    var telling = Telling(nil, plan, reason: "held")
    telling.end = prohibited
    refuse(
      held, telling, plan.addressFamilies, shares: { heldShares(plan, surroundings.held, $0) }, in: &text)
    discovery(inbound, in: &text)
    for set in networkSets(plan, []) where set.purpose != .held {
      text.rule(inbound, "ct state new \(set.match) return")
    }
    refuse(
      inbound, Telling(nil, plan, reason: "inbound"), plan.addressFamilies, shares: { shares(plan, "daddr", $0) },
      in: &text)
    endRules(in: &text)
    gateRules(plan, in: &text)
    outputRules(plan, in: &text)
    if plan.fencesInput { fenceRules(plan, in: &text) }
  }

  /// What the host itself sends: connections to servers are marked. That a refusal found no host at the server's
  /// address is not told: the error would carry the refused packet's ports and number to where it was not let.
  private static func outputRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    text.rule("output", "icmp type destination-unreachable icmp code host-unreachable jump \(unreachable)")
    text.rule("output", "icmpv6 type destination-unreachable icmpv6 code addr-unreachable jump \(unreachable)")
    toServers(plan) { text.rule("output", "ct state new \($0) counter \(mark)") }
    // About a packet of no connection: one that was refused.
    text.rule(unreachable, "ct state invalid counter drop")
    servers(plan, "saddr", of: "ct original ") { text.rule(unreachable, "\($0) counter drop") }
  }

  /// What matches packets from, or to, any server's network: one text for each lookup.
  static func fromServers(_ plan: FirewallPlan, _ body: (String) -> Void) { servers(plan, "saddr", body) }
  static func toServers(_ plan: FirewallPlan, _ body: (String) -> Void) { servers(plan, "daddr", body) }

  static func servers(
    _ plan: FirewallPlan, _ side: String, of direction: String = "", only: IPAddress.Family? = nil,
    _ body: (String) -> Void
  ) {
    for family in plan.addressFamilies where only ?? family == family {
      for share in shares(plan, side, family) { body(direction + share.match) }
    }
  }

  // MARK: - The host itself

  static let routerSolicitation = "nd-router-solicit"
  static let listenerReports = "mld-listener-report, mld-listener-done, mld2-listener-report"

  /// What a server may do with the host itself.
  private static func fenceRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    text.rule(fence, "\(routingHeader) counter name \(counter(of: nil)) drop")
    text.rule(fence, "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept")
    text.rule(
      fence, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, \(routerSolicitation) } ip6 hoplimit 255 accept")
    text.rule(
      fence,
      "icmpv6 type { \(listenerReports), destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept"
    )
    gateFenceRules(plan, in: &text)
    diallingRules(plan, in: &text)
    for listener in plan.listeners {
      let family = listener.address.family
      let address =
        listener.address.value == 0 ? family.protocolMatch : "\(family.header) daddr \(listener.address.nft)"
      text.rule(fence, "\(address) meta l4proto { tcp, udp } th dport \(listener.port) accept")
    }
    // What the host itself asked for.
    text.rule(fence, "\(accepted) accept")
    for server in plan.servers where server.asksDHCP {
      for prefix in server.prefixes where prefix.address.family == .v4 {
        text.rule(fence, "\(prefix.match) udp sport 68 udp dport 67 accept")
      }
    }
    refuse(fence, Telling(nil, plan), plan.addressFamilies, shares: { shares(plan, "saddr", $0) }, in: &text)
  }

  /// Bridges may show neighbour discovery to this hook; with hop limit 255 it comes from the link (RFC 4861 s7.1).
  static func discovery(_ chain: String, in text: inout RulesetScript) {
    text.rule(chain, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept")
  }
}

extension FirewallPlan.StaticRule {
  /// What matches a packet to the prefix and one of the ports.
  var match: String {
    let target = "\(prefix.address.family.header) daddr \(prefix.nft)"
    return ports.isEmpty ? target : "\(target) meta l4proto . th dport { \(ports.nft) }"
  }
}

extension IPPrefix {
  /// What matches a packet from the network.
  var match: String { "\(address.family.header) saddr \(nft)" }
}

extension IPAddress.Family {
  /// The mask of a prefix as an address.
  func mask(_ length: Int) -> String {
    let bits = self == .v4 ? 32 : 128
    let ones: UInt128 = length >= bits ? .max : ~(.max >> UInt128(length)) >> UInt128(128 - bits)
    return IPAddress(family: self, value: self == .v4 && length >= bits ? 0xFFFF_FFFF : ones).nft
  }

  fileprivate var protocolMatch: String { "meta nfproto \(self == .v4 ? "ipv4" : "ipv6")" }
}
