import DNSWire
import IPNetwork
import Testing

@testable import EgressPolicy

@Suite struct PolicySnapshotTests {
  @Test("a listed name is allowed for its types only, and an unlisted name not at all")
  func listedName() throws {
    let snapshot = PolicySnapshot([try server(["api.github.com"])])
    #expect(snapshot.verdict("api.github.com") == .allowed(rule: 0))
    #expect(snapshot.verdict("api.github.com", type: .AAAA) == .allowed(rule: 0))
    #expect(snapshot.verdict("api.github.com", type: .TXT) == .typeNotAllowed(rule: 0))
    #expect(snapshot.verdict("evil.example.com") == .notListed)
    #expect(snapshot.verdict("evil.example.com", type: .TXT) == .notListed)
  }

  @Test("an empty list denies everything")
  func emptyList() throws {
    let snapshot = PolicySnapshot([try server([String]())])
    #expect(snapshot.verdict("api.github.com") == .notListed)
    #expect(snapshot.verdict([String]()) == .notListed)
    #expect(PolicySnapshot([]).verdict("api.github.com") == .notListed)
  }

  @Test("the root and a server that does not exist are never allowed")
  func rootAndBadServer() throws {
    let snapshot = PolicySnapshot([try server(["**.example.com", "example.com"])])
    #expect(snapshot.decide(server: 0, name: [0].span, type: .A) == .notListed)
    #expect(snapshot.verdict("example.com", server: 1) == .notListed)
    #expect(snapshot.verdict("example.com", server: -1) == .notListed)
  }

  @Test("a pattern over the root, which no file can have, admits nothing")
  func overRoot() throws {
    for kind in [NamePattern.Kind.exact, .oneLabel, .anyLabels, .subtree, .labels] {
      let rule = EgressRule(pattern: NamePattern(kind: kind, suffix: .root), location: location())
      let snapshot = PolicySnapshot([try server(rules: [rule])])
      #expect(snapshot.verdict("com") == .notListed && snapshot.verdict([String]()) == .notListed)
    }
  }

  @Test("no pattern matches what is no name: a label of 64 octets, more than 255 octets")
  func noNames() throws {
    let label = { (count: Int) in String(repeating: "a", count: count) }
    let snapshot = PolicySnapshot([try server(["**.example.com", "**.\(label(63))"])])
    #expect(snapshot.verdict([label(63), "example", "com"]) == .allowed(rule: 0))
    #expect(snapshot.verdict([label(64), "example", "com"]) == .notListed)
    #expect(snapshot.verdict([label(60), label(62), label(63), label(63)]) == .allowed(rule: 1))
    #expect(snapshot.verdict([label(63), label(63), label(62), label(40), label(63)]) == .notListed)
  }

  @Test("* stands for exactly one label and never for the apex")
  func oneLabel() throws {
    let snapshot = PolicySnapshot([try server(["*.example.com"])])
    #expect(snapshot.verdict("a.example.com") == .allowed(rule: 0))
    #expect(snapshot.verdict("example.com") == .notListed)
    #expect(snapshot.verdict("b.a.example.com") == .notListed)
  }

  @Test("** stands for one label or more and never for the apex")
  func anyLabels() throws {
    let snapshot = PolicySnapshot([try server(["**.example.com"])])
    #expect(snapshot.verdict("a.example.com") == .allowed(rule: 0))
    #expect(snapshot.verdict("c.b.a.example.com") == .allowed(rule: 0))
    #expect(snapshot.verdict("example.com") == .notListed)
  }

  @Test(
    "a suffix ends at a label: look-alikes are denied",
    arguments: [
      "evilgithub.com", "github.com.evil.com", "xgithub.com", "a.xgithub.com", "github.com", "com", "github.co",
    ])
  func suffixConfusion(name: String) throws {
    let snapshot = PolicySnapshot([try server(["*.github.com", "**.github.com"])])
    #expect(snapshot.verdict(name) == .notListed)
  }

  @Test("labels are compared as wire labels: dots and NUL inside a label match nothing")
  func labelsNotText() throws {
    let snapshot = PolicySnapshot([try server(["api.github.com", "**.example.com"])])
    #expect(snapshot.verdict(["api.github.com"]) == .notListed)
    #expect(snapshot.verdict(["api.github", "com"]) == .notListed)
    #expect(snapshot.verdict(["api", "github.com"]) == .notListed)
    #expect(snapshot.verdict(["x.example", "com"]) == .notListed)
    #expect(snapshot.verdict(["api", "github", "com\0", "evil", "com"]) == .notListed)
    #expect(snapshot.verdict(["api", "github", "com\0"]) == .notListed)
    // A label whose text is the wire form of the listed suffix: octets agree from some offset on, labels do not.
    #expect(snapshot.verdict(["x\u{7}example\u{3}com"]) == .notListed)
  }

