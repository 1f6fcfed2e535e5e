import DNSWire
import IPNetwork

/// What an operator lets one server reach for a time, beside what its policy says.
package struct PermitRule: Hashable, Sendable {
  package let server: ServerName
  /// Its `until` says when it ends, its location which permit it is.
  package let rule: EgressRule

  package init(server: ServerName, rule: EgressRule) {
    self.server = server
    self.rule = rule
  }
}

extension ServerPolicy {
  /// The policy with what is allowed for a time; permits for other servers are left out.
  ///
  /// A name never gets less than without one of them: the most specific pattern alone decides, so a permit takes over
  /// what the pattern that would decide instead, and every other permit for its names, opens and admits. Patterns that have
  /// but some names in common (`objection(to:)`) do not take over from each other: that would open more than is permitted.
  package func adding(_ permits: [PermitRule]) -> ServerPolicy {
    let own = permits.filter { $0.server == name }.flatMap(\.rule.parts).map {
      $0.admitting(privatePrefixes, cname, nameChecks)
    }
    guard !own.isEmpty else { return self }
    // What denies has no say in what a permit takes over.
    let policy = PolicySnapshot([withoutDenials])
    var rules = rules
    for (index, rule) in own.enumerated() {
      let others = own.indices.filter { $0 != index && own[$0].pattern.covers(rule.pattern) }.map { own[$0] }
      let decisive = policy.decisive(rule.pattern)
      let cname = decisive?.cname ?? cname
      let alone = decisive == nil ? rule.asking(dnssec, within: limits) : rule
      let merged = ([decisive].compactMap(\.self) + others).reduce(alone) { $0.taking(over: $1, cname) }
      rules.append(merged.inspectedLike(decisive))
    }
    return reaching(rules, prefixes)
  }
}

extension EgressRule {
  /// The rule, or where it is for a name and all below it one for each: some other pattern may match the one and not the rest.
  fileprivate var parts: [EgressRule] {
    pattern.parts.map { part in
      EgressRule(
        pattern: part, ports: ports, types: types, privatePrefixes: privatePrefixes, cname: cname, maxBytes: maxBytes,
        maxBytesPerHour: maxBytesPerHour, dnssec: dnssec, until: until, firstEnd: firstEnd, check: check,
        location: location)
    }
  }

  /// This rule, with what the server's entries admit that say nothing of it.
  fileprivate func admitting(_ prefixes: [IPPrefix], _ cname: ChainPolicy, _ checks: NameCheckDefaults) -> EgressRule {
    let check = checks.check(of: ports)
    return EgressRule(
      pattern: pattern, ports: check == nil ? ports : ports.withoutQUIC, types: types,
      privatePrefixes: privatePrefixes + prefixes, cname: cname, maxBytes: maxBytes,
      maxBytesPerHour: maxBytesPerHour, dnssec: dnssec, until: until, firstEnd: firstEnd, check: self.check ?? check,
      location: location)
  }

  /// This rule, with what is asked of signatures and what bounds its octets.
  fileprivate func asking(_ dnssec: ValidationMode, within limits: ByteLimits) -> EgressRule {
    EgressRule(
      pattern: pattern, ports: ports, types: types, privatePrefixes: privatePrefixes, cname: cname,
      maxBytes: maxBytes ?? limits.maxBytes, maxBytesPerHour: maxBytesPerHour ?? limits.maxBytesPerHour, dnssec: dnssec,
      until: until, firstEnd: firstEnd, check: check,
      location: location)
  }

  /// This rule, through what the connections of another one for its names go where those are checked.
  fileprivate func inspectedLike(_ other: EgressRule?) -> EgressRule {
    guard let check, let inspector = other?.check.map(\.inspector) else { return self }
    return EgressRule(
      pattern: pattern, ports: ports, types: types, privatePrefixes: privatePrefixes, cname: cname, maxBytes: maxBytes,
      maxBytesPerHour: maxBytesPerHour, dnssec: dnssec, until: until, firstEnd: firstEnd,
      check: check.inspected(by: inspector), location: location)
  }

  /// This rule, with what another one for its names opens and admits.
  fileprivate func taking(over other: EgressRule, _ cname: ChainPolicy) -> EgressRule {
    let merged = RuleList.Profile(self).merging(RuleList.Profile(other))
    return EgressRule(
      pattern: pattern, ports: merged.ports, types: merged.types, privatePrefixes: merged.privatePrefixes,
      cname: cname, maxBytes: merged.maxBytes, maxBytesPerHour: merged.maxBytesPerHour, dnssec: merged.dnssec,
      until: until, firstEnd: merged.firstEnd, check: merged.check, location: location)
  }
}

extension PolicySnapshot {
  /// Of a policy of one server: the most specific rule that matches every name of a pattern. Rules that match some of its names
  /// alone have no say: they would hand on to the others what those were never to have.
  fileprivate func decisive(_ pattern: NamePattern) -> EgressRule? {
    let rule: EgressRule
    switch decide(server: 0, name: pattern.sample.span, type: .A) {
    case .allowed(let index), .typeNotAllowed(let index): rule = self.rule(server: 0, index: index)
    // A rule for all names of the pattern matches the sample too.
    case .notListed, .denied: return nil
    }
    if rule.pattern == pattern || rule.pattern.covers(pattern) { return rule }
    let covering = effectiveRules(server: 0).lazy.map { self.rule(server: 0, index: $0) }
      .filter { $0.pattern == pattern || $0.pattern.covers(pattern) }
    return covering.max { PatternShape($1.pattern).isMoreSpecific(than: PatternShape($0.pattern)) }
  }
}
