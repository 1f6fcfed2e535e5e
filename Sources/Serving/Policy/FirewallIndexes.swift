import FirewallModel
import EgressPolicy
import Settings

/// The numbers by which the bridge knows servers and their caps.
///
/// A number is given to another server only when a whole policy without the former one was in force and nothing of that
/// is left: no question in flight, nothing open. What was sent to the bridge before bears the fingerprint of another plan,
/// so that no commit in flight can open an address for the wrong server.
struct FirewallIndexes {
  private(set) var names: [String] = []
  /// Names that the policy in force does not have any more.
  private var retired: Set<String> = []
  /// Those of them of which nothing is left.
  private var gone: Set<String> = []
  private var byName: [String: UInt16] = [:]
  private var caps: [String: [ByteCap]] = [:]
  /// The process through which connections go that have to say a name, if there is one.
  var gate: FirewallPlan.Gate?

  subscript(name: String) -> UInt16? { byName[name] }

  /// The bounds of a server in the bridge's order, those of earlier policies among them.
  func caps(of name: String) -> [ByteCap] { caps[name] ?? [] }

  /// Numbers what is new. Returns the servers whose caps had to be numbered anew: nothing of them may stay open.
  ///
  /// - Parameter isUnused: whether nothing is left of the server that had a number.
  @discardableResult
  mutating func assign(_ policies: [ServerPolicy], isUnused: (UInt16) -> Bool = { _ in false }) -> Set<UInt16> {
    var renumbered: Set<UInt16> = []
    let current = Set(policies.map(\.name.text))
    // The lowest is taken first.
    var free = Array(
      names.indices.filter {
        retired.contains(names[$0]) && !current.contains(names[$0]) && isUnused(UInt16(truncatingIfNeeded: $0))
      }.reversed())
    for policy in policies {
      let name = policy.name.text
      if byName[name] == nil {
        let index = free.popLast() ?? names.count
        if index < names.count {
          byName[names[index]] = nil
          caps[names[index]] = nil
          names[index] = name
        } else {
          names.append(name)
        }
        byName[name] = UInt16(truncatingIfNeeded: index)
      }
      let known = caps[name] ?? []
      let wanted = policy.byteCaps
      let all = known + wanted.filter { !known.contains($0) }
      if all.count <= ServerPolicy.maximumCaps {
        caps[name] = all
      } else {
        caps[name] = wanted
        if let index = byName[name] { renumbered.insert(index) }
      }
    }
    retired = Set(names).subtracting(current)
    gone = Set(free.map { names[$0] }).intersection(retired)
    return renumbered
  }

  /// Whether the firewall has sets and a chain of a server that no policy has.
  var hasRemains: Bool { !retired.isSubset(of: gone) }

  /// What the bridge installs. A server that policy no longer has keeps its sets until nothing of it is left, but no network
  /// leads to them; its number until another one gets that.
  func plan(for policies: [ServerPolicy], _ settings: Settings) -> FirewallPlan {
    var servers = names.map { FirewallPlan.Server(name: $0, prefixes: [], opensAnyPort: false) }
    for index in servers.indices { servers[index].isGone = gone.contains(servers[index].name) }
    for policy in policies {
      guard let index = byName[policy.name.text] else { continue }
      servers[Int(index)] = FirewallPlan.Server(policy, caps: caps(of: policy.name.text))
    }
    var plan = FirewallPlan(
      mode: settings.firewall.mode == .sets ? .sets : .managed, family: FirewallPlan.Family(settings.firewall.family),
      table: settings.firewall.table, servers: servers,
      listeners: settings.listen.map { FirewallPlan.Endpoint(address: $0.address, port: $0.port) },
      upstreams: settings.upstreams.map { FirewallPlan.Endpoint(address: $0.address, port: $0.port) },
      forwardUpstreams: settings.forwards.flatMap(\.upstreams).map {
        FirewallPlan.Endpoint(address: $0.address, port: $0.port)
      },
      released: settings.released,
      fencesInput: settings.firewall.inputFence, cutsFlows: settings.firewall.cutFlows,
      harvestSeconds: settings.audit.volumeSeconds == nil ? 0 : UInt16(clamping: settings.firewall.harvestSeconds),
      isExclusive: settings.firewall.exclusive)
    plan.gate = gate
    return plan
  }
}
