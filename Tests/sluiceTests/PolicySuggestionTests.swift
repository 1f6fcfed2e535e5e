import AuditStore
import DNSWire
import EgressPolicy
import IPNetwork
import Testing

@testable import sluice

@Suite("What is suggested of what was denied")
struct PolicySuggestionTests {
  private static func policy(_ names: (String, PortSet)...) throws -> ServerPolicy {
    let place = SourceLocation(file: "policy.yaml", line: 5, column: 5)
    let network = try #require(IPPrefix("10.77.1.0/24"))
    let rules = try names.map { EgressRule(pattern: try NamePattern($0.0), ports: $0.1, location: place) }
    return ServerPolicy(
      name: try ServerName("agent"), networks: [ServerNetwork(prefix: network, location: place)],
      rules: RuleList(rules), location: place)
  }

  private static func lines(_ events: [LoggedEvent], _ policy: ServerPolicy? = nil) throws -> [String] {
    var suggestion = PolicySuggestion(server: "agent", policy: policy)
    for event in events { suggestion.add(try event.line) }
    return suggestion.lines()
  }

  /// What a reader would take over.
  private static func entries(_ lines: [String]) -> [String] {
    lines.filter { $0.hasPrefix("  - ") || $0.hasPrefix("    ") }
  }

  private static func remarks(_ lines: [String]) -> [String] {
    lines.filter { $0.hasPrefix("  # not suggested: ") }
  }

  @Test("names of services are no hosts: one remark, whatever their types and whether the host is listed")
  func services() throws {
    let lines = try Self.lines([
      LoggedEvent(destination: "_http._tcp.packages.example.org", type: "SRV"),
      LoggedEvent(destination: "_grpc_config.api.example.com", type: "TXT", count: 3),
      LoggedEvent(destination: "_dns.resolver.arpa", code: "type-not-allowed", type: "SVCB"),
      LoggedEvent(destination: "packages.example.org"), LoggedEvent(destination: "under_score.example.org"),
    ])
    #expect(Self.entries(lines) == ["  - packages.example.org", "  - under_score.example.org"])
    #expect(Self.remarks(lines).count == 1)
    #expect(Self.remarks(lines)[0].contains("3 names, such as _dns.resolver.arpa, _grpc_config.api.example.com"))
    #expect(Self.remarks(lines)[0].contains("of services: 5 queries (SRV, SVCB, TXT) of 10.77.1.2"))
  }

  @Test("a listed name with a search suffix behind it is a remark of the suffix")
  func searchSuffixes() throws {
    let events = ["corp.example.net", "mynetwork", "abc.ax.internal.cloudapp.net"].flatMap { suffix in
      [
        LoggedEvent(destination: "api.github.com.\(suffix)"), LoggedEvent(destination: "raw.example.io.\(suffix)"),
        LoggedEvent(destination: "other.example.org.\(suffix)"),
      ]
    }
    // One is listed, one by a pattern, one was denied without the suffix.
    let policy = try Self.policy(("api.github.com", .https), ("*.example.io", .https))
    let lines = try Self.lines(events + [LoggedEvent(destination: "other.example.org")], policy)
    #expect(Self.entries(lines) == ["  - other.example.org"])
    #expect(Self.remarks(lines).count == 3)
    #expect(Self.remarks(lines).allSatisfy { $0.contains("3 names, such as api.github.com.") })
    // Without the configuration what was allowed is known from the log.
    let allowed = LoggedEvent(destination: "api.github.com", code: "granted", decision: "allow")
    #expect(try Self.entries(Self.lines([events[0], allowed])).isEmpty)
    #expect(try Self.entries(Self.lines([events[0]])) == ["  - api.github.com.corp.example.net"])
  }

  @Test("a country's name behind a listed name is another owner's name, and no search suffix")
  func countries() throws {
    let policy = try Self.policy(("example.com", .https), ("shop.example", .https))
    let lines = try Self.lines(
      [LoggedEvent(destination: "example.com.au"), LoggedEvent(destination: "shop.example.co.uk")], policy)
    #expect(Self.entries(lines) == ["  - example.com.au", "  - shop.example.co.uk"])
  }

