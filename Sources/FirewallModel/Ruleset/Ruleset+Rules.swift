import EgressPolicy
import IPNetwork

/// The rules of each chain.
extension Ruleset {
  /// Marks connections whose first packet a rule accepted.
  static let acceptedLabel = 54
  /// What belongs to such a connection: its own packets, and the ICMP errors about it. What a helper of the kernel expects
  /// is a connection of its own, and bears no mark.
  private static let accepted = "ct state established,related ct label \(acceptedLabel)"
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

  // MARK: - The enclosure

  /// The links' chains, and the base chains that lead to them.
  static func enclose(
    _ plan: FirewallPlan, _ surroundings: Surroundings, _ own: [Int: [OwnedRange]], in text: inout RulesetScript
  ) {
    let links = surroundings.enclosure.links
    for link in links {
      linkRules(link, plan, own, in: &text)
      linkInputRules(link, plan, own, in: &text)
      sourceRules(link, plan, own, in: &text)
    }
    if !links.isEmpty {
      let jumps = links.map { "\"\($0.interface)\" : goto \($0.chain)" }.joined(separator: ", ")
      text.line("add element", "links", "{ \(jumps) }")
    }
    arrivingRules(plan, surroundings, in: &text)
    forwardRules(plan, surroundings, in: &text)
    inputRules(plan, surroundings, in: &text)
  }

  /// Where bridges show their frames to this hook (br_netfilter), fragments are put together before the bridge's device sees
  /// any of them, and one whose rest never comes is answered to its source.
  private static func arrivingRules(
    _ plan: FirewallPlan, _ surroundings: Surroundings, in text: inout RulesetScript
  ) {
    guard !arrivingChains(plan, surroundings).isEmpty else { return }
    if hasQueries(plan) { text.rule(arriving, queryRule(plan)) }
    let bridges = surroundings.enclosure.links.filter(\.isBridge)
    guard !bridges.isEmpty else { return }
    text.rule(arriving, "ip frag-off & 0x3fff == 0 accept")
    text.rule(arriving, "meta nfproto ipv6 exthdr frag missing accept")
    let jumps = bridges.map { "\"\($0.interface)\" : jump \($0.sourceChain)" }.joined(separator: ", ")
    text.rule(arriving, "iifname vmap { \(jumps) }")
  }

  /// What may come by the interface at all: before fragments are put together, before options are read, before a time to
  /// live is counted. What the kernel itself says no to there it would answer to the forged source, with the packet in it.
  private static func sourceRules(
    _ link: Enclosure.Link, _ plan: FirewallPlan, _ own: [Int: [OwnedRange]], in text: inout RulesetScript
  ) {
    let chain = link.sourceChain
    for family in [IPAddress.Family.v4, .v6] {
      // Before any that can bear one, and after those that cannot.
      if family == .v6 { routed(link, chain, plan, in: &text) }
      for server in link.servers {
        for range in own[server] ?? [] where range.family == family {
          text.rule(chain, "\(range.matches("saddr")) accept")
        }
      }
    }
    // Refused further on, with an answer that stays behind the interface.
    for network in link.held + link.others { text.rule(chain, "\(network.match) accept") }
    text.rule(chain, "ip6 saddr { ::, fe80::/10 } accept")
    // An address that is asked for; nothing is ever answered to it.
    text.rule(chain, "ip saddr 0.0.0.0 accept")
    tellForged(link, chain, plan: plan, in: &text)
    text.rule(chain, "drop")
  }

  /// What comes in by an interface behind which servers' networks lie must come from them.
  private static func linkRules(
    _ link: Enclosure.Link, _ plan: FirewallPlan, _ own: [Int: [OwnedRange]], in text: inout RulesetScript
  ) {
    for family in [IPAddress.Family.v4, .v6] {
      if family == .v6 {
        routed(link, link.chain, plan, in: &text)
        discovery(link.chain, in: &text)
      }
      // Rules and no map of ranges: while a transaction takes effect such a map holds nothing for an instant.
      for server in link.servers {
        for range in own[server] ?? [] where range.family == family {
          text.rule(link.chain, "\(range.matches("saddr")) goto \(plan.servers[server].name)")
        }
      }
    }
    for network in link.held { text.rule(link.chain, "\(network.match) goto \(held)") }
    // Bridges may show these to this hook as well; they lead no packet out, and are a matter of course.
    text.rule(link.chain, "icmpv6 type { \(routerSolicitation), \(listenerReports) } counter drop")
    foreignSources(link, link.chain, plan, in: &text)
  }

  /// What comes by it to the host itself: with a source of its own it meets the fence, without one only what an address
  /// is made with.
  private static func linkInputRules(
    _ link: Enclosure.Link, _ plan: FirewallPlan, _ own: [Int: [OwnedRange]], in text: inout RulesetScript
  ) {
    let chain = link.inputChain
    routed(link, chain, plan, in: &text)
    // RFC 4861 section 6 and 7: with hop limit 255 it comes from the link.
    text.rule(
      chain,
      "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, \(routerSolicitation) } ip6 hoplimit 255 accept")
    text.rule(chain, "icmpv6 type { \(listenerReports) } accept")
    text.rule(chain, "ip protocol igmp accept")
    if link.servers.contains(where: { plan.servers[$0].asksDHCP }) {
      text.rule(chain, "udp sport 68 udp dport 67 accept")
      text.rule(chain, "ip6 saddr fe80::/10 udp sport 546 udp dport 547 accept")
    }
    let next = plan.fencesInput ? "goto \(fence)" : "accept"
    for server in link.servers {
      for range in own[server] ?? [] {
        text.rule(chain, "\(range.matches("saddr")) \(next)")
      }
    }
    for network in link.held { text.rule(chain, "\(network.match) goto \(held)") }
    foreignSources(link, chain, plan, in: &text)
  }

