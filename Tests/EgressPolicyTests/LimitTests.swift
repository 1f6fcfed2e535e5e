import DNSWire
import IPNetwork
import Testing

@testable import EgressPolicy

@Suite struct LimitTests {
  private func rule(
    _ pattern: String, ports: PortSet = .https, max: ByteBound? = nil, hour: ByteBound? = nil, until: UInt64? = nil,
    line: Int = 1
  ) throws -> EgressRule {
    EgressRule(
      pattern: try NamePattern(pattern), ports: ports, maxBytes: max, maxBytesPerHour: hour, until: until,
      location: location(line))
  }

  private func prefix(max: ByteBound? = nil, until: UInt64? = nil) throws -> StaticPrefixRule {
    StaticPrefixRule(prefix: try IPPrefix.parse("198.51.100.0/24"), maxBytes: max, until: until, location: location(9))
  }

  @Test("a rule keeps its caps and its end, in the list and in the snapshot")
  func kept() throws {
    let rules = [try rule("a.example.com", max: 1, hour: 2, until: 3), try rule("b.example.com")]
    #expect(Array(RuleList(rules)) == rules)
    let snapshot = PolicySnapshot([try server(rules: rules)])
    #expect(snapshot.rule(server: 0, index: 0) == rules[0])
  }

  @Test("where entries of a pattern meet, the smaller caps and the later end hold")
  func merged() throws {
    let snapshot = PolicySnapshot([
      try server(rules: [
        try rule("a.example.com", max: 10, hour: nil, until: 5), try rule("a.example.com", max: 7, hour: 9, until: 8),
        try rule("b.example.com", until: 5), try rule("b.example.com", max: 4),
        try rule("c.example.com", max: 9), try rule("c.example.com", max: ByteBound(4, .audit)),
      ])
    ])
    let first = snapshot.rule(server: 0, index: 0)
    #expect(first.maxBytes == 7 && first.maxBytesPerHour == 9 && first.until == 8)
    let second = snapshot.rule(server: 0, index: 2)
    #expect(second.maxBytes == 4 && second.maxBytesPerHour == nil && second.until == nil)
    // Neither bound is undone: what one refuses is refused, and no later than the other tells.
    #expect(snapshot.rule(server: 0, index: 4).maxBytes == 4)
  }

  @Test("a rule is in force before its end, and not from then on")
  func inForce() throws {
    let policy = try server(
      rules: [
        try rule("a.example.com", ports: .any, until: 100, line: 3), try rule("a.example.com", max: 5, line: 4),
        try rule("b.example.com", hour: 6, until: 200, line: 5),
      ], prefixes: [try prefix(until: 150), try prefix()])
    #expect(policy.inForce(at: 99).rules.count == 3 && policy.inForce(at: 99).prefixes.count == 2)
    let later = policy.inForce(at: 100)
    #expect(later.rules.map(\.location.line) == [4, 5])
    #expect(later.rules.map(\.pattern.description) == ["a.example.com", "b.example.com"])
    #expect(later.rules[0].ports == .https && later.rules[0].maxBytes == 5 && later.rules[1].until == 200)
    #expect(policy.inForce(at: 150).prefixes.count == 1)
    let last = policy.inForce(at: 200)
    #expect(last.rules.count == 1 && last.hourCaps == [] && last.connectionCaps == [5])
    #expect(PolicySnapshot([last]).verdict("a.example.com") == .allowed(rule: 0))
    #expect(PolicySnapshot([last]).verdict("b.example.com") == .notListed)
  }

  @Test("the next end is the first that is still to come")
  func nextEnd() throws {
    let policy = try server(
      rules: [try rule("a.example.com", until: 100), try rule("b.example.com", until: 200)],
      prefixes: [try prefix(until: 150)])
    #expect(policy.nextEnd(after: 0) == 100 && policy.nextEnd(after: 99) == 100 && policy.nextEnd(after: 100) == 150)
    #expect(policy.nextEnd(after: 150) == 200 && policy.nextEnd(after: 200) == nil)
    #expect(policy.inForce(at: 120).nextEnd(after: 0) == 150)
    #expect(try server(["a.example.com"]).nextEnd(after: 0) == nil)
  }

