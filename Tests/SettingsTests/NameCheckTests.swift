import EgressPolicy
import Testing

@testable import Settings

@Suite("Which connections have to say a name")
struct NameCheckTests {
  private func document(_ keys: String, _ entries: String...) -> String {
    "server: a\nnetworks: [ 10.0.0.0/24 ]\n\(keys)egress:\n" + entries.map { "  - \($0)\n" }.joined()
  }

  private func checks(_ text: String) throws -> [NameCheck?] {
    let (policies, findings) = try loadPolicy(text)
    #expect(!findings.contains { $0.contains("error") }, "\(findings)")
    return try #require(policies.first).rules.map(\.check)
  }

  @Test(
    "443/tcp, where nothing is said; at an entry its TCP ports but 80; none where `address` is written; the nearest wins"
  )
  func nearest() throws {
    let entries = [
      "a.example.com", "{ host: b.example.com, ports: [ 443/tcp, 22/tcp, 80/tcp, 53/udp ] }",
      "{ host: c.example.com, ports: [ 80/tcp, 8443/tcp ], verify: sni }", "{ host: d.example.com, verify: address }",
      "{ host: e.example.com, ports: [ 5432/tcp ] }",
    ]
    func found(_ keys: String) throws -> [[UInt16]?] {
      let text = "server: a\nnetworks: [ 10.0.0.0/24 ]\n\(keys)egress:\n" + entries.map { "  - \($0)\n" }.joined()
      return try checks(text).map { $0?.ports }
    }
    for keys in ["", "verify: sni\n"] { #expect(try found(keys) == [[443], [443], [8443], nil, nil]) }
    #expect(try found("verify: address\n") == [nil, nil, [8443], nil, nil])
    let all = try checks(document("ech: allow\n", "{ host: a.example.com, verify: sni }"))
    #expect(all.map { $0?.hiding } == [.allow])
    let nearer = try checks(document("ech: allow\n", "{ host: a.example.com, verify: sni, ech: refuse }"))
    #expect(nearer.map { $0?.hiding } == [.refuse])
  }

  @Test(
    "without rules of ours nothing is checked that does not say so; the configuration may say it for all",
    arguments: [
      ("", true), ("firewall: { mode: managed }", true), ("firewall: { mode: sets, table: inet mine }", false),
      ("firewall: { mode: \"off\" }", false), ("verify: address", false),
    ])
  func modes(_ lines: String, _ isChecked: Bool) throws {
    let settings = try #require(try loadConfig(config(lines)).settings)
    #expect(settings.policies.allSatisfy { $0.checksNames == isChecked })
    #expect((settings.nameChecks.verification == .sni) == isChecked)
  }

  @Test("`verify: sni` without rules of ours is an error")
  func modeError() throws {
    let (_, findings) = try loadConfig(config("verify: sni\nfirewall: { mode: sets, table: inet mine }"))
    #expect(findings.contains { $0.contains("verify: sni of api.github.com cannot be enforced") }, "\(findings)")
  }

  @Test("QUIC of a checked entry stays closed, and it is said; where nothing else is listed it is an error")
  func quic() throws {
    for entry in [
      "{ host: a.example.com, ports: [ 443/tcp, 443/udp ], verify: sni }",
      "{ host: a.example.com, ports: [ 443/tcp, 443/udp ] }",
    ] {
      let (policies, findings) = try loadPolicy(document("", entry))
      #expect(try #require(policies.first).rules[0].ports == .https)
      #expect(findings.count == 1 && findings[0].contains("443/udp of a.example.com stays closed"))
    }
    let (_, findings) = try loadPolicy(document("", "{ host: a.example.com, ports: [ 443/udp ] }"))
    #expect(
      findings.count == 1 && findings[0].contains("443/udp of a.example.com is all that it opens, and stays closed"))
    let written = try loadPolicy(document("", "{ host: a.example.com, ports: [ 443/udp ], verify: address }"))
    #expect(written.findings == [] && written.policies.first?.rules[0].ports == .ports([PortRule(443, .udp)]))
  }

  @Test("what is open by its address alone is said where names are checked, and not where `address` is written")
  func unchecked() throws {
    for (ports, text) in [
      ("[ 443/tcp, 80/tcp ]", "80/tcp of a.example.com is open to its addresses"),
      ("[ 80/tcp ]", "80/tcp of a.example.com is open to its addresses"),
      ("any", "ports any of a.example.com are open to its addresses"),
    ] {
      let said = try loadPolicy(document("", "{ host: a.example.com, ports: \(ports) }")).findings
      #expect(said.count == 1 && said[0].contains("warning: \(text)"), "\(said)")
      #expect(try loadPolicy(document("", "{ host: a.example.com, ports: \(ports), verify: address }")).findings == [])
    }
    #expect(try loadPolicy(document("", "{ host: a.example.com, ports: [ 443/tcp, 5432/tcp ] }")).findings == [])
  }

  @Test(
    "what cannot be checked, or bounded beside a check, is an error",
    arguments: [
      ("{ host: a.example.com, ports: any, verify: sni }", "checks nothing on any"),
      ("{ host: a.example.com, ports: [ 80/tcp ], verify: sni }", "checks nothing on 80/tcp"),
      ("{ cidr: 198.51.100.0/24, verify: sni }", "key 'verify' has no meaning beside 'cidr'"),
      ("{ host: a.example.com, verify: name }", "expected one of sni, address"),
    ])
  func errors(_ entry: String, _ text: String) throws {
    let (_, findings) = try loadPolicy(document("", entry))
    #expect(findings.contains { $0.contains(text) }, "\(findings)")
  }

  @Test("of two entries of a name either's check holds, and what both let pass")
  func merging() throws {
    let rules = try #require(
      try loadPolicy(
        document(
          "", "{ host: a.example.com, verify: sni, ech: allow }",
          "{ host: a.example.com, ports: [ 8443/tcp ], verify: sni }")
      ).0.first)
    let snapshot = PolicySnapshot([rules])
    let rule = snapshot.rule(server: 0, index: 0)
    #expect(rule.check?.ports == [443, 8443] && rule.check?.hiding == .refuse)
    #expect(rule.checkBit(transport: 6, port: 443) == NameCheck.capBit)
    #expect(rule.checkBit(transport: 17, port: 443) == 0 && rule.checkBit(transport: 6, port: 80) == 0)
  }
}
