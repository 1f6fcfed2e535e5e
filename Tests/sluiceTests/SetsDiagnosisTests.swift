import Foundation
import Glibc
import HostNetwork
import IPNetwork
import Settings
import Testing

@testable import sluice

/// What `doctor` says of a user's own table: nft and iptables lay rules out in a network namespace, a packet goes through them in
/// thought.
@Suite(.withTables)
struct SetsDiagnosisTests {
  private static let examples = URL(filePath: #filePath).appending(path: "../../../Examples/sets").standardizedFileURL
    .path

  /// What an engine leaves for a bridge, as the example's own run makes it.
  private static func docker(jumps: Bool) -> String {
    """
    for i in iptables ip6tables; do
      $i -P FORWARD \(jumps ? "DROP" : "ACCEPT"); $i -N DOCKER-USER; $i -A DOCKER-USER -j RETURN
      \(jumps ? "$i -A FORWARD -j DOCKER-USER" : ":")
      $i -A FORWARD -o br-mcp-github -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      $i -A FORWARD -i br-mcp-github ! -o br-mcp-github -j ACCEPT
    done
    nft -f \(examples)/docker-user/filter-mcp.nft; sh \(examples)/docker-user/docker-user.sh

    """
  }

  private static let plain = "nft -f \(examples)/nftables/filter-mcp.nft\n"

  private static let lookUp = "ip daddr . meta l4proto . th dport"

  /// A table with a set for IPv4 alone.
  private static func table(_ chains: String) -> String {
    """
    nft -f - <<'EOF'
    table inet filter-mcp {
      set github-mcp-4 { type ipv4_addr . inet_proto . inet_service; flags timeout; }
      \(chains)
    }
    EOF

    """
  }

  private static func chain(_ name: String = "forward", policy: String, _ rules: String) -> String {
    "chain \(name) { type filter hook forward priority 0; policy \(policy); \(rules); }"
  }

  /// Those of the examples, with two networks behind two bridges.
  private static func twoNetworks() throws -> Settings {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-sets-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data(
      """
      listen: [ 10.77.1.1, 10.77.2.1 ]
      upstreams: [ udp://192.0.2.54 ]
      policies: policy.yaml
      firewall: { mode: sets, table: inet filter-mcp }
      """.utf8
    ).write(to: folder.appending(path: "sluice.yaml"))
    try Data("server: github-mcp\nnetworks: [ 10.77.1.0/24, 10.77.2.0/24 ]\negress: []\n".utf8)
      .write(to: folder.appending(path: "policy.yaml"))
    return try #require(SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path).settings)
  }

  private func findings(_ script: String, settings: Settings? = nil) throws -> [Finding] {
    let settings = settings ?? SettingsLoader.load(path: "\(Self.examples)/sluice.yaml").settings
    let listing = try HostProgram.run(
      ["/usr/bin/unshare", "--net", "/bin/sh", "-ec", "{\n\(script)\n} >&2; exec nft -j list ruleset"], input: "")
    #expect(listing.status == 0, "\(listing.errors)")
    var host = HostNetwork(interfaces: [
      HostNetwork.Interface(index: 2, name: "br-mcp-github", kind: "bridge"),
      HostNetwork.Interface(index: 3, name: "eth0"),
      HostNetwork.Interface(index: 4, name: "br-second", kind: "bridge"),
    ])
    if let second = IPPrefix("10.77.2.0/24") {
      host.addresses.append(HostNetwork.Address(interface: 4, address: second.address, network: second))
    }
    for network in ["10.77.1.0/24", "fd00:77:1::/64"].compactMap({ IPPrefix($0) }) {
      host.addresses.append(HostNetwork.Address(interface: 2, address: network.address, network: network))
    }
    host.routes = ["0.0.0.0/0", "::/0"].compactMap { IPPrefix($0) }.map {
      HostNetwork.Route(destination: $0, interface: 3)
    }
    return SetsDiagnosis(
      settings: try #require(settings), ruleset: try ForwardRuleset(listing.output), host: host
    ).findings
  }

  @Test(arguments: [plain, "nft -f \(examples)/firewalld/filter-mcp.nft", docker(jumps: true)])
  func `the shipped examples refuse what is in no set, and let through what is`(script: String) throws {
    let found = try findings(script)
    #expect(found.map(\.severity) == [.ok, .ok], "\(found)")
    #expect(found.allSatisfy { $0.text.contains("is refused by ") })
  }

  /// Rules, what is found of them in each family, what the advice says, and what it makes of them.
  private static let faults: [(String, FindingKind, String, String)] = [
    (
      // Under Podman, and under Docker with nftables, nothing jumps to DOCKER-USER.
      docker(jumps: false), .forwardOpen, "iptables -I FORWARD -j DOCKER-USER",
      "iptables -I FORWARD -j DOCKER-USER; ip6tables -I FORWARD -j DOCKER-USER"
    ),
    (
      plain + "nft flush chain inet filter-mcp forward", .setUnused,
      "load rules that do, such as those of Examples/sets", plain
    ),
    (
      plain
        + "nft 'flush chain inet filter-mcp github-mcp; add rule inet filter-mcp github-mcp ip saddr 10.77.1.0/24 ip daddr . meta l4proto . th dport @github-mcp-4 counter; add rule inet filter-mcp github-mcp ip6 saddr fd00:77:1::/64 ip6 daddr . meta l4proto . th dport @github-mcp-6 counter; add rule inet filter-mcp github-mcp accept'",
      .forwardOpen, "refuse behind the look-up what is not in it", plain
    ),
    (
      // Another table, in which nothing accepts the server.
      plain
        + "nft 'add table ip other; add chain ip other forward { type filter hook forward priority 5; policy drop; }'\n"
        + "nft 'add table ip6 other; add chain ip6 other forward { type filter hook forward priority 5; policy drop; }'",
      .forwardClosed, "ip other forward cannot look into a set of another table: mark in inet filter-mcp",
      ["4": "ip", "6": "ip6"].map { number, family in
        """
        nft 'insert rule inet filter-mcp github-mcp \(family) daddr . meta l4proto . th dport @github-mcp-\(number) \
        meta mark set meta mark | 0x20000000'
        nft 'add rule \(family) other forward meta mark & 0x20000000 == 0x20000000 accept'
        """
      }.joined(separator: "\n")
    ),
  ]

  @Test(arguments: faults)
  func `what no chain refuses, looks into or lets through is found, and mended as advised`(
    script: String, kind: FindingKind, advice: String, follow: String
  ) throws {
    let found = try findings(script)
    #expect(found.filter { $0.kind == kind }.count == 2, "\(found)")
    #expect(found.contains { $0.kind == kind && $0.remedy?.contains(advice) ?? false }, "\(found)")
    let left = try findings("\(script)\n\(follow)")
    #expect(left.map(\.severity) == [.ok, .ok], "\(left)")
  }

  @Test(arguments: ["limit rate 5/second", "fib daddr type local", "ip saddr @others"])
  func `what hangs on something else is told as that`(condition: String) throws {
    let script =
      Self.plain
      + "nft 'add set inet filter-mcp others { type ipv4_addr; }'; "
      + "nft 'insert rule inet filter-mcp forward \(condition) accept'"
    #expect(try findings(script).contains { $0.kind == .forwardUnknown && $0.severity == .remark })
  }

  /// What a rule accepts before the look-up, of all that is tried; nil for nothing.
  private static let conditions: [(String, String?)] = [
    ("ip daddr 198.51.100.0/24", all), ("ip daddr { 192.0.2.0/24, 198.51.100.1 }", all), ("ip daddr 192.0.2.0/24", nil),
    ("tcp dport 443", "tcp/443"), ("tcp dport { 80, 440-450 }", "tcp/443"), ("tcp dport 80", nil),
    ("tcp dport != 443", "tcp/4444"), ("udp dport 443", "udp/443"), ("udp dport 53", nil),
    ("th dport 443", "tcp/443, udp/443"), ("icmp type echo-request", "icmp"), ("icmp type echo-reply", nil),
    ("icmpv6 type echo-request", nil), ("meta l4proto tcp", "tcp/443, tcp/4444"),
    ("meta l4proto { udp, icmp, ipv6-icmp }", "udp/443, icmp"), ("ip protocol udp", "udp/443"),
    ("meta nfproto ipv4", all), ("meta nfproto ipv6", nil), ("ip6 daddr ::/1", nil), ("ip6 daddr != ::/1", nil),
    ("ct state new", all), ("ct state established,related", nil), ("ct status dnat", nil),
    ("iifname \"br-*\"", all), ("iifname != \"br-mcp-github\"", nil), ("oifname \"eth0\"", all),
    ("meta mark & 0x1 == 0x0", all), ("meta mark 0x7", nil), ("ip saddr 10.77.1.0-10.77.1.255", all),
    ("ip saddr 10.77.1.2 udp dport 443", "udp/443 from 10.77.1.2"),
  ]
  private static let all = "tcp/443, tcp/4444, udp/443, icmp"

  @Test(arguments: conditions)
  func `conditions are judged as the kernel would`(condition: String, passing: String?) throws {
    let found = try findings(Self.plain + "nft 'insert rule inet filter-mcp forward \(condition) accept'")
    let four = found.filter { $0.text.contains("10.77.1.0/24") }
    guard let passing else {
      #expect(four.map(\.severity) == [.ok], "\(four)")
      return
    }
    let open = try #require(four.first { $0.kind == .forwardOpen }, "\(four)")
    #expect(open.severity == .serious && open.text.hasSuffix("github-mcp-4: \(passing)"), "\(open)")
    // What is all accepted before comes to no look-up.
    #expect(four.contains { $0.kind == .setUnused } == (passing == Self.all), "\(four)")
  }

  @Test(arguments: [
    ("accept", "iifname br-mcp-github tcp dport 443 \(lookUp) != @github-mcp-4 reject", "tcp/4444, udp/443, icmp"),
    ("accept", "iifname br-mcp-github meta l4proto tcp \(lookUp) != @github-mcp-4 reject", "udp/443, icmp"),
    ("drop", "iifname br-mcp-github meta l4proto udp accept; \(lookUp) @github-mcp-4 accept", "udp/443"),
    ("accept", "ip saddr 10.77.1.2 \(lookUp) != @github-mcp-4 reject", "icmp from 10.77.1.1 and 10.77.1.254"),
  ])
  func `what passes beside the look-up is named, by protocol, port and host`(
    policy: String, rules: String, passing: String
  ) throws {
    let found = try findings(Self.table(Self.chain(policy: policy, rules)))
    #expect(found.map(\.kind) == [.forwardOpen] && found.map(\.severity) == [.serious], "\(found)")
    #expect(found.allSatisfy { $0.text.hasSuffix(passing) }, "\(found)")
  }

  @Test func `rules for the bridge of one network leave another network open`() throws {
    let one = Self.table(
      Self.chain(policy: "accept", "iifname br-mcp-github \(Self.lookUp) != @github-mcp-4 reject"))
    let found = try findings(one, settings: try Self.twoNetworks())
    #expect(found.filter { $0.text.contains("10.77.1.0/24") }.map(\.severity) == [.ok], "\(found)")
    #expect(
      Set(found.filter { $0.text.contains("10.77.2.0/24") }.map(\.kind)) == [.setUnused, .forwardOpen], "\(found)")
    let both = Self.table(Self.chain(policy: "accept", "\(Self.lookUp) != @github-mcp-4 reject"))
    #expect(try findings(both, settings: try Self.twoNetworks()).map(\.severity) == [.ok, .ok])
  }

