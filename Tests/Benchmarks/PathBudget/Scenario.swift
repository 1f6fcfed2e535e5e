import DNSWire
import EgressPolicy
import IPNetwork
import Resolver
import ResponseCache
import Zones

/// Who may ask for what.
enum Scenario: String {
  /// 1,000 names of one server.
  case one
  /// 1,000 servers with 10 names each.
  case many

  private var servers: Int { self == .one ? 1 : 1_000 }
  private var namesPerServer: Int { self == .one ? 1_000 : 10 }

  /// A name that the client of packet `index` may resolve.
  func listedName(_ index: Int) -> String {
    "host-\(index % servers)-\(index % namesPerServer).service.example.com"
  }

  /// The address that packet `index` comes from.
  func client(_ index: Int) -> IPAddress {
    let server = UInt32(index % servers)
    return IPAddress(v4: 0x0A4D_0002 + server << 8)
  }

  func snapshot() throws -> ResolverSnapshot {
    let place = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    let policies = try (0..<servers).map { server in
      let network = IPPrefix(client(server), length: 24).map { [ServerNetwork(prefix: $0, location: place)] } ?? []
      let rules = try (0..<namesPerServer).map { name in
        let text = "host-\(server)-\(name).service.example.com"
        return EgressRule(pattern: try NamePattern(text), location: place)
      }
      return ServerPolicy(
        name: try ServerName("server-\(server)"), networks: network, rules: RuleList(rules), location: place)
    }
    return ResolverSnapshot(
      policy: PolicySnapshot(policies, hash: NameHash(seed: 1)), zones: try LocalZones(files: LocalZones.shippedFiles),
      rules: ResolverRules(
        sinkhole: .nxdomain, sinkholeTTL: 5, unknownClients: .nxdomain, allowedEvents: .grants, opensFirewall: true,
        opensIPv6: true, maxTTL: 3600, maxNegativeTTL: 300),
      servers: policies.enumerated().map { index, policy in
        ServerState(
          name: policy.name.text, cache: ResponseCache(maxEntries: 10_000, hash: NameHash(seed: 1)),
          firewallIndex: UInt16(index),
          interface: nil)
      },
      ownAddresses: [])
  }
}
