/// The proxies that connections have to go through.
extension PolicyLinter {
  /// Each has a rule in the firewall; a host runs a few.
  package static let maximumInspectors = 64

  static func checkInspectors(_ servers: [ServerPolicy], _ findings: inout [Diagnostic]) {
    let all = Set(servers.flatMap(\.inspectors))
    if all.count > maximumInspectors, let last = servers.last(where: { !$0.inspectors.isEmpty }) {
      findings.append(
        .error("\(all.count) inspectors, expected at most \(maximumInspectors) over all servers", at: last.location))
    }
    for server in servers where server.inspectors.count > 1 { checkInspectors(server.rules, &findings) }
  }

  /// Entries of one name are one rule, whose connections can go to one proxy alone.
  private static func checkInspectors(_ rules: RuleList, _ findings: inout [Diagnostic]) {
    var first: [NamePattern: (inspector: Inspector, location: SourceLocation)] = [:]
    for index in rules.indices {
      guard let inspector = rules.profiles[Int(rules.entries[index].profile)].check?.inspector else { continue }
      let pattern = rules.pattern(at: index)
      if let other = first[pattern], other.inspector != inspector {
        findings.append(
          .error(
            "\(pattern) is inspected by \(inspector) here and by \(other.inspector) at \(other.location.full), expected one",
            at: rules.location(at: index)))
      } else if first[pattern] == nil {
        first[pattern] = (inspector, rules.location(at: index))
      }
    }
  }
}
