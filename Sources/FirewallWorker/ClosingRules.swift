import FirewallModel
import IPNetwork
import NFTables

/// What closes the governed networks as a whole for the instant in which the table is not whole.
///
/// A table of its own, beside the plan's. Nothing from a governed network or by an enclosed interface passes, and nothing is
/// forwarded to such a network; kept are neighbour discovery and questions to the resolver. What a policy opens is closed
/// for that instant like the rest: it is dropped, and sent again.
struct ClosingRules: Hashable {
  /// No name that a plan's table can have: none holds a '/'.
  var table: String
  /// Interfaces that are a server's alone.
  var interfaces: [String]
  /// Networks of servers, and those that are held.
  var networks: [IPPrefix]
  /// Where the resolver listens.
  var listeners: [FirewallPlan.Endpoint]

  init(_ plan: FirewallPlan, _ surroundings: Ruleset.Surroundings) {
    table = "\(plan.table)/closing"
    interfaces = surroundings.enclosure.links.map(\.interface).sorted()
    networks = Set(plan.servers.flatMap(\.prefixes) + surroundings.held.map(\.prefix)).sorted()
    listeners = Set(plan.listeners).sorted()
  }

  /// Closes nothing.
  var isEmpty: Bool { interfaces.isEmpty && networks.isEmpty }

  /// Before the kernel puts fragments together, and before any other program's rules.
  private static let arrival = -500
  /// Before the plan's own chain.
  private static let passage = -20

  /// The batch that makes the table, instead of the one that is there.
  ///
  /// - Parameter awake: false leaves its rules out of the packets' way.
  func creation(awake: Bool, replaces: Bool) -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    if replaces { batch.deleteTable() }
    batch.addTable()
    let families = [IPAddress.Family.v4, .v6].filter { family in networks.contains { $0.address.family == family } }
    for family in families {
      let ranges = DisjointRanges(networks.map { (prefix: $0, owner: 0) }, family: family).ranges
      batch.addRanges(Self.set(family), family, ranges.map { $0.first...$0.last })
    }
    if !interfaces.isEmpty { batch.addInterfaces(Self.links, interfaces) }
    batch.addCounter(Self.counter)
    for chain in [Self.arriving, Self.passing] { batch.addChain(chain) }
    batch.addRule(Self.arriving, [.loopback], .accept)
    for chain in [Self.arriving, Self.passing] { batch.addRule(chain, .neighbourDiscovery, .accept) }
    // A wildcard means every address, the host's or not: what is not goes by the other chain.
    for listener in listeners where families.contains(listener.address.family) {
      for transport: UInt8 in [6, 17] { batch.addRule(Self.arriving, .question(to: listener, transport), .accept) }
    }
    for chain in [Self.arriving, Self.passing] {
      if !interfaces.isEmpty { Self.drop(chain, [.interface(in: Self.links)], in: &batch) }
      for family in families { Self.drop(chain, .family(family) + [.source(family, in: Self.set(family))], in: &batch) }
    }
    for family in families {
      Self.drop(Self.passing, .family(family) + [.destination(family, in: Self.set(family))], in: &batch)
    }
    if awake { Self.wake(&batch) }
    return batch
  }

  private static func drop(_ chain: String, _ matches: [NetlinkBatch.Match], in batch: inout NetlinkBatch) {
    batch.addRule(chain, matches, .drop, counter: counter)
  }

  /// The batch that puts the rules in the packets' way.
  func waking() -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    Self.wake(&batch)
    return batch
  }

  private static func wake(_ batch: inout NetlinkBatch) {
    for (hook, priority, rules) in [
      (NetlinkBatch.Hook.arrival, arrival, arriving), (.passage, passage, passing),
    ] {
      let chain = "\(rules)/hook"
      batch.addChain(chain, hook: hook, priority: priority)
      batch.addRule(chain, [], .jump(rules))
    }
  }

  /// The batch that takes them out of the packets' way.
  func sleeping() -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    for rules in [Self.arriving, Self.passing] { batch.deleteChain("\(rules)/hook") }
    return batch
  }

  func removal() -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    batch.deleteTable()
    return batch
  }

  private static let (arriving, passing) = ("arriving", "passing")
  private static let links = "links"
  /// Counts what is dropped.
  static let counter = "dropped"
  private static func set(_ family: IPAddress.Family) -> String { "networks-\(family.rawValue)" }
}

extension [NetlinkBatch.Match] {
  fileprivate static let neighbourDiscovery: Self =
    .family(.v6) + [
      .transport(58), .network(offset: 7, [255]), .payload(offset: 0, [135], .atLeast),
      .payload(offset: 0, [136], .atMost),
    ]

  fileprivate static func family(_ family: IPAddress.Family) -> Self { [.family(family)] }

  /// A question from a governed network to an address and port of the resolver.
  fileprivate static func question(to listener: FirewallPlan.Endpoint, _ transport: UInt8) -> Self {
    let family = listener.address.family
    let port = [UInt8(listener.port >> 8), UInt8(truncatingIfNeeded: listener.port)]
    var matches: Self = .family(family) + [.source(family, in: "networks-\(family.rawValue)")]
    if listener.address.value != 0 { matches.append(.address(listener.address)) }
    return matches + [.transport(transport), .payload(offset: 2, port, .equal)]
  }
}
