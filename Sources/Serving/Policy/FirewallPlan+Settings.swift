package import FirewallModel
package import EgressPolicy
package import Settings

extension FirewallPlan {
  /// The plan of policies that nothing was numbered for before.
  package init(_ settings: Settings, _ policies: [ServerPolicy]) {
    var indexes = FirewallIndexes()
    indexes.assign(policies)
    self = indexes.plan(for: policies, settings)
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
  static func list(_ ports: PortSet) -> [FirewallPlan.Port] {
    switch ports {
    case .any: []
    case .ports(let ports): ports.map { FirewallPlan.Port(transport: $0.transport.rawValue, port: $0.port) }
    }
  }
}
