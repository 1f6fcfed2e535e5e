package import FirewallModel
package import EgressPolicy
package import Settings

extension FirewallPlan {
  /// The plan of policies that nothing was numbered for before.
  package init(_ settings: Settings, _ policies: [ServerPolicy]) {
    var indexes = FirewallIndexes()
    indexes.assign(policies)
    indexes.gate = GateAccount.gate(settings)
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
          prefix: rule.prefix, ports: rule.ports.list, maxBytes: rule.maxBytes)
      },
      interface: policy.interface,
      caps: caps, inbound: policy.inbound?.list, asksDHCP: policy.asksDHCP)
    checksNames = policy.checksNames
    deniedPrefixes = policy.deniedNetworks
    inspectors = policy.inspectors.map { FirewallPlan.Endpoint(address: $0.address, port: $0.port) }
  }
}

extension PortSet {
  /// As a plan has them: empty for any.
  var list: [PortRule] {
    switch self {
    case .any: []
    case .ports(let ports): ports
    }
  }
}
