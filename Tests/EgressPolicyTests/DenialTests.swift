import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import EgressPolicy

@Suite("What is denied whatever allows it")
struct DenialTests {
  private func rules(_ patterns: [String], file: String = "policy.yaml") throws -> RuleList {
    RuleList(
      try patterns.enumerated().map { index, text in
        EgressRule(
          pattern: try NamePattern(text), location: SourceLocation(file: file, line: index + 1, column: 1))
      })
  }

  private func policy(
    _ allowed: [String], denied: [String] = [], named name: String = "mcp"
  ) throws -> ServerPolicy {
    var policy = try server(name, networks: name == "mcp" ? ["10.77.1.0/24"] : ["10.77.2.0/24"], allowed)
    policy.denials = try rules(denied)
    return policy
  }

  private func layers() throws -> PolicyLayers {
    PolicyLayers([
      PolicyLayers.Layer(name: PolicyLayers.alwaysDeny, denials: try rules(["**.evil.example"], file: "sluice.yaml")),
      PolicyLayers.Layer(name: PolicyLayers.alwaysAllow, rules: try rules(["ocsp.example.org"], file: "sluice.yaml")),
      PolicyLayers.Layer(
        name: "organisation", rules: try rules(["*.example.org"], file: "org.yaml"),
        denials: try rules(["bad.example.org", "*-x.example.com"], file: "org.yaml")),
    ])
  }

  /// The pattern by which a name is denied, with its line and layer; nil where it is not denied.
  private func denial(_ name: String, _ snapshot: PolicySnapshot, server: Int = 0) -> String? {
    guard case .denied(let index) = snapshot.verdict(name, server: server) else { return nil }
    let rule = snapshot.rule(server: server, index: index)
    return "\(rule.pattern) \(rule.location)\(rule.layer.map { " \($0)" } ?? "")"
  }

  @Test("a denial wins over the more specific entry, in whichever form it is, and over none else")
  func wins() throws {
    let snapshot = PolicySnapshot([
      try policy(["api.example.com", "**.example.net", "b.example.net"], denied: ["*.example.com", ".b.example.net"]),
      try policy(["api.example.com"], named: "other"),
    ])
    #expect(denial("api.example.com", snapshot) == "*.example.com policy.yaml:1")
    #expect(denial("unlisted.example.com", snapshot) == "*.example.com policy.yaml:1")
    for name in ["b.example.net", "a.b.example.net", "a.a.b.example.net"] {
      #expect(denial(name, snapshot) == ".b.example.net policy.yaml:2", "\(name)")
    }
    #expect(snapshot.verdict("a.example.net") == .allowed(rule: 1))
    #expect(snapshot.verdict("a.example.org") == .notListed && snapshot.verdict("example.com") == .notListed)
    #expect(snapshot.verdict("api.example.com", server: 1) == .allowed(rule: 0))
    #expect(snapshot.nameCount == 4)
    #expect(snapshot.effectiveRules(server: 0) == [0, 1, 2] && snapshot.effectiveDenials(server: 0) == [3, 4])
  }

  @Test("one pattern that is allowed and denied is denied, whichever stands first, repeated or not, and of every form")
  func both() throws {
    for text in [
      "a.example.com", "*.example.com", "**.example.com", ".example.com", "*.b.*.example.com", "x*.example.com",
    ] {
      let snapshot = PolicySnapshot([try policy([text, text, "other.example.net"], denied: [text, text])])
      let name = ["a.example.com", "xa.example.com", "a.b.c.example.com"].first {
        Name(written: $0).map(NamePattern.matching(text)) ?? false
      }
      #expect(denial(try #require(name), snapshot) == "\(text) policy.yaml:1", "\(text)")
      #expect(snapshot.effectiveDenials(server: 0).count == 1 && snapshot.nameCount == 2, "\(text)")
    }
  }

  @Test("what layers deny is denied to every server, what they allow is allowed, each by its name")
  func layered() throws {
    let layers = try layers()
    let snapshot = PolicySnapshot([
      try policy(["a-x.example.com", "b.evil.example"], denied: ["c.example.org"]).under(layers),
      try policy(["bad.example.org"], named: "other").under(layers),
    ])
    for server in 0...1 {
      #expect(denial("a-x.example.com", snapshot, server: server) == "*-x.example.com org.yaml:2 organisation")
      #expect(denial("b.evil.example", snapshot, server: server) == "**.evil.example sluice.yaml:1 always-deny")
      #expect(denial("bad.example.org", snapshot, server: server) == "bad.example.org org.yaml:1 organisation")
      for (name, layer) in [("ocsp.example.org", "always-allow"), ("d.example.org", "organisation")] {
        guard case .allowed(let rule) = snapshot.verdict(name, server: server) else {
          Issue.record("\(name) of \(server)")
          continue
        }
        #expect(snapshot.rule(server: server, index: rule).layer == layer)
      }
    }
    #expect(denial("c.example.org", snapshot) == "c.example.org policy.yaml:1")
    #expect(denial("c.example.org", snapshot, server: 1) == nil)
  }