  /// A routing header names further destinations, to which the kernel may turn behind every hook (segment routing, RFC 8754);
  /// no server has a use for one.
  private static func routed(
    _ link: Enclosure.Link, _ chain: String, _ plan: FirewallPlan, in text: inout RulesetScript
  ) {
    tellForged(link, chain, routingHeader, plan: plan, in: &text)
    text.rule(chain, "\(routingHeader) drop")
  }

  private static let routingHeader = "meta nfproto ipv6 exthdr rt exists"

  /// What is not of the networks behind a link.
  private static func foreignSources(
    _ link: Enclosure.Link, _ chain: String, _ plan: FirewallPlan, in text: inout RulesetScript
  ) {
    tellForged(link, chain, plan: plan, in: &text)
    answerable(chain, in: &text)
  }

  private static func tellForged(
    _ link: Enclosure.Link, _ chain: String, _ match: String = "", plan: FirewallPlan, in text: inout RulesetScript
  ) {
    let server = link.servers.first.map { plan.servers[$0].name }
    tellForged(chain, match, Telling(server, plan, reason: RulesetReason.spoofed.rawValue), in: &text)
  }

  /// Only what really is behind the interface gets an answer: to a forged source it would carry octets of the packet out.
  /// It is no reset: where no socket takes that, the kernel says so to the refused destination.
  private static func answerable(_ chain: String, in text: inout RulesetScript) {
    text.rule(chain, "fib saddr . iif oif missing drop")
    text.rule(chain, "reject with icmpx admin-prohibited")
  }

  private static func forwardRules(
    _ plan: FirewallPlan, _ surroundings: Surroundings, in text: inout RulesetScript
  ) {
    text.rule("forward", "iifname vmap @links")
    for family in plan.addressFamilies {
      let lengths = hashedLengths(plan, family)
      if lengths.isEmpty { text.rule("forward", "\(family.header) saddr vmap @servers-\(family.rawValue)") }
      for length in lengths {
        text.rule(
          "forward", "\(family.header) saddr & \(family.mask(length)) vmap @\(hashedMap(family, length))")
      }
    }
    fromHeld(plan, surroundings, "forward", in: &text)
    // What is left comes from others.
    text.rule("forward", "\(accepted) accept")
    toServers(plan) { text.rule("forward", "\($0) jump \(inbound)") }
    toServers(plan) { text.rule("forward", "ct state new \($0) \(mark)") }
  }

  private static func inputRules(_ plan: FirewallPlan, _ surroundings: Surroundings, in text: inout RulesetScript) {
    text.rule("input", "iif lo accept")
    gateInputRules(plan, in: &text)
    redirectionRules(plan, in: &text)
    upstreamRules(plan, in: &text)
    let links = surroundings.enclosure.links
    if !links.isEmpty {
      let jumps = links.map { "\"\($0.interface)\" : goto \($0.inputChain)" }.joined(separator: ", ")
      text.rule("input", "iifname vmap { \(jumps) }")
    }
    fromHeld(plan, surroundings, "input", in: &text)
    guard plan.fencesInput else { return }
    fromServers(plan) { text.rule("input", "\($0) goto \(fence)") }
    gateInputEnd(plan, in: &text)
  }

  /// A datagram with an upstream's address is the upstream's only if it comes from where the route to it leads: neither
  /// conntrack nor a connected socket looks at the interface.
  private static func upstreamRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    for family in plan.addressFamilies {
      let upstreams = Set(plan.everyUpstream).filter { $0.address.family == family }.sorted()
      guard !upstreams.isEmpty else { continue }
      let keys = upstreams.flatMap { upstream in
        ["tcp", "udp"].map { "\(upstream.address.nft) . \($0) . \(upstream.port)" }
      }
      let match =
        "\(family.header) saddr . meta l4proto . th sport { \(keys.joined(separator: ", ")) } "
        + "fib saddr . iif oif missing"
      tellForged("input", match, Telling(nil, plan, reason: RulesetReason.spoofed.rawValue), in: &text)
      // However many there are: what is not told is dropped like the rest.
      text.rule("input", "\(match) drop")
    }
  }

  private static func fromHeld(
    _ plan: FirewallPlan, _ surroundings: Surroundings, _ chain: String, in text: inout RulesetScript
  ) {
    for set in networkSets(plan, surroundings.held) where set.purpose == .held {
      text.rule(chain, "\(set.match) goto \(held)")
    }
  }

  /// What matches packets from, or to, any server's network: one text for each lookup.
  private static func fromServers(_ plan: FirewallPlan, _ body: (String) -> Void) { servers(plan, "saddr", body) }
  private static func toServers(_ plan: FirewallPlan, _ body: (String) -> Void) { servers(plan, "daddr", body) }

  static func servers(
    _ plan: FirewallPlan, _ side: String, of direction: String = "", only: IPAddress.Family? = nil,
    _ body: (String) -> Void
  ) {
    for family in plan.addressFamilies where only ?? family == family {
      for share in shares(plan, side, family) { body(direction + share.match) }
    }
  }

  // MARK: - The host itself

  private static let routerSolicitation = "nd-router-solicit"
  private static let listenerReports = "mld-listener-report, mld-listener-done, mld2-listener-report"

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
  private static func discovery(_ chain: String, in text: inout RulesetScript) {
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
  fileprivate var match: String { "\(address.family.header) saddr \(nft)" }
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
