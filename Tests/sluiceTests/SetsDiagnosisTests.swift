import Foundation
import Glibc
import HostNetwork
import IPNetwork
import Settings
import Testing

@testable import sluice

/// What `doctor` says of a user's own table: nft and iptables lay rules out in a network namespace, a packet goes through them in
/// thought.
@Suite(
  .enabled(
    if: geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/sbin/nft")
      && FileManager.default.isExecutableFile(atPath: "/usr/sbin/iptables"),
    "needs root, nftables and iptables"))
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

  private func findings(_ script: String) throws -> [Finding] {
    let settings = SettingsLoader.load(path: "\(Self.examples)/sluice.yaml").settings
    let listing = try HostProgram.run(
      ["/usr/bin/unshare", "--net", "/bin/sh", "-ec", "{\n\(script)\n} >&2; exec nft -j list ruleset"], input: "")
    #expect(listing.status == 0, "\(listing.errors)")
    var host = HostNetwork(interfaces: [
      HostNetwork.Interface(index: 2, name: "br-mcp-github", kind: "bridge"),
      HostNetwork.Interface(index: 3, name: "eth0"),
    ])
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
      .forwardClosed, "nft add rule ip other forward iifname \"br-mcp-github\" accept",
      "nft add rule ip other forward iifname br-mcp-github accept; nft add rule ip6 other forward iifname br-mcp-github accept"
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

  @Test(arguments: [
    ("ip daddr 198.51.100.0/24", true), ("ip daddr { 192.0.2.0/24, 198.51.100.1 }", true),
    ("ip daddr 192.0.2.0/24", false),
    ("tcp dport 443", true), ("tcp dport { 80, 440-450 }", true), ("tcp dport 80", false), ("udp dport 443", false),
    ("meta l4proto tcp", true), ("meta nfproto ipv4", true), ("meta nfproto ipv6", false), ("ip6 daddr ::/1", false),
    ("ct state new", true), ("ct state established,related", false), ("ct status dnat", false),
    ("iifname \"br-*\"", true), ("iifname != \"br-mcp-github\"", false), ("oifname \"eth0\"", true),
    ("meta mark & 0x1 == 0x0", true), ("meta mark 0x7", false), ("ip saddr 10.77.1.0-10.77.1.255", true),
  ])
  func `conditions are judged as the kernel would`(condition: String, holds: Bool) throws {
    let found = try findings(Self.plain + "nft 'insert rule inet filter-mcp forward \(condition) accept'")
    let four = found.filter { $0.text.contains("10.77.1.0/24") }
    // What is accepted before comes to no look-up.
    #expect(four.map(\.kind) == (holds ? [.setUnused] : [nil]), "\(four)")
  }
}
