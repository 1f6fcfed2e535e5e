import DNSWire
import IPNetwork
import Testing

@testable import EgressPolicy

@Suite("What differs between two policies")
struct PolicyDifferenceTests {
  @Test("servers and patterns that came, went and changed are told; order and locations are no difference")
  func differences() throws {
    let one = try server("one", networks: ["10.0.0.0/24"], ["a.example.com", "*.example.com", "gone.example.com"])
    let two = try server("two", networks: ["10.0.1.0/24"], ["b.example.com"])
    let three = try server("three", networks: ["10.0.2.0/24"], ["c.example.com"])
    #expect(PolicyDifference(from: [one, two], to: [two, one]).servers.isEmpty)
    let ports = PortSet([PortRule(8443, .tcp)])
    let location = SourceLocation(file: "p", line: 1, column: 1)
    let rules = [
      EgressRule(pattern: try NamePattern("a.example.com"), ports: ports, location: location),
      EgressRule(pattern: try NamePattern("*.example.com"), location: location),
      EgressRule(pattern: try NamePattern("new.example.com"), location: location),
    ]
    let changed = ServerPolicy(
      name: one.name, networks: one.networks, rules: RuleList(rules), location: location)
    let moved = try server("two", networks: ["10.0.9.0/24"], ["b.example.com"])
    let difference = PolicyDifference(from: [one, two], to: [three, moved, changed])
    typealias Server = PolicyDifference.Server
    #expect(
      difference.servers == [
        Server(
          name: "one", kind: .changed, added: ["new.example.com"], removed: ["gone.example.com"],
          altered: [ChangedValue(entry: "a.example.com", key: "ports", was: ["443/tcp"], now: ["8443/tcp"])]),
        Server(name: "three", kind: .added, added: ["c.example.com"]),
        Server(
          name: "two", kind: .changed,
          altered: [ChangedValue(key: "networks", was: ["10.0.1.0/24"], now: ["10.0.9.0/24"])]),
      ])
    #expect(difference.addedCount == 2 && difference.removedCount == 1)
    #expect(PolicyDifference(from: [one], to: []).servers.map(\.kind) == [.removed])
  }

  private let place = SourceLocation(file: "p", line: 1, column: 1)

  private func policy(
    interface: String? = nil, inbound: PortSet? = nil, dhcp: Bool = false, _ rules: [EgressRule],
    _ prefixes: [StaticPrefixRule] = []
  ) throws -> ServerPolicy {
    ServerPolicy(
      name: try ServerName("one"),
      networks: [ServerNetwork(prefix: try #require(IPPrefix("10.0.0.0/24")), location: place)],
      interface: interface, inbound: inbound, asksDHCP: dhcp, rules: RuleList(rules), prefixes: prefixes,
      location: place)
  }

  /// What is told of one server, a line for each.
  private func told(_ old: ServerPolicy, _ new: ServerPolicy) throws -> [String] {
    let server = try #require(PolicyDifference(from: [old], to: [new]).servers.first)
    return server.added.map { "+ \($0)" } + server.removed.map { "- \($0)" } + server.altered.map(\.description)
  }

  @Test("each key of an entry is told with what it was and what it is")
  func entryKeys() throws {
    let pattern = try NamePattern("db.example.com")
    let plain = EgressRule(pattern: pattern, location: place)
    let network = try #require(IPPrefix("10.0.5.0/24"))
    func told(_ rule: EgressRule) throws -> [String] { try self.told(try policy([plain]), try policy([rule])) }
    #expect(
      try told(EgressRule(pattern: pattern, ports: .any, location: place)) == ["db.example.com: ports: 443/tcp -> any"])
    #expect(
      try told(EgressRule(pattern: pattern, types: [.A, .HTTPS], location: place))
        == ["db.example.com: types: A, AAAA -> A, HTTPS"])
    #expect(
      try told(EgressRule(pattern: pattern, privatePrefixes: [network], location: place))
        == ["db.example.com: private: none -> 10.0.5.0/24"])
    #expect(
      try told(EgressRule(pattern: pattern, maxBytes: 262_144, maxBytesPerHour: 2000, location: place))
        == ["db.example.com: max-bytes: none -> 256KiB", "db.example.com: max-bytes-per-hour: none -> 2000B"])
    #expect(
      try told(EgressRule(pattern: pattern, maxBytes: ByteBound(262_144, .audit), location: place))
        == ["db.example.com: max-bytes: none -> 256KiB, audit"])
    #expect(
      try told(EgressRule(pattern: pattern, until: 1_798_740_000, location: place))
        == ["db.example.com: until: none -> 2026-12-31T18:00:00Z"])
    #expect(
      try told(EgressRule(pattern: pattern, cname: .listed, location: place))
        == ["db.example.com: cname: none -> listed"])
    #expect(
      try told(EgressRule(pattern: pattern, dnssec: .verify, location: place))
        == ["db.example.com: dnssec: none -> verify"])
  }

  @Test("octets are told in the largest unit that divides them")
  func sizes() {
    let counts: [UInt64] = [1 << 10, 1 << 20, 3 << 30, 1025, 0]
    #expect(counts.map(OctetCount.text) == ["1KiB", "1MiB", "3GiB", "1025B", "0"])
  }

  @Test("what is open without a name is an entry too: it comes, goes and changes")
  func prefixes() throws {
    let (one, two) = (try #require(IPPrefix("198.51.100.0/24")), try #require(IPPrefix("203.0.113.7/32")))
    let old = try policy([], [StaticPrefixRule(prefix: one, location: place)])
    let other = try policy([], [StaticPrefixRule(prefix: two, location: place)])
    #expect(try told(old, other) == ["+ cidr: 203.0.113.7/32", "- cidr: 198.51.100.0/24"])
    let wider = try policy([], [StaticPrefixRule(prefix: one, ports: .any, maxBytes: 9, location: place)])
    #expect(
      try told(old, wider)
        == ["cidr: 198.51.100.0/24: max-bytes: none -> 9B", "cidr: 198.51.100.0/24: ports: 443/tcp -> any"])
    let difference = PolicyDifference(from: [old], to: [other])
    #expect(difference.addedCount == 0 && difference.removedCount == 0, "no names")
    #expect(PolicyDifference(from: [], to: [old]).servers.first?.added == ["cidr: 198.51.100.0/24"])
  }

  @Test("so are the keys beside the list")
  func documentKeys() throws {
    #expect(
      try told(try policy([]), try policy(interface: "br-one", inbound: .https, dhcp: true, []))
        == ["dhcp: none -> true", "inbound: none -> 443/tcp", "interface: none -> br-one"])
  }

  @Test("entries of one name that are others, and open the same together, are told one by one")
  func entries() throws {
    let pattern = try NamePattern("a.example.com")
    func rule(_ ports: [PortRule], _ types: [RRType]) -> EgressRule {
      EgressRule(pattern: pattern, ports: PortSet(ports), types: types, location: place)
    }
    let (web, database) = (PortRule(443, .tcp), PortRule(5432, .tcp))
    let told = try told(
      try policy([rule([web], [.A]), rule([database], [.AAAA])]),
      try policy([rule([web], [.AAAA]), rule([database], [.A])]))
    #expect(
      told == [
        "a.example.com: entries: ports: 443/tcp; types: A, ports: 5432/tcp; types: AAAA -> "
          + "ports: 443/tcp; types: AAAA, ports: 5432/tcp; types: A"
      ])
  }
}
