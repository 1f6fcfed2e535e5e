import IPNetwork

/// Renders a plan as one nft transaction that may be applied again and again: sets keep their elements.
///
/// Only validated names and binary addresses become text. The chains, and what a packet meets in which order:
///
///     forward ── iifname vmap @links ──► link/INTERFACE ── its servers' networks ──► SERVER, else refused as spoofed
///        └────── ip saddr vmap @servers-… ──► SERVER, or SERVER/spoofed where it should have come by a link
///     SERVER: neighbour discovery, own network ► bounds of bytes ► open elements ► established ► static ► refused
///     input ── a server's interface or network ──► host/fence: the resolver ► refused
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
    /// The table has another layout than ours: it goes, with everything in it, in the same transaction.
    package var replacesTable = false

    package init(chains: [String] = [], sets: [SetName] = []) {
      self.chains = chains
      self.sets = sets
    }
  }

  /// The whole table as nft text, for `nft -f`.
  package static func render(
    _ plan: FirewallPlan, removing leftovers: Leftovers = Leftovers()
  ) throws(FirewallPlanError) -> String {
    try plan.validate()
    var text = RulesetScript(table: "inet \(plan.table)")
    if leftovers.replacesTable { text.text += "delete table \(text.table)\n" }
    declare(plan, leftovers, in: &text)
    empty(plan, leftovers, in: &text)
    let owned = plan.addressFamilies.flatMap { ownedRanges(plan, $0) }
    fillMaps(plan, owned, in: &text)
    let own = Dictionary(grouping: owned, by: \.owner)
    for (index, server) in plan.servers.enumerated() {
      serverRules(server, own: own[index] ?? [], group: plan.nflogGroup, in: &text)
    }
    for link in links(plan) {
      linkRules(link, plan, own, in: &text)
    }
    forwardRules(plan, in: &text)
    inputRules(plan, in: &text)
    for chain in leftovers.chains where isChain(chain) {
      text.line("delete chain", chain)
    }
    for map in leftovers.maps where isHashedMap(map) {
      text.line(map.hasPrefix("clients") ? "delete set" : "delete map", map)
    }
    for set in leftovers.sets {
      text.line("delete set", set.text)
    }
    return text.text
  }

  /// The chains that a plan needs, base chains first.
  static func chains(of plan: FirewallPlan) -> [String] {
    ["forward", "input"] + plan.servers.flatMap(chains(of:)) + links(plan).map(\.chain)
      + (plan.fencesInput ? [fence] : [])
  }

  /// What comes from a server to the host itself.
  static let fence = "host/fence"

  private static func chains(of server: FirewallPlan.Server) -> [String] {
    var names = [server.name]
    let kinds = Set(server.caps.map(\.kind))
    if kinds.contains(.perConnection) || server.staticRules.contains(where: { $0.maxBytes != nil }) {
      names.append(RulesetReason.maxBytes.chain(server.name))
    }
    if kinds.contains(.perHour) { names.append(RulesetReason.maxBytesPerHour.chain(server.name)) }
    if server.interface != nil { names.append(RulesetReason.spoofed.chain(server.name)) }
    return names
  }

  /// Whether the text is the name of a chain that we could have made: names, with a '/' between two of them at most.
  static func isChain(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count <= 2
      && parts.allSatisfy { FirewallPlan.isName(String($0)) || FirewallPlan.isInterface(String($0)) }
      && parts.first.map { FirewallPlan.isName(String($0)) } ?? false
  }

  private static func declare(_ plan: FirewallPlan, _ leftovers: Leftovers, in text: inout RulesetScript) {
    text.text += "add table \(text.table)\n"
    // The kernel finds a set by walking all of a table in their order: those that are fed most come first.
    let sets = plan.servers.flatMap(SetName.all(of:))
    for rank in 0...2 {
      for set in sets where set.rank == rank { text.line("add set", set.text, set.declaration) }
    }
    for set in leftovers.sets { text.line("add set", set.text, set.declaration) }
    // Chains first: nft sends a new map together with its elements, and these name chains.
    for chain in chains(of: plan).dropFirst(2) + leftovers.chains {
      text.line("add chain", chain)
    }
    for hook in ["forward", "input"] {
      text.line("add chain", hook, "{ type filter hook \(hook) priority filter - 10; policy accept; }")
    }
    for family in plan.addressFamilies {
      text.line("add set", "clients-\(family.rawValue)", "{ type \(family.type); flags interval; }")
      text.line("add map", "servers-\(family.rawValue)", "{ type \(family.type) : verdict; flags interval; }")
      for length in hashedLengths(plan, family) {
        text.line("add map", hashedMap(family, length), "{ type \(family.type) : verdict; }")
        text.line("add set", hashedSet(family, length), "{ type \(family.type); }")
      }
    }
    text.line("add map", "links", "{ type ifname : verdict; }")
  }

  private static func empty(_ plan: FirewallPlan, _ leftovers: Leftovers, in text: inout RulesetScript) {
    for family in plan.addressFamilies {
      text.line("flush set", "clients-\(family.rawValue)")
      text.line("flush map", "servers-\(family.rawValue)")
      for length in hashedLengths(plan, family) {
        text.line("flush map", hashedMap(family, length))
        text.line("flush set", hashedSet(family, length))
      }
    }
    for map in leftovers.maps where isHashedMap(map) {
      text.line(map.hasPrefix("clients") ? "flush set" : "flush map", map)
    }
    text.line("flush map", "links")
    for chain in chains(of: plan) + leftovers.chains {
      text.line("flush chain", chain)
    }
  }

  private static func fillMaps(_ plan: FirewallPlan, _ ranges: [OwnedRange], in text: inout RulesetScript) {
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
    let links = links(plan)
    guard !links.isEmpty else { return }
    let jumps = links.map { "\"\($0.interface)\" : jump \($0.chain)" }.joined(separator: ", ")
    text.line("add element", "links", "{ \(jumps) }")
  }

  private static func jump(to server: FirewallPlan.Server) -> String {
    // What comes by its own interface has been met before this map.
    "jump \(server.interface == nil ? server.name : RulesetReason.spoofed.chain(server.name))"
  }

  /// More lookups than this for each packet cost more than one search in an interval map.
  private static let maximumLengths = 4

  /// The prefix lengths of a family, the longest first, if they are few enough for a hash map each: its lookup costs the
  /// same with one server and with thousands. Empty where the interval map serves.
  static func hashedLengths(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [Int] {
    let prefixes = plan.servers.lazy.flatMap(\.prefixes).filter { $0.address.family == family }
    let lengths = Set(prefixes.map(\.length))
    return lengths.count <= maximumLengths && !lengths.contains(0) ? lengths.sorted(by: >) : []
  }

  /// `servers-4/24`: keyed by the first 24 bits of the source. No server's name holds a '/'.
  static func hashedMap(_ family: IPAddress.Family, _ length: Int) -> String { "servers-\(family.rawValue)/\(length)" }

  /// `clients-4/24`: the same networks, for those who only ask whether one is a server's.
  static func hashedSet(_ family: IPAddress.Family, _ length: Int) -> String { "clients-\(family.rawValue)/\(length)" }

  /// The hash maps and sets that a plan needs.
  static func hashedMaps(_ plan: FirewallPlan) -> [String] {
    plan.addressFamilies.flatMap { family in
      hashedLengths(plan, family).flatMap { [hashedMap(family, $0), hashedSet(family, $0)] }
    }
  }

  /// Whether the text is the name of a map that we could have made.
  static func isHashedMap(_ text: String) -> Bool {
    [IPAddress.Family.v4, .v6].contains { family in
      (1...128).contains { hashedMap(family, $0) == text || hashedSet(family, $0) == text }
    }
  }

  static func ownedRanges(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [OwnedRange] {
    let entries = plan.servers.enumerated().flatMap { index, server in
      server.prefixes.map { (prefix: $0, owner: index) }
    }
    return DisjointRanges(entries, family: family).ranges
  }

  /// An interface that policies name, and the servers behind it.
  struct Link {
    var interface: String
    var servers: [Int]
    var chain: String { "link/\(interface)" }
  }

  static func links(_ plan: FirewallPlan) -> [Link] {
    let named = plan.servers.indices.filter { plan.servers[$0].interface != nil }
    return Dictionary(grouping: named) { plan.servers[$0].interface ?? "" }
      .map { Link(interface: $0, servers: $1) }.sorted { $0.interface < $1.interface }
  }
}

/// Why a packet is refused, where the plain log line of a server would not tell.
enum RulesetReason: String {
  case maxBytes = "max-bytes"
  case maxBytesPerHour = "max-bytes-per-hour"
  case spoofed

  func chain(_ server: String) -> String { "\(server)/\(rawValue)" }
}

/// The growing text; every line names the table.
struct RulesetScript {
  let table: String
  var text = ""

  mutating func line(_ verb: String, _ name: String, _ rest: String = "") {
    text += "\(verb) \(table) \(name)\(rest.isEmpty ? "" : " ")\(rest)\n"
  }

  mutating func rule(_ chain: String, _ rule: String) {
    line("add rule", chain, rule)
  }
}
