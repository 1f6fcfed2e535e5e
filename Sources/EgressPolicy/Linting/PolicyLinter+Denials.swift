import DNSWire
import IPNetwork

/// Findings about what is denied, and what stands above documents.
extension PolicyLinter {
  /// So many pairs of an entry and a denial of one server are compared: nobody reads findings on more, and a start waits for them.
  private static let maximumPairs = 100_000
  /// What layers say is in the tables of every server, some 80 octets for each name: half a gigabyte in all.
  private static let maximumCopies = 8_000_000

  static func checkLayers(_ servers: [ServerPolicy], _ findings: inout [Diagnostic]) {
    guard let server = servers.last, let layers = server.layers else { return }
    let names = layers.denials.count + layers.layers.reduce(0) { $0 + $1.rules.count }
    guard names > maximumCopies / servers.count else { return }
    findings.append(
      .error(
        "layers have \(names) names for each of \(servers.count) servers, expected at most \(maximumCopies) together",
        at: server.location))
  }

  /// Entries that a denial makes void, and denials that close nothing, or less than they seem to.
  ///
  /// - Parameter above: of a server that is denied what layers deny, and nothing else; nil where they deny nothing.
  static func checkDenials(_ server: ServerPolicy, above: PolicySnapshot?, _ findings: inout [Diagnostic]) {
    let lists = [server.rules, server.denials, server.layers?.denials ?? []]
    if lists.reduce(0, { $0 + $1.innerWildcards.count }) > maximumInnerWildcards {
      checkInnerWildcards(server.compiled, &findings)
    }
    checkDeniedNetworks(server, &findings)
    guard server.deniesNames else { return }
    checkVoid(server, above, &findings)
    guard server.rules.count * (lists[1].count + lists[2].count) <= maximumPairs else { return }
    let denials = Array(lists[1]) + Array(lists[2])
    let listed = server.rules.map { (rule: $0, shape: PatternShape($0.pattern)) }
    let shapes = denials.map { PatternShape($0.pattern) }
    for (denial, shape) in zip(denials, shapes) {
      // What is denied to all is so whatever they list.
      if denial.layer == nil, !listed.contains(where: { $0.shape.overlaps(shape) }) {
        findings.append(
          .warning("\(denial.pattern) denies nothing that is allowed: the entry has no effect", at: denial.location))
      }
      checkReach(denial, listed, shapes, &findings)
    }
  }

  /// What layers deny, compiled once for all servers.
  static func above(_ servers: [ServerPolicy]) -> PolicySnapshot? {
    guard var server = servers.last, let layers = server.layers, !layers.denials.isEmpty else { return nil }
    server = server.reaching([], [])
    server.denials = []
    return PolicySnapshot([server])
  }

  /// Each server has them in its rules of the firewall.
  package static let maximumDeniedNetworks = 1024

  private static func checkDeniedNetworks(_ server: ServerPolicy, _ findings: inout [Diagnostic]) {
    let denials = server.prefixDenials
    guard let last = denials.last else { return }
    let networks = server.deniedNetworks
    if networks.count > maximumDeniedNetworks {
      findings.append(
        .error(
          "server \(server.name) is denied \(networks.count) networks, expected at most \(maximumDeniedNetworks)",
          at: last.location))
    }
    for denial in denials where denial.prefix.length == 0 {
      findings.append(.warning("\(denial.text) denies every address of its family", at: denial.location))
    }
    for rule in server.prefixes {
      guard
        let denial = denials.first(where: {
          $0.prefix.length <= rule.prefix.length && $0.prefix.contains(rule.prefix.address)
        })
      else { continue }
      findings.append(
        .warning(
          "\(rule.prefix) is denied by \(denial.text) at \(denial.location.full): the entry has no effect",
          at: rule.location))
    }
  }

  private static func checkVoid(_ server: ServerPolicy, _ above: PolicySnapshot?, _ findings: inout [Diagnostic]) {
    var own = server.reaching([], [])
    own.layers = nil
    let tables = (own.denials.isEmpty ? [] : [PolicySnapshot([own])]) + (above.map { [$0] } ?? [])
    for index in server.rules.indices {
      for table in tables {
        guard let denial = table.denial(ofRule: index, in: server.rules) else { continue }
        let pattern = server.rules.pattern(at: index)
        guard denial.pattern.coversAll(of: pattern) else { continue }
        findings.append(
          .warning(
            "\(pattern) is denied by \(denial.pattern) at \(denial.location.full): the entry has no effect",
            at: server.rules.location(at: index)))
        break
      }
    }
  }

  /// `*.x` and `**.x` leave `x` itself alone, and `*.x` what has more labels.
  private static func checkReach(
    _ denial: EgressRule, _ listed: [(rule: EgressRule, shape: PatternShape)], _ denied: [PatternShape],
    _ findings: inout [Diagnostic]
  ) {
    let pattern = denial.pattern
    guard pattern.kind == .oneLabel || pattern.kind == .anyLabels else { return }
    let apex = PatternShape(NamePattern(kind: pattern.hasInnerWildcard ? .labels : .exact, suffix: pattern.suffix))
    if !denied.contains(where: { $0.covers(apex) }), let rule = listed.first(where: { $0.shape.overlaps(apex) })?.rule {
      findings.append(
        .warning(
          "\(pattern) does not deny \(pattern.suffix) itself, which \(rule.location.full) allows (\(rule.pattern)); "
            + "\".\(pattern.suffix)\" denies it too", at: denial.location))
    }
    guard pattern.kind == .oneLabel else { return }
    let deeper = apex.below(labels: 2)
    guard !denied.contains(where: { $0.covers(deeper) }),
      let rule = listed.first(where: { $0.shape.front != .none && $0.shape.overlaps(deeper) })?.rule
    else { return }
    findings.append(
      .warning(
        "\(pattern) denies one label in front of \(pattern.suffix) and no more, and \(rule.location.full) allows more "
          + "(\(rule.pattern)); \"**.\(pattern.suffix)\" denies them too", at: denial.location))
  }
}

extension PolicySnapshot {
  /// What the first server is denied a sample of a rule's names by.
  fileprivate func denial(ofRule index: Int, in rules: RuleList) -> EgressRule? {
    let entry = rules.entries[index]
    let start = Int(entry.nameStart)
    let names = rules.names.span
    let verdict: Verdict
    if entry.kind == .exact {
      // Of a million names none is copied for this.
      verdict = decide(server: 0, name: names.extracting(start..<(start + Int(entry.nameLength))), type: .A)
    } else {
      let sample = rules.pattern(at: index).sample
      verdict = decide(server: 0, name: sample.span, type: .A)
    }
    guard case .denied(let rule) = verdict else { return nil }
    return self.rule(server: 0, index: rule)
  }
}
