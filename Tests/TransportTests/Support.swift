import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork
import Resolver
import ResponseCache
import TestSupport
import Testing
import Zones

/// Servers `s0`, `s1`, … with a network each and a policy that lists nothing: every query is denied.
func denyingSnapshot(_ networks: [String], allowing names: [String] = []) throws -> ResolverSnapshot {
  let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)
  let rules = RuleList(try names.map { EgressRule(pattern: try NamePattern($0), location: location) })
  let policies = try networks.enumerated().map { index, network in
    let network = ServerNetwork(prefix: try #require(IPPrefix(network)), location: location)
    return ServerPolicy(
      name: try ServerName("s\(index)"), networks: [network], rules: rules, location: location)
  }
  return ResolverSnapshot(
    policy: PolicySnapshot(policies, hash: NameHash(seed: 1)), zones: try LocalZones(files: LocalZones.shippedFiles),
    rules: ResolverRules(
      sinkhole: .nxdomain, sinkholeTTL: 5, unknownClients: .nxdomain, allowedEvents: .none, opensFirewall: false,
      opensIPv6: false, maxTTL: 3600, maxNegativeTTL: 300),
    servers: policies.enumerated().map { index, policy in
      ServerState(
        name: policy.name.text, cache: ResponseCache(maxEntries: 10, hash: NameHash(seed: 1)),
        firewallIndex: UInt16(index), interface: nil)
    })
}
