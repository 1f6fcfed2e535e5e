import IPNetwork

/// Renders a plan as one nft transaction that may be applied again and again: sets keep their elements.
///
/// Only validated names and binary addresses become text.
package enum Ruleset {
  /// What an earlier plan left in our table and this one does not want.
  package struct Leftovers: Equatable, Sendable {
    /// Names of chains, and of sets with the addresses and the shape they have.
    package var chains: [String] = []
    package var sets: [SetName] = []

    package init(chains: [String] = [], sets: [SetName] = []) {
      self.chains = chains
      self.sets = sets
    }
  }

  /// The first packet of refused traffic is logged no oftener than this for each server: one client cannot fill a log.
  private static let logLimit = "limit rate 10/second burst 20 packets"

  /// The whole table as nft text, for `nft -f`.
  package static func render(
    _ plan: FirewallPlan, removing leftovers: Leftovers = Leftovers()
  ) throws(FirewallPlanError) -> String {
    try plan.validate()
    var text = Script(table: "inet \(plan.table)")
    declare(plan, leftovers, in: &text)
    empty(plan, leftovers, in: &text)
    let owned = plan.addressFamilies.flatMap { ownedRanges(plan, $0) }
    fillMaps(plan, owned, in: &text)
    let own = Dictionary(grouping: owned, by: \.owner)
    for (index, server) in plan.servers.enumerated() {
      serverRules(server, own: own[index] ?? [], group: plan.nflogGroup, in: &text)
    }
    baseRules(plan, in: &text)
    for chain in leftovers.chains where FirewallPlan.isName(chain) {
      text.line("delete chain", chain)
    }
    for set in leftovers.sets {
      text.line("delete set", set.text)
    }
    return text.text
  }

  private static func declare(_ plan: FirewallPlan, _ leftovers: Leftovers, in text: inout Script) {
    text.text += "add table \(text.table)\n"
    for set in plan.servers.flatMap(SetName.all(of:)) + leftovers.sets {
      text.line("add set", set.text, "{ type \(set.type); flags timeout; size \(FirewallPlan.setSize); }")
    }
    // Chains first: nft sends a new map together with its elements, and these name chains.
    for chain in plan.servers.map(\.name) + leftovers.chains {
      text.line("add chain", chain)
    }
    for hook in ["forward", "input"] {
      text.line("add chain", hook, "{ type filter hook \(hook) priority filter - 10; policy accept; }")
    }
    for family in plan.addressFamilies {
      text.line("add set", "clients-\(family.rawValue)", "{ type \(family.type); flags interval; }")
      text.line("add map", "servers-\(family.rawValue)", "{ type \(family.type) : verdict; flags interval; }")
    }
  }

  private static func empty(_ plan: FirewallPlan, _ leftovers: Leftovers, in text: inout Script) {
    for family in plan.addressFamilies {
      text.line("flush set", "clients-\(family.rawValue)")
      text.line("flush map", "servers-\(family.rawValue)")
    }
    for chain in ["forward", "input"] + plan.servers.map(\.name) + leftovers.chains {
      text.line("flush chain", chain)
    }
  }

  private static func fillMaps(_ plan: FirewallPlan, _ ranges: [OwnedRange], in text: inout Script) {
    for family in plan.addressFamilies {
      let owned = ranges.filter { $0.family == family }
      guard !owned.isEmpty else { continue }
      let names = owned.map(\.nft).joined(separator: ", ")
      let jumps = owned.map { "\($0.nft) : jump \(plan.servers[$0.owner].name)" }.joined(separator: ", ")
      text.line("add element", "clients-\(family.rawValue)", "{ \(names) }")
      text.line("add element", "servers-\(family.rawValue)", "{ \(jumps) }")
    }
  }

  private static func serverRules(
    _ server: FirewallPlan.Server, own: [OwnedRange], group: UInt16, in text: inout Script
  ) {
    let chain = server.name
    text.rule(chain, "ct state established,related accept")
    // Bridges may show neighbour discovery to this hook; with hop limit 255 it comes from the link (RFC 4861 s7.1).
    text.rule(chain, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept")
    for family in [IPAddress.Family.v4, .v6] {
      let same = own.filter { $0.family == family }
      if !same.isEmpty {
        text.rule(chain, "\(family.header) daddr { \(same.map(\.nft).joined(separator: ", ")) } accept")
      }
    }
    for set in SetName.all(of: server) {
      let ports = set.kind == .anyPort ? "" : " . meta l4proto . th dport"
      text.rule(chain, "\(set.family.header) daddr\(ports) @\(set.text) accept")
    }
    for rule in server.staticRules {
      let target = "\(rule.prefix.address.family.header) daddr \(rule.prefix.nft)"
      if rule.ports.isEmpty {
        text.rule(chain, "\(target) accept")
      } else {
        text.rule(chain, "\(target) meta l4proto . th dport { \(rule.ports.nft) } accept")
      }
    }
    text.rule(chain, "\(logLimit) log prefix \"sluice \(server.name) \" group \(group)")
    text.rule(chain, "meta l4proto tcp reject with tcp reset")
    text.rule(chain, "reject with icmpx admin-prohibited")
  }

  private static func baseRules(_ plan: FirewallPlan, in text: inout Script) {
    for family in plan.addressFamilies {
      text.rule("forward", "\(family.header) saddr vmap @servers-\(family.rawValue)")
    }
    // Accept ends this chain only: whoever is no client of ours goes on to the host's own rules.
    text.rule("input", "iif lo accept")
    text.rule("input", "ct state established,related accept")
    for family in plan.addressFamilies {
      let word = family == .v4 ? "ipv4" : "ipv6"
      text.rule("input", "meta nfproto \(word) \(family.header) saddr != @clients-\(family.rawValue) accept")
    }
    text.rule("input", "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept")
    text.rule("input", "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept")
    text.rule(
      "input", "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept")
    for listener in plan.listeners {
      let any = listener.address.value == 0
      let family = listener.address.family
      let address =
        any ? "meta nfproto \(family == .v4 ? "ipv4" : "ipv6") " : "\(family.header) daddr \(listener.address.nft) "
      text.rule("input", "\(address)meta l4proto { tcp, udp } th dport \(listener.port) accept")
    }
    text.rule("input", "\(logLimit) log prefix \"sluice host \" group \(plan.nflogGroup)")
    text.rule("input", "meta l4proto tcp reject with tcp reset")
    text.rule("input", "reject with icmpx admin-prohibited")
  }

  static func ownedRanges(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [OwnedRange] {
    let entries = plan.servers.enumerated().flatMap { index, server in
      server.prefixes.map { (prefix: $0, owner: index) }
    }
    return DisjointRanges(entries, family: family).ranges
  }
}

/// The growing text; every line names the table.
private struct Script {
  let table: String
  var text = ""

  mutating func line(_ verb: String, _ name: String, _ rest: String = "") {
    text += "\(verb) \(table) \(name)\(rest.isEmpty ? "" : " ")\(rest)\n"
  }

  mutating func rule(_ chain: String, _ rule: String) {
    line("add rule", chain, rule)
  }
}
