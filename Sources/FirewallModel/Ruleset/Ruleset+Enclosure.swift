import EgressPolicy
import IPNetwork

/// What comes by which link, and the base chains that lead to each server's rules.
extension Ruleset {
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

  static let routingHeader = "meta nfproto ipv6 exthdr rt exists"

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
}
