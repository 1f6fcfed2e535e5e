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
  /// 10,000 servers with 100 names each.
  case many
  /// 1,000,000 names of one server.
  case large

  private var servers: Int { self == .many ? 10_000 : 1 }

  private var namesPerServer: Int {
    switch self {
    case .one: 1_000
    case .many: 100
    case .large: 1_000_000
    }
  }

  /// The server that packet `index` comes from, and which of its names it asks for: spread over all of them. Names
  /// are as long here as there.
  func entry(_ index: Int) -> (server: Int, name: Int) {
    (index * 7_919 % servers, index * 7_919 % namesPerServer)
  }

  private static func name(_ server: Int, _ name: Int) -> String {
    "host-\(100_000 + server)-\(1_000_000 + name).service.example.com"
  }

  private static func client(ofServer server: Int) -> IPAddress {
    IPAddress(v4: 0x0A00_0002 + UInt32(server) << 8)
  }

  /// A name that the client of packet `index` may resolve.
  func listedName(_ index: Int) -> String {
    let entry = entry(index)
    return Self.name(entry.server, entry.name)
  }

  /// The address that packet `index` comes from.
  func client(_ index: Int) -> IPAddress { Self.client(ofServer: entry(index).server) }

  func snapshot() throws -> ResolverSnapshot {
    let entry = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    let policies = try (0..<servers).map { server in
      let network =
        IPPrefix(Self.client(ofServer: server), length: 24).map { [ServerNetwork(prefix: $0, location: entry)] } ?? []
      let rules = try (0..<namesPerServer).map { name in
        EgressRule(pattern: try NamePattern(Self.name(server, name)), location: entry)
      }
      return ServerPolicy(
        name: try ServerName("server-\(server)"), networks: network, rules: RuleList(rules), location: entry)
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
      })
  }
}
