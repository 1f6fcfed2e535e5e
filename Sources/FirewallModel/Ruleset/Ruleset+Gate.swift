import EgressPolicy
import IPNetwork

/// How connections that have to say a name come to the gate, and what the gate itself may reach.
///
/// A new connection to an element that is open and checked is redirected to the gate's port, and marked by a bit of its label;
/// what bears the mark is let in there, and nothing else is. Where the host has no route, and where the gate could not connect a
/// moment ago, nothing is redirected: the kernel says no itself, so that a client's next address is used. The gate's user
/// reaches what is in a checked set and the proxies that the configuration names, and answers what came to it.
extension Ruleset {
  /// Marks connections that were redirected.
  private static let gatedLabel = 55
  private static let gated = "ct label \(gatedLabel)"

  /// The base chain of what comes by. Three parts, as `unreachable`.
  static let redirecting = "host/gate/prerouting"
  private static let redirectingHook = "{ type nat hook prerouting priority -110; policy accept; }"
  /// What the gate's user sends.
  static let gateOutput = "host/gate/output"

  /// What is redirected of a server.
  static func redirectChain(of server: String) -> String { "\(server)/sni/redirect" }
  /// What is refused for a while, because the gate could not connect.
  static func unreachableChain(of server: String) -> String { RulesetReason.unreachable.chain(server) }

  private static func checked(_ plan: FirewallPlan) -> [FirewallPlan.Server] {
    plan.servers.filter { $0.checksNames && !$0.isGone }
  }

  /// Whether connections can go through a gate.
  static func hasGate(_ plan: FirewallPlan) -> Bool { plan.gate != nil && !checked(plan).isEmpty }

  /// The chains that are there for the gate and are no base chains.
  static func gateChains(_ plan: FirewallPlan) -> [String] {
    (hasGate(plan) ? checked(plan).map { redirectChain(of: $0.name) } + [gateOutput] : [])
      + checked(plan).flatMap { [unreachableChain(of: $0.name), RulesetReason.ungated.chain($0.name)] }
  }

  static func declareGate(_ plan: FirewallPlan, in text: inout RulesetScript) {
    guard hasGate(plan) else { return }
    text.line("add chain", redirecting, redirectingHook)
    for map in gateMaps(plan) {
      text.line(
        "add map", map.name, "{ type \(map.family.type) : verdict;\(map.length == 0 ? " flags interval;" : "") }")
    }
    guard plan.fencesInput else { return }
    for family in plan.addressFamilies { text.line("add set", beginning(family), remembering(family.type, 65_536)) }
  }

  /// The set of the networks that connections to the gate come from, each with its limit.
  private static func beginning(_ family: IPAddress.Family) -> String { "beginning/\(family.rawValue)" }
  /// A third of what a gate opens on a core, and fewer at once than its listen queue holds.
  private static let beginningRate = "rate over 2000/second burst 2000 packets"

  /// A map from networks to the chains that redirect; of length 0 it holds ranges.
  private struct GateMap {
    var family: IPAddress.Family
    var length: Int
    var elements: [String]

    var name: String { "\(Ruleset.gatePurpose)-\(family.rawValue)/\(length)" }
    var match: String {
      length == 0
        ? "\(family.header) saddr vmap @\(name)" : "\(family.header) saddr & \(family.mask(length)) vmap @\(name)"
    }
  }

  /// What stands before the family in the name of such a map.
  static let gatePurpose = "gated"

  /// As the maps of servers: a hash map for each length, in which nothing is ever missing, or one of ranges. Those of servers that
  /// are not checked end a search as well: a wider network of another one is not theirs.
  private static func gateMaps(_ plan: FirewallPlan) -> [GateMap] {
    guard hasGate(plan) else { return [] }
    func verdict(_ server: FirewallPlan.Server) -> String {
      server.checksNames ? "goto \(redirectChain(of: server.name))" : "accept"
    }
    return plan.addressFamilies.flatMap { family -> [GateMap] in
      let lengths = hashedLengths(plan, family)
      guard lengths.isEmpty else {
        return lengths.map { length in
          let elements = plan.servers.filter { !$0.isGone }.flatMap { server in
            Set(server.prefixes).sorted().filter { $0.address.family == family && $0.length == length }.map {
              "\($0.address.nft) : \(verdict(server))"
            }
          }
          return GateMap(family: family, length: length, elements: elements)
        }
      }
      let elements = ownedRanges(plan, family).map { "\($0.nft) : \(verdict(plan.servers[$0.owner]))" }
      return elements.isEmpty ? [] : [GateMap(family: family, length: 0, elements: elements)]
    }
  }

  /// The names of those maps.
  static func gateMapNames(_ plan: FirewallPlan) -> [String] { gateMaps(plan).map(\.name) }

  static func fillGateMaps(_ plan: FirewallPlan, in text: inout RulesetScript) {
    for map in gateMaps(plan) where !map.elements.isEmpty {
      text.line("add element", map.name, "{ \(map.elements.joined(separator: ", ")) }")
    }
  }

  // MARK: - Rules

