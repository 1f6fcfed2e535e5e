import DNSWire

/// What an operator lets one server reach for a time, beside what its policy says.
package struct Allowance: Hashable, Sendable {
  package let server: ServerName
  /// Its `until` says when it ends, its location which allowance it is.
  package let rule: EgressRule

  package init(server: ServerName, rule: EgressRule) {
    self.server = server
    self.rule = rule
  }
}

extension ServerPolicy {
  /// The policy with what is allowed for a time; allowances for other servers are left out.
  ///
  /// A name never gets less than without: the most specific pattern alone decides, so an allowance takes over what the
  /// pattern that would decide instead opens and admits.
  package func adding(_ allowances: [Allowance]) -> ServerPolicy {
    let own = allowances.filter { $0.server == name }
    guard !own.isEmpty else { return self }
    let policy = PolicySnapshot([self])
    var rules = rules
    for allowance in own {
      let rule = allowance.rule
      let overlaid = policy.decisive(rule.pattern)
      rules.append(
        EgressRule(
          pattern: rule.pattern, ports: overlaid.map { rule.ports.union($0.ports) } ?? rule.ports,
          types: (overlaid?.types ?? []) + rule.types.filter { overlaid?.types.contains($0) != true },
          privatePrefixes: rule.privatePrefixes + (overlaid?.privatePrefixes ?? []), maxBytes: overlaid?.maxBytes,
          maxBytesPerHour: overlaid?.maxBytesPerHour, until: rule.until, location: rule.location))
    }
    return ServerPolicy(
      name: name, networks: networks, interface: interface, rules: rules, prefixes: prefixes, location: location)
  }
}

extension PolicySnapshot {
  /// Of a policy of one server: the rule that decides on every name of a pattern that no longer pattern catches.
  fileprivate func decisive(_ pattern: NamePattern) -> EgressRule? {
    // Of a wildcard a name that it matches; two labels for `**`, which `*` does not match.
    let labels: [[UInt8]] =
      switch pattern.kind {
      case .exact: []
      case .oneLabel: [Self.label]
      case .anyLabels: [Self.label, Self.label]
      }
    let wire = Array(labels.joined()) + pattern.suffix.wire
    guard wire.count <= 255 else { return nil }
    switch decide(server: 0, name: wire.span, type: .A) {
    case .allowed(let rule), .typeNotAllowed(let rule): return self.rule(server: 0, index: rule)
    case .notListed: return nil
    }
  }

  /// No host has it: only a wildcard decides on it.
  private static let label: [UInt8] = [1, UInt8(ascii: "*")]
}