  @Test("no permit opens what is denied, and one is refused with the entry and its layer")
  func permits() throws {
    let policy = try policy(["api.example.com"], denied: ["**.example.net"]).under(try layers())
    for text in ["a.example.net", "*.example.net", "a.b.example.net"] {
      #expect(try policy.objection(to: NamePattern(text))?.contains("is denied by **.example.net") == true, "\(text)")
    }
    #expect(
      try policy.objection(to: NamePattern("bad.example.org"))?.contains("org.yaml:1, layer organisation") == true)
    #expect(try policy.objection(to: NamePattern("a.example.edu")) == nil)
    func permit(_ text: String) throws -> PermitRule {
      PermitRule(
        server: policy.name, rule: EgressRule(pattern: try NamePattern(text), until: 9, location: location()))
    }
    let permits = try ["a.example.net", "*.example.org", "**.evil.example"].map(permit)
    let snapshot = PolicySnapshot([policy.adding(permits).inForce(at: 1)])
    for name in ["a.example.net", "bad.example.org", "b.evil.example"] {
      #expect(denial(name, snapshot) != nil, "a permit opened \(name)")
    }
  }

  @Test("a permit that some names are denied of takes over from the entry that has all of them")
  func partly() throws {
    let wide = try EgressRule(pattern: NamePattern("**.example.com"), ports: .any, location: location())
    var policy = try server(rules: [wide])
    policy.denials = try rules(["*.x.example.com"])
    let permit = PermitRule(
      server: policy.name,
      rule: EgressRule(pattern: try NamePattern("**.x.example.com"), until: 9, location: location()))
    let snapshot = PolicySnapshot([policy.adding([permit])])
    #expect(denial("a.x.example.com", snapshot) != nil)
    guard case .allowed(let rule) = snapshot.verdict("a.b.x.example.com") else {
      Issue.record("not allowed")
      return
    }
    #expect(snapshot.rule(server: 0, index: rule).ports == .any)
  }

  @Test("the fingerprint, the mark and the difference tell what is denied, not where")
  func told() throws {
    let none = try policy(["a.example.com"])
    let one = try policy(["a.example.com"], denied: ["b.example.com"])
    let listed = try policy(["a.example.com", "b.example.com"])
    let layered = none.under(try layers())
    let snapshots = [none, one, listed, layered].map { PolicySnapshot([$0]) }
    #expect(Set(snapshots.map(\.fingerprint)).count == 4)
    let marks = snapshots.map { $0.denialMark(server: 0) }
    #expect(marks[0] == nil && marks[2] == nil && marks[1] != nil && marks[3] != nil && marks[1] != marks[3])
    let edited = PolicySnapshot([try policy(["c.example.com"], denied: ["b.example.com"])])
    #expect(edited.denialMark(server: 0) == marks[1], "what is listed has no part in it")
    #expect(!none.decidesLike(one) && !one.decidesLike(layered) && !none.decidesLike(layered))
    let elsewhere = none.under(
      PolicyLayers([PolicyLayers.Layer(name: "org", denials: try rules(["b.example.com"], file: "org.yaml"))]))
    #expect(PolicySnapshot([elsewhere]).fingerprint == snapshots[1].fingerprint)
    let added = PolicyDifference(from: [none], to: [one])
    #expect(added.servers.map(\.added) == [["deny: b.example.com"]] && added.addedCount == 0)
    #expect(PolicyDifference(from: [one], to: [none]).servers.map(\.removed) == [["deny: b.example.com"]])
    #expect(
      PolicyDifference(from: [none], to: [layered]).servers.map(\.added) == [
        [
          "*.example.org", "ocsp.example.org", "deny: **.evil.example", "deny: *-x.example.com",
          "deny: bad.example.org",
        ]
      ])
    #expect(PolicyDifference(from: [], to: [one]).servers.map(\.added) == [["a.example.com", "deny: b.example.com"]])
  }

  @Test(
    "an entry that a denial makes void, and a denial that closes nothing or less than it seems to, is warned about",
    arguments: [
      (["a.example.com"], ["*.example.com"], ["a.example.com is denied by *.example.com at policy.yaml:1:1"]),
      (["*.b.example.com"], [".example.com"], ["*.b.example.com is denied by .example.com"]),
      (["**.example.com"], ["a.example.com"], []),
      (["a.example.com"], ["b.example.com"], ["b.example.com denies nothing that is allowed"]),
      (["a.*.example.com"], ["*.b.example.com"], []),
      ([".example.com"], ["**.example.com"], ["**.example.com does not deny example.com itself"]),
      ([".example.com"], ["**.example.com", "example.com"], [".example.com is denied by"]),
      (
        ["**.example.com"], ["*.example.com"],
        ["*.example.com denies one label in front of example.com and no more"]
      ),
      (["*.example.com", "example.org"], ["*.example.com"], ["*.example.com is denied by *.example.com"]),
    ])
  func linted(allowed: [String], denied: [String], messages: [String]) throws {
    let found = PolicyLinter.check([try policy(allowed, denied: denied)]).filter { !$0.message.contains("shared") }
    #expect(found.allSatisfy { $0.severity == .warning })
    // Two denials together may deny all of an entry; none does alone.
    let expected = messages.filter { !$0.hasPrefix(".example.com is denied") }
    #expect(
      found.count == expected.count && zip(found, expected).allSatisfy { $0.message.contains($1) }, "\(found)")
  }

  @Test("what stands above all documents is told once, and what layers deny need not be allowed")
  func once() throws {
    let layers = PolicyLayers([
      PolicyLayers.Layer(
        name: "org", rules: try rules(["*.github.io", "x.evil.example"], file: "org.yaml"),
        denials: try rules(["**.evil.example", "never.example"], file: "org.yaml"))
    ])
    let found = PolicyLinter.check([
      try policy(["a.example.com"]).under(layers), try policy(["b.example.com"], named: "other").under(layers),
    ])
    #expect(found.count == 2, "\(found)")
    #expect(found.contains { $0.message.hasPrefix("x.evil.example is denied by **.evil.example at org.yaml:1:1") })
  }

  private func denials(_ prefixes: [String], line: Int = 1) throws -> [PrefixDenial] {
    try prefixes.map { PrefixDenial(prefix: try IPPrefix.parse($0), location: location(line)) }
  }

  @Test("an address is denied in every form that carries it, by the longest of the networks that hold it")
  func addresses() throws {
    var own = try policy(["a.example.com"])
    own.deniedPrefixes = try denials(["198.51.100.0/24", "198.51.100.0/25", "2001:db8::/32"])
    let above = PolicyLayers([
      PolicyLayers.Layer(name: "org", deniedPrefixes: try denials(["203.0.113.0/24", "198.51.100.0/24"], line: 2))
    ])
    let snapshot = PolicySnapshot([
      own.under(above), try policy(["a.example.com"], named: "other").under(above), try policy([], named: "third"),
    ])
    func denial(_ text: String, server: Int = 0) throws -> String? {
      snapshot.denial(of: try #require(IPAddress(text)), server: server).map {
        "\($0.prefix) \($0.layer ?? "-")"
      }
    }
    #expect(try denial("198.51.100.200") == "198.51.100.0/24 -" && denial("198.51.100.1") == "198.51.100.0/25 -")
    #expect(try denial("203.0.113.9") == "203.0.113.0/24 org" && denial("2001:db8::9") == "2001:db8::/32 -")
    for form in ["::ffff:198.51.100.1", "64:ff9b::198.51.100.1", "2002:c633:6401::1"] {
      #expect(try denial(form) == "198.51.100.0/25 -", "\(form)")
    }
    #expect(try denial("198.51.101.1") == nil && denial("2001:db9::") == nil)
    #expect(try denial("198.51.100.1", server: 1) == "198.51.100.0/24 org" && denial("2001:db8::9", server: 1) == nil)
    #expect(try denial("203.0.113.9", server: 2) == nil && !snapshot.deniesAddresses(server: 2))
  }

  @Test("denied networks count in fingerprint, change and difference; those within another one are not the firewall's")
  func networks() throws {
    let none = try policy(["a.example.com"])
    var one = none
    one.deniedPrefixes = try denials([
      "198.51.100.0/24", "198.51.0.0/16", "198.51.0.0/16", "2001:db8::/32", "10.0.0.0/8",
    ])
    #expect(one.deniedNetworks.map(\.description) == ["10.0.0.0/8", "198.51.0.0/16", "2001:db8::/32"])
    #expect(PolicySnapshot([none]).fingerprint != PolicySnapshot([one]).fingerprint && !none.decidesLike(one))
    #expect(
      PolicyDifference(from: [none], to: [one]).servers.map(\.added) == [
        [
          "deny: cidr: 10.0.0.0/8", "deny: cidr: 198.51.0.0/16", "deny: cidr: 198.51.100.0/24",
          "deny: cidr: 2001:db8::/32",
        ]
      ])
    #expect(PolicyDifference(from: [one], to: []).servers.map(\.removed.count) == [5])
    var many = none
    many.deniedPrefixes = try (0...PolicyLinter.maximumDeniedNetworks).map { number in
      PrefixDenial(prefix: try IPPrefix.parse("10.\(number / 256).\(number % 256).0/30"), location: location())
    }
    #expect(PolicyLinter.check([many]).contains { $0.severity == .error })
    many.deniedPrefixes.removeLast()
    #expect(!PolicyLinter.check([many]).contains { $0.severity == .error })
  }

  @Test("patterns with * elsewhere than in front share their bound, denied or allowed")
  func bound() throws {
    let half = (0..<33).map { "a\($0)*.example.com" }
    let other = (0..<32).map { "b\($0)*.example.com" }
    #expect(PolicyLinter.check([try policy(half, denied: other)]).contains { $0.severity == .error })
    #expect(!PolicyLinter.check([try policy(half, denied: Array(other.dropLast()))]).contains { $0.severity == .error })
    let permit = try NamePattern("c*.example.com")
    #expect(try policy(half, denied: Array(other.dropLast())).objection(to: permit) != nil)
  }
}

extension NamePattern {
  fileprivate static func matching(_ text: String) -> (Name) -> Bool {
    { (try? NamePattern(text))?.matches($0) ?? false }
  }
}
