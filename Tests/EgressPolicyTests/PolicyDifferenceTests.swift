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
          altered: ["a.example.com"]),
        Server(name: "three", kind: .added, added: ["c.example.com"]),
        Server(name: "two", kind: .changed, isElsewhere: true),
      ])
    #expect(difference.addedCount == 2 && difference.removedCount == 1)
    #expect(PolicyDifference(from: [one], to: []).servers.map(\.kind) == [.removed])
  }
}
