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
///             ► of no connection: SERVER/unconnected, told by a bucket and dropped ► bounds of bytes ► new: SERVER/new ► open elements ► accepted before ► refused
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

  static let baseChains = ["forward", "input", "output"]

  /// The chains that a plan needs, base chains first.
  package static func chains(of plan: FirewallPlan, _ surroundings: Surroundings) -> [String] {
    baseChains + plan.servers.flatMap(chains(of:)) + [held, inbound, unreachable, refused, prohibited]
      + gateChains(plan) + (hasGate(plan) ? [redirecting] : []) + (plan.fencesInput ? [fence] : [])
      + (hasQueries(plan) ? [queries, arrivedQueries, responses] : [])
      + arrivingChains(plan, surroundings) + surroundings.enclosure.links.flatMap(chains(of:))
  }

  /// What comes from a server to the host itself.
  static let fence = "host/fence"
  /// What comes from a network that was governed once.
  static let held = "host/held"
  /// What others send to a server, and no connection of its own asked for.
  static let inbound = "host/inbound"

  /// What comes in, before the kernel puts fragments together. It meets every packet of the host, so it is there only for
  /// what no chain of a device can see in time.
  static let arriving = "host/arriving"
  private static let arrivingHook = "{ type filter hook prerouting priority -450; policy accept; }"

  static func arrivingChains(_ plan: FirewallPlan, _ surroundings: Surroundings) -> [String] {
    surroundings.enclosure.links.contains(where: \.isBridge) || meetsQueriesEarly(plan, surroundings) ? [arriving] : []
  }

  /// What the host says of addresses at which nothing answers.
  ///
  /// Three parts, as of every chain that a base chain jumps to which 24adcfb does not know: going back, that one takes away
  /// chains of two parts, and these are in use.
  static let unreachable = "host/unreachable/output"

  private static func chains(of link: Enclosure.Link) -> [String] { [link.chain, link.inputChain, link.sourceChain] }

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

  /// The chains that hook the devices of links.
  package static func deviceChains(_ surroundings: Surroundings) -> [String] {
    surroundings.enclosure.links.filter { $0.index != 0 }.map(\.ingressChain)
  }

  private static func chains(of server: FirewallPlan.Server) -> [String] {
    if server.isGone { return [] }
    var names =
      [server.name, RulesetReason.new.chain(server.name), RulesetReason.unconnected.chain(server.name)]
      + boundChains(of: server)
    if server.interface != nil { names.append(RulesetReason.spoofed.chain(server.name)) }
    return names
  }

  /// Whether the text is the name of a chain that a ruleset can have: names, three at most, with a '/' between them.
  package static func isChain(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count <= 3
      && parts.allSatisfy { FirewallPlan.isName(String($0)) || FirewallPlan.isInterface(String($0)) }
      && parts.first.map { FirewallPlan.isName(String($0)) } ?? false
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

  /// More lookups than this for each packet cost more than one search in an interval map.
  private static let maximumLengths = 4

  /// The prefix lengths of a family, the longest first, if they are few enough for a hash map each: its lookup costs the
  /// same with one server and with thousands. Empty where the interval map serves.
  static func hashedLengths(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [Int] {
    hashedLengths(plan.servers.flatMap(\.prefixes), family) ?? []
  }

  private static func hashedLengths(_ prefixes: [IPPrefix], _ family: IPAddress.Family) -> [Int]? {
    let lengths = Set(prefixes.lazy.filter { $0.address.family == family }.map(\.length))
    return lengths.count <= maximumLengths && !lengths.contains(0) ? lengths.sorted(by: >) : nil
  }

  /// `servers-4/24`: keyed by the first 24 bits of the source. No server's name holds a '/'.
  static func hashedMap(_ family: IPAddress.Family, _ length: Int) -> String { "servers-\(family.rawValue)/\(length)" }

  /// `clients-4/24`: the same networks, for those who only ask whether one is a server's.
  static func hashedSet(_ family: IPAddress.Family, _ length: Int) -> String { "clients-\(family.rawValue)/\(length)" }

  /// The hash maps and sets that a plan needs.
  package static func hashedMaps(_ plan: FirewallPlan, _ held: [HeldNetwork]) -> [String] {
    plan.addressFamilies.flatMap { family in
      hashedLengths(plan, family).flatMap { [hashedMap(family, $0), hashedSet(family, $0)] }
    } + networkSets(plan, held).map(\.name) + gateMapNames(plan)
  }

  /// A set of networks, or of networks and ports, that only a plan fills.
  struct NetworkSet {
    /// What stands before the family in its name.
    enum Purpose: String, CaseIterable {
      case held
      /// Network and port that others may connect to. A set for each transport: kernels of the 6.12 series refuse the
      /// protocol in a key of ranges.
      case inboundTCP = "inbound-tcp"
      case inboundUDP = "inbound-udp"
      /// Networks whose every port others may connect to.
      case inboundAny = "inbound-any"
    }

    var purpose: Purpose
    var family: IPAddress.Family
    /// The bits of an address that are looked up; nil for ranges.
    var length: Int?
    var elements: [String]

    /// `held-4/24`; `held-4/0` holds ranges.
    var name: String { "\(purpose.rawValue)-\(family.rawValue)/\(length ?? 0)" }

    var declaration: String {
      let hasPorts = purpose == .inboundTCP || purpose == .inboundUDP
      let type = hasPorts ? "\(family.type) . inet_service" : family.type
      return "{ type \(type);\(length == nil ? " flags interval;" : "") }"
    }

    /// What nft matches a packet's source or, for ports, its destination with.
    var match: String {
      switch purpose {
      case .held: "\(family.header) saddr\(length.map { " & \(family.mask($0))" } ?? "") @\(name)"
      case .inboundTCP: "meta l4proto tcp \(family.header) daddr . th dport @\(name)"
      case .inboundUDP: "meta l4proto udp \(family.header) daddr . th dport @\(name)"
      case .inboundAny: "\(family.header) daddr @\(name)"
      }
    }
  }

  /// The sets of networks that a plan needs; none is empty.
  static func networkSets(_ plan: FirewallPlan, _ held: [HeldNetwork]) -> [NetworkSet] {
    plan.addressFamilies.flatMap { heldSets(Set(held.map(\.prefix)), $0) + inboundSets(plan, $0) }
  }

  private static func heldSets(_ networks: Set<IPPrefix>, _ family: IPAddress.Family) -> [NetworkSet] {
    let mine = networks.filter { $0.address.family == family }.sorted()
    guard !mine.isEmpty else { return [] }
    guard let lengths = hashedLengths(mine, family) else {
      let ranges = DisjointRanges(mine.map { (prefix: $0, owner: 0) }, family: family).ranges
      return [NetworkSet(purpose: .held, family: family, length: nil, elements: ranges.map(\.nft))]
    }
    return lengths.map { length in
      NetworkSet(
        purpose: .held, family: family, length: length,
        elements: mine.filter { $0.length == length }.map(\.address.nft))
    }
  }

  /// Ranges, because the longest prefix owns an address. The kernel exchanges a set of several fields as a whole: none of
  /// them is ever missing from it while a transaction takes effect.
  private static func inboundSets(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [NetworkSet] {
    var elements: [NetworkSet.Purpose: [String]] = [:]
    for range in ownedRanges(plan, family) {
      guard let ports = plan.servers[range.owner].inbound else { continue }
      if ports.isEmpty { elements[.inboundAny, default: []].append(range.nft) }
      for port in Set(ports).sorted() {
        elements[port.transport == .tcp ? .inboundTCP : .inboundUDP, default: []].append("\(range.nft) . \(port.port)")
      }
    }
    return NetworkSet.Purpose.allCases.compactMap { purpose in
      elements[purpose].map { NetworkSet(purpose: purpose, family: family, length: nil, elements: $0) }
    }
  }

  private static func isMap(_ text: String) -> Bool { text.hasPrefix("servers") || text.hasPrefix("\(gatePurpose)-") }

  /// Before the names of what a table begins with that is to let nothing pass until its rules are in.
  package static let closingPrefix = "closing/"

  /// Its chains, each before those that it leads to.
  private static let closingChains = ["arriving/hook", "passing/hook", "arriving", "passing"].map { closingPrefix + $0 }

  /// What takes all of that away, behind a ruleset.
  ///
  /// - Parameters:
  ///   - chains: of the table; as `sets`.
  package static func opening(_ table: String, chains: Set<String>, sets: Set<String>) -> String {
    var text = RulesetScript(table: "inet \(table)")
    let mine = closingChains.filter(chains.contains)
    for chain in mine { text.line("flush chain", chain) }
    for chain in mine { text.line("delete chain", chain) }
    for set in sets.filter(isClosing).sorted() { text.line("delete set", set) }
    return text.text
  }

  /// Whether the text is the name of one of its sets.
  package static func isClosing(_ set: String) -> Bool {
    ["links", "networks-4", "networks-6"].contains { set == closingPrefix + $0 }
  }

  /// Whether the text is the name of a map or set of networks that a ruleset can have, or can begin with.
  package static func isNetworkTable(_ text: String) -> Bool {
    if isClosing(text) { return true }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let length = UInt8(parts[1]), length <= 128, String(length) == parts[1] else {
      return false
    }
    let purposes =
      NetworkSet.Purpose.allCases.map(\.rawValue) + [gatePurpose] + (length > 0 ? ["servers", "clients"] : [])
    return purposes.contains { purpose in
      [IPAddress.Family.v4, .v6].contains { "\(purpose)-\($0.rawValue)" == parts[0] }
    }
  }

  /// The ranges of each server, by its index in the plan.
  private static func rangesByOwner(_ plan: FirewallPlan) -> [Int: [OwnedRange]] {
    Dictionary(grouping: plan.addressFamilies.flatMap { ownedRanges(plan, $0) }, by: \.owner)
  }

  static func ownedRanges(_ plan: FirewallPlan, _ family: IPAddress.Family) -> [OwnedRange] {
    let entries = plan.servers.enumerated().flatMap { index, server in
      server.prefixes.map { (prefix: $0, owner: index) }
    }
    return DisjointRanges(entries, family: family).ranges
  }
}

extension Enclosure.Link {
  /// What it forwards.
  var chain: String { "link/\(interface)" }
  /// What comes by it to the host itself.
  var inputChain: String { "input/\(interface)" }
  /// Which sources may come by it at all.
  var sourceChain: String { "source/\(interface)/ingress" }
  /// The base chain of its device.
  var ingressChain: String { "ingress/\(interface)" }
}

/// Why a packet is refused, where the plain log line of a server would not tell.
enum RulesetReason: String {
  case maxBytes = "max-bytes"
  case maxBytesPerHour = "max-bytes-per-hour"
  /// No refusal: it is over a bound that audits.
  case overMaxBytes = "over-max-bytes"
  case overMaxBytesPerHour = "over-max-bytes-per-hour"
  case spoofed
  /// It belongs to no connection.
  case unconnected
  /// The gate could not connect there.
  case unreachable
  /// It should have gone through the gate.
  case ungated
  /// No refusal: where the first packet of a connection is looked at.
  case new

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
