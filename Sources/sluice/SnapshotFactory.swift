import DNSWire
import EgressPolicy
import FirewallBridge
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache
import Settings
import Zones

/// Makes what the workers read from what the operator wrote.
struct SnapshotFactory {
  let zones: LocalZones
  let rules: ResolverRules
  let ownAddresses: Set<IPAddress>
  let maxEntriesPerServer: Int
  /// The sets that the bridge found or made, by firewall index; nil where every server has all of them.
  var sets: [ServerSets]?

  init(_ settings: Settings, zones: LocalZones) {
    self.zones = zones
    rules = ResolverRules(settings)
    ownAddresses = HostAddresses.all().union(settings.listen.map(\.address))
    maxEntriesPerServer = settings.cache.maxEntriesPerServer
  }

  /// Compiles the policies. Servers that keep their name keep their firewall index; caches start empty, because what
  /// they hold was admitted by another policy.
  func snapshot(of policies: [ServerPolicy], indexes: FirewallIndexes) -> ResolverSnapshot {
    var random = SecureRandom()
    let servers = policies.map { policy in
      ServerState(
        name: policy.name.text, cache: ResponseCache(maxEntries: maxEntriesPerServer, seed: random.uint64()),
        firewallIndex: indexes[policy.name.text] ?? 0, interface: policy.interface,
        opensIPv6: opensIPv6(indexes[policy.name.text] ?? 0))
    }
    return ResolverSnapshot(
      policy: PolicySnapshot(policies, seed: random.uint64()), zones: zones, rules: rules, servers: servers,
      ownAddresses: ownAddresses)
  }
}

extension SnapshotFactory {
  private func opensIPv6(_ index: UInt16) -> Bool {
    guard let sets, Int(index) < sets.count else { return true }
    return !sets[Int(index)].isDisjoint(with: [.v6, .plain6, .anyPort6])
  }
}

extension ResolverRules {
  init(_ settings: Settings) {
    let sinkhole: Sinkhole =
      switch settings.sinkhole.answer {
      case .nxdomain: .nxdomain
      case .nodata: .nodata
      case .refused: .refused
      case .addresses(let addresses): .addresses(addresses)
      }
    let unknownClients: UnknownClients =
      switch settings.unknownClients {
      case .nxdomain: .nxdomain
      case .refused: .refused
      case .drop: .drop
      }
    let allowed: AllowedEvents =
      switch settings.audit.allowed {
      case .none: .none
      case .grants: .grants
      case .all: .all
      }
    self.init(
      sinkhole: sinkhole, sinkholeTTL: UInt32(clamping: settings.sinkhole.ttlSeconds), unknownClients: unknownClients,
      allowedEvents: allowed, opensFirewall: settings.firewall.mode != .off,
      opensIPv6: settings.firewall.family != .ip, maxTTL: UInt32(clamping: settings.cache.maxTTL),
      maxNegativeTTL: UInt32(clamping: settings.cache.maxNegativeTTL))
  }
}
