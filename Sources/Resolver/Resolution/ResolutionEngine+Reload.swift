import AuditLog
package import DNSWire
package import EgressPolicy
package import GrantLedger
package import IPNetwork
import ResponseCache

extension ResolutionEngine {
  /// Turns away a question that was decided by a policy which a reload has replaced, or that comes while the service stops.
  package func refuse(
    _ question: PendingQuery, _ path: any ReplyPath, _ interruption: Interruption, now: UInt64
  ) -> Finished {
    Finished(
      waiting: [WaitingClient(question: question, path: path)],
      response: .servfail(now: now),
      event: Event(interruption))
  }

  /// Ends questions in flight of servers whose answers are judged otherwise now: theirs would be by what held when they came.
  package mutating func endInFlight(of servers: Set<UInt16>) {
    resolutions.revoke(servers: servers, as: .policy) { _ in true }
  }

  /// Ends what policy no longer allows: grants, and questions in flight, which open nothing any more.
  ///
  /// - Parameters:
  ///   - servers: the servers to look at; all of them when nil.
  ///   - revocation: why.
  ///   - keeping: what of such a question stays open all the same.
  package mutating func end(
    now: UInt64, servers: Set<UInt16>? = nil, as revocation: Revocation = .policy,
    where condition: (GrantLedger.Key) -> Bool,
    keeping: (GrantLedger.Key, GrantElement) -> Bool = { _, _ in false }
  ) -> Closing {
    resolutions.revoke(servers: servers, as: revocation, where: condition)
    let ended = ledger.end(now: now, servers: servers, as: revocation.ending, where: condition, keeping: keeping)
    return Closing(closed: ended.closed, shortened: ended.shortened, released: ended.released)
  }

  /// The questions that hold something open which `condition` selects.
  package func heldQuestions(
    now: UInt64, where condition: (GrantLedger.Key, GrantElement) -> Bool
  ) -> Set<GrantLedger.Key> {
    var found: Set<GrantLedger.Key> = []
    ledger.forEachHolding(now: now) { key, element, _, _ in
      if !found.contains(key), condition(key, element) { found.insert(key) }
    }
    return found
  }

  /// The questions of answers that hold an address which `condition` selects: given, or on their way to the client.
  package func questions(
    now: UInt64, where condition: (GrantLedger.Key, IPAddress) -> Bool
  ) -> Set<GrantLedger.Key> {
    var found: Set<GrantLedger.Key> = []
    ledger.forEachHolding(now: now) { key, element, _, _ in
      if !found.contains(key), condition(key, element.address) { found.insert(key) }
    }
    for resolution in resolutions.values where !found.contains(resolution.key) {
      let planned = resolution.plan?.elements.map(\.address) ?? resolution.answer?.addresses ?? []
      if planned.contains(where: { condition(resolution.key, $0) }) { found.insert(resolution.key) }
    }
    return found
  }

  /// Whether nothing is left of a server: no question in flight, nothing open.
  package mutating func isUnused(server: UInt16, now: UInt64) -> Bool {
    resolutions.values.allSatisfy { $0.key.server != server } && ledger.isEmpty(server: server, now: now)
  }
}

extension ResolverSnapshot {
  /// Whether this policy allows a question of a server just as `former` did: what was opened for it may stay open.
  ///
  /// - Parameter server: the firewall's index, which a server keeps across reloads.
  package func grantsAsBefore(_ former: ResolverSnapshot, server: UInt16, name: [UInt8], type: RRType) -> Bool {
    guard let rules = rules(former, server: server, name: name, type: type) else { return false }
    // An answer of a rule that ended later may promise more than this one opens.
    return forwards.zone(of: name)?.upstreams == former.forwards.zone(of: name)?.upstreams
      && rules.now.ports == rules.before.ports && rules.now.firstEnd ?? .max >= rules.before.firstEnd ?? .max
      && allowsChain(former, rules.now, GrantLedger.Key(server: server, name: Name(canonical: name.span), type: type))
      && allowsAddresses(former, server: server, name: name, type: type)
  }

  /// Whether no address of an answer is denied that was not. Of an answer that is not known any more nothing is: what is open of it
  /// is looked at by itself.
  private func allowsAddresses(_ former: ResolverSnapshot, server: UInt16, name: [UInt8], type: RRType) -> Bool {
    guard let now = self.server(firewallIndex: server), let before = former.server(firewallIndex: server) else {
      return false
    }
    guard policy.deniesAddresses(server: now), !judgesAsBefore(former, server: server) else { return true }
    guard let cached = former.servers[before].cache.held(name.span, type) else { return false }
    return cached.addresses.allSatisfy { policy.denial(of: $0, server: now) == nil }
  }

