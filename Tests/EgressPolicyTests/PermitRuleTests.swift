import DNSWire
import IPNetwork
import TestSupport
import Testing

@testable import EgressPolicy

@Suite("What is allowed for a time beside the policy")
struct PermitRuleTests {
  private func permit(
    _ pattern: String, ports: PortSet = .https, types: [RRType] = EgressRule.defaultTypes, server: String = "mcp",
    until: UInt64 = 100
  ) throws -> PermitRule {
    PermitRule(
      server: try ServerName(server),
      rule: EgressRule(
        pattern: try NamePattern(pattern), ports: ports, types: types, until: until,
        location: SourceLocation(file: "permit 1", line: 0, column: 0)))
  }

  /// The rule that decides on a name once the permits are added.
  private func decisive(_ name: String, _ policy: ServerPolicy, _ permits: [PermitRule]) throws -> EgressRule? {
    let snapshot = PolicySnapshot([policy.adding(permits)])
    let wire = try Name(hostname: name).wire
    switch snapshot.decide(server: 0, name: wire.span, type: .A) {
    case .allowed(let index), .typeNotAllowed(let index): return snapshot.rule(server: 0, index: index)
    case .notListed, .denied: return nil
    }
  }

  private let ssh = PortSet([PortRule(22, .tcp)])
  private let both = PortSet([PortRule(22, .tcp), PortRule(443, .tcp)])

  @Test(
    "of signatures a permit asks for what the entry of its name does, and where there is none what the document does")
  func signatures() throws {
    let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    let rules = try [ValidationMode.off, .require].map { mode in
      EgressRule(pattern: try NamePattern("\(mode.rawValue).example.com"), dnssec: mode, location: location)
    }
    let policy = ServerPolicy(
      name: try ServerName("mcp"), networks: [], rules: RuleList(rules), dnssec: .verify, location: location)
    for (name, mode) in [("off", ValidationMode.off), ("require", .require), ("new", .verify)] {
      let rule = try #require(try decisive("\(name).example.com", policy, [try permit("\(name).example.com")]))
      #expect(rule.dnssec == mode, "\(name)")
    }
  }

  @Test("what a permit opens has to say its name where the document wants that, and is bounded as its entries are")
  func checks() throws {
    let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    for limits in [ByteLimits(), ByteLimits(maxBytes: ByteBound(65_536, .audit), maxBytesPerHour: 9_999)] {
      let free = EgressRule(pattern: try NamePattern("free.example.com"), location: location)
      let policy = ServerPolicy(
        name: try ServerName("mcp"), networks: [], rules: RuleList([free]),
        nameChecks: NameCheckDefaults(verification: .sni), limits: limits, location: location)
      let rule = try #require(try decisive("new.example.com", policy, [try permit("new.example.com")]))
      #expect(rule.check != nil && rule.limits == limits)
      // A name never gets less than its entry gives it.
      #expect(try decisive("free.example.com", policy, [try permit("free.example.com")])?.limits == ByteLimits())
    }
  }

