package import IPNetwork

/// What the kernel's log is told of refused packets, and how they are counted.
///
/// A refused packet is counted first. The first packet from a client to a destination (address, protocol, port) is told, and
/// remembered for a minute in a set that only packets fill. What repeats one, and what a limit or a full set keeps out,
/// shares a bucket for each chain; what is not told is in the counter. So noise to known destinations hides no new one.
extension Ruleset {
  /// Repeats, and what has no place of its own.
  private static let repeatLimit = "limit rate 50/second burst 100 packets"
  /// New destinations of one server, or of one server's network at the host's own chains: none can fill the sets alone. One
  /// beyond it is new again with its next packet.
  private static let novelRate = "rate 100/second burst 8192 packets"
  /// The limit of all that the reader is asked to take, by its name in the table.
  private static let overallLimit = "told"
  private static let overallRate = "rate 10000/second burst 32768 packets"

  /// What was told within the last minute.
  enum ToldSet: String, CaseIterable {
    /// What nothing opened.
    case closed = "told"
    /// What went over a bound: it may be what was told as closed before.
    case bytes = "told-bytes"
    /// What the host's own chains refused.
    case host = "told-host"
    /// The networks of servers at the host's own chains, each with its limit of new destinations: a server has as many
    /// sources as it likes.
    case sources = "told-sources"

    /// Some 30 MiB of the kernel's memory, held only while that many are remembered.
    static let size = 262_144

    /// `told/4`: no set that a grant or a plan fills is called so.
    func name(_ family: IPAddress.Family) -> String { "\(rawValue)/\(family.rawValue)" }

    func declaration(_ family: IPAddress.Family) -> String {
      let type = self == .sources ? family.type : "\(family.type) . \(family.type) . inet_proto . inet_service"
      return remembering(type, Self.size)
    }
  }

  /// The declaration of a set that packets fill, in which each element stays for a minute after the last of its packets.
  static func remembering(_ type: String, _ size: Int) -> String {
    "{ type \(type); flags dynamic,timeout; size \(size); timeout 1m; gc-interval 10s; }"
  }

  /// Where there is no port, none is part of the key. TCP and UDP are the ends of the range, and what lies between is in no
  /// use; a list of two would be a set of its own for each rule.
  private static func keys(_ family: IPAddress.Family) -> [(match: String, key: String)] {
    let start = "\(family.header) saddr . \(family.header) daddr . meta l4proto . th dport"
    return [("meta l4proto 6-17", start), ("meta l4proto != 6-17", "\(start) & 0")]
  }

  /// The sets, in the order of their declaration.
  static func toldSets(_ plan: FirewallPlan) -> [(name: String, declaration: String)] {
    plan.addressFamilies.flatMap { family in
      ToldSet.allCases.map { ($0.name(family), $0.declaration(family)) }
    }
  }

  // MARK: - Counters

  /// The counter of what is refused of a server, in packets; nil for what belongs to none: the host's own chains.
  static func counter(of server: String?) -> String { server.map { "refused/\($0)" } ?? hostCounter }
  private static let hostCounter = "refused-host"
  /// The name of the host's chains in the kernel's log, and in the books.
  package static let hostName = "host"

  /// The server that a counter is of, `hostName` for the host's; nil for the name of another one.
  package static func counted(by counter: String) -> String? {
    if counter == hostCounter { return hostName }
    guard counter.hasPrefix("refused/"), case let name = String(counter.dropFirst(8)), FirewallPlan.isName(name) else {
      return nil
    }
    return name
  }

  /// Whether a counter is one of the table's own, of this plan or another.
  package static func isCounter(_ name: String) -> Bool { counted(by: name) != nil || opened(by: name) != nil }

  /// The names of the counters that a plan needs: one for each server that is not gone, and the host's.
  package static func counters(of plan: FirewallPlan) -> [String] {
    plan.servers.filter { !$0.isGone }.map { counter(of: $0.name) } + [hostCounter] + openedCounters(of: plan)
  }

  static func declareTelling(_ plan: FirewallPlan, in text: inout RulesetScript) {
    text.line("add limit", overallLimit, "{ \(overallRate); }")
    for counter in counters(of: plan) { text.line("add counter", counter) }
    for set in toldSets(plan) { text.line("add set", set.name, set.declaration) }
  }

  // MARK: - Rules

  /// Where refused packets that were told end: with an answer at once, so that clients need not wait for a silence to end.
  ///
  /// Three parts each, as `unreachable`.
  static let refused = "host/refused/reset"
  /// The same without resets.
  static let prohibited = "host/refused/prohibited"

  static func endRules(in text: inout RulesetScript) {
    for chain in [refused, prohibited] {
      // Where the source does not lie behind the interface (any more), the answer would go elsewhere, with the packet in it.
      text.rule(chain, "fib saddr . iif oif missing counter drop")
      if chain == refused { text.rule(chain, "meta l4proto tcp counter reject with tcp reset") }
      text.rule(chain, "counter reject with icmpx admin-prohibited")
    }
  }

