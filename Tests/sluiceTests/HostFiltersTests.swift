import Foundation
import Glibc
import HostNetwork
import IPNetwork
import Settings
import Testing

@testable import sluice

/// What `doctor` says of rules beside Sluice's: they are laid out in a network namespace, and packets go through them in thought.
@Suite(.withTables)
struct HostFiltersTests {
  /// What an engine leaves for a bridge.
  private static let docker = """
    iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN
    iptables -A FORWARD -j DOCKER-USER
    iptables -A FORWARD -o br-mcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A FORWARD -i br-mcp ! -o br-mcp -j ACCEPT
    iptables -A FORWARD -i br-mcp -o br-mcp -j ACCEPT

    """

  /// ufw's chains, as far as a packet comes to them: what is incoming or routed is denied unless the user's rules allow it.
  private static func ufw(_ rules: String = ":") -> String {
    """
    iptables -P INPUT DROP; iptables -P FORWARD DROP
    for c in before-input user-input not-local after-input before-forward user-forward; do iptables -N ufw-$c; done
    for c in before-input after-input; do iptables -A INPUT -j ufw-$c; done
    iptables -A FORWARD -j ufw-before-forward
    iptables -A ufw-before-input -i lo -j ACCEPT
    iptables -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A ufw-before-input -m conntrack --ctstate INVALID -j DROP
    iptables -A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
    iptables -A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT
    iptables -A ufw-before-input -j ufw-not-local
    iptables -A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
    iptables -A ufw-not-local -m limit --limit 3/min -j LOG
    iptables -A ufw-not-local -j DROP
    iptables -A ufw-before-input -d 224.0.0.251 -p udp --dport 5353 -j ACCEPT
    iptables -A ufw-before-input -j ufw-user-input
    iptables -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -A ufw-before-forward -j ufw-user-forward
    \(rules)

    """
  }

  /// firewalld's chains of a bridge that is in its zone for everything.
  private static func firewalld(_ zone: String) -> String {
    """
    nft -f - <<'EOF'
    table inet firewalld {
      chain filter_INPUT {
        type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump filter_INPUT_ZONES
        reject with icmpx admin-prohibited
      }
      chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
      }
      chain filter_INPUT_ZONES { iifname "br-mcp" goto zone_\(zone); goto zone_public; }
      chain filter_FORWARD_ZONES { iifname "br-mcp" goto zone_\(zone); goto zone_public_forward; }
      chain zone_public {
        tcp dport 22 accept
        ip6 daddr fe80::/64 udp dport 546 accept
        meta l4proto { icmp, ipv6-icmp } accept
      }
      chain zone_public_forward { meta l4proto { icmp, ipv6-icmp } accept; }
      chain zone_trusted { accept; }
    }
    EOF

    """
  }

  private static func settings() throws -> Settings {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-filters-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data("listen: [ 10.77.2.1, 192.0.2.1 ]\nupstreams: [ udp://192.0.2.54 ]\npolicies: policy.yaml\n".utf8)
      .write(to: folder.appending(path: "sluice.yaml"))
    try Data("server: github-mcp\nnetworks: [ 10.77.2.0/24, 10.88.0.0/24 ]\negress: []\n".utf8)
      .write(to: folder.appending(path: "policy.yaml"))
    return try #require(SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path).settings)
  }