  @Test("the caps of a server are distinct and ascending, what only tells before what refuses")
  func caps() throws {
    let policy = try server(
      rules: [
        try rule("a.example.com", max: 9, hour: 3), try rule("b.example.com", max: 2),
        try rule("c.example.com", max: 9),
      ], prefixes: [try prefix(max: 77)])
    #expect(policy.connectionCaps == [2, 9] && policy.hourCaps == [3])
    let told = try server(rules: [
      try rule("a.example.com", max: 2), try rule("b.example.com", max: ByteBound(9, .audit)),
    ])
    #expect(told.byteCaps.map(\.bytes) == [9, 2] && policy.byteCaps.map(\.bytes) == [2, 9, 3])
  }

  @Test("every limit changes the fingerprint, the end of a merged entry too")
  func fingerprint() throws {
    func print(_ rules: [EgressRule], _ prefixes: [StaticPrefixRule] = []) throws -> String {
      PolicySnapshot([try server(rules: rules, prefixes: prefixes)]).fingerprint
    }
    let prints = [
      try print([try rule("a.example.com")]), try print([try rule("a.example.com", max: 5)]),
      try print([try rule("a.example.com", hour: 5)]), try print([try rule("a.example.com", until: 5)]),
      try print([try rule("a.example.com", max: 6)]), try print([try rule("a.example.com", max: ByteBound(6, .audit))]),
      try print([try rule("a.example.com"), try rule("a.example.com", until: 5)]),
      try print([try rule("a.example.com"), try rule("a.example.com", until: 6)]),
      try print([], [try prefix()]), try print([], [try prefix(max: 5)]), try print([], [try prefix(until: 5)]),
    ]
    #expect(Set(prints).count == prints.count)
    #expect(try print([try rule("a.example.com"), try rule("a.example.com")]) == prints[0])
    let ordered = [try rule("a.example.com", until: 5), try rule("b.example.com", max: 5)]
    #expect(try print(ordered) == print(ordered.reversed()))
  }

  // MARK: - Findings

  @Test("a rule whose time is over is warned about, one that is not is not")
  func over() throws {
    let policy = try server(
      rules: [try rule("a.example.com", until: 86_400, line: 3), try rule("b.example.com", until: 86_401, line: 4)],
      prefixes: [try prefix(until: 1), try prefix(until: 86_401), try prefix()])
    #expect(
      PolicyLinter.check([policy], now: 86_400).map(\.description) == [
        "policy.yaml:3:5: warning: a.example.com ended at 1970-01-02T00:00:00Z: the entry admits nothing",
        "policy.yaml:9:5: warning: 198.51.100.0/24 ended at 1970-01-01T00:00:01Z: the entry opens nothing",
      ])
  }

  @Test("fifteen distinct caps are a server's most, counted over both kinds")
  func tooMany() throws {
    let fifteen = try (0..<29).map { number in
      let bound = ByteBound(UInt64(number / 4))
      return number % 2 == 0
        ? try rule("n\(number).example.com", max: bound, line: number)
        : try rule("n\(number).example.com", hour: bound, line: number)
    }
    #expect(PolicyLinter.check([try server(rules: fifteen)]) == [])
    let more =
      fifteen + [try rule("more.example.com", hour: 5, line: 50), try rule("x.example.com", hour: 99, line: 51)]
    #expect(
      PolicyLinter.check([try server(rules: more)]).map(\.description) == [
        "policy.yaml:51:5: error: server mcp has 16 different max-bytes and max-bytes-per-hour, expected at most 15"
      ])
  }

  @Test("other caps for a pattern that stands already are warned about")
  func otherCaps() throws {
    let rules = [
      try rule("a.example.com", max: 5, line: 3), try rule("a.example.com", max: 5, line: 4),
      try rule("a.example.com", line: 5), try rule("b.example.com", line: 6),
    ]
    #expect(
      PolicyLinter.check([try server(rules: rules)]).map(\.description) == [
        "policy.yaml:5:5: warning: a.example.com stands already at policy.yaml:3:5 with other caps: "
          + "the smaller ones hold"
      ])
    let other = try [rule("a.example.com", max: ByteBound(5, .audit), line: 3), rule("a.example.com", max: 9, line: 4)]
    #expect(
      PolicyLinter.check([try server(rules: other)]).map(\.description) == [
        "policy.yaml:4:5: warning: a.example.com stands already at policy.yaml:3:5 with other caps: "
          + "the smaller ones hold, and block"
      ])
  }
}
