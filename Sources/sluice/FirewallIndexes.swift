import EgressPolicy
import FirewallBridge
import Settings

/// The numbers by which the bridge knows servers: given once, never to another server while the process lives, so that
/// a commit in flight during a reload can't open an address for the wrong one.
struct FirewallIndexes {
  private(set) var names: [String] = []
  private var byName: [String: UInt16] = [:]

  subscript(name: String) -> UInt16? { byName[name] }

  mutating func assign(_ policies: [ServerPolicy]) {
    for policy in policies where byName[policy.name.text] == nil {
      byName[policy.name.text] = UInt16(truncatingIfNeeded: names.count)
      names.append(policy.name.text)
    }
  }

  /// What the bridge installs. A server that policy no longer has keeps its number and its sets, but no network leads
  /// to them.
  func plan(for policies: [ServerPolicy], _ settings: Settings) -> FirewallPlan {
    var servers = names.map { FirewallPlan.Server(name: $0, prefixes: [], opensAnyPort: false) }
    for policy in policies {
      guard let index = byName[policy.name.text] else { continue }
      servers[Int(index)] = FirewallPlan.Server(policy)
    }
    return FirewallPlan(
      mode: settings.firewall.mode == .sets ? .sets : .managed, family: FirewallPlan.Family(settings.firewall.family),
      table: settings.firewall.table, servers: servers,
      listeners: settings.listen.map { FirewallPlan.Listener(address: $0.address, port: $0.port) })
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
  init(_ policy: ServerPolicy) {
    self.init(
      name: policy.name.text, prefixes: policy.networks.map(\.prefix),
      opensAnyPort: policy.rules.contains { $0.ports == .any },
      staticRules: policy.prefixes.map { rule in
        let ports: [FirewallPlan.Port] =
          switch rule.ports {
          case .any: []
          case .ports(let ports): ports.map { FirewallPlan.Port(transport: $0.transport.rawValue, port: $0.port) }
          }
        return FirewallPlan.StaticRule(prefix: rule.prefix, ports: ports)
      })
  }
}