  /// How refused packets are counted and told of.
  struct Telling {
    /// The words of the prefix between `sluice` and its end: whose packet it was, and why it was refused.
    let words: [String]
    /// Whose counter it is; nil for the host's.
    let server: String?
    let group: UInt16
    /// Where destinations that were told are remembered.
    var set = ToldSet.host
    /// `refused` or `prohibited`.
    var end = Ruleset.refused

    var prefix: String { (["sluice"] + words).map { "\($0) " }.joined() }

    /// Of a server, or of the host.
    init(_ server: String?, _ plan: FirewallPlan, reason: String? = nil) {
      words = [server ?? Ruleset.hostName] + (reason.map { [$0] } ?? [])
      self.server = server
      group = plan.nflogGroup
    }
  }

  /// Counts what a chain refuses, tells of it, and ends it.
  ///
  /// - Parameters:
  ///   - families: of the packets that come here.
  ///   - shares: at the host's own chains, whose limit of new destinations a packet counts to.
  static func refuse(
    _ chain: String, _ telling: Telling, _ families: [IPAddress.Family],
    shares: (IPAddress.Family) -> [Share] = { _ in [] }, in text: inout RulesetScript
  ) {
    text.rule(chain, "counter name \(counter(of: telling.server))")
    let set = telling.set
    for family in families {
      let limits =
        set == .host
        ? shares(family).map { "\($0.match) update @\(ToldSet.sources.name(family)) { \($0.key) limit \(novelRate) }" }
        : ["limit \(novelRate)"]
      for (match, key) in keys(family) {
        for limit in limits {
          // Remembered only if it is told: what a limit left out is new again.
          text.rule(
            chain,
            "\(match) \(key) != @\(set.name(family)) \(limit) limit name \(overallLimit) "
              + "add @\(set.name(family)) { \(key) } \(logTo(telling)) goto \(telling.end)")
        }
      }
    }
    text.rule(chain, "\(repeatLimit) limit name \(overallLimit) \(logTo(telling))")
    text.rule(chain, "goto \(telling.end)")
  }

  /// What packets of one network share: what matches them, and the key by which they are counted.
  struct Share {
    var match: String
    var key: String
  }

  /// The networks of servers, as source or destination of packets.
  static func shares(_ plan: FirewallPlan, _ side: String, _ family: IPAddress.Family) -> [Share] {
    guard plan.hasServers(family) else { return [] }
    let lengths = hashedLengths(plan, family)
    let address = "\(family.header) \(side)"
    guard !lengths.isEmpty else {
      return [Share(match: "\(address) @clients-\(family.rawValue)", key: "\(address) & \(family.usualMask)")]
    }
    return lengths.map { length in
      let network = "\(address) & \(family.mask(length))"
      return Share(match: "\(network) @\(hashedSet(family, length))", key: network)
    }
  }

  /// The networks that are held, as source of packets.
  static func heldShares(_ plan: FirewallPlan, _ held: [HeldNetwork], _ family: IPAddress.Family) -> [Share] {
    networkSets(plan, held).filter { $0.purpose == .held && $0.family == family }.map { set in
      Share(
        match: set.match, key: "\(family.header) saddr & \(set.length.map { family.mask($0) } ?? family.usualMask)")
    }
  }

  /// Counts what did not come from where it says, or belongs to no connection, and tells of as much as the bucket holds: what
  /// is forged has no destinations of its own.
  static func tellForged(
    _ chain: String, _ match: String = "", _ telling: Telling, in text: inout RulesetScript
  ) {
    let start = match.isEmpty ? "" : "\(match) "
    text.rule(chain, "\(start)counter name \(counter(of: telling.server))")
    text.rule(chain, "\(start)\(repeatLimit) limit name \(overallLimit) \(logTo(telling))")
  }

  /// Tells of a connection that goes on, and marks it as told of.
  static func tellOnce(_ chain: String, _ label: Int, _ telling: Telling, in text: inout RulesetScript) {
    text.rule(
      chain, "limit \(novelRate) limit name \(overallLimit) ct label set \(label) \(logTo(telling))")
  }

  private static func logTo(_ telling: Telling) -> String {
    "log prefix \"\(telling.prefix)\" group \(telling.group) snaplen 128"
  }
}

extension FirewallPlan {
  /// Whether a server has a network of the family.
  package func hasServers(_ family: IPAddress.Family) -> Bool {
    servers.contains { $0.prefixes.contains { $0.address.family == family } }
  }
}

extension IPAddress.Family {
  /// Of networks of so many lengths that no set holds each: what shares this much shares a limit.
  fileprivate var usualMask: String { mask(self == .v4 ? 24 : 64) }
}
