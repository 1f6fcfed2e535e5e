import FirewallModel
import DNSWire
import EgressPolicy
import IPNetwork
import LinuxIO
package import Resolver
import ResponseCache
package import Settings
import Zones

/// Makes what the workers read from what the operator wrote.
final class SnapshotFactory {
  let zones: LocalZones
  let rules: ResolverRules
  let maxEntriesPerServer: Int
  /// Of the configuration that is to come into force.
  var forwards: ForwardZones
  private let threadIndexes: ThreadIndexes
  private let unknownClients: QueryCounts

  init(_ settings: Settings, zones: LocalZones) {
    self.zones = zones
    rules = ResolverRules(settings)
    forwards = settings.forwardZones
    maxEntriesPerServer = settings.cache.maxEntriesPerServer
    threadIndexes = ThreadIndexes(workers: settings.workers)
    unknownClients = QueryCounts(shards: threadIndexes.count)
  }

  /// Answers that a change of policy looks through on the resolver's thread, some microseconds each; caches beyond that
  /// start empty.
  private static let mostLookedThrough = 50_000

  /// What was in force until now.
  struct Former {
    var snapshot: ResolverSnapshot
    /// Servers of which the firewall will know the bounds by other indexes: nothing of them stays.
    var renumbered: Set<UInt16>
  }

  /// Compiles the policies. Servers that keep their name keep their firewall index.
  ///
  /// - Parameter sets: those that the bridge found, by firewall index; nil where every server has all of them.
  /// - Parameter former: the policy until now. A server for which nothing changed stays the same object; another keeps
  ///   its cache, in which `ResolutionService.activate` leaves what the new policy grants as the former did, or gets an empty
  ///   one where the firewall knows it otherwise.
  /// - Parameter compiled: the same policies, compiled already on another thread.
  func snapshot(
    of policies: [ServerPolicy], indexes: FirewallIndexes, sets: [ServerSets]? = nil, since former: Former? = nil,
    compiled: PolicySnapshot? = nil
  ) -> ResolverSnapshot {
    let renumbered = former?.renumbered ?? []
    let former = former?.snapshot
    let kept = Dictionary(
      (former?.policy.servers ?? []).enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    var looked = 0
    // What a server decides depends on them too.
    let forwardsAlike = former?.forwards == forwards
    let servers = policies.map { policy in
      let index = indexes[policy.name.text] ?? 0
      let (opensIPv6, caps) = (Self.opensIPv6(index, sets), indexes.caps(of: policy.name.text))
      let plain = Self.plainFamilies(index, sets)
      var counts: QueryCounts?
      var cache: ResponseCache?
      if let former, let formerIndex = kept[policy.name] {
        let state = former.servers[formerIndex]
        counts = state.counts
        if forwardsAlike, !renumbered.contains(index), former.policy.servers[formerIndex].decidesLike(policy),
          state.firewallIndex == index,
          state.opensIPv6 == opensIPv6, state.plainFamilies == plain, state.byteCaps == caps
        {
          return state
        }
        let isKnownAlike =
          !renumbered.contains(index) && state.firewallIndex == index && state.opensIPv6 == opensIPv6
          && state.plainFamilies == plain
          && caps.starts(with: state.byteCaps)
        looked += state.cache.count
        if isKnownAlike, looked <= Self.mostLookedThrough { cache = state.cache }
      }
      return ServerState(
        name: policy.name.text, cache: cache ?? ResponseCache(maxEntries: maxEntriesPerServer),
        firewallIndex: index, interface: policy.interface, opensIPv6: opensIPv6,
        plainFamilies: plain, byteCaps: caps, checksNames: policy.checksNames,
        counts: counts ?? QueryCounts(shards: threadIndexes.count))
    }
    return ResolverSnapshot(
      policy: compiled ?? PolicySnapshot(policies), zones: zones, rules: rules, servers: servers,
      unknownClients: unknownClients, forwards: forwards)
  }
}

extension SnapshotFactory {
  private static func opensIPv6(_ index: UInt16, _ sets: [ServerSets]?) -> Bool {
    guard let sets, Int(index) < sets.count else { return true }
    return !sets[Int(index)].isDisjoint(with: [.v6, .plain6, .anyPort6])
  }
}

extension SnapshotFactory {
  private static func plainFamilies(_ index: UInt16, _ sets: [ServerSets]?) -> Set<IPAddress.Family> {
    guard let sets, Int(index) < sets.count else { return [] }
    let found = sets[Int(index)]
    return Set([found.contains(.plain4) ? .v4 : nil, found.contains(.plain6) ? .v6 : nil].compactMap(\.self))
  }
}

extension ResolverRules {
  package init(_ settings: Settings) {
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
      maxNegativeTTL: UInt32(clamping: settings.cache.maxNegativeTTL), prefetches: settings.cache.prefetches,
      maxStale: settings.cache.maxStale.map { UInt32(clamping: $0) })
  }
}
