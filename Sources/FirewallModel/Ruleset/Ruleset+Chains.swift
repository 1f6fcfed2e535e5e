import EgressPolicy

/// The names of chains.
extension Ruleset {
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
  static let arrivingHook = "{ type filter hook prerouting priority -450; policy accept; }"

  static func arrivingChains(_ plan: FirewallPlan, _ surroundings: Surroundings) -> [String] {
    surroundings.enclosure.links.contains(where: \.isBridge) || meetsQueriesEarly(plan, surroundings) ? [arriving] : []
  }

  /// What the host says of addresses at which nothing answers.
  ///
  /// Three parts, as of every chain that a base chain jumps to which 24adcfb does not know: going back, that one takes away
  /// chains of two parts, and these are in use.
  static let unreachable = "host/unreachable/output"

  static func chains(of link: Enclosure.Link) -> [String] { [link.chain, link.inputChain, link.sourceChain] }

  /// The chains that hook the devices of links.
  package static func deviceChains(_ surroundings: Surroundings) -> [String] {
    surroundings.enclosure.links.filter { $0.index != 0 }.map(\.ingressChain)
  }

  static func chains(of server: FirewallPlan.Server) -> [String] {
    if server.isGone { return [] }
    var names =
      [server.name, RulesetReason.new.chain(server.name), RulesetReason.unconnected.chain(server.name)]
      + boundChains(of: server)
    if server.interface != nil { names.append(RulesetReason.spoofed.chain(server.name)) }
    if !server.deniedPrefixes.isEmpty { names.append(RulesetReason.denied.chain(server.name)) }
    return names
  }

  /// Whether the text is the name of a chain that a ruleset can have: names, three at most, with a '/' between them.
  package static func isChain(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count <= 3
      && parts.allSatisfy { FirewallPlan.isName(String($0)) || FirewallPlan.isInterface(String($0)) }
      && parts.first.map { FirewallPlan.isName(String($0)) } ?? false
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
  /// Whatever opens where it goes, that is denied.
  case denied
  /// No refusal: where the first packet of a connection is looked at.
  case new

  func chain(_ server: String) -> String { "\(server)/\(rawValue)" }
}
