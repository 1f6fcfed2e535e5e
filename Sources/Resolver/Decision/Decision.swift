package import DNSWire
package import EgressPolicy
package import IPNetwork
package import Zones

/// What is decided about one query of a server's client: what policy says of it, and what is done.
///
/// A function of the query, the policy and the local zones, and of nothing else. The query path, `explain`, `query` and
/// a change of policy all ask it: none of them can say otherwise than another.
package struct Decision: Equatable, Sendable {
  /// What is done about a query.
  package enum Enforcement: Equatable, Sendable {
    /// Answered from the cache, or asked upstream; its addresses are opened before the answer leaves (P2).
    case resolve
    /// Answered from the local zones; their addresses are opened before the answer leaves.
    case openLocally
    /// Answered from the local zones; there is nothing to open.
    case answerLocally(LocalAnswer)
    /// A PTR: answered with the name that the address is open for, else with what `ofUnopened` says.
    case reverse(IPAddress)
    /// NODATA: it is listed, but the firewall has no set for its IPv6 addresses.
    case withoutIPv6
    /// A single label, NXDOMAIN, or the root, NODATA: neither ever leaves the host, listed or not.
    case keepLabel
    case deny(PolicyDenial)
  }

  /// What policy says. Of another class than IN it says nothing.
  package var verdict: Verdict
  package var enforcement: Enforcement

  @inline(__always)
  private init(_ verdict: Verdict, _ enforcement: Enforcement) {
    self.verdict = verdict
    self.enforcement = enforcement
  }

  /// Decides, and allocates nothing where no local zone holds the name.
  ///
  /// - Parameters:
  ///   - name: canonical wire octets.
  ///   - answersIPv6: whether an AAAA of the server may be answered; asked only where it matters.
  @inline(__always)
  package static func of(
    _ facts: QueryFacts, name: Span<UInt8>, policy: PolicySnapshot, zones: LocalZones,
    answersIPv6: @autoclosure () -> Bool
  ) -> Decision {
    guard facts.klass == .IN else { return Decision(.notListed, .deny(.classNotAllowed)) }
    // A pattern is of host names; a label with another octet in it, a dot even, is under none of them.
    let verdict =
      facts.isHostname
      ? policy.decide(server: facts.server, name: name, hash: facts.hash, type: facts.type) : .notListed
    if facts.type == .PTR, let address = ReverseName.address(name) { return Decision(verdict, .reverse(address)) }
    switch verdict {
    case .typeNotAllowed: return Decision(verdict, .deny(.typeNotAllowed))
    case .notListed:
      return Decision(verdict, ofUnlisted(facts, name, .notListed, zones))
    // Whatever lists it: what stays on the host stays there all the same.
    case .denied(let rule):
      return Decision(verdict, ofUnlisted(facts, name, .denied(by: rule), zones))
    case .allowed:
      // `==` of the type itself; `!=` would be the generic one, which costs thirty instructions.
      if facts.type == .AAAA, !answersIPv6() { return Decision(verdict, .withoutIPv6) }
      // A zone with nothing but its SOA gives way to the list (RFC 6761 lets configuration override it).
      if let local = zones.answer(name: name, type: facts.type), !local.isEmptyZone {
        return Decision(verdict, local.holdsRoutableAddress ? .openLocally : .answerLocally(local))
      }
      return Decision(verdict, facts.labelCount > 1 ? .resolve : .keepLabel)
    }
  }

  @inline(__always)
  private static func ofUnlisted(
    _ facts: QueryFacts, _ name: Span<UInt8>, _ denial: PolicyDenial, _ zones: LocalZones
  ) -> Enforcement {
    guard let local = zones.answer(name: name, type: facts.type) else {
      return facts.labelCount > 1 ? .deny(denial) : .keepLabel
    }
    // An address outside the loopback networks is answered to a server that lists the name, and to no other.
    return local.holdsRoutableAddress ? .deny(denial) : .answerLocally(local)
  }

  /// What a PTR gets whose address is not open: a local zone's answer, or NXDOMAIN where that is nil.
  package static func ofUnopened(_ name: Span<UInt8>, zones: LocalZones) -> LocalAnswer? {
    zones.answer(name: name, type: .PTR)
  }

  /// Index of the server's rule that allows it.
  @inline(__always)
  package var rule: Int? {
    if case .allowed(let rule) = verdict { rule } else { nil }
  }

  /// Whether it may open addresses.
  package var mayOpen: Bool {
    switch enforcement {
    case .resolve, .openLocally: true
    case .answerLocally, .reverse, .withoutIPv6, .keepLabel, .deny: false
    }
  }
}

extension ResolverRules {
  /// Whether AAAA may be answered: nothing is opened at all, or both the firewall and the server have a set for IPv6.
  @inline(__always)
  package func answersIPv6(serverOpensIPv6: Bool) -> Bool {
    !opensFirewall || opensIPv6 && serverOpensIPv6
  }
}

extension ResolverSnapshot {
  /// Decides on a question of class IN.
  ///
  /// - Parameters:
  ///   - server: its index in `servers`.
  ///   - name: canonical wire octets.
  package func decision(server: Int, name: Span<UInt8>, type: RRType) -> Decision {
    Decision.of(
      QueryFacts(name, type, server: server, hash: nameHash), name: name, policy: policy, zones: zones,
      answersIPv6: rules.answersIPv6(serverOpensIPv6: servers[server].opensIPv6))
  }
}
