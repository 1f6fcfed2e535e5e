import IPNetwork

/// Queries of servers to the resolver, and its responses, stay out of the host's connection table: each source port would
/// take a place there, and a server has as many as it likes.
///
/// What the fence says of them needs no connection. They are met where every packet of a server comes by first (a device's
/// own chain, or the prerouting hook), and there only one load and one comparison is in the way of what is no query.
/// Where another program redirects queries to the resolver, these stay tracked: their responses need the translation.
extension Ruleset {
  /// What comes to a port of the resolver. Three parts, as `unreachable`.
  static let queries = "host/queries/untracked"
  /// The same once it is known to be from where it says: which of them another program redirected. Three parts, as well.
  static let arrivedQueries = "host/queries/input"
  /// The base chain of what the host sends from such a port.
  static let responses = "host/responses/untracked"
  private static let responsesHook = "{ type filter hook output priority -300; policy accept; }"

  static func hasQueries(_ plan: FirewallPlan) -> Bool { !plan.listeners.isEmpty && !plan.servers.isEmpty }

  /// Whether queries are met in the prerouting hook, where every packet of the host comes by: some come by no enclosed
  /// interface, or which addresses are the host's own must be asked there.
  static func meetsQueriesEarly(_ plan: FirewallPlan, _ surroundings: Surroundings) -> Bool {
    hasQueries(plan)
      && (!surroundings.enclosure.exposures.isEmpty || plan.listeners.contains { $0.address.value == 0 })
  }

  static func declareQueries(_ plan: FirewallPlan, in text: inout RulesetScript) {
    guard hasQueries(plan) else { return }
    text.line("add chain", responses, responsesHook)
    for family in families(plan) {
      text.line("add set", redirected(family), remembering("\(family.type) . inet_service", 262_144))
      text.line("add set", redirecting(family), remembering(family.type, 262_144))
    }
    guard plan.fencesInput else { return }
    for family in families(plan) { text.line("add set", dialling(family), remembering(family.type, 65_536)) }
  }

  /// The set of what was redirected to the resolver within the last minute, by the client's address and port.
  private static func redirected(_ family: IPAddress.Family) -> String { "redirected/\(family.rawValue)" }
  /// The set of the networks that it came from, each with its limit: none can fill the former alone.
  private static func redirecting(_ family: IPAddress.Family) -> String { "redirecting/\(family.rawValue)" }
  private static let redirectedRate = "rate 200/second burst 1000 packets"

  /// The rule that leads to `queries`.
  static func queryRule(_ plan: FirewallPlan) -> String { "th dport \(ports(plan)) jump \(queries)" }

  static func queryRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    guard hasQueries(plan) else { return }
    for family in families(plan) {
      // The parts of a packet are put together only where they are tracked.
      let whole = family == .v4 ? "ip frag-off & 0x3fff == 0" : "exthdr frag missing"
      for listener in matches(plan, family, "dport") {
        // Of what goes to another host the connection is kept.
        let local = listener.isWildcard ? "fib daddr type local " : ""
        servers(plan, "saddr", only: family) {
          text.rule(queries, "\(local)\(listener.match) \(whole) \($0) notrack return")
          // No query comes in parts; they would be tracked to be put together.
          if plan.fencesInput {
            text.rule(queries, "\(local)\(listener.match) \($0) counter name \(counter(of: nil)) drop")
          }
        }
      }
    }
    for family in families(plan) {
      let key = "\(family.header) saddr . th sport"
      // The port comes straight now.
      text.rule(arrivedQueries, "ct state untracked delete @\(redirected(family)) { \(key) }")
      let redirection = "ct status dnat"
      text.rule(
        arrivedQueries,
        "\(redirection) \(key) @\(redirected(family)) update @\(redirected(family)) { \(key) } return")
      for share in shares(plan, "saddr", family) {
        text.rule(
          arrivedQueries,
          "\(redirection) \(share.match) update @\(redirecting(family)) { \(share.key) limit \(redirectedRate) } "
            + "add @\(redirected(family)) { \(key) } return")
      }
    }
    text.rule(responses, "th sport != \(ports(plan)) accept")
    for family in families(plan) {
      text.rule(responses, "\(family.header) daddr . th dport @\(redirected(family)) accept")
      for listener in matches(plan, family, "sport") {
        servers(plan, "daddr", only: family) { text.rule(responses, "\(listener.match) \($0) notrack") }
      }
    }
  }

  /// The rule that leads to `arrivedQueries`.
  static func redirectionRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    if hasQueries(plan) { text.rule("input", "th dport \(ports(plan)) jump \(arrivedQueries)") }
  }

  // MARK: - Connections to the resolver

  /// The set of the networks that connections come from, each with its limit.
  private static func dialling(_ family: IPAddress.Family) -> String { "dialling/\(family.rawValue)" }
  /// Far above what a client needs that keeps a connection for more than one query.
  private static let diallingRate = "rate over 500/second burst 1000 packets"

  /// One listen queue serves all servers: how many connections each of them begins has a limit. TCP begins again.
  static func diallingRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    for family in families(plan) {
      for share in shares(plan, "saddr", family) {
        text.rule(
          fence,
          "tcp dport \(ports(plan)) tcp flags & (fin | syn | rst | ack) == syn \(share.match) "
            + "update @\(dialling(family)) { \(share.key) limit \(diallingRate) } "
            + "counter name \(counter(of: nil)) drop")
      }
    }
  }

  /// Families in which a query can come.
  private static func families(_ plan: FirewallPlan) -> [IPAddress.Family] {
    plan.addressFamilies.filter { family in
      plan.hasServers(family) && plan.listeners.contains { $0.address.family == family }
    }
  }

  /// One port, or a set of them in the order in which nft lists them.
  static func ports(_ plan: FirewallPlan) -> String {
    let ports = Set(plan.listeners.map(\.port)).sorted()
    return ports.count == 1 ? "\(ports[0])" : "{ \(ports.map(String.init).joined(separator: ", ")) }"
  }

  /// What matches a packet to the family's listeners (`dport`) or from them (`sport`).
  private static func matches(
    _ plan: FirewallPlan, _ family: IPAddress.Family, _ port: String
  ) -> [(match: String, isWildcard: Bool)] {
    let listeners = Set(plan.listeners).filter { $0.address.family == family }.sorted()
    let address = "\(family.header) \(port == "dport" ? "daddr" : "saddr")"
    var result: [(match: String, isWildcard: Bool)] = []
    for isWildcard in [false, true] {
      let keys = listeners.filter { ($0.address.value == 0) == isWildcard }.flatMap { listener in
        ["tcp", "udp"].map { "\(isWildcard ? "" : "\(listener.address.nft) . ")\($0) . \(listener.port)" }
      }
      guard !keys.isEmpty else { continue }
      let fields = "\(isWildcard ? "" : "\(address) . ")meta l4proto . th \(port)"
      result.append(("\(fields) { \(keys.joined(separator: ", ")) }", isWildcard))
    }
    return result
  }
}
