import AuditLog
import DNSWire
import EgressPolicy
import GrantLedger
import HostNetwork
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache

/// Keeping answers away from what no server may reach: the host, what is on its links, other servers' networks.
extension ResolutionService {
  /// The host has another network now: what an answer may not hold any more is closed, and leaves the caches.
  func hostChanged(_ network: HostNetwork) {
    host = network
    let additions = refuseAddresses(for: snapshot)
    forgetRefused(snapshot, additions)
    closeRefused(additions, since: snapshot)
  }

  /// From now on refuses what the host's network and the policy's networks forbid, and tells where they do not fit. Returns what an answer may have held
  /// until now.
  @discardableResult
  func refuseAddresses(for snapshot: ResolverSnapshot) -> [IPPrefix] {
    let networks = zip(snapshot.policy.servers, snapshot.servers).flatMap { policy, state in
      policy.networks.map { ForbiddenAddresses.Network(prefix: $0.prefix, server: state.firewallIndex) }
    }
    tellCoverage(snapshot)
    let former = engine.forbidden
    engine.forbidden = ForbiddenAddresses(
      serverNetworks: networks, hostAddresses: host.ownAddresses.union(listeners), onLink: host.onLinkNetworks)
    guard engine.forbidden != former else { return [] }
    return engine.forbidden.additions(
      since: former, private: snapshot.policy.privatePrefixes.union(snapshot.forwards.privatePrefixes))
  }

  /// Whether an address may be open for a name. What a local zone answers is the operator's own word.
  func admits(_ address: IPAddress, _ rule: EgressRule, server: UInt16, name: [UInt8], type: RRType) -> Bool {
    let key = GrantLedger.Key(server: server, name: Name(canonical: name.span), type: type)
    return !AddressJudge(forbidden: engine.forbidden, snapshot: snapshot).refuses(address, key, rule)
  }

  /// Takes answers out of the caches that hold an address which is refused now.
  func forgetRefused(_ snapshot: ResolverSnapshot, _ additions: [IPPrefix]) {
    guard !additions.isEmpty else { return }
    let judge = AddressJudge(forbidden: engine.forbidden, snapshot: snapshot)
    for state in snapshot.servers {
      for listed in state.cache.list() where !listed.response.addresses.isEmpty {
        let key = GrantLedger.Key(
          server: state.firewallIndex, name: Name(canonical: listed.name.span), type: listed.type)
        if listed.response.addresses.contains(where: { judge.refuses($0, key) }) {
          state.cache.remove(listed.name.span, listed.type)
        }
      }
    }
  }

  /// Closes what is open, or about to be, at addresses that are refused now.
  func closeRefused(_ additions: [IPPrefix], since former: ResolverSnapshot) {
    guard !additions.isEmpty else { return }
    let judge = AddressJudge(forbidden: engine.forbidden, snapshot: snapshot)
    let questions = engine.questions(now: now) { judge.refuses($1, $0) }
    guard !questions.isEmpty else { return }
    let ended = engine.end(
      now: now, servers: Set(questions.map(\.server)), as: .answerNotPublic, where: questions.contains
    ) { key, element in
      !judge.refuses(element.address, key)
    }
    close(ended, since: former, members: AuditMembers(.cause, "address-refused")) { closed, _ in
      StandardError.write("sluice: \(counted(closed, "address")) closed that no answer may hold any more")
    }
  }
}

/// Judges addresses by what is forbidden and what policy says at one moment.
private struct AddressJudge {
  let forbidden: ForbiddenAddresses
  let snapshot: ResolverSnapshot

  /// A name that policy does not allow is none of its business.
  func refuses(_ address: IPAddress, _ key: GrantLedger.Key) -> Bool {
    guard let rule = snapshot.rule(server: key.server, name: key.name.wire, type: key.type) else { return false }
    return refuses(address, key, rule)
  }

  func refuses(_ address: IPAddress, _ key: GrantLedger.Key, _ rule: EgressRule) -> Bool {
    if let server = snapshot.server(firewallIndex: key.server),
      snapshot.policy.denial(of: address, server: server) != nil
    {
      return true
    }
    let prefixes = rule.privatePrefixes + snapshot.forwards.privatePrefixes(of: [key.name.wire])
    guard !forbidden.admits(address, private: prefixes, server: key.server) else { return false }
    let decision = snapshot.decision(firewallIndex: key.server, name: key.name.wire, type: key.type)
    return decision?.enforcement != .openLocally
  }
}
