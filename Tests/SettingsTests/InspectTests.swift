import EgressPolicy
import Testing

@testable import Settings

@Suite("Which connections go through an inspector")
struct InspectTests {
  private func document(_ keys: String, _ entries: String...) -> String {
    "server: a\nnetworks: [ 10.0.0.0/24 ]\n\(keys)egress:\n" + entries.map { "  - \($0)\n" }.joined()
  }

  private let proxy = "inspect: http://127.0.0.1:8080"

  @Test("those of an entry, of a document or of all, and the nearest wins; the firewall is told of each")
  func nearest() throws {
    let entries = [
      "a.example.com", "{ host: b.example.com, inspect: \"http://[::1]:8081/\" }",
      "{ host: c.example.com, inspect: off }",
    ]
    func found(_ text: String) throws -> [String?] {
      let (policies, findings) = try loadPolicy(text)
      #expect(findings == [], "\(findings)")
      return try #require(policies.first).rules.map { $0.check?.inspector?.description }
    }
    let body = entries.map { "  - \($0)\n" }.joined()
    let head = "server: a\nnetworks: [ 10.0.0.0/24 ]\n"
    #expect(try found("\(head)\(proxy)\negress:\n\(body)") == ["http://127.0.0.1:8080", "http://[::1]:8081", nil])
    #expect(try found("\(head)egress:\n\(body)") == [nil, "http://[::1]:8081", nil])
    let policies = try loadPolicy("\(head)\(proxy)\negress:\n\(body)").policies
    #expect(policies.first?.inspectors.map(\.endpoint) == ["127.0.0.1:8080", "[::1]:8081"])
    let all = try #require(try loadConfig(config(proxy)).settings)
    #expect(all.policies.allSatisfy { $0.rules.allSatisfy { $0.check?.inspector?.port == 8080 } })
    let none = try loadPolicy(
      "\(head)inspect: \(proxy.dropFirst(9))\negress: [ { host: a.example.com, inspect: no } ]\n")
    #expect(none.findings == [] && none.policies.first?.rules.first?.check?.inspector == nil)
  }

  @Test(
    "an inspector is an address of one host and a port, and nothing that is resolved or that no process listens at",
    arguments: [
      "http://localhost:8080", "http://proxy.example:8080", "https://127.0.0.1:8080", "127.0.0.1:8080",
      "http://127.0.0.1", "http://127.0.0.1:0", "http://127.0.0.1:65536", "http://127.0.0.1:+80", "http://::1:8080",
      "\"http://[127.0.0.1]:8080\"", "http://0.0.0.0:8080", "\"http://[::]:8080\"", "http://224.0.0.1:8080",
      "\"http://[ff02::1]:8080\"", "\"http://[fe80::1]:8080\"", "\"http://[::ffff:127.0.0.1]:8080\"",
      "http://169.254.169.254:80", "http://127.0.0.1:8080/path", "http://user@127.0.0.1:8080", "on", "[]",
    ])
  func places(_ text: String) throws {
    let (_, findings) = try loadPolicy(document("", "{ host: a.example.com, inspect: \(text) }"))
    #expect(
      findings.contains {
        $0.contains("expected off, or a proxy of this host by its address and port, such as http://127.0.0.1:8080")
      }, "\(findings)")
  }

  @Test(
    "where no name is checked nothing is inspected, and to ask for it is an error",
    arguments: [
      ("", "{ host: a.example.com, verify: address, inspect: http://127.0.0.1:8080 }"),
      ("", "{ host: a.example.com, ports: [ 22/tcp ], inspect: http://127.0.0.1:8080 }"),
      ("", "{ host: a.example.com, ports: any, inspect: http://127.0.0.1:8080 }"),
      ("", "{ cidr: 198.51.100.0/24, inspect: http://127.0.0.1:8080 }"),
      ("verify: address\ninspect: http://127.0.0.1:8080\n", "a.example.com"),
    ])
  func errors(_ keys: String, _ entry: String) throws {
    let (_, findings) = try loadPolicy(document(keys, entry))
    #expect(findings.contains { $0.contains("error") && $0.contains("inspect") }, "\(findings)")
    let sets = try loadConfig(config("\(proxy)\nfirewall: { mode: sets, table: inet mine }")).findings
    #expect(sets.contains { $0.contains("inspect of the configuration inspects nothing") }, "\(sets)")
  }

  @Test("what goes past an inspector that is meant for all is said, and not where `off` is written")
  func past() throws {
    for entry in [
      "{ host: a.example.com, ports: [ 443/tcp, 22/tcp ] }", "{ host: a.example.com, ports: [ 22/tcp ] }",
    ] {
      let said = try loadPolicy(document("\(proxy)\n", entry)).findings
      #expect(
        said.count == 1 && said[0].contains("warning: 22/tcp of a.example.com goes past the inspector"), "\(said)")
      let off = entry.replacing(" }", with: ", inspect: off }")
      #expect(try loadPolicy(document("\(proxy)\n", off)).findings == [])
    }
    let plain = try loadPolicy(document("\(proxy)\n", "{ host: a.example.com, verify: address }")).findings
    #expect(plain.count == 1 && plain[0].contains("443/tcp of a.example.com goes past"), "\(plain)")
  }

  @Test("two entries of a name have one inspector, or it is an error; one that has none does not undo it")
  func merging() throws {
    let two = try loadPolicy(
      document(
        "", "{ host: a.example.com, inspect: http://127.0.0.1:8080 }",
        "{ host: a.example.com, inspect: http://127.0.0.1:8081 }"))
    #expect(two.findings.contains { $0.contains("error") && $0.contains("expected one") }, "\(two.findings)")
    let one = try loadPolicy(
      document("", "a.example.com", "{ host: a.example.com, ports: [ 8443/tcp ], verify: sni, \(proxy) }"))
    let rule = PolicySnapshot(one.policies).rule(server: 0, index: 0)
    #expect(rule.check?.ports == [443, 8443] && rule.check?.inspector?.port == 8080)
  }

  @Test(
    "who may tell findings is a user of its own",
    arguments: [
      ("findings: proxy", nil), ("findings: off", nil), ("findings: root", "not the inspector's alone"),
      ("findings: nobody", "not the inspector's alone"), ("findings: sluice", "serve's own"),
      ("findings: other\nuser: other", "serve's own"), ("findings: \"a b\"", "the name of a system user"),
    ])
  func users(_ lines: String, _ fault: String?) throws {
    let (settings, findings) = try loadConfig(config(lines))
    if let fault { #expect(findings.contains { $0.contains(fault) }, "\(findings)") } else { #expect(settings != nil) }
    if lines.contains("proxy") { #expect(settings?.findingsUser?.name == "proxy") }
    #expect(ControlSettings(path: "/run/a/control.sock", isDefault: false).findingsPath == "/run/a/findings.sock")
    #expect(ControlSettings(path: "control.sock", isDefault: false).findingsPath == "findings.sock")
  }
}
