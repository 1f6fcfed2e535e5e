import EgressPolicy
import FirewallBridge
import Settings

/// The numbers by which the bridge knows servers and their caps: given once, never to another while the process lives,
/// so that a commit in flight during a reload can't open an address for the wrong one.
struct FirewallIndexes {
  private(set) var names: [String] = []
  private var byName: [String: UInt16] = [:]
  private var caps: [String: [ByteCap]] = [:]

  subscript(name: String) -> UInt16? { byName[name] }

  /// The bounds of a server in the bridge's order, those of earlier policies among them.
  func caps(of name: String) -> [ByteCap] { caps[name] ?? [] }

  /// Numbers what is new. Returns the servers whose caps had to be numbered anew: nothing of them may stay open.
  @discardableResult
  mutating func assign(_ policies: [ServerPolicy]) -> Set<UInt16> {
    var renumbered: Set<UInt16> = []
    for policy in policies {
      let name = policy.name.text
      if byName[name] == nil {
        byName[name] = UInt16(truncatingIfNeeded: names.count)
        names.append(name)
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
    return renumbered
  }

  /// What the bridge installs. A server that policy no longer has keeps its number and its sets, but no network leads
  /// to them.
  func plan(for policies: [ServerPolicy], _ settings: Settings) -> FirewallPlan {
    var servers = names.map { FirewallPlan.Server(name: $0, prefixes: [], opensAnyPort: false) }
    for policy in policies {
      guard let index = byName[policy.name.text] else { continue }
      servers[Int(index)] = FirewallPlan.Server(policy, caps: caps(of: policy.name.text))
    }
    return FirewallPlan(
      mode: settings.firewall.mode == .sets ? .sets : .managed, family: FirewallPlan.Family(settings.firewall.family),
      table: settings.firewall.table, servers: servers,
      listeners: settings.listen.map { FirewallPlan.Endpoint(address: $0.address, port: $0.port) },
      upstreams: settings.upstreams.map { FirewallPlan.Endpoint(address: $0.address, port: $0.port) },
      released: settings.released,
      fencesInput: settings.firewall.inputFence, cutsFlows: settings.firewall.cutFlows,
      harvestSeconds: UInt16(clamping: settings.firewall.harvestSeconds))
  }
}

extension FirewallPlan.Family {
  init(_ family: FirewallSettings.Family) {
    switch family {
    case .inet: self = .inet
    case .ip: self = .ip
    case .ip6: self = .ip6
    }
  }
}

extension FirewallPlan.Server {
  init(_ policy: ServerPolicy, caps: [ByteCap]) {
    self.init(
      name: policy.name.text, prefixes: policy.networks.map(\.prefix),
      opensAnyPort: policy.rules.contains { $0.ports == .any },
      staticRules: policy.prefixes.map { rule in
        FirewallPlan.StaticRule(
          prefix: rule.prefix, ports: FirewallPlan.Port.list(rule.ports), maxBytes: rule.maxBytes)
      },
      interface: policy.interface,
      caps: caps.map { FirewallPlan.Cap(kind: $0.kind == .perHour ? .perHour : .perConnection, bytes: $0.bytes) },
      inbound: policy.inbound.map(FirewallPlan.Port.list), asksDHCP: policy.asksDHCP)
  }
}

extension FirewallPlan.Port {
  /// Empty for any.
  fileprivate static func list(_ ports: PortSet) -> [FirewallPlan.Port] {
    switch ports {
    case .any: []
    case .ports(let ports): ports.map { FirewallPlan.Port(transport: $0.transport.rawValue, port: $0.port) }
    }
  }
}