  /// The chains that lead to the gate, and what its user may send.
  static func gateRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    for server in checked(plan) { refuseUnreachable(server, plan, in: &text) }
    guard let gate = plan.gate, hasGate(plan) else { return }
    text.rule(redirecting, "meta l4proto != tcp accept")
    for map in gateMaps(plan) { text.rule(redirecting, map.match) }
    for server in checked(plan) { redirectRules(server, gate, in: &text) }
    // What is not of the gate's own sockets is not held by this: the kernel's answers to what it refuses.
    text.rule("output", "meta skuid \(gate.user) jump \(gateOutput)")
    text.rule(gateOutput, "\(gated) accept")
    text.rule(gateOutput, "ct state established,related ct label \(acceptedLabel) accept")
    for set in checked(plan).flatMap(sniSets) {
      text.rule(gateOutput, "ct state new \(set.key) @\(set.text) \(mark) accept")
    }
    for inspector in inspectors(plan) {
      // The host's own addresses alone: what is sent there leaves by no other interface, whoever has the address.
      text.rule(
        gateOutput,
        "ct state new oif lo \(inspector.address.family.header) daddr \(inspector.address.nft) tcp dport \(inspector.port) "
          + "\(mark) accept")
    }
    text.rule(gateOutput, "counter reject with icmpx admin-prohibited")
  }

  /// The proxies through which connections of some server may have to go.
  private static func inspectors(_ plan: FirewallPlan) -> [FirewallPlan.Endpoint] {
    Set(checked(plan).flatMap(\.inspectors)).sorted().filter { plan.addressFamilies.contains($0.address.family) }
  }

  private static func sniSets(_ server: FirewallPlan.Server) -> [SetName] { sets(server, .sni) }

  private static func sets(_ server: FirewallPlan.Server, _ check: SetName.Check) -> [SetName] {
    SetName.all(of: server).filter { $0.check == check }
  }

  private static func redirectRules(
    _ server: FirewallPlan.Server, _ gate: FirewallPlan.Gate, in text: inout RulesetScript
  ) {
    let chain = redirectChain(of: server.name)
    // What an entry opens without a name is open without one.
    for rule in server.staticRules { text.rule(chain, "\(rule.match) return") }
    for set in sets(server, .unreachable) { text.rule(chain, "\(set.key) @\(set.text) return") }
    for set in sniSets(server) {
      let open = SetName(server: server.name, family: set.family, kind: .ports)
      text.rule(
        chain,
        "\(set.key) @\(set.text) \(set.key) @\(open.text) fib daddr oif exists ct label set \(gatedLabel) "
          + "meta l4proto tcp redirect to :\(gate.port)")
    }
  }

  /// Before anything opens what is to go through the gate: what comes here did not. Connections from before live on.
  static func refuseUngated(_ server: FirewallPlan.Server, _ chain: String, in text: inout RulesetScript) {
    guard server.checksNames else { return }
    for set in sniSets(server) {
      text.rule(
        chain,
        "ct state related,untracked meta l4proto tcp \(ungated(set, server)) goto \(RulesetReason.ungated.chain(server.name))"
      )
    }
  }

  /// The same of a new connection, where an entry does not open its address without a name.
  static func refuseUngatedNew(_ server: FirewallPlan.Server, _ chain: String, in text: inout RulesetScript) {
    guard server.checksNames else { return }
    for set in sets(server, .unreachable) {
      text.rule(chain, "\(set.key) @\(set.text) goto \(unreachableChain(of: server.name))")
    }
    for set in sniSets(server) {
      text.rule(chain, "\(ungated(set, server)) goto \(RulesetReason.ungated.chain(server.name))")
    }
  }

  /// What is checked and was not redirected, unless every port of the address is open to whatever connects there: a check outlives
  /// what it is of by a moment, in which nothing is redirected any more.
  private static func ungated(_ set: SetName, _ server: FirewallPlan.Server) -> String {
    let checked = "\(set.key) @\(set.text)"
    guard server.opensAnyPort else { return checked }
    let open = SetName(server: server.name, family: set.family, kind: .anyPort)
    return "\(checked) \(open.key) != @\(open.text)"
  }

  private static func refuseUnreachable(
    _ server: FirewallPlan.Server, _ plan: FirewallPlan, in text: inout RulesetScript
  ) {
    let families = [IPAddress.Family.v4, .v6].filter { family in
      server.prefixes.contains { $0.address.family == family }
    }
    for reason in [RulesetReason.unreachable, .ungated] {
      var telling = Telling(server.name, plan, reason: reason == .ungated ? nil : reason.rawValue)
      telling.set = reason == .ungated ? .closed : .bytes
      refuse(reason.chain(server.name), telling, families, in: &text)
    }
  }

  /// What comes to the gate's port, at the beginning of what comes to the host.
  static func gateInputRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    guard let gate = plan.gate, hasGate(plan), !plan.fencesInput else { return }
    refuseDirect(gate, in: &text)
  }

  /// And at its end, where the fence has told of what comes from servers.
  static func gateInputEnd(_ plan: FirewallPlan, in text: inout RulesetScript) {
    guard let gate = plan.gate, hasGate(plan), plan.fencesInput else { return }
    refuseDirect(gate, in: &text)
  }

  private static func refuseDirect(_ gate: FirewallPlan.Gate, in text: inout RulesetScript) {
    text.rule("input", "tcp dport \(gate.port) ct label ! \(gatedLabel) counter reject with tcp reset")
  }

  /// Of a server's packets to the host itself, those of a connection that was redirected.
  static func gateFenceRules(_ plan: FirewallPlan, in text: inout RulesetScript) {
    guard let gate = plan.gate, hasGate(plan) else { return }
    // One listen queue serves all servers, as at the resolver's port. TCP begins again.
    for family in plan.addressFamilies {
      for share in shares(plan, "saddr", family) {
        text.rule(
          fence,
          "tcp dport \(gate.port) tcp flags & (fin | syn | rst | ack) == syn \(share.match) "
            + "update @\(beginning(family)) { \(share.key) limit \(beginningRate) } counter name \(counter(of: nil)) drop"
        )
      }
    }
    text.rule(fence, "tcp dport \(gate.port) \(gated) accept")
  }
}
