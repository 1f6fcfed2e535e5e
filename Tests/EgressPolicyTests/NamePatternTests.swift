import DNSWire
import Testing

@testable import EgressPolicy

@Suite struct NamePatternTests {
  @Test(
    "case and a trailing dot do not matter",
    arguments: [
      ("API.GitHub.com", "api.github.com"), ("api.github.com.", "api.github.com"), ("*.Example.com", "*.example.com"),
      ("**.example.com.", "**.example.com"), ("_dmarc.example.com", "_dmarc.example.com"),
      (".Example.com", ".example.com"), ("*.S3.*.example.com.", "*.s3.*.example.com"),
      ("EU-*.example.com", "eu-*.example.com"),
      (".*.example.com", "**.example.com"), (".a*.example.com", ".a*.example.com"),
      ("**.a.*.example.com", "**.a.*.example.com"),
    ])
  func canonical(text: String, expected: String) throws {
    #expect(try NamePattern(text).description == expected)
    #expect(try NamePattern(text) == NamePattern(expected))
  }

  @Test(
    "what is no host name and no pattern is refused",
    arguments: [
      "", ".", "*", "**", "*.", "**.", "***.example.com", "a.*", "a.b*", "*.*", "a*b*.example.com", "**a.example.com",
      "a.**.example.com", ".**.example.com", "*.**.example.com", "a..b", "..a.b", ".", "..", "*..b", "a b.com",
      "a\u{0}.com", "b\u{FC}cher.example", "a\\.b.com",
      "a;b.com",
      "a{b}.com", "\"a\".com", "10.0.0.1", "1.2.3", "https://a.com", "a.com:443", "a.com/x",
    ])
  func refused(text: String) {
    #expect(throws: NamePatternError.self) { try NamePattern(text) }
  }

  @Test("a refusal says what is wrong")
  func reasons() {
    let wrong: [(String, NamePatternError)] = [
      ("", .empty), (".", .root), ("*", .coversEverything), ("**", .coversEverything), ("**.", .coversEverything),
      ("*.**.example.com", .misplacedDoubleWildcard), ("a*b*.com", .wildcardsInOneLabel), ("1.2.3", .address),
      ("a.*", .topLevelWildcard), ("*.*", .coversEverything), ("..", .root), ("..a.b", .name(.emptyLabel)),
      (String(repeating: "*.a.", count: 10) + "com", .tooManyWildcards),
      ("a b.com", .name(.character(1))),
    ]
    for (text, reason) in wrong {
      let error = #expect(throws: NamePatternError.self) { try NamePattern(text) }
      #expect(error?.reason == reason.reason, "\(text)")
    }
  }

  @Test("labels are at most 63 octets, names at most 255")
  func limits() throws {
    let label = String(repeating: "a", count: 63)
    _ = try NamePattern("\(label).com")
    #expect(throws: NamePatternError.self) { try NamePattern("\(label)a.com") }
    _ = try NamePattern([label, label, label, String(repeating: "a", count: 61)].joined(separator: "."))
    #expect(throws: NamePatternError.self) { try NamePattern([label, label, label, label].joined(separator: ".")) }
  }
}

@Suite struct PatternShapeTests {
  private func shape(_ text: String) throws -> PatternShape { PatternShape(try NamePattern(text)) }

  @Test(
    "a pattern covers what it matches all names of",
    arguments: [
      ("*.example.com", "a.example.com"), ("**.example.com", "*.example.com"), ("**.example.com", "a.*.example.com"),
      (".example.com", "example.com"), (".example.com", "**.example.com"), ("a*.example.com", "ab.example.com"),
      ("a*.example.com", "ab*c.example.com"), ("*.example.com", "a*c.example.com"),
      ("*.*.example.com", "a*.b.example.com"),
      ("**.a*.example.com", "**.b.aa.example.com"), (".a*.example.com", "x.aa.example.com"),
    ])
  func covers(wide: String, narrow: String) throws {
    let (wide, narrow) = (try shape(wide), try shape(narrow))
    #expect(wide.covers(narrow) && !narrow.covers(wide) && wide.overlaps(narrow) && narrow.overlaps(wide))
    #expect(narrow.isMoreSpecific(than: wide) && !wide.isMoreSpecific(than: narrow))
  }

  @Test(
    "patterns with some names in common cover neither",
    arguments: [
      ("a*.example.com", "*a.example.com"), ("*.b.example.com", "a.*.example.com"), ("*.example.com", ".a.example.com"),
      ("**.a*.example.com", "b.*.example.com"),
    ])
  func overlaps(one: String, other: String) throws {
    let (one, other) = (try shape(one), try shape(other))
    #expect(!one.covers(other) && !other.covers(one) && one.overlaps(other) && other.overlaps(one))
    #expect(one.isMoreSpecific(than: other) != other.isMoreSpecific(than: one))
  }