  // MARK: - What the sets hold is refused

  @Test func `a forgotten accept is mended by a command that opens what the set holds alone`() throws {
    let rules = Self.table(
      Self.chain(policy: "drop", "iifname br-mcp-github \(Self.lookUp) @github-mcp-4 counter"))
    let found = try findings(rules)
    #expect(found.map(\.kind) == [nil, .forwardClosed], "\(found)")
    let command = try #require(found.last?.remedy)
    #expect(
      command == "nft add rule inet filter-mcp forward iifname \"br-mcp-github\" ip saddr 10.77.1.0/24 "
        + "\(Self.lookUp) @github-mcp-4 accept")
    #expect(try findings(rules + command).map(\.severity) == [.ok])
  }

  @Test(arguments: [
    // A rule refuses, two chains do, or the packet leaves the chain before its end.
    chain(policy: "accept", "\(lookUp) @github-mcp-4 counter; iifname br-mcp-github drop"),
    chain(policy: "drop", "\(lookUp) @github-mcp-4 counter; iifname br-mcp-github drop"),
    chain(policy: "drop", "\(lookUp) @github-mcp-4 counter") + "\n"
      + chain("second", policy: "drop", "ct state new drop"),
    chain(policy: "drop", "\(lookUp) @github-mcp-4 return"),
  ])
  func `where a command would do nothing, none is printed`(chains: String) throws {
    let found = try findings(Self.table(chains))
    let shut = try #require(found.first { $0.kind == .forwardClosed }, "\(found)")
    let remedy = try #require(shut.remedy)
    #expect(!remedy.contains("nft ") && remedy.contains("\(Self.lookUp) @github-mcp-4 accept in inet filter-mcp "))
  }
}
