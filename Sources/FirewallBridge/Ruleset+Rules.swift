import IPNetwork

/// The rules of each chain.
extension Ruleset {
  /// The first packet of refused traffic is logged no oftener than this for each server: one client cannot fill a log.
  private static let logLimit = "limit rate 50/second burst 100 packets"
  /// Marks connections to destinations that have a bound: it holds when their elements are gone, too.
  private static let boundLabel = 53

  static func serverRules(
    _ server: FirewallPlan.Server, own: [OwnedRange], group: UInt16, in text: inout RulesetScript
  ) {
    let chain = server.name
    discovery(chain, in: &text)
    for range in own {
      text.rule(chain, "\(range.family.header) daddr \(range.nft) accept")
    }
    // A packet that belongs to no connection counts against none: it would be a way around every bound.
    text.rule(chain, "ct state \(server.caps.isEmpty ? "invalid" : "invalid,untracked") drop")
    bounds(server, in: &text)
    // Its element may be gone, or another name may open the address: the largest bound of all holds even so.
    let connectionCaps = server.caps.filter { $0.kind == .perConnection }
    if let largest = connectionCaps.map(\.bytes).max() {
      text.rule(
        chain, "ct label \(boundLabel) ct original bytes > \(largest) goto \(RulesetReason.maxBytes.chain(chain))")
    }
    let sets = SetName.all(of: server)
    for set in sets where set.cap == nil {
      text.rule(chain, "\(set.key) @\(set.text) accept")
    }
    // After the sets: their counters see every packet to an open address.
    text.rule(chain, "ct state established,related accept")
    for rule in server.staticRules {
      text.rule(chain, "\(rule.match) accept")
    }
    refuse(chain, prefix: "sluice \(server.name) ", group, in: &text)
    let chains = Set(Self.chains(of: FirewallPlan(mode: .managed, servers: [server])))
    for reason in [RulesetReason.maxBytes, .maxBytesPerHour] where chains.contains(reason.chain(chain)) {
      refuse(reason.chain(chain), prefix: "sluice \(server.name) \(reason.rawValue) ", group, in: &text)
    }
    guard server.interface != nil else { return }
    let spoofed = RulesetReason.spoofed
    text.rule(spoofed.chain(chain), log("sluice \(server.name) \(spoofed.rawValue) ", group))
    // Whoever forges its source is not answered.
    text.rule(spoofed.chain(chain), "drop")
  }

  /// What a server may send, before anything lets it: an established connection is no way around a bound.
  private static func bounds(_ server: FirewallPlan.Server, in text: inout RulesetScript) {
    let chain = server.name
    let sets = SetName.all(of: server)
    for cap in server.caps.sorted() {
      for set in sets where set.cap == cap {
        switch cap.kind {
        case .perConnection:
          let over = RulesetReason.maxBytes.chain(chain)
          text.rule(chain, "ct original bytes > \(cap.bytes) \(set.key) @\(set.text) goto \(over)")
          text.rule(chain, "ct state new \(set.key) @\(set.text) ct label set \(boundLabel)")
        case .perHour:
          // The elements count, and match once they have counted too much.
          text.rule(chain, "\(set.key) @\(set.text) goto \(RulesetReason.maxBytesPerHour.chain(chain))")
        }
      }
    }
    for rule in server.staticRules {
      guard let bytes = rule.maxBytes else { continue }
      text.rule(chain, "\(rule.match) ct original bytes > \(bytes) goto \(RulesetReason.maxBytes.chain(chain))")
    }
  }

  /// What comes in by an interface that policies name must come from the networks behind it.
  static func linkRules(
    _ link: Link, _ plan: FirewallPlan, _ own: [Int: [OwnedRange]], in text: inout RulesetScript
  ) {
    discovery(link.chain, in: &text)
    // Rules and no map of ranges: while a transaction takes effect such a map holds nothing for an instant.
    for server in link.servers {
      for range in own[server] ?? [] {
        text.rule(link.chain, "\(range.family.header) saddr \(range.nft) goto \(plan.servers[server].name)")
      }
    }
    // A server that is bound to no interface may be behind this one, too.
    dispatch(link.chain, plan, in: &text)
    if let first = link.servers.first {
      text.rule(link.chain, "goto \(RulesetReason.spoofed.chain(plan.servers[first].name))")
    }
  }