  @Test(
    "patterns without a name in common do not overlap",
    arguments: [
      ("a*.example.com", "a.example.com"), ("a*.example.com", "b*.example.com"), ("**.example.com", "example.com"),
      ("*.example.com", "*.*.example.com"), ("a.*.example.com", "b.*.example.com"),
      ("*a.example.com", "*b.example.com"),
    ])
  func disjoint(one: String, other: String) throws {
    #expect(try !shape(one).overlaps(shape(other)) && !shape(other).overlaps(shape(one)))
  }

  @Test(
    "a pattern matches its examples, and what looks like them it does not",
    arguments: [
      "*.example.com", "**.example.com", ".example.com", "eu-*.example.com", "*-ai.example.com", "*.s3.*.example.com",
      "a.*.example.com", "**.a*.example.com", ".a*b.example.com", "**.*.example.com", "*.*.example.com",
      ".*.a.*.example.com",
    ])
  func examples(text: String) throws {
    let pattern = try NamePattern(text)
    let snapshot = PolicySnapshot([try server([text])])
    let (matching, others) = pattern.examples
    #expect(!matching.isEmpty && !others.isEmpty)
    for name in matching { #expect(snapshot.verdict(name.description) == .allowed(rule: 0), "\(name)") }
    for name in others { #expect(snapshot.verdict(name.description) == .notListed, "\(name)") }
  }

  @Test("a name has no examples")
  func noExamples() throws {
    let (matching, others) = try NamePattern("example.com").examples
    #expect(matching.isEmpty && others.isEmpty)
  }
}

@Suite struct ServerNameTests {
  @Test("names that nft can take are accepted", arguments: ["github-mcp", "a", "a_b-c9", "settings", "filesystem"])
  func accepted(text: String) throws {
    #expect(try ServerName(text).text == text)
    #expect(try ServerName(String(repeating: "a", count: 63)).text.count == 63)
  }

  @Test(
    "names that nft could misread are refused",
    arguments: [
      "", "9a", "-a", "_a", "A", "aB", "a.b", "a b", "a;b", "a{", "a\n", "\u{E9}", "set", "counter", "accept", "drop",
      "filter", "forward", "ip6", String(repeating: "a", count: 64),
    ])
  func refused(text: String) {
    #expect(throws: ServerNameError.self) { try ServerName(text) }
  }
}

@Suite struct PortSetTests {
  @Test("ports read and print as number/transport")
  func text() {
    #expect(PortRule("443/tcp") == PortRule(443, .tcp))
    #expect(PortRule("53/udp")?.description == "53/udp")
    for text in ["", "443", "0/tcp", "65536/tcp", "443/sctp", "0443/tcp", "+443/tcp", "443/tcp/udp", " 443/tcp"] {
      #expect(PortRule(text) == nil, "\(text)")
    }
  }

  @Test("a union with any is any; others add up in order and once")
  func union() {
    let left = PortSet([PortRule(443, .tcp), PortRule(53, .udp)])
    let right = PortSet([PortRule(443, .tcp), PortRule(53, .tcp)])
    #expect(left.union(.any) == .any)
    #expect(PortSet.any.union(left) == .any)
    #expect(left.union(right).description == "53/tcp, 53/udp, 443/tcp")
  }
}

@Suite struct RuleListTests {
  @Test("a list gives back every rule as it was put in")
  func roundTrip() throws {
    let rules = [
      try rule("a.example.com"), try rule("*.example.com", ports: .any, line: 70_000),
      try rule("**.example.com", types: [.HTTPS], line: 3), try rule("b.example.com"), try rule(".c*.example.com"),
      EgressRule(
        pattern: try NamePattern("c.example.com"), location: SourceLocation(file: "other.yaml", line: 7, column: 3)),
    ]
    #expect(Array(RuleList(rules)) == rules)
  }

  @Test("what no host is called is matched by no pattern")
  func noHost() throws {
    let pattern = try NamePattern("*.example.com")
    for (label, isMatched) in [("api", true), ("a b", false), ("a.b", false), ("*", false)] {
      let name = Name(canonical: wire([label, "example", "com"]).span)
      #expect(pattern.matches(name) == isMatched, "\(label)")
    }
  }

  @Test("of a rule without a port at which names are said nothing is checked")
  func noPorts() {
    for isWritten in [false, true] {
      #expect(NameCheck(of: PortSet([PortRule(53, .udp)]), isWritten: isWritten, hiding: .refuse) == nil)
      #expect(NameCheck(of: PortSet([PortRule(443, .tcp)]), isWritten: isWritten, hiding: .refuse) != nil)
    }
    #expect(NameCheck(of: PortSet([PortRule(80, .tcp)]), isWritten: true, hiding: .refuse) == nil)
  }
}