  /// Whether this policy takes what answers of a server hold and lead through just as `former` did.
  package func judgesAsBefore(_ former: ResolverSnapshot, server: UInt16) -> Bool {
    guard let now = self.server(firewallIndex: server), let before = former.server(firewallIndex: server) else {
      return false
    }
    return policy.judgement(server: now) == former.policy.judgement(server: before)
  }

  /// Whether every name behind a question is still one that its chain may lead through: listed, where the rule wants that,
  /// and not denied. Where the answer is not known any more, or leaves the cache by the same change, only judgements that are the
  /// same tell that.
  ///
  /// - Parameter address: what is open; nil for the answer. Of an earlier one, which led elsewhere perhaps, nothing is known.
  private func allowsChain(
    _ former: ResolverSnapshot, _ rule: EgressRule, _ key: GrantLedger.Key, of address: IPAddress? = nil
  ) -> Bool {
    guard let now = self.server(firewallIndex: key.server), let before = former.server(firewallIndex: key.server) else {
      return false
    }
    guard rule.cname == .listed || policy.deniesNames(server: now), !judgesAsBefore(former, server: key.server) else {
      return true
    }
    guard let cached = former.servers[before].cache.held(key.name.wire.span, key.type),
      address.map(cached.addresses.contains) ?? true
    else { return false }
    return cached.chain(of: key.name.wire, key.type).allSatisfy { link in
      switch policy.decide(server: now, name: link.span, type: .A) {
      case .denied: false
      case .notListed: rule.cname != .listed
      case .allowed, .typeNotAllowed: true
      }
    }
  }

  /// Whether a name is on a server's list, for whatever type.
  func lists(_ name: [UInt8], server: Int) -> Bool {
    switch policy.decide(server: server, name: name.span, type: .A) {
    case .notListed, .denied: false
    case .allowed, .typeNotAllowed: true
    }
  }

  /// Whether an element that `former` opened for a question may stay open: it must be of a port that is still open, and
  /// bounded as before.
  package func keepsOpen(_ former: ResolverSnapshot, _ key: GrantLedger.Key, _ element: GrantElement) -> Bool {
    guard let rules = rules(former, server: key.server, name: key.name.wire, type: key.type),
      let state = state(of: key.server),
      allowsChain(former, rules.now, key, of: element.address),
      let server = self.server(firewallIndex: key.server), policy.denial(of: element.address, server: server) == nil
    else { return false }
    return rules.now.ports == .any
      || state.targets(of: rules.now.ports, family: element.address.family).contains {
        $0.transport == element.transport && $0.port == element.port
      }
  }

  /// What decides on a question and what decided; nil unless both allow it, for the same addresses with the same bounds.
  private func rules(
    _ former: ResolverSnapshot, server: UInt16, name: [UInt8], type: RRType
  ) -> (now: EgressRule, before: EgressRule)? {
    guard let now = rule(server: server, name: name, type: type),
      let before = former.rule(server: server, name: name, type: type),
      let state = state(of: server), let formerState = former.state(of: server),
      state.plainFamilies == formerState.plainFamilies, state.opensIPv6 == formerState.opensIPv6,
      // The firewall knows a bound by its index.
      state.byteCaps.starts(with: formerState.byteCaps),
      now.privatePrefixes == before.privatePrefixes, now.byteCaps == before.byteCaps, now.cname <= before.cname,
      NameCheck.holdsAlike(now.check, before.check), now.dnssec <= before.dnssec,
      forwards.admitAsBefore(former.forwards, name)
    else { return nil }
    return (now, before)
  }

  private func state(of index: UInt16) -> ServerState? {
    server(firewallIndex: index).map { servers[$0] }
  }

  /// What is decided about a question of a server that the firewall knows by this index; nil where there is none.
  package func decision(firewallIndex index: UInt16, name: [UInt8], type: RRType) -> Decision? {
    server(firewallIndex: index).map { decision(server: $0, name: name.span, type: type) }
  }

  /// The rule by which a question may open addresses; nil where it may not, listed or not.
  package func rule(server index: UInt16, name: [UInt8], type: RRType) -> EgressRule? {
    guard let server = server(firewallIndex: index) else { return nil }
    let decision = decision(server: server, name: name.span, type: type)
    guard decision.mayOpen, let rule = decision.rule else { return nil }
    return policy.rule(server: server, index: rule)
  }
}