  static func forwardRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    text.rule("forward", "iifname vmap @links")
    dispatch("forward", plan, in: &text)
  }

  /// Sends a packet to the chain of the server with the longest prefix around its source.
  private static func dispatch(_ chain: String, _ plan: FirewallPlan, in text: inout RulesetScript) {
    for family in plan.addressFamilies {
      let lengths = hashedLengths(plan, family)
      if lengths.isEmpty { text.rule(chain, "\(family.header) saddr vmap @servers-\(family.rawValue)") }
      for length in lengths {
        text.rule(
          chain, "\(family.header) saddr & \(family.mask(length)) vmap @\(hashedMap(family, length))")
      }
    }
  }

  static func inputRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    guard plan.fencesInput else { return }
    text.rule("input", "iif lo accept")
    text.rule("input", "ct state established,related accept")
    let links = links(plan).map { "\"\($0.interface)\"" }
    if !links.isEmpty { text.rule("input", "iifname { \(links.joined(separator: ", ")) } goto \(fence)") }
    for family in plan.addressFamilies {
      let lengths = hashedLengths(plan, family)
      if lengths.isEmpty {
        text.rule("input", "\(family.header) saddr @clients-\(family.rawValue) goto \(fence)")
      }
      for length in lengths {
        let set = hashedSet(family, length)
        text.rule("input", "\(family.header) saddr & \(family.mask(length)) @\(set) goto \(fence)")
      }
    }
    fenceRules(plan, in: &text)
  }

  /// What a server may do with the host itself.
  private static func fenceRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    text.rule(fence, "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept")
    text.rule(
      fence,
      "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, "
        + "mld-listener-done, mld2-listener-report } accept")
    text.rule(
      fence, "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept")
    for listener in plan.listeners {
      let family = listener.address.family
      let address =
        listener.address.value == 0 ? family.protocolMatch : "\(family.header) daddr \(listener.address.nft)"
      text.rule(fence, "\(address) meta l4proto { tcp, udp } th dport \(listener.port) accept")
    }
    refuse(fence, prefix: "sluice host ", plan.nflogGroup, in: &text)
  }

  /// Bridges may show neighbour discovery to this hook; with hop limit 255 it comes from the link (RFC 4861 s7.1).
  private static func discovery(_ chain: String, in text: inout RulesetScript) {
    text.rule(chain, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept")
  }

  /// At once and with an answer, so that clients need not wait for a silence to end.
  private static func refuse(_ chain: String, prefix: String, _ group: UInt16, in text: inout RulesetScript) {
    text.rule(chain, log(prefix, group))
    text.rule(chain, "meta l4proto tcp reject with tcp reset")
    text.rule(chain, "reject with icmpx admin-prohibited")
  }

  private static func log(_ prefix: String, _ group: UInt16) -> String {
    "\(logLimit) log prefix \"\(prefix)\" group \(group) snaplen 128"
  }
}

extension FirewallPlan.StaticRule {
  /// What matches a packet to the prefix and one of the ports.
  fileprivate var match: String {
    let target = "\(prefix.address.family.header) daddr \(prefix.nft)"
    return ports.isEmpty ? target : "\(target) meta l4proto . th dport { \(ports.nft) }"
  }
}

extension IPAddress.Family {
  /// The mask of a prefix as an address.
  fileprivate func mask(_ length: Int) -> String {
    let bits = self == .v4 ? 32 : 128
    let ones: UInt128 = length >= bits ? .max : ~(.max >> UInt128(length)) >> UInt128(128 - bits)
    return IPAddress(family: self, value: self == .v4 && length >= bits ? 0xFFFF_FFFF : ones).nft
  }

  fileprivate var protocolMatch: String { "meta nfproto \(self == .v4 ? "ipv4" : "ipv6")" }
}