  @Test("names of shared hosting that were asked for in one hour alone are one remark, those that come again are not")
  func sharedHosting() throws {
    let single = (0..<40).map { LoggedEvent(destination: "run\($0).blob.core.windows.net", second: 60 * $0) }
    let again = [0, 7200].map { LoggedEvent(destination: "stays.blob.core.windows.net", second: $0) }
    let few = (0..<4).map { LoggedEvent(destination: "page\($0).github.io") }
    let own = (0..<9).map { LoggedEvent(destination: "n\($0).example.com") }
    let lines = try Self.lines(single + again + few + own)
    #expect(
      Self.entries(lines)
        == own.map { "  - \($0.destination)" } + few.map { "  - \($0.destination)" } + [
          "  - stays.blob.core.windows.net"
        ])
    #expect(Self.remarks(lines).count == 1)
    #expect(Self.remarks(lines)[0].contains("40 single-use names, such as run0.blob.core.windows.net"))
    #expect(Self.remarks(lines)[0].contains("under shared hosting blob.core.windows.net"))
  }

  @Test("a refused private answer comes with the line that admits it, and the ports that the name has")
  func privateAnswers() throws {
    func refused(_ name: String, _ address: String, _ why: String? = nil) -> LoggedEvent {
      LoggedEvent(
        destination: name, code: "answer-not-public",
        members: #","upstream":"udp://192.0.2.53:53","addresses":["\#(address)"]"#
          + (why.map { #","refused_as":"\#($0)""# } ?? ""))
    }
    let events = [
      refused("db.internal.example", "10.0.5.20"), refused("db.internal.example", "fd00::5", "on-link"),
      refused("meta.example.com", "169.254.169.254", "metadata"),
    ]
    let policy = try Self.policy(
      ("db.internal.example", PortSet([PortRule(5432, .tcp)])), ("meta.example.com", .https))
    let known = try Self.lines(events, policy)
    #expect(
      Self.entries(known) == [
        "  - host: db.internal.example", "    ports: [ 5432/tcp ]", "    private: [ 10.0.5.20/32, \"fd00::5/128\" ]",
      ])
    #expect(Self.remarks(known).count == 1)
    #expect(
      Self.remarks(known)[0].contains("meta.example.com answers 169.254.169.254 (metadata), which no line admits"))
    // Which ports it has is not known: nothing that a reader could take over as it stands.
    let unknown = try Self.lines(events)
    #expect(Self.entries(unknown).isEmpty)
    #expect(unknown.contains("  #     private: [ 10.0.5.20/32, \"fd00::5/128\" ]"))
  }

  @Test("a refused answer of which no address is told is told as refused, and never with a line for none")
  func answersWithoutAddresses() throws {
    func lines(_ members: String) throws -> [String] {
      try Self.lines([LoggedEvent(destination: "db.internal.example", code: "answer-not-public", members: members)])
    }
    #expect(try lines(#","addresses":[]"#) == lines(""))
    #expect(try !lines(#","addresses":[]"#).contains { $0.contains("private:") })
  }

  @Test("refused connections are connections, with what they went to")
  func connections() throws {
    let lines = try Self.lines([
      LoggedEvent(
        destination: "198.51.100.7", code: "raw-address", type: nil, transport: "tcp", count: 2,
        members: #","address":"198.51.100.7","protocol":"tcp","port":8080"#),
      LoggedEvent(
        destination: "api.example.com", code: "wrong-port", type: nil, transport: "tcp",
        members: #","address":"198.51.100.8","protocol":"tcp","port":22"#),
    ])
    #expect(lines.contains { $0.hasPrefix("  # not suggested: raw-address: 198.51.100.7 8080/tcp, 2 connections of") })
    #expect(
      lines.contains { $0.hasPrefix("  # listed, but not for this port: api.example.com 22/tcp, 1 connection of") })
    #expect(!lines.contains { $0.contains("quer") })
  }

  @Test("what an operator asked is no evidence, and events after the last are not either")
  func evidence() throws {
    #expect(try Self.lines([LoggedEvent(destination: "evil.example.com", transport: "control")]).isEmpty)
    // Counted lines come late, and tell of earlier times.
    let lines = try Self.lines([
      LoggedEvent(destination: "a.example.com", second: 20),
      LoggedEvent(
        destination: "a.example.com", count: 4, second: 90,
        members: #","first_ts":"2026-11-20T09:00:10.000Z","last_ts":"2026-11-20T09:01:35.000Z""#),
      LoggedEvent(destination: "a.example.com", second: 30),
    ])
    #expect(
      lines.contains(
        "  # 6 queries (A) of 10.77.1.2, 2026-11-20T09:00:10.000Z to 2026-11-20T09:01:35.000Z"))
  }
}
