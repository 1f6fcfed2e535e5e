import AuditLog
import DNSWire
import EgressPolicy
import FirewallBridge
import GrantLedger
import LinuxIO
import Resolver
import Transport

/// Putting another policy in force.
extension ResolutionService {
  /// Its sets first, then its decisions, then the end of what it no longer admits.
  ///
  /// - Parameter renumbered: servers of which nothing may stay open, because the firewall knows their caps otherwise.
  func adopt(
    _ snapshot: ResolverSnapshot, plan: FirewallPlan, renumbered: Set<UInt16>, _ completion: @escaping (String) -> Void
  ) {
    guard let bridge, bridge.plan != plan else { return finishAdopting(snapshot, renumbered, completion) }
    isInstalling = true
    bridge.install(plan) { [unowned self] failure in
      isInstalling = false
      if let failure {
        recordRefusedPolicy(errors: 1)
        return completion("reload refused; the firewall cannot take the new policy: \(failure)")
      }
      finishAdopting(snapshot, renumbered, completion)
    }
  }

  private func finishAdopting(
    _ snapshot: ResolverSnapshot, _ renumbered: Set<UInt16>, _ completion: @escaping (String) -> Void
  ) {
    shared.current.replace(snapshot)
    let former = self.snapshot
    self.snapshot = snapshot
    let changed = Self.changedServers(from: former, to: snapshot).union(renumbered)
    let policy = snapshot.policy.fingerprint
    let text = "policy \(policy) is in force: \(snapshot.servers.count) servers"
    revokeUnlisted(since: former, changed, renumbered) { [unowned self] closed, flows in
      _ = push(
        AuditRecordHeader(service: .policyReloaded, wallClock: shared.clock().wall), server: everybody, destination: [],
        ",\"policy\":\"\(policy)\",\"former\":\"\(former.policy.fingerprint)\",\"servers\":\(snapshot.servers.count)"
          + ",\"servers_changed\":\(changed.count),\"addresses_closed\":\(closed),\"flows_cut\":\(flows)")
      completion(
        changed.isEmpty
          ? "\(text); nothing changed; other keys need a restart"
          : "\(text), \(changed.count) of them changed; \(closed) addresses closed, \(flows) connections cut; "
            + "other keys need a restart")
    }
  }

  /// A reload that changed nothing because what it read cannot be used.
  func recordRefusedPolicy(errors: Int) {
    _ = push(
      AuditRecordHeader(service: .policyRefused, wallClock: shared.clock().wall), server: everybody, destination: [],
      ",\"policy\":\"\(snapshot.policy.fingerprint)\",\"errors\":\(errors)")
  }

  /// The servers, by the firewall's index, that have another policy now, or none any more.
  private static func changedServers(from former: ResolverSnapshot, to current: ResolverSnapshot) -> Set<UInt16> {
    var unchanged: Set<ObjectIdentifier> = []
    for server in current.servers { unchanged.insert(ObjectIdentifier(server)) }
    return Set(former.servers.filter { !unchanged.contains(ObjectIdentifier($0)) }.map(\.firewallIndex))
  }

  /// Ends the grants of names that policy no longer lists, or lists with other ports, prefixes or caps.
  private func revokeUnlisted(
    since former: ResolverSnapshot, _ changed: Set<UInt16>, _ renumbered: Set<UInt16>,
    _ completion: @escaping (Int, Int) -> Void
  ) {
    let ended = engine.end(now: now, servers: changed) { [snapshot] key in
      renumbered.contains(key.server)
        || !snapshot.grantsAsBefore(former, server: key.server, name: key.name.wire, type: key.type)
    }
    shorten(ended.shortened)
    guard let bridge, !ended.closed.isEmpty else { return completion(0, 0) }
    bridge.revoke(ended.closed, cutsFlows: options.cutsFlows) { [unowned self] failure, flows in
      if let failure {
        StandardError.write(
          "sluice: \(ended.closed.count) addresses could not be closed and end by themselves: \(failure)")
      }
      record(revoked: ended.closed, since: former, flows: flows)
      completion(ended.closed.count, flows)
    }
  }

  /// What others still hold ends with them and not with the name that is gone.
  private func shorten(_ commits: [GrantCommit]) {
    guard !commits.isEmpty else { return }
    let (askedAt, epoch) = (now, shared.epoch.current)
    for start in stride(from: 0, to: commits.count, by: 256) {
      let unit = Array(commits[start..<min(start + 256, commits.count)])
      commit(unit) { [unowned self] result in
        if case .committed = result { engine.ledger.committed(unit, askedAt: askedAt, epoch: epoch) }
      }
    }
  }

  /// One event for each server that lost addresses.
  private func record(revoked elements: [GrantElement], since former: ResolverSnapshot, flows: Int) {
    for (server, elements) in Dictionary(grouping: elements, by: \.server) {
      guard let place = former.server(firewallIndex: server) else { continue }
      let addresses = Set(elements.map(\.address)).sorted()
      let listed = addresses.prefix(Self.listedAddresses).map { "\"\($0)\"" }.joined(separator: ",")
      _ = push(
        AuditRecordHeader(service: .revoked, wallClock: shared.clock().wall), server: former.servers[place].name,
        destination: [],
        ",\"addresses\":[\(listed)],\"address_count\":\(addresses.count),\"flows_cut\":\(flows)"
          + ",\"policy\":\"\(snapshot.policy.fingerprint)\"")
    }
  }

  /// As many as fit a line that people read.
  private static let listedAddresses = 32
}
