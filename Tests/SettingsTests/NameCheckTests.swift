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

  @Test("none, where nothing is said; at an entry its TCP ports but 80; beside the list 443 alone; the nearest wins")
  func nearest() throws {
    let entries = [
      "a.example.com", "{ host: b.example.com, ports: [ 443/tcp, 22/tcp, 80/tcp, 53/udp ] }",
      "{ host: c.example.com, ports: [ 80/tcp, 8443/tcp ], verify: sni }", "{ host: d.example.com, verify: address }",
    ]
    func found(_ keys: String) throws -> [[UInt16]?] {
      try checks(document(keys, entries[0], entries[1], entries[2], entries[3])).map { $0?.ports }
    }
    #expect(try found("") == [nil, nil, [8443], nil])
    #expect(try found("verify: sni\n") == [[443], [443], [8443], nil])
    let all = try checks(document("ech: allow\n", "{ host: a.example.com, verify: sni }"))
    #expect(all.map { $0?.hiding } == [.allow])
    let nearer = try checks(document("ech: allow\n", "{ host: a.example.com, verify: sni, ech: refuse }"))
    #expect(nearer.map { $0?.hiding } == [.refuse])
  }

  @Test("QUIC of a checked entry stays closed, and it is said")
  func quic() throws {
    let (policies, findings) = try loadPolicy(
      document("", "{ host: a.example.com, ports: [ 443/tcp, 443/udp ], verify: sni }"))
    #expect(try #require(policies.first).rules[0].ports == .https)
    #expect(findings.count == 1 && findings[0].contains("443/udp of a.example.com stays closed"))
  }

  @Test(
    "what cannot be checked, or bounded beside a check, is an error",
    arguments: [
      ("{ host: a.example.com, ports: any, verify: sni }", "checks nothing on any"),
      ("{ host: a.example.com, ports: [ 80/tcp ], verify: sni }", "checks nothing on 80/tcp"),
      ("{ cidr: 198.51.100.0/24, verify: sni }", "key 'verify' has no meaning beside 'cidr'"),
      ("{ host: a.example.com, verify: name }", "expected one of sni, address"),
      ("{ host: a.example.com, verify: sni, max-bytes: 256KiB }", "octets through the gate are not bounded yet"),
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