  private func findings(_ script: String, _ settings: Settings? = nil) throws -> [Finding] {
    let settings = try settings ?? Self.settings()
    let listing = try HostProgram.run(
      ["/usr/bin/unshare", "--net", "/bin/sh", "-ec", "{\n\(script)\n} >&2; exec nft -j list ruleset"], input: "")
    #expect(listing.status == 0, "\(listing.errors)")
    var host = HostNetwork(interfaces: [
      HostNetwork.Interface(index: 2, name: "br-mcp", kind: "bridge"), HostNetwork.Interface(index: 3, name: "eth0"),
    ])
    let network = try #require(IPPrefix("10.77.2.0/24"))
    host.addresses = [
      HostNetwork.Address(interface: 2, address: try #require(IPAddress("10.77.2.1")), network: network)
    ]
    host.routes = [HostNetwork.Route(destination: try #require(IPPrefix("0.0.0.0/0")), interface: 3)]
    return HostFilters(
      settings: settings, ruleset: try ForwardRuleset(listing.output), host: host, enclosed: ["br-mcp"]
    ).findings
  }

  @Test(arguments: [
    ":", docker,
    "iptables -P INPUT DROP; iptables -A INPUT -i br-mcp -p udp --dport 53 -j ACCEPT",
    "iptables -P FORWARD DROP; iptables -A FORWARD -i br-mcp -p tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT",
    "iptables -A INPUT -m recent --name x --rcheck -j DROP",
    "nft 'table inet sluice { chain forward { type filter hook forward priority 0; policy drop; }; }; table inet sluice/closing { chain input { type filter hook input priority 0; policy drop; }; }'",
    "nft 'table ip6 other { chain input { type filter hook input priority 0; policy drop; }; }'",
    firewalld("trusted"),
  ])
  func `rules that let through what Sluice does, or may, are no finding`(script: String) throws {
    #expect(try findings(script) == [])
  }

  /// Rules, and for each kind that is found of them the chains that are named and the advice.
  private static let faults: [(String, [FindingKind: (String, String)])] = [
    (
      docker + ufw(),
      [
        .queriesRefused: (
          "ip filter INPUT, ip filter ufw-not-local", "ufw allow in on br-mcp from 10.77.2.0/24 to 10.77.2.1 port 53"
        )
      ]
    ),
    (
      ufw(),
      [
        .queriesRefused: (
          "ip filter INPUT, ip filter ufw-not-local", "ufw allow in on br-mcp from 10.77.2.0/24 to 10.77.2.1 port 53"
        ),
        .openRefused: ("ip filter FORWARD", "ufw route allow in on br-mcp from 10.77.2.0/24"),
      ]
    ),
    (
      firewalld("public"),
      [
        .queriesRefused: (
          "inet firewalld filter_INPUT",
          "firewall-cmd --permanent --zone trusted --add-interface br-mcp && firewall-cmd --reload"
        ),
        .openRefused: (
          "inet firewalld filter_FORWARD",
          "firewall-cmd --permanent --zone trusted --add-interface br-mcp && firewall-cmd --reload"
        ),
      ]
    ),
    (
      "iptables -P INPUT DROP; iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables -P FORWARD DROP",
      [
        .queriesRefused: (
          "ip filter INPUT",
          "iptables -I INPUT -i br-mcp -s 10.77.2.0/24 -d 10.77.2.1 -p udp --dport 53 -j ACCEPT; iptables -I INPUT -i br-mcp -s 10.77.2.0/24 -d 10.77.2.1 -p tcp --dport 53 -j ACCEPT"
        ), .openRefused: ("ip filter FORWARD", "iptables -I FORWARD -i br-mcp -s 10.77.2.0/24 -j ACCEPT"),
      ]
    ),
    (
      // Queries to Sluice are not tracked: their state is none of these.
      "iptables -P INPUT DROP; iptables -A INPUT -p udp --dport 53 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
      [
        .queriesRefused: (
          "ip filter INPUT", "iptables -I INPUT -i br-mcp -s 10.77.2.0/24 -d 10.77.2.1 -p udp --dport 53 -j ACCEPT"
        )
      ]
    ),
    (
      "nft 'table inet host { chain deny { reject; }; chain incoming { type filter hook input priority 0; policy accept; udp dport 53 jump deny; }; }'",
      [
        .queriesRefused: (
          "inet host deny",
          "nft insert rule inet host incoming iifname \"br-mcp\" ip saddr 10.77.2.0/24 ip daddr 10.77.2.1 udp dport 53 accept; nft insert rule inet host incoming iifname \"br-mcp\" ip saddr 10.77.2.0/24 ip daddr 10.77.2.1 tcp dport 53 accept"
        )
      ]
    ),
  ]

  @Test func `no zone is trusted where nothing guards the host from it`() throws {
    var settings = try Self.settings()
    settings.firewall.inputFence = false
    let found = try findings(Self.firewalld("public"), settings)
    #expect(!found.isEmpty && found.allSatisfy { !($0.remedy ?? "").contains("trusted") }, "\(found)")
    #expect(
      found.contains {
        ($0.remedy ?? "").contains(
          "rule family=\"ipv4\" source address=\"10.77.2.0/24\" port port=\"53\" protocol=\"udp\" accept")
      })
  }

  @Test(arguments: faults)
  func `rules that refuse what Sluice lets through are found, and mended as advised`(
    script: String, expected: [FindingKind: (String, String)]
  ) throws {
    let found = try findings(script)
    #expect(Set(found.compactMap(\.kind)) == Set(expected.keys), "\(found)")
    for finding in found {
      let kind = try #require(finding.kind)
      let (chains, advice) = try #require(expected[kind])
      #expect(finding.text.contains("by \(chains), beside Sluice"), "\(finding.text)")
      #expect(finding.remedy?.hasPrefix(advice) == true, "\(finding)")
    }
    #expect(try findings(script + "\n" + expected.values.map { Self.done($0.1) }.joined(separator: "\n")) == [])
  }

  /// What an advice does to the rules: what is no command of nft or iptables, in their words.
  private static func done(_ advice: String) -> String {
    switch advice {
    case "ufw allow in on br-mcp from 10.77.2.0/24 to 10.77.2.1 port 53":
      "iptables -A ufw-user-input -i br-mcp -d 10.77.2.1 -p udp --dport 53 -j ACCEPT"
    case "ufw route allow in on br-mcp from 10.77.2.0/24": "iptables -A ufw-user-forward -i br-mcp -j ACCEPT"
    case let text where text.hasPrefix("firewall-cmd"): "nft delete table inet firewalld\n\(firewalld("trusted"))"
    default: advice
    }
  }
}
