import ControlAPI
import DNSWire
import EgressPolicy
import IPNetwork
import Resolver
import Settings
import Testing
import Zones

@testable import Serving

/// What `explain` says of connections, of one host with two servers.
@Suite("Explaining connections")
struct ConnectionExplanationTests {
  private static let location = SourceLocation(file: "policy.yaml", line: 1, column: 1)
  private static func address(_ text: String) -> IPAddress { IPAddress(text)! }

  private static func policy(
    _ name: String, _ network: String, inbound: PortSet? = nil, dhcp: Bool = false, rules: [EgressRule] = []
  ) throws -> ServerPolicy {
    var policy = ServerPolicy(
      name: try ServerName(name),
      networks: [ServerNetwork(prefix: try #require(IPPrefix(network)), location: location)],
      inbound: inbound, asksDHCP: dhcp, rules: RuleList(rules),
      prefixes: [StaticPrefixRule(prefix: try #require(IPPrefix("198.51.100.0/24")), location: location)],
      location: location)
    policy.deniedPrefixes = try ["198.51.100.128/25", "10.77.0.0/16"].map {
      PrefixDenial(prefix: try #require(IPPrefix($0)), location: location)
    }
    return policy
  }

  private static func explainer(isFenced: Bool = true, closed: [IPPrefix] = []) throws -> Explainer {
    let typed = EgressRule(pattern: try NamePattern("typed.example.com"), types: [.A], location: location)
    let rules = ResolverRules(
      sinkhole: .nxdomain, sinkholeTTL: 5, unknownClients: .nxdomain, allowedEvents: .grants, opensFirewall: true,
      opensIPv6: true, maxTTL: 3600, maxNegativeTTL: 300)
    let policies = [
      try policy("agent", "10.77.1.0/24", dhcp: true, rules: [typed]),
      try policy("web", "10.77.2.0/24", inbound: .ports([PortRule(8080, .tcp)])),
    ]
    let listen = [ListenAddress(address: address("10.77.1.1"))]
    return Explainer(
      PolicySnapshot(policies), try LocalZones(files: LocalZones.shippedFiles), rules,
      ExplainedHost(
        mode: .managed, isFenced: isFenced, addresses: [address("10.77.1.1"), address("127.0.0.1")], listen: listen,
        closed: closed), now: 0)
  }

  private func explained(
    _ address: String, _ port: PortRule?, of server: Int? = 0, from client: String? = nil, isFenced: Bool = true,
    closed: [IPPrefix] = []
  ) throws -> String {
    let found = try Self.explainer(isFenced: isFenced, closed: closed).explain(
      Self.address(address), port, of: server, client: client.map(Self.address))
    return "\(found.decision) \(found.code)"
  }

  @Test("the host takes what the resolver is asked, DHCP of a server that may, and all where there is no fence")
  func host() throws {
    #expect(try explained("10.77.1.1", PortRule(53, .udp)) == "allow host")
    #expect(try explained("10.77.1.1", PortRule(67, .udp)) == "allow host")
    #expect(try explained("10.77.1.1", PortRule(67, .udp), of: 1) == "block hostFence")
    #expect(try explained("10.77.1.1", PortRule(67, .tcp)) == "block hostFence")
    #expect(try explained("10.77.1.1", PortRule(22, .tcp)) == "block hostFence")
    #expect(try explained("10.77.1.1", nil) == "block hostFence")
    #expect(try explained("10.77.1.1", PortRule(22, .tcp), isFenced: false) == "allow host")
    #expect(try explained("10.77.1.1", nil, isFenced: false) == "allow host")
  }

  @Test("a server's own network is its own, another's is closed but for what it lets in and the server may reach")
  func networks() throws {
    #expect(try explained("10.77.1.9", PortRule(5432, .tcp)) == "allow ownNetwork")
    #expect(try explained("10.77.2.9", PortRule(8080, .tcp)) == "block denied")
    #expect(try explained("192.0.2.1", PortRule(443, .tcp)) == "block rawAddress")
  }

  @Test("a denied network is closed whatever opens it, but a server's own and the host, of which other rules decide")
  func denied() throws {
    #expect(try explained("198.51.100.1", PortRule(443, .tcp)) == "allow cidr")
    #expect(try explained("198.51.100.200", PortRule(443, .tcp)) == "block denied")
    #expect(try explained("198.51.100.200", nil) == "block denied")
    #expect(try explained("10.77.1.9", PortRule(5432, .tcp)) == "allow ownNetwork")
    #expect(try explained("10.77.1.1", PortRule(53, .udp)) == "allow host")
    let found = try Self.explainer().explain(Self.address("198.51.100.200"), nil, of: 0)
    #expect(found.rule == "policy.yaml:1" && found.pattern == "cidr: 198.51.100.128/25" && found.ports == nil)
  }

  @Test("a client of no server meets rules where its network is closed, or where it connects to a server's")
  func unknownClients() throws {
    let held = try #require(IPPrefix("10.88.0.0/16"))
    #expect(try explained("192.0.2.1", nil, of: nil, from: "10.99.0.9") == "allow notEnforced")
    #expect(try explained("192.0.2.1", nil, of: nil, from: "10.88.0.9", closed: [held]) == "block unknownClient")
    #expect(try explained("10.77.2.9", PortRule(8080, .tcp), of: nil, from: "10.99.0.9") == "allow otherServer")
    #expect(try explained("10.77.2.9", PortRule(22, .tcp), of: nil, from: "10.99.0.9") == "block otherServer")
    #expect(try explained("10.77.1.1", PortRule(22, .tcp), of: nil, from: "10.99.0.9") == "allow notEnforced")
  }

  @Test("of a name that is refused only its entry is told, and of no name that it is none")
  func names() throws {
    let explainer = try Self.explainer()
    let typed = explainer.explain(try Name(presentation: "typed.example.com"), .AAAA, of: 0)
    #expect("\(typed.decision) \(typed.code)" == "block typeNotAllowed")
    #expect(typed.types == ["A"] && typed.ports == nil && typed.pattern == "typed.example.com")
    let allowed = explainer.explain(try Name(presentation: "typed.example.com"), .A, of: 0)
    #expect(allowed.ports == ["443/tcp"])
    let odd = explainer.explain(try Name(presentation: #"a\032b.example.com"#), .A, of: 0)
    #expect("\(odd.decision) \(odd.code)" == "block notAHostName")
  }
}