  @Test(
    "octets that are no single name match nothing and do not trap",
    arguments: [
      [], [3, 0x63, 0x6F, 0x6D], [3, 0x63, 0x6F, 0x6D, 0, 0], [64], [0xC0, 0x0C], [1], [0, 1],
      Array(repeating: 1, count: 300), Array(repeating: 0, count: 300),
    ])
  func malformedNames(octets: [UInt8]) throws {
    let snapshot = PolicySnapshot([try server(["**.com", "com"])])
    #expect(snapshot.decide(server: 0, name: octets.span, type: .A) == .notListed)
  }

  @Test("a name of 127 labels is decided like any other")
  func deepName() throws {
    let snapshot = PolicySnapshot([try server(["**.a.a", "*.b.b"])])
    #expect(snapshot.verdict(Array(repeating: "a", count: 127)) == .allowed(rule: 0))
    #expect(snapshot.verdict(Array(repeating: "b", count: 127)) == .notListed)
  }

  @Test("the most specific pattern decides: exact, then more labels, then * before **")
  func mostSpecific() throws {
    let patterns = ["**.example.com", "*.example.com", "**.a.example.com", "x.a.example.com", "y.example.com"]
    let snapshot = PolicySnapshot([try server(patterns)])
    #expect(snapshot.verdict("x.a.example.com") == .allowed(rule: 3))
    #expect(snapshot.verdict("z.a.example.com") == .allowed(rule: 2))
    #expect(snapshot.verdict("y.example.com") == .allowed(rule: 4))
    #expect(snapshot.verdict("z.example.com") == .allowed(rule: 1))
    #expect(snapshot.verdict("z.b.example.com") == .allowed(rule: 0))
  }

  @Test("a leading dot is the name itself and all below it, and what says less of either decides instead")
  func subtree() throws {
    let alone = PolicySnapshot([try server([".example.com"])])
    for name in ["example.com", "a.example.com", "c.b.a.example.com"] {
      #expect(alone.verdict(name) == .allowed(rule: 0))
    }
    for name in ["xexample.com", "com", "example.com.net"] { #expect(alone.verdict(name) == .notListed) }
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
      let patterns = [".example.com", "example.com", "**.example.com"]
      let snapshot = PolicySnapshot([try server(order.map { patterns[$0] })])
      #expect(snapshot.verdict("example.com") == .allowed(rule: order.firstIndex(of: 1)!))
      #expect(snapshot.verdict("a.example.com") == .allowed(rule: order.firstIndex(of: 2)!))
    }
  }

