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

  /// What the rules are called in a table, and where they stand.
  private struct Names {
    /// Before each name.
    var prefix = ""
    /// Counts what is dropped.
    var counter: String?
    /// Before the kernel puts fragments together, and before any other program's rules.
    var arrival = -500
    /// Before the plan's own chain.
    var passage = -20

    var arriving: String { prefix + "arriving" }
    var passing: String { prefix + "passing" }
    var links: String { prefix + "links" }
    func set(_ family: IPAddress.Family) -> String { "\(prefix)networks-\(family.rawValue)" }
  }

  private static let own = Names(counter: counter)
  /// Behind those of the table of their own, which count.
  private static let first = Names(prefix: Ruleset.closingPrefix, arrival: -499, passage: -19)

  /// The batch that makes the table, instead of the one that is there.
  ///
  /// - Parameter awake: false leaves its rules out of the packets' way.
  func creation(awake: Bool, replaces: Bool) -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    if replaces { batch.deleteTable() }
    batch.addTable()
    batch.addCounter(Self.counter)
    fill(Self.own, in: &batch)
    if awake { Self.wake(Self.own, &batch) }
    return batch
  }

  /// Has the plan's own table begin with these rules, awake, in the transaction that makes it. They are no table that ends with
  /// a process: whatever ends before the plan's rules are in, they are. What installs those takes these away, as what an earlier
  /// plan left (`Ruleset.isClosing`).
  func begin(_ batch: inout NetlinkBatch) {
    guard !isEmpty else { return }
    fill(Self.first, in: &batch)
    Self.wake(Self.first, &batch)
  }

  private func fill(_ names: Names, in batch: inout NetlinkBatch) {
    let families = [IPAddress.Family.v4, .v6].filter { family in networks.contains { $0.address.family == family } }
    for family in families {
      let ranges = DisjointRanges(networks.map { (prefix: $0, owner: 0) }, family: family).ranges
      batch.addRanges(names.set(family), family, ranges.map { $0.first...$0.last })
    }
    if !interfaces.isEmpty { batch.addInterfaces(names.links, interfaces) }
    for chain in [names.arriving, names.passing] { batch.addChain(chain) }
    batch.addRule(names.arriving, [.loopback], .accept)
    for chain in [names.arriving, names.passing] { batch.addRule(chain, .neighbourDiscovery, .accept) }
    // A wildcard means every address, the host's or not: what is not goes by the other chain.
    for listener in listeners where families.contains(listener.address.family) {
      let source = names.set(listener.address.family)
      for transport: UInt8 in [6, 17] {
        batch.addRule(names.arriving, .question(to: listener, transport, from: source), .accept)
      }
    }
    func drop(_ chain: String, _ matches: [NetlinkBatch.Match]) {
      batch.addRule(chain, matches, .drop, counter: names.counter)
    }
    for chain in [names.arriving, names.passing] {
      if !interfaces.isEmpty { drop(chain, [.interface(in: names.links)]) }
      for family in families { drop(chain, .family(family) + [.source(family, in: names.set(family))]) }
    }
    for family in families { drop(names.passing, .family(family) + [.destination(family, in: names.set(family))]) }
  }

  /// The batch that puts the rules in the packets' way.
  func waking() -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    Self.wake(Self.own, &batch)
    return batch
  }

  private static func wake(_ names: Names, _ batch: inout NetlinkBatch) {
    for (hook, priority, rules) in [
      (NetlinkBatch.Hook.arrival, names.arrival, names.arriving), (.passage, names.passage, names.passing),
    ] {
      let chain = "\(rules)/hook"
      batch.addChain(chain, hook: hook, priority: priority)
      batch.addRule(chain, [], .jump(rules))
    }
  }

  /// The batch that takes them out of the packets' way.
  func sleeping() -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    for rules in [Self.own.arriving, Self.own.passing] { batch.deleteChain("\(rules)/hook") }
    return batch
  }

  func removal() -> NetlinkBatch {
    var batch = NetlinkBatch(table: table)
    batch.deleteTable()
    return batch
  }

  /// Counts what is dropped.
  static let counter = "dropped"
}

extension [NetlinkBatch.Match] {
  fileprivate static let neighbourDiscovery: Self =
    .family(.v6) + [
      .transport(58), .network(offset: 7, [255]), .payload(offset: 0, [135], .atLeast),
      .payload(offset: 0, [136], .atMost),
    ]

  fileprivate static func family(_ family: IPAddress.Family) -> Self { [.family(family)] }

  /// A question from a governed network to an address and port of the resolver.
  ///
  /// - Parameter networks: the set of those of its family.
  fileprivate static func question(
    to listener: FirewallPlan.Endpoint, _ transport: UInt8, from networks: String
  ) -> Self {
    let family = listener.address.family
    let port = [UInt8(listener.port >> 8), UInt8(truncatingIfNeeded: listener.port)]
    var matches: Self = .family(family) + [.source(family, in: networks)]
    if listener.address.value != 0 { matches.append(.address(listener.address)) }
    return matches + [.transport(transport), .payload(offset: 2, port, .equal)]
  }
}
