import EgressPolicy
package import HostNetwork
import IPNetwork

/// Renders a plan as one nft transaction that may be applied again and again: sets keep their elements.
///
/// Only validated names and binary addresses become text. The chains, and what a packet meets in which order:
///
///     ingress, of each link's device ── queries ── source/INTERFACE: what lies behind it ► refused as spoofed
///     prerouting, arriving ── queries ── by a link that is a bridge, fragments ──► source/INTERFACE
///     prerouting, translating ── ip saddr vmap @gated-… ──► SERVER/sni/redirect: open and checked, reachable ──► the gate's port
///     queries ── from a server's network to a listener: not tracked; output, responses ── back: not tracked either
///     forward ── iifname vmap @links ──► link/INTERFACE ── its servers' networks ──► SERVER, else refused as spoofed
///        ├────── ip saddr vmap @servers-… ──► SERVER, or SERVER/spoofed where it should have come by a link
///        ├────── ip saddr @held-… ──► host/held: refused
///        ├────── what belongs to a connection that the rules accepted ──► accepted
///        └────── ip daddr @clients-… ──► host/inbound: listed in @inbound-…, else refused
///     SERVER: without bounds: answered, to open elements ► neighbour discovery, own network
///             ► of no connection: SERVER/unconnected, told by a bucket and dropped ► denied: SERVER/denied ► bounds of bytes ► new: SERVER/new ► open elements ► accepted before ► refused
///     SERVER/new: to another server's network only as its `inbound` says ► static ► checked, and not through the gate: refused
///             ► open elements: marked, accepted
///     input ── an upstream's address from the wrong interface ──► dropped
///        ├──── by a link ──► input/INTERFACE ── its servers' networks ──► host/fence, else refused as spoofed
///        └──── a server's network ──► host/fence: the resolver, what the host opened itself ► refused
///     refused ── counted ► told, once a minute for each destination and else by a bucket ► host/refused: answered
///     output ── the gate's user ──► host/gate/output: what came to it, and to elements of checked sets; else refused
///        ├───── new, to a server's network: marked; that a server's address does not answer is not told
///
/// A connection is marked by a bit of its label when its first packet is accepted; the bit is what `established` means
/// here. It belongs to the connection, so that it outlives a flush of the table and a restart.
///
/// Which server a packet is of is looked up in hash maps, one for each prefix length: they answer alike before, while and
/// after a transaction takes effect, where a map of ranges may hold nothing for an instant.
package enum Ruleset {
  /// What an earlier plan left in our table and this one does not want.
  package struct Leftovers: Equatable, Sendable {
    /// Names of chains, and of sets with the addresses and the shape they have.
    package var chains: [String] = []
    package var sets: [SetName] = []
    /// Names of maps from networks to chains.
    package var maps: [String] = []
    /// Names of counters.
    package var counters: [String] = []
    /// The table has another layout than a managed one: it goes, with everything in it, in the same transaction.
    package var replacesTable = false

    package init(chains: [String] = [], sets: [SetName] = []) {
      self.chains = chains
      self.sets = sets
    }
  }

  /// What the table depends on beside the plan.
  package struct Surroundings: Hashable, Sendable {
    package var enclosure = Enclosure()
    /// Networks that were governed once, and by no server of the plan.
    package var held: [HeldNetwork] = []

    package init() {}

    /// - Parameter host: what the kernel says of the host's own network now.
    package init(_ plan: FirewallPlan, held: [HeldNetwork], host: HostNetwork) {
      enclosure = Enclosure(plan, held: held.map(\.prefix), host: host)
      self.held = held
    }
  }

  /// The whole table as nft text, for `nft -f`.
  ///
  /// - Parameter hooksDevices: false leaves out the chains that hook a device, which nft refuses where there is none of that
  ///   name.
  package static func render(
    _ plan: FirewallPlan, _ surroundings: Surroundings = Surroundings(), removing leftovers: Leftovers = Leftovers(),
    hooksDevices: Bool = true
  ) throws(FirewallPlanError) -> String {
    try plan.validate()
    var text = RulesetScript(table: "inet \(plan.table)")
    if leftovers.replacesTable { text.text += "delete table \(text.table)\n" }
    declare(plan, surroundings, leftovers, in: &text)
    let owned = plan.addressFamilies.flatMap { ownedRanges(plan, $0) }
    let own = Dictionary(grouping: owned, by: \.owner)
    if hooksDevices { hook(plan, surroundings, own, in: &text) }
    empty(plan, surroundings, leftovers, in: &text)
    fillMaps(plan, surroundings.held, owned, in: &text)
    fillGateMaps(plan, in: &text)
    for (index, server) in plan.servers.enumerated() where !server.isGone {
      serverRules(server, own: own[index] ?? [], plan, in: &text)
    }
    sharedRules(plan, surroundings, in: &text)
    queryRules(plan, in: &text)
    enclose(plan, surroundings, own, in: &text)
    for chain in leftovers.chains where isChain(chain) {
      text.line("delete chain", chain)
    }
    for map in leftovers.maps where isNetworkTable(map) {
      text.line(isMap(map) ? "delete map" : "delete set", map)
    }
    for set in leftovers.sets {
      text.line("delete set", set.text)
    }
    for counter in leftovers.counters where isCounter(counter) { text.line("delete counter", counter) }
    return text.text
  }

  /// Another enclosure around the same servers, in one transaction: the links' chains, and the rules that lead to them.
  package static func render(
    _ plan: FirewallPlan, _ surroundings: Surroundings, instead former: Surroundings
  ) throws(FirewallPlanError) -> String {
    try plan.validate()
    var text = RulesetScript(table: "inet \(plan.table)")
    let chains = surroundings.enclosure.links.flatMap(chains(of:))
    let arriving = arrivingChains(plan, surroundings)
    let hooked = Set(surroundings.enclosure.links.filter { $0.index != 0 }.map(\.ingressChain))
    let gone =
      former.enclosure.links.filter { $0.index != 0 && !hooked.contains($0.ingressChain) }.map(\.ingressChain)
      + Set(former.enclosure.links.flatMap(Self.chains(of:))).subtracting(chains).sorted()
      + arrivingChains(plan, former).filter { !arriving.contains($0) }
    // The kernel may have taken away a chain whose device is gone.
    for chain in chains + gone { text.line("add chain", chain) }
    let own = rangesByOwner(plan)
    hook(plan, surroundings, own, in: &text)
    for chain in arriving { text.line("add chain", chain, arrivingHook) }
    text.line("flush map", "links")
    // The base chains that name links; the others stay as they are.
    for chain in ["forward", "input"] + arriving + chains + gone { text.line("flush chain", chain) }
    enclose(plan, surroundings, own, in: &text)
    for chain in gone { text.line("delete chain", chain) }
    return text.text
  }

  /// The base chains that look at sources before anything of the kernel answers a packet. Each is a device's own; the rules
  /// stand in another chain, which what comes in parts meets too.
  private static func hook(
    _ plan: FirewallPlan, _ surroundings: Surroundings, _ own: [Int: [OwnedRange]], in text: inout RulesetScript
  ) {
    for link in surroundings.enclosure.links where link.index != 0 {
      text.line(
        "add chain", link.ingressChain,
        "{ type filter hook ingress device \"\(link.interface)\" priority -500; policy accept; }")
      text.line("flush chain", link.ingressChain)
      for rule in arrival(link, plan, surroundings, own) { text.rule(link.ingressChain, rule) }
    }
  }

  /// What most packets meet and nothing else: a jump costs each of them as much as such a rule.
  private static let maximumShortcuts = 2

  /// - Parameter asListed: as nft lists the rules, and not as they are the quickest.
  private static func arrival(
    _ link: Enclosure.Link, _ plan: FirewallPlan, _ surroundings: Surroundings, _ own: [Int: [OwnedRange]],
    asListed: Bool = false
  ) -> [String] {
    let ranges = link.servers.flatMap { own[$0] ?? [] }.filter { $0.family == .v4 }
    // Where br_netfilter shows a bridge's frames to the prerouting hook, they are tracked before they come by the device.
    let seesQueries = hasQueries(plan) && !link.isBridge && !meetsQueriesEarly(plan, surroundings)
    let passes = seesQueries ? "th dport != \(ports(plan)) accept" : "accept"
    let accepts = ranges.prefix(maximumShortcuts).map { range in
      let listed = range.nft.hasSuffix("/32") ? String(range.nft.dropLast(3)) : range.nft
      return "\(asListed ? "ip saddr \(listed)" : range.matches("saddr")) \(passes)"
    }
    return accepts + (seesQueries ? [queryRule(plan)] : []) + ["jump \(link.sourceChain)"]
  }

  /// The chains that hook the devices of links, by name, as nft lists them.
  package static func listedDeviceChains(_ plan: FirewallPlan, _ surroundings: Surroundings) -> [String: [String]] {
    let own = rangesByOwner(plan)
    let links = surroundings.enclosure.links.filter { $0.index != 0 }
    return Dictionary(
      uniqueKeysWithValues: links.map { link in
        let hook = "type filter hook ingress device \"\(link.interface)\" priority -500; policy accept;"
        return (link.ingressChain, [hook] + arrival(link, plan, surroundings, own, asListed: true))
      })
  }

  private static func declare(
    _ plan: FirewallPlan, _ surroundings: Surroundings, _ leftovers: Leftovers, in text: inout RulesetScript
  ) {
    text.text += "add table \(text.table)\n"
    // The kernel finds a set by walking all of a table in their order: those that every chain names come first, and of the
    // rest those that are fed most.
    declareTelling(plan, in: &text)
    let sets = plan.servers.flatMap(SetName.all(of:))
    for rank in 0...2 {
      for set in sets where set.rank == rank { text.line("add set", set.text, set.declaration) }
    }
    for set in leftovers.sets { text.line("add set", set.text, set.declaration) }
    // Chains first: nft sends a new map together with its elements, and these name chains.
    let made = chains(of: plan, surroundings).dropFirst(baseChains.count) + leftovers.chains
    let hooked = [arriving, responses, redirecting]
    for chain in made where !hooked.contains(chain) { text.line("add chain", chain) }
    for hook in baseChains {
      text.line("add chain", hook, "{ type filter hook \(hook) priority filter - 10; policy accept; }")
    }
    for chain in arrivingChains(plan, surroundings) { text.line("add chain", chain, arrivingHook) }
    declareQueries(plan, in: &text)
    declareGate(plan, in: &text)
    for family in plan.addressFamilies {
      text.line("add set", "clients-\(family.rawValue)", "{ type \(family.type); flags interval; }")
      text.line("add map", "servers-\(family.rawValue)", "{ type \(family.type) : verdict; flags interval; }")
      for length in hashedLengths(plan, family) {
        text.line("add map", hashedMap(family, length), "{ type \(family.type) : verdict; }")
        text.line("add set", hashedSet(family, length), "{ type \(family.type); }")
      }
    }
    for table in networkSets(plan, surroundings.held) { text.line("add set", table.name, table.declaration) }
    text.line("add map", "links", "{ type ifname : verdict; }")
  }

  private static func empty(
    _ plan: FirewallPlan, _ surroundings: Surroundings, _ leftovers: Leftovers, in text: inout RulesetScript
  ) {
    for family in plan.addressFamilies {
      text.line("flush set", "clients-\(family.rawValue)")
      text.line("flush map", "servers-\(family.rawValue)")
      for length in hashedLengths(plan, family) {
        text.line("flush map", hashedMap(family, length))
        text.line("flush set", hashedSet(family, length))
      }
    }
    for table in networkSets(plan, surroundings.held) { text.line("flush set", table.name) }
    for map in gateMapNames(plan) { text.line("flush map", map) }
    for map in leftovers.maps where isNetworkTable(map) {
      text.line(isMap(map) ? "flush map" : "flush set", map)
    }
    text.line("flush map", "links")
    // Another program may have put elements there that hide what is refused.
    for set in toldSets(plan) { text.line("flush set", set.name) }
    for chain in chains(of: plan, surroundings) + leftovers.chains {
      text.line("flush chain", chain)
    }
  }

  private static func fillMaps(
    _ plan: FirewallPlan, _ held: [HeldNetwork], _ ranges: [OwnedRange], in text: inout RulesetScript
  ) {
    for table in networkSets(plan, held) where !table.elements.isEmpty {
      text.line("add element", table.name, "{ \(table.elements.joined(separator: ", ")) }")
    }
    for family in plan.addressFamilies {
      let owned = ranges.filter { $0.family == family }
      guard !owned.isEmpty else { continue }
      let names = owned.map(\.nft).joined(separator: ", ")
      text.line("add element", "clients-\(family.rawValue)", "{ \(names) }")
      let lengths = hashedLengths(plan, family)
      if lengths.isEmpty {
        let jumps = owned.map { "\($0.nft) : \(jump(to: plan.servers[$0.owner]))" }
        text.line("add element", "servers-\(family.rawValue)", "{ \(jumps.joined(separator: ", ")) }")
      }
      for length in lengths {
        let jumps = plan.servers.flatMap { server in
          Set(server.prefixes).sorted().filter { $0.address.family == family && $0.length == length }.map {
            "\($0.address.nft) : \(jump(to: server))"
          }
        }
        text.line("add element", hashedMap(family, length), "{ \(jumps.joined(separator: ", ")) }")
        let networks = plan.servers.flatMap(\.prefixes).filter { $0.address.family == family && $0.length == length }
        let addresses = Set(networks).sorted().map(\.address.nft).joined(separator: ", ")
        text.line("add element", hashedSet(family, length), "{ \(addresses) }")
      }
    }
  }

  private static func jump(to server: FirewallPlan.Server) -> String {
    // What comes by its own interface has been met before this map.
    "jump \(server.interface == nil ? server.name : RulesetReason.spoofed.chain(server.name))"
  }
}