  @Test("* stands for one octet at least, in every place, and never for a dot")
  func inner() throws {
    let snapshot = PolicySnapshot([
      try server(["eu-*-1.example.com", "*.s3.*.example.com", "*-ai.example.net", "b*.example.org"])
    ])
    for name in [
      "eu-x-1.example.com", "eu---1.example.com", "a.s3.b.example.com", "a-ai.example.net", "bc.example.org",
    ] {
      guard case .allowed = snapshot.verdict(name) else {
        Issue.record("\(name)")
        continue
      }
    }
    for name in [
      "eu--1.example.com", "eu-1.example.com", "eu-x.y-1.example.com", "s3.b.example.com", "a.s3.example.com",
      "-ai.example.net",
      "a.s3.b.c.example.com", "c.a.s3.b.example.com", "b.example.org", "a.bc.example.org", "ai.example.net",
    ] { #expect(snapshot.verdict(name) == .notListed, "\(name)") }
    #expect(snapshot.verdict(["a\0", "s3", "b.c", "example", "com"]) == .allowed(rule: 1))
  }

  @Test("entries of one pattern add up, wherever it holds its wildcard")
  func repeated() throws {
    for pattern in [".example.com", "a*.example.com", "*.s3.*.example.com", ".a*.example.com", "**.example.com"] {
      let rules = [try rule(pattern), try rule(pattern, ports: .any), try rule(pattern, types: [.TXT])]
      let snapshot = PolicySnapshot([try server(rules: rules)])
      #expect(snapshot.nameCount == 1 && snapshot.effectiveRules(server: 0) == [0])
      for name in try NamePattern(pattern).examples.matching {
        #expect(snapshot.verdict(name.description, type: .TXT) == .allowed(rule: 0), "\(name) by \(pattern)")
      }
      #expect(snapshot.rule(server: 0, index: 0).ports == .any)
    }
  }

  @Test("a more specific rule that does not allow the type is not widened by a general one")
  func specificTypeWins() throws {
    let snapshot = PolicySnapshot([
      try server(rules: [try rule("*.example.com", types: [.A, .TXT]), try rule("a.example.com", types: [.A])])
    ])
    #expect(snapshot.verdict("a.example.com", type: .TXT) == .typeNotAllowed(rule: 1))
    #expect(snapshot.verdict("b.example.com", type: .TXT) == .allowed(rule: 0))
  }

  @Test("of entries of one pattern the stricter `cname` holds, and the fingerprint tells it")
  func chains() throws {
    func policy(_ chains: ChainPolicy...) throws -> PolicySnapshot {
      let pattern = try NamePattern("a.example.com")
      return PolicySnapshot([
        try server(rules: chains.map { EgressRule(pattern: pattern, cname: $0, location: location()) })
      ])
    }
    #expect(try policy(.listed, .strict).rule(server: 0, index: 0).cname == .strict)
    #expect(try policy(.listed, .follow).rule(server: 0, index: 0).cname == .listed)
    #expect(try policy(.listed).fingerprint != policy(.follow).fingerprint)
    #expect(try policy(.follow).fingerprint == PolicySnapshot([server(["a.example.com"])]).fingerprint)
  }

  @Test("a list whose chains are looked at has a mark, by its patterns alone")
  func marks() throws {
    func mark(_ names: [String], _ cname: ChainPolicy = .listed, ports: PortSet = .https) throws -> UInt32 {
      let rules = try names.map {
        EgressRule(pattern: try NamePattern($0), ports: ports, cname: cname, location: location())
      }
      return PolicySnapshot([try server(rules: rules)]).listMark(server: 0)
    }
    let names = ["a.example.com", "*.b.example.com"]
    let own = try mark(names)
    #expect(own != 0 && own < 1 << 28)
    #expect(try mark(names.reversed()) == own && mark(names, ports: .any) == own)
    for others in [["a.example.com"], ["a.example.com", "**.b.example.com"], names + ["c.example.com"]] {
      #expect(try mark(others) != own, "\(others)")
    }
    #expect(try mark(names, .follow) == 0 && mark(names, .strict) == 0)
  }

  @Test("entries of one pattern merge: ports, types and private prefixes add up, the first location stays")
  func merging() throws {
    let ssh = PortSet([PortRule(22, .tcp)])
    let ten = try IPPrefix.parse("10.0.0.0/8")
    let snapshot = PolicySnapshot([
      try server(rules: [
        try rule("a.example.com", line: 3), try rule("b.example.com", line: 4),
        try rule("A.example.com.", ports: ssh, types: [.TXT], private: [ten], line: 5),
      ])
    ])
    #expect(snapshot.verdict("a.example.com", type: .TXT) == .allowed(rule: 0))
    let merged = snapshot.rule(server: 0, index: 0)
    #expect(merged.ports == PortSet([PortRule(22, .tcp), PortRule(443, .tcp)]))
    #expect(merged.types == [.A, .AAAA, .TXT])
    #expect(merged.privatePrefixes == [ten])
    #expect(merged.location == location(3))
    #expect(snapshot.rule(server: 0, index: 1).types == [.A, .AAAA])
    #expect(snapshot.effectiveRules(server: 0) == [0, 1])
    #expect(snapshot.nameCount == 2, "a name that is listed twice is one")
  }

  @Test("servers do not share rules")
  func serversApart() throws {
    let snapshot = PolicySnapshot([
      try server("one", ["a.example.com"]),
      try server("two", networks: ["10.77.2.0/24"], ["*.example.com", "b.example.com"]),
    ])
    #expect(snapshot.verdict("a.example.com", server: 0) == .allowed(rule: 0))
    #expect(snapshot.verdict("b.example.com", server: 0) == .notListed)
    #expect(snapshot.verdict("a.example.com", server: 1) == .allowed(rule: 0))
    #expect(snapshot.verdict("b.example.com", server: 1) == .allowed(rule: 1))
    #expect(snapshot.server(named: "two") == 1)
    #expect(snapshot.server(named: "three") == nil)
  }

  @Test("the longest prefix over all servers names the server, mapped IPv4 sources included")
  func longestPrefix() throws {
    let snapshot = PolicySnapshot([
      try server("wide", networks: ["10.0.0.0/8", "fd00::/16"]),
      try server("narrow", networks: ["10.77.1.0/24", "fd00:77:1::/64"]),
      try server("host", networks: ["10.77.1.7/32"]),
    ])
    func found(_ text: String) throws -> Int? { snapshot.clients.server(of: try #require(IPAddress(text))) }
    #expect(try found("10.1.2.3") == 0)
    #expect(try found("10.77.1.6") == 1)
    #expect(try found("10.77.1.7") == 2)
    #expect(try found("::ffff:10.77.1.7") == 2)
    #expect(try found("11.0.0.1") == nil)
    #expect(try found("fd00:77:1::5") == 1)
    #expect(try found("fd00:78::5") == 0)
    #expect(try found("::10.77.1.7") == nil)
  }
}
