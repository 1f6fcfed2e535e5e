import EgressPolicy
import Testing

@testable import Settings

@Suite("Keys of signatures")
struct ValidationKeysTests {
  /// The modes of the entries of a policy, in their order.
  private func modes(_ configuration: String, _ policy: String) throws -> (modes: [ValidationMode], findings: [String])
  {
    let directory = try ConfigDirectory([
      "sluice.yaml": config(configuration), "policy.yaml": policy, "root.key": ". IN DS 1 13 2 00\n",
    ])
    let rules = directory.load().settings?.policies.first?.rules.map(\.dnssec) ?? []
    return (rules, directory.findings())
  }

  private static let entries = """
    egress:
      - plain.example.com
      - { host: own.example.com, dnssec: require }
      - { host: off.example.com, dnssec: off }
    """

  private func policy(_ line: String = "") -> String {
    "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\n\(line)\n\(Self.entries)\n"
  }

  @Test("the nearest of entry, document and configuration decides, and off is the default")
  func nearest() throws {
    let anchors = "trust-anchors: root.key"
    #expect(try modes(anchors, policy()) == ([.off, .require, .off], []))
    #expect(try modes(anchors + "\ndnssec: verify", policy()) == ([.verify, .require, .off], []))
    #expect(try modes(anchors + "\ndnssec: verify", policy("dnssec: require")) == ([.require, .require, .off], []))
    #expect(try modes(anchors + "\ndnssec: require", policy("dnssec: no")) == ([.off, .require, .off], []))
  }

  @Test("of two entries of one pattern the stricter holds")
  func merged() throws {
    let rules = RuleList([
      EgressRule(pattern: try NamePattern("a.example.com"), dnssec: .require, location: location),
      EgressRule(pattern: try NamePattern("a.example.com"), ports: .any, location: location),
    ])
    let policy = ServerPolicy(
      name: try ServerName("mcp"), networks: [], rules: rules, location: location)
    let snapshot = PolicySnapshot([policy])
    let effective = snapshot.effectiveRules(server: 0).map { snapshot.rule(server: 0, index: $0) }
    #expect(effective.map(\.dnssec) == [.require])
  }

  private let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)

  @Test("what signatures are asked for without a key to begin with is an error that says where one is")
  func anchors() throws {
    let (_, findings) = try modes("", policy())
    #expect(
      findings.first?.hasPrefix("policy.yaml:6:5: error: dnssec require of own.example.com needs a key to begin with")
        == true,
      "\(findings)")
    #expect(findings.first?.contains("/usr/share/dns/root.key") == true)
    let missing = try modes("trust-anchors: [ nowhere.key ]", policy()).findings
    #expect(missing.contains { $0.contains("trust anchor file") && $0.contains("nowhere.key") }, "\(missing)")
    #expect(try modes("trust-anchors: []", policy()).findings == findings, "no file is none")
  }

  @Test("another word is refused, and beside cidr the key has no meaning")
  func refused() throws {
    let words = try modes("trust-anchors: root.key\ndnssec: strict", policy()).findings
    #expect(words.first?.contains("expected one of off, verify, require") == true, "\(words)")
    let cidr = "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: [ { cidr: 198.51.100.0/24, dnssec: verify } ]\n"
    let beside = try modes("trust-anchors: root.key", cidr).findings
    #expect(beside.first?.contains("key 'dnssec' has no meaning beside 'cidr'") == true, "\(beside)")
  }
}
