import EgressPolicy
package import FirewallModel
package import IPNetwork

extension FirewallPlan {
  /// Two servers, one of them with a rule for any port.
  package static func sample(table: String = "sluice", mode: Mode = .managed) -> FirewallPlan {
    FirewallPlan(
      mode: mode, table: table,
      servers: [
        Server(
          name: "github-mcp", prefixes: [prefix("10.77.1.0/24"), prefix("fd00:77:1::/64")], opensAnyPort: false,
          staticRules: [
            StaticRule(prefix: prefix("198.51.100.0/24"), ports: [PortRule(443, .tcp)]),
            StaticRule(prefix: prefix("2001:db8::/32"), ports: []),
          ]),
        Server(name: "db_tools", prefixes: [prefix("10.77.0.0/16"), prefix("fd00:77::/32")], opensAnyPort: true),
      ],
      listeners: [
        Endpoint(address: IPAddress("10.77.1.1")!, port: 53), Endpoint(address: IPAddress("fd00:77:1::1")!, port: 53),
        Endpoint(address: IPAddress("0.0.0.0")!, port: 5353),
      ])
  }

  package static func prefix(_ text: String) -> IPPrefix { IPPrefix(text)! }

  package func set(_ name: String) -> KernelSet { KernelSet(family: family, table: table, name: name) }
}
