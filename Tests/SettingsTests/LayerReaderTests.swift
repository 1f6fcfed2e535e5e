import DNSWire
import EgressPolicy
import IPNetwork
import Testing

@testable import Settings

@Suite struct LayerReaderTests {
  private static let organisation = """
    egress:
      - ocsp.example.org
      - { host: "*.mirror.example.org", ports: [ 8443/tcp ] }
      - { cidr: 198.51.100.0/24 }
    deny: [ bad.example.com, { host: .evil.example } ]
    """

  private func directory(
    _ more: String, organisation: String = organisation, policy: String = plainPolicy
  ) throws -> ConfigDirectory {
    try ConfigDirectory(["sluice.yaml": config(more), "org.yaml": organisation, "policy.yaml": policy])
  }

  @Test("layers stand above every document, with what the configuration always denies and allows")
  func layers() throws {
    let directory = try directory(
      """
      layers: [ { name: organisation, file: org.yaml } ]
      always-deny: [ "**.tracker.example" ]
      always-allow: [ time.example.org ]
      """, policy: plainPolicy + "\ndeny: [ uploads.github.com ]\n")
    let settings = try #require(directory.load().settings, "\(directory.findings())")
    let policy = settings.policies[0]
    #expect(
      policy.rules.map(\.pattern.description) == [
        "api.github.com", "uploads.github.com", "time.example.org", "ocsp.example.org", "*.mirror.example.org",
      ])
    #expect(policy.denials.map(\.pattern.description) == ["uploads.github.com"] && policy.prefixes.count == 1)
    #expect(
      policy.layers?.denials.map(\.pattern.description) == ["**.tracker.example", "bad.example.com", ".evil.example"])
    #expect(
      policy.rules.map(\.layer) == [
        nil, nil, "always-allow", "organisation", "organisation",
      ])
    #expect(
      policy.layers?.denials.map(\.layer) == [
        "always-deny", "organisation", "organisation",
      ])
    #expect(
      directory.findings() == [
        "policy.yaml:5:5: warning: uploads.github.com is denied by uploads.github.com at policy.yaml:6:9: the entry has no effect"
      ])
    #expect(settings.folders.contains(directory.path))
  }

  @Test(
    "what is wrong about a layer is told with its place",
    arguments: [
      ("layers: [ { name: org, file: none.yaml } ]", "of layer org"),
      ("layers: [ { name: Org, file: org.yaml } ]", "layer name 'Org' does not begin with a lower-case letter"),
      ("layers: [ { name: always-deny, file: org.yaml } ]", "is the name of a key"),
      ("layers: [ { name: org, file: policy.yaml } ]", "unknown key 'server'"),
      ("layers: [ { name: org } ]", "key 'file' is missing"),
      ("layers: [ { name: a, file: org.yaml }, { name: b, file: ./org.yaml } ]", "is named twice"),
      ("layers: [ { name: a, file: org.yaml }, { name: a, file: org.yaml } ]", "is named twice"),
      ("always-deny: [ \"*\" ]", "'*' would deny every name"),
      ("always-deny: [ { cidr: 198.51.100.1/24 } ]", "198.51.100.0/24"),
      ("always-deny: [ 198.51.100.0/24 ]", "cidr: 198.51.100.0/24"),
      ("always-deny: [ { cidr: 198.51.100.0/24, host: a.example.com } ]", "both 'host' and 'cidr'"),
      ("always-deny: [ { } ]", "neither 'host' nor 'cidr'"),
      ("always-deny: [ { hots: a.example.com } ]", "unknown key 'hots'"),
      ("always-deny: [ { host: a.example.com, ports: [ 22/tcp ] } ]", "'ports' has no meaning under 'deny'"),
      ("always-deny: [ { cidr: 198.51.100.0/24, until: 2099-12-31 } ]", "'until' has no meaning under 'deny'"),
      ("always-deny: [ https://a.example.com/x ]", "is a URL"),
      ("always-allow: [ \"*.co.uk\" ]", "covers a public suffix"),
    ])
  func faults(more: String, message: String) throws {
    let directory = try directory(more)
    #expect(directory.findings().contains { $0.contains(message) }, "\(directory.findings())")
    #expect(directory.load().settings == nil)
  }

  @Test(
    "networks are denied by documents and by what stands above them, the nearest told first; each is one of the firewall's"
  )
  func networks() throws {
    let directory = try directory(
      """
      layers: [ { name: organisation, file: org.yaml } ]
      always-deny: [ { cidr: 198.51.100.0/24 }, { cidr: "2001:db8::/32" } ]
      """, organisation: "deny: [ { cidr: 203.0.113.0/24 } ]",
      policy: plainPolicy + "\n  - { cidr: 203.0.113.7/32 }\ndeny: [ { cidr: 198.51.0.0/16 } ]\n")
    let settings = try #require(directory.load().settings, "\(directory.findings())")
    let policy = settings.policies[0]
    #expect(
      policy.prefixDenials.map { "\($0.prefix) \($0.layer ?? "-")" } == [
        "198.51.0.0/16 -", "198.51.100.0/24 always-deny", "2001:db8::/32 always-deny", "203.0.113.0/24 organisation",
      ])
    #expect(policy.deniedNetworks.map(\.description) == ["198.51.0.0/16", "203.0.113.0/24", "2001:db8::/32"])
    #expect(directory.findings().count == 1, "\(directory.findings())")
    #expect(directory.findings().first?.contains("203.0.113.7/32 is denied by cidr: 203.0.113.0/24") == true)
  }

  @Test("without rules of Sluice's a network is denied to answers of names, and that is said")
  func modes() throws {
    let text = plainPolicy + "\ndeny: [ { cidr: 198.51.0.0/16 } ]\n"
    let found = try directory("firewall: { mode: sets }", policy: text).findings()
    #expect(
      found.contains { $0.contains("deny: cidr: 198.51.0.0/16, for anything but the answers of names") }, "\(found)")
  }

  @Test("a wildcard over everything below a public suffix may be denied")
  func wide() throws {
    let directory = try directory("always-deny: [ \"**.zip\", .example ]")
    #expect(directory.findings() == [])
  }

  @Test("a layer's file that says nothing is an error")
  func empty() throws {
    let found = try directory("layers: [ { name: org, file: org.yaml } ]", organisation: "{}").findings()
    #expect(found.contains { $0.contains("neither 'egress' nor 'deny'") }, "\(found)")
  }

  @Test(
    "every form that peers write is told under deny as under egress",
    arguments: [
      "https://a.example.com/x", "a.example.com:443", "A.EXAMPLE.com.", "bücher.example", "10.0.0.1", "10.0.0.0/8",
      "'*foo*.example.com'", "a..b.example", "'||ads.example^'", "'/ads[0-9]/'", "'a.example.com # note'", "-a.example",
      "'*.*.example.com'", "'**.a*.example.com'", "'a.**.example.com'", "'[::1]'", "443", "~", "[ a ]", "a b.example",
      "'{ host: a.example.com'", "'@github.com'", "http://a.example.com:8080", ".example.com", "'*.'",
    ])
  func forms(text: String) throws {
    func told(_ policy: String) throws -> [String] {
      try loadPolicy(policy).findings.map { String($0.drop { $0 != " " }) }.filter { !$0.contains("denies nothing") }
    }
    let head = "server: agent\nnetworks: [ 10.77.1.0/24 ]\n"
    let allowed = try told(head + "egress:\n  - \(text)\n")
    let denied = try told(head + "egress: []\ndeny:\n  - \(text)\n")
    #expect(allowed == denied)
  }

  @Test("what a finding is about in a layer is told once, however many servers there are")
  func once() throws {
    let two = plainPolicy + "\n---\nserver: two\nnetworks: [ 10.77.2.0/24 ]\negress: []\n"
    let directory = try directory(
      "layers: [ { name: org, file: org.yaml } ]", organisation: "egress: [ \"*.github.io\" ]", policy: two)
    #expect(directory.findings().count == 1, "\(directory.findings())")
  }
}