  @Test("what a permit opens goes through the inspector of the entry that would decide, else through the document's")
  func inspectors() throws {
    let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)
    let (common, own) = (
      Inspector(address: IPAddress(v4: 0x7F00_0001), port: 8080),
      Inspector(address: IPAddress(v4: 0x7F00_0001), port: 1)
    )
    let rules = try [("own", own), ("none", nil)].map { name, inspector in
      EgressRule(
        pattern: try NamePattern("\(name).example.com"),
        check: NameCheck(of: .https, isWritten: false, hiding: .refuse, inspector: inspector), location: location)
    }
    let policy = ServerPolicy(
      name: try ServerName("mcp"), networks: [], rules: RuleList(rules),
      nameChecks: NameCheckDefaults(verification: .sni, inspector: common), location: location)
    for (name, inspector) in [("own", own), ("none", nil), ("new", common)] {
      let rule = try #require(try decisive("\(name).example.com", policy, [try permit("\(name).example.com")]))
      #expect(rule.check != nil && rule.check?.inspector == inspector, "\(name)")
    }
    #expect(policy.inspectors == [own, common])
  }

  @Test("a name that no pattern lists gets what the permit says, of its server only")
  func unlisted() throws {
    let policy = try server(["api.example.com"])
    let rule = try #require(try decisive("new.example.net", policy, [try permit("new.example.net", ports: ssh)]))
    #expect(rule.ports == ssh && rule.until == 100 && rule.location.description == "permit 1")
    #expect(try decisive("new.example.net", policy, [try permit("new.example.net", server: "other")]) == nil)
    #expect(policy.adding([]).decidesLike(policy))
  }

  @Test("a name never gets less than the policy gives it")
  func never() throws {
    let policy = try server(rules: [
      try rule("api.example.com", types: [.A, .AAAA, .HTTPS]),
      try rule("*.example.com", private: [.parse("10.0.0.0/8")]),
      try rule("**.deep.example.com", ports: .any),
    ])
    let same = try #require(try decisive("api.example.com", policy, [try permit("api.example.com", ports: ssh)]))
    #expect(same.ports == both && same.types == [.A, .AAAA, .HTTPS])
    let under = try #require(try decisive("b.example.com", policy, [try permit("b.example.com", ports: ssh)]))
    #expect(under.ports == both && under.privatePrefixes.count == 1)
    let deep = try #require(
      try decisive("x.deep.example.com", policy, [try permit("*.deep.example.com", ports: ssh)]))
    #expect(deep.ports == .any)
    // `*` gives nothing to what lies deeper: `**` takes nothing of it over.
    let wide = try permit("**.example.com", ports: ssh)
    #expect(try decisive("a.b.example.com", policy, [wide])?.ports == ssh)
    #expect(try decisive("b.example.com", policy, [wide])?.ports == .https)
  }

  @Test("a name never gets less by a permit for patterns of any form")
  func neverOfAnyForm() throws {
    let policy = try server(rules: [
      try rule("*.example.com", ports: ssh), try rule("eu-*.example.net", ports: ssh),
      try rule(".deep.example.org", ports: ssh),
    ])
    let permits = [
      try permit(".a.example.com"), try permit("eu-west-*.example.net"), try permit("eu-west-1.example.net"),
      try permit("**.deep.example.org"), try permit("*.x.*.example.edu"),
    ]
    for name in ["a.example.com", "eu-west-2.example.net", "eu-west-1.example.net", "b.deep.example.org"] {
      #expect(try decisive(name, policy, permits)?.ports == both, "\(name)")
    }
    for name in ["b.example.com", "eu-x.example.net", "deep.example.org"] {
      #expect(try decisive(name, policy, permits)?.ports == ssh, "\(name)")
    }
    for name in ["b.a.example.com", "a.x.b.example.edu"] {
      #expect(try decisive(name, policy, permits)?.ports == .https, "\(name)")
    }
    // No host is so deep: `**` takes nothing over from what says how many labels there are.
    let stars = try server(rules: [try rule("*.*.example.com", ports: ssh), try rule("*.*.*.example.com", ports: ssh)])
    #expect(try decisive("a.b.c.d.example.com", stars, [try permit("**.example.com")])?.ports == .https)
  }

  @Test("a permit takes nothing over from an entry that matches some of its names alone", arguments: ["**", ""])
  func nothingOfOthers(front: String) throws {
    let policy = try server(rules: [
      try rule("**.*.example.com", ports: ssh), try rule("**.*.*.example.com", ports: ssh),
      try rule("b.example.com", ports: ssh),
    ])
    let permits = [try permit("\(front).example.com")]
    #expect(try decisive("a.example.com", policy, permits)?.ports == .https)
    for name in ["b.example.com", "a.b.example.com", "a.b.c.d.e.f.g.h.i.j.k.example.com"] {
      #expect(try decisive(name, policy, permits)?.ports == ssh, "the more specific entry decides: \(name)")
    }
    let wide = try server(rules: [try rule("**.com", ports: ssh), try rule("**.*.example.com", ports: ssh)])
    #expect(try decisive("a.example.com", wide, permits)?.ports == both, "of an entry for all of them it does")
  }

  @Test("with a permit no name has more than its own entry and the permit open, nor less than without it")
  func neverMoreNorLess() throws {
    var random = SeededRandom(seed: 11)
    let fronts = ["", "*.", "**.", ".", "a.", "*.*.", "**.*.", "a-*.", "*.a.", "a.*.", "**.a-*."]
    let names = ["", "a.", "b.", "a-x.", "x.a.", "a.x.", "a.b.c.", "x.a-b.", "q.w.e.r."].map { "\($0)example.com" }
    for _ in 0..<2_000 {
      let entries = try (0..<Int.random(in: 1...4, using: &random)).map { index in
        try rule(
          "\(fronts.randomElement(using: &random) ?? "")example.com",
          ports: PortSet([PortRule(UInt16(index + 1), .tcp)]))
      }
      let policy = try server(rules: entries)
      let permit = try permit("\(fronts.randomElement(using: &random) ?? "")example.com")
      guard policy.objection(to: permit.rule.pattern) == nil else { continue }
      for name in names {
        let own = try decisive(name, policy, [])?.ports
        let open = try decisive(name, policy, [permit])?.ports
        let most = permit.rule.pattern.matches(try Name(hostname: name)) ? (own ?? PortSet([])).union(.https) : own
        let text = "\(name): \(entries.map(\.pattern)), permit \(permit.rule.pattern)"
        #expect(open.map { most?.union($0) == most } ?? true, "more: \(text)")
        #expect(own.map { open?.union($0) == open } ?? true, "less: \(text)")
      }
    }
  }

  @Test("a pattern with some names of a listed one, and some others, is not permitted; nor one too many below a suffix")
  func objections() throws {
    let policy = try server(["a.*.example.com", "**.example.net", "b-*.example.org"])
    for (text, hasObjection) in [
      ("*.b.example.com", true), ("a.b.example.com", false), ("a.b*.example.com", false), ("*.*.example.com", false),
      ("x*.example.net", false), (".c.example.net", false), ("*-c.example.org", false), ("b-a*.example.org", false),
      ("b-*-c.example.org", false), ("*-longer.example.org", true), (".b.example.com", true),
      ("a.*.example.com", false),
    ] {
      #expect(try (policy.objection(to: NamePattern(text)) != nil) == hasObjection, "\(text)")
    }
    let full = try server((0..<64).map { "a\($0)-*.example.com" })
    #expect(try full.objection(to: NamePattern("b-*.example.com")) != nil)
    #expect(try full.objection(to: NamePattern("a0-*.example.com")) == nil)
    #expect(try full.objection(to: NamePattern("b-*.example.net")) == nil)
    // As it is judged when its turn comes, beside itself.
    #expect(try server((0..<65).map { "a\($0)-*.example.com" }).objection(to: NamePattern("a64-*.example.com")) != nil)
  }

  @Test("a permit allows the chains that the entry of its name allows, or else the document")
  func chains() throws {
    let entry = EgressRule(pattern: try NamePattern("api.example.com"), cname: .follow, location: location())
    let policy = ServerPolicy(
      name: try ServerName("mcp"), networks: [], rules: [entry], cname: .strict, location: location())
    let listed = try #require(try decisive("api.example.com", policy, [try permit("api.example.com", ports: ssh)]))
    #expect(listed.cname == .follow && listed.ports == both)
    #expect(try decisive("new.example.net", policy, [try permit("new.example.net")])?.cname == .strict)
    let twice = [try permit("a.example.net"), try permit("*.example.net", ports: ssh)]
    #expect(try decisive("a.example.net", policy, twice)?.cname == .strict)
    #expect(!policy.decidesLike(policy.adding(twice)))
  }

  @Test("several permits of one name give what each of them gives")
  func several() throws {
    let policy = try server(["api.example.com"])
    let rule = try decisive(
      "a.example.net", policy, [try permit("a.example.net", ports: ssh), try permit("a.example.net")])
    #expect(rule?.ports == both)
  }

  @Test("a permit takes nothing from another one for the same names, whichever came first")
  func overlapping() throws {
    let policy = try server(["api.example.com"])
    let wide = try permit("**.example.net", ports: ssh)
    let narrow = try permit("a.b.example.net")
    for order in [[wide, narrow], [narrow, wide]] {
      #expect(try decisive("a.b.example.net", policy, order)?.ports == both)
      #expect(try decisive("c.b.example.net", policy, order)?.ports == ssh)
    }
    // `*` is not for names of two labels, and a name is not for its neighbours.
    let one = try permit("*.example.net", ports: ssh)
    #expect(try decisive("a.b.example.net", policy, [one, narrow])?.ports == .https)
    #expect(try decisive("example.net", policy, [one, try permit("example.net")])?.ports == .https)
    let above = try permit("example.net", ports: ssh)
    #expect(try decisive("a.example.net", policy, [above, try permit("a.example.net")])?.ports == .https)
  }

  @Test("what one of two permits for a pattern opened ends with it")
  func endsAlone() throws {
    let policy = try server(["api.example.com"])
    let both = [
      try permit("*.example.net", ports: ssh), try permit("*.example.net", until: 200),
    ]
    #expect(try decisive("a.example.net", policy, both)?.ports == self.both)
    let later = PolicySnapshot([policy.adding(both).inForce(at: 150)])
    guard case .allowed(let index) = later.verdict("a.example.net") else {
      Issue.record("the later permit ended with the earlier one")
      return
    }
    #expect(later.rule(server: 0, index: index).ports == .https)
  }

  @Test("the longest pattern can be allowed, though nothing is as long as a name below it")
  func longest() throws {
    let label = String(repeating: "a", count: 63)
    let name = [label, label, label, String(repeating: "a", count: 59)].joined(separator: ".")
    let policy = try server(["**.\(name)"])
    #expect(policy.adding([try permit("**.\(name)", ports: ssh)]).rules.count == 2)
  }

  @Test("what is made of several entries is opened until the first of them ends, and allowed until the last")
  func ends() throws {
    let policy = try server(["api.example.com"])
    let rule = try #require(try decisive("api.example.com", policy, [try permit("api.example.com", ports: ssh)]))
    #expect(rule.until == nil && rule.firstEnd == 100)
    #expect(try decisive("api.example.com", policy, [])?.firstEnd == nil)
  }
}
