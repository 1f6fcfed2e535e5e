import DNSWire
import EgressPolicy
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
      ("always-deny: [ \"*\" ]", "'*' would deny every name"),
      ("always-deny: [ { cidr: 198.51.100.0/24 } ]", "'cidr' stands under 'deny'"),
      ("always-deny: [ { host: a.example.com, ports: [ 22/tcp ] } ]", "has no meaning under 'deny'"),
      ("always-deny: [ https://a.example.com/x ]", "is a URL"),
      ("always-allow: [ \"*.co.uk\" ]", "covers a public suffix"),
    ])
  func faults(more: String, message: String) throws {
    let directory = try directory(more)
    #expect(directory.findings().contains { $0.contains(message) }, "\(directory.findings())")
    #expect(directory.load().settings == nil)
  }

  @Test("a wildcard over everything below a public suffix may be denied")
  func wide() throws {
    let directory = try directory("always-deny: [ \"**.zip\", .example ]")
    #expect(directory.findings() == [])
  }

  @Test("what a finding is about in a layer is told once, however many servers there are")
  func once() throws {
    let two = plainPolicy + "\n---\nserver: two\nnetworks: [ 10.77.2.0/24 ]\negress: []\n"
    let directory = try directory(
      "layers: [ { name: org, file: org.yaml } ]", organisation: "egress: [ \"*.github.io\" ]", policy: two)
    #expect(directory.findings().count == 1, "\(directory.findings())")
  }
}
