import Foundation
import Glibc
import HostNetwork
import IPNetwork
import Settings
import Testing

@testable import sluice

/// What `doctor` says of a host firewall beside Sluice's table: nft and iptables lay its rules out in a network namespace, a
/// query goes through them in thought.
@Suite(
  .enabled(
    if: geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/sbin/nft")
      && FileManager.default.isExecutableFile(atPath: "/usr/sbin/iptables"),
    "needs root, nftables and iptables"))
struct QueryDiagnosisTests {
  /// One server at 10.77.2.0/24, as the README has it.
  private static func settings() throws -> Settings {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-queries-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data("listen: [ 10.77.2.1 ]\nupstreams: [ udp://192.0.2.54 ]\npolicies: policy.yaml\n".utf8)
      .write(to: folder.appending(path: "sluice.yaml"))
    try Data("server: github-mcp\nnetworks: [ 10.77.2.0/24 ]\negress: [ api.github.com ]\n".utf8)
      .write(to: folder.appending(path: "policy.yaml"))
    return try #require(SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path).settings)
  }

  private func findings(_ script: String, isThere: Bool = true) throws -> [Finding] {
    let listing = try HostProgram.run(
      ["/usr/bin/unshare", "--net", "/bin/sh", "-ec", "{\n\(script)\n} >&2; exec nft -j list ruleset"], input: "")
    #expect(listing.status == 0, "\(listing.errors)")
    var host = HostNetwork(interfaces: [HostNetwork.Interface(index: 2, name: "br-mcp", kind: "bridge")])
    if isThere {
      host.addresses = [
        HostNetwork.Address(
          interface: 2, address: try #require(IPAddress("10.77.2.1")), network: try #require(IPPrefix("10.77.2.0/24")))
      ]
    }
    return try QueryDiagnosis(
      settings: Self.settings(),
      ruleset: ForwardRuleset(listing.output, hook: "input"), host: host
    ).findings
  }

  private static func table(_ rules: String, policy: String = "drop") -> String {
    """
    nft -f - <<'EOF'
    table inet filter {
      chain input { type filter hook input priority 0; policy \(policy); \(rules); }
      chain forward { type filter hook forward priority 0; policy drop; }
    }
    EOF
    """
  }

  /// As a Debian with a firewall of its own has it.
  private static let usual = "ct state established,related accept; iif lo accept; tcp dport 22 accept"

  @Test(arguments: [
    usual, "\(usual); ct state new udp dport 53 accept", "\(usual); iifname \"eth0\" udp dport 53 accept",
    "\(usual); udp dport 53 ip saddr 10.77.3.0/24 accept", "\(usual); reject",
    "ct state vmap { established : accept, related : accept, invalid : drop }; tcp dport 22 accept",
  ])
  func `a host firewall that refuses queries is told, with what lets them in`(rules: String) throws {
    let found = try findings(Self.table(rules))
    #expect(found.map(\.kind) == [.queriesRefused], "\(found)")
    #expect(
      found.first?.text.contains("what github-mcp asks from 10.77.2.0/24 is refused by inet filter input") == true)
    let remedy = try #require(found.first?.remedy)
    #expect(remedy.contains("accept 53/udp and 53/tcp from br-mcp there"))
    // Followed, it is gone.
    #expect(try findings(Self.table("iifname \"br-mcp\" meta l4proto { tcp, udp } th dport 53 accept; \(rules)")) == [])
  }

  @Test(arguments: [
    "", table("\(usual); udp dport 53 accept"), table("\(usual); iifname \"br-*\" accept"),
    table(usual, policy: "accept"),
    table("\(usual); ct state untracked accept"),
    table("ct state vmap { established : accept, invalid : drop, untracked : accept }"),
  ])
  func `one that lets them in is not`(script: String) throws {
    #expect(try findings(script) == [])
  }

  @Test func `the tables of Sluice's own are left out`() {
    let listing =
      "table ip filter\ntable inet sluice\ntable inet sluice/closing\ntable ip sluice\ntable inet sluice-2\n"
    #expect(
      QueryDiagnosis.others(in: listing, beside: "sluice")
        == [["ip", "filter"], ["ip", "sluice"], ["inet", "sluice-2"]])
  }

  @Test func `what iptables hides is a remark, and nothing is said before the network is there`() throws {
    let closed = """
      iptables -P INPUT DROP
      iptables -A INPUT -i lo -j ACCEPT
      iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      iptables -A INPUT -p tcp --dport 22 -j ACCEPT
      """
    #expect(try findings(closed).map(\.kind) == [.queriesRefused])
    #expect(try findings(closed + "\niptables -A INPUT -p udp --dport 53 -j ACCEPT") == [])
    let script = closed + "\niptables -A INPUT -p udp -m multiport --dports 53,67 -j ACCEPT"
    let found = try findings(script)
    #expect(found.map(\.severity) == [.remark] && found.map(\.kind) == [.queriesUnknown], "\(found)")
    #expect(try findings(script, isThere: false) == [])
  }
}
