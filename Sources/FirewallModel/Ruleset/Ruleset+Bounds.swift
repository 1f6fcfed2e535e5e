import EgressPolicy
import IPNetwork

/// What bounds what servers send, before anything lets it: an established connection is no way around a bound.
///
/// What goes beyond a bound that blocks is refused. What goes beyond one that audits is told once for each connection, which is
/// marked then, and goes on; where the kernel's log has no room it is told with the connection's next packet.
extension Ruleset {
  /// Marks connections to destinations that have a bound: it holds when their elements are gone, too.
  private static let boundLabel = 53
  /// The same of a bound that audits.
  private static let auditedLabel = 56
  /// Marks connections that were told of as beyond such a bound, of a connection or of an hour.
  private static let toldLabel = 57
  private static let toldHourLabel = 58

  /// Whether something of a server is refused because of a bound on its names.
  static func refusesExcess(_ server: FirewallPlan.Server) -> Bool { server.caps.contains { $0.excess == .block } }

  static func bounds(_ server: FirewallPlan.Server, in text: inout RulesetScript) {
    let chain = server.name
    let sets = SetName.all(of: server)
    for cap in server.caps.sorted() {
      for set in sets where set.cap == cap {
        // The elements of an hour's bound count, and match once they have counted too much.
        let match = "\(set.key) @\(set.text)"
        guard cap.kind == .perConnection else {
          text.rule(chain, cap.excess == .block ? "\(match) \(beyond(cap, chain))" : "\(match) \(told(cap, chain))")
          continue
        }
        let bytes = "ct original bytes > \(cap.bytes)"
        text.rule(
          chain,
          cap.excess == .block ? "\(bytes) \(match) \(beyond(cap, chain))" : "\(bytes) \(match) \(told(cap, chain))")
        text.rule(chain, "ct state new \(match) ct label set \(cap.excess == .block ? boundLabel : auditedLabel)")
      }
    }
    for rule in server.staticRules {
      guard let cap = rule.maxBytes.map({ ByteCap(.perConnection, $0) }) else { continue }
      text.rule(
        chain,
        "\(rule.match) ct original bytes > \(cap.bytes) \(cap.excess == .block ? beyond(cap, chain) : told(cap, chain))"
      )
    }
    // Its element may be gone, or another name may open the address: the largest bound of all holds even so.
    for excess in ByteBound.Excess.allCases { largestBound(server, excess, in: &text) }
  }

  private static func largestBound(
    _ server: FirewallPlan.Server, _ excess: ByteBound.Excess, in text: inout RulesetScript
  ) {
    let caps = server.caps.filter { $0.kind == .perConnection && $0.excess == excess }
    guard let largest = caps.max() else { return }
    let chain = server.name
    let (label, end) =
      excess == .block ? (boundLabel, beyond(largest, chain)) : (auditedLabel, told(largest, chain))
    text.rule(chain, "ct label \(label) ct original bytes > \(largest.bytes) \(end)")
    // A connection that others made is bounded by what the server sends back.
    text.rule(chain, "ct direction reply ct reply bytes > \(largest.bytes) \(end)")
  }

  private static func beyond(_ cap: ByteCap, _ server: String) -> String { "goto \(reason(cap).chain(server))" }

  private static func told(_ cap: ByteCap, _ server: String) -> String {
    "ct label ! \(label(cap)) jump \(reason(cap).chain(server))"
  }

  private static func label(_ cap: ByteCap) -> Int { cap.kind == .perConnection ? toldLabel : toldHourLabel }

  private static func reason(_ cap: ByteCap) -> RulesetReason {
    switch (cap.kind, cap.excess) {
    case (.perConnection, .block): .maxBytes
    case (.perHour, .block): .maxBytesPerHour
    case (.perConnection, .audit): .overMaxBytes
    case (.perHour, .audit): .overMaxBytesPerHour
    }
  }

  /// The caps of a server, those of what is open without a name among them, one for each chain that they lead to.
  private static func kinds(of server: FirewallPlan.Server) -> [ByteCap] {
    let fixed = server.staticRules.compactMap { $0.maxBytes.map { ByteCap(.perConnection, $0) } }
    let all = Dictionary((server.caps + fixed).map { (reason($0), $0) }, uniquingKeysWith: { first, _ in first })
    return [RulesetReason.maxBytes, .maxBytesPerHour, .overMaxBytes, .overMaxBytesPerHour].compactMap { all[$0] }
  }

  /// The chains of what went over a bound.
  static func boundChains(of server: FirewallPlan.Server) -> [String] {
    kinds(of: server).map { reason($0).chain(server.name) }
  }

  static func boundRules(
    _ server: FirewallPlan.Server, _ plan: FirewallPlan, _ families: [IPAddress.Family], in text: inout RulesetScript
  ) {
    for cap in kinds(of: server) {
      let reason = reason(cap)
      var excess = Telling(server.name, plan, reason: reason.rawValue)
      excess.set = .bytes
      switch cap.excess {
      case .block: refuse(reason.chain(server.name), excess, families, in: &text)
      case .audit: tellOnce(reason.chain(server.name), label(cap), excess, in: &text)
      }
    }
  }
}
