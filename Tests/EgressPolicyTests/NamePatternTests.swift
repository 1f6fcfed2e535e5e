import DNSWire
import Testing

@testable import EgressPolicy

@Suite struct NamePatternTests {
  @Test(
    "case and a trailing dot do not matter",
    arguments: [
      ("API.GitHub.com", "api.github.com"), ("api.github.com.", "api.github.com"), ("*.Example.com", "*.example.com"),
      ("**.example.com.", "**.example.com"), ("_dmarc.example.com", "_dmarc.example.com"),
    ])
  func canonical(text: String, expected: String) throws {
    #expect(try NamePattern(text).description == expected)
    #expect(try NamePattern(text) == NamePattern(expected))
  }

  @Test(
    "what is no host name and no leftmost wildcard is refused",
    arguments: [
      "", ".", "*", "**", "*.", "**.", "***.example.com", "a.*.com", "a*.example.com", "*a.example.com",
      "*.*.example.com",
      "*.**.example.com", "a..b", ".a.b", "*..b", "a b.com", "a\u{0}.com", "b\u{FC}cher.example", "a\\.b.com",
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
      ("*.*.example.com", .misplacedWildcard), ("a.*.com", .misplacedWildcard), ("1.2.3", .address),
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
      try rule("**.example.com", types: [.HTTPS], line: 3), try rule("b.example.com"),
      EgressRule(
        pattern: try NamePattern("c.example.com"), location: SourceLocation(file: "other.yaml", line: 7, column: 3)),
    ]
    #expect(Array(RuleList(rules)) == rules)
  }
}
