import EgressPolicy
import FirewallModel
import Foundation
import HostNetwork
import IPNetwork
import Serving
import Settings

/// Whether rules that are not Sluice's do what its sets are for: chains that hook forward look into them, and refuse what is not
/// there. That rules exist says nothing, since no packet may come to them.
struct SetsDiagnosis {
  var settings: Settings
  var ruleset: ForwardRuleset
  var host: HostNetwork
  /// Whether there are rules of iptables-legacy, of which nft tells nothing.
  var hasLegacyRules = false

  var findings: [Finding] {
    let plan = FirewallPlan(settings, settings.policies.inForceNow())
    return plan.servers.flatMap { server in
      [IPAddress.Family.v4, .v6].flatMap { family in findings(server, family) }
    }
  }

  private var table: String { "\(settings.firewall.family) \(settings.firewall.table)" }

  private func findings(_ server: FirewallPlan.Server, _ family: IPAddress.Family) -> [Finding] {
    let names = SetName.all(of: server).filter { $0.family == family }.map { "\(table) \($0.text)" }
    let sets = Set(names.filter(ruleset.sets.contains))
    guard let network = server.prefixes.first(where: { $0.address.family == family }), !sets.isEmpty else { return [] }
    var packet = ForwardTrial.Packet(
      source: client(of: network), interface: server.interface ?? interface(of: network),
      outgoing: uplink(family), sets: sets, isOpen: false)
    let closed = ForwardTrial.outcome(of: packet, in: ruleset)
    packet.isOpen = true
    let open = ForwardTrial.outcome(of: packet, in: ruleset)
    let (what, shown) = ("\(server.name) sends from \(network)", sets.sorted().joined(separator: ", "))
    guard !closed.sets.union(open.sets).isEmpty else {
      return [
        .serious(
          .setUnused, "sets",
          "no chain that hooks forward looks into \(shown) for what \(what): what is in it decides nothing",
          "load rules that do, such as those of Examples/sets; nft list chains shows what hooks forward")
      ]
    }
    var findings: [Finding] = []
    switch (closed.passes || hasLegacyRules, closed.refusals.isEmpty) {
    case (true, true) where !hasLegacyRules:
      findings.append(
        .serious(
          .forwardOpen, "sets",
          "no chain that hooks forward refuses what \(what) to an address that is not in \(shown)",
          "refuse behind the look-up what is not in it; rules in DOCKER-USER need its jump: iptables -I FORWARD -j DOCKER-USER"
        ))
    case (true, _):
      findings.append(
        .remark(
          .forwardUnknown, "sets",
          "whether what \(what) to an address that is not in \(shown) is refused hangs on conditions that cannot be told here",
          "try it from a container: nc -w 3 \(packet.destination) 443 must be refused"))
    case (false, _):
      findings.append(
        .ok(
          "sets",
          "what \(what) to an address that is not in \(shown) is refused by \(closed.refusals.sorted().joined(separator: ", "))"
        ))
    }
    if !open.passes {
      let chains = open.refusals.sorted().joined(separator: ", ")
      findings.append(
        .warning(
          .forwardClosed, "sets", "what \(what) to an address in \(shown) is refused by \(chains)",
          "accept it there, behind what refuses: nft add rule \(chains) \(packet.interface.map { "iifname \"\($0)\" " } ?? "")accept"
        ))
    }
    return findings
  }

  /// An address of a network that is not its first.
  private func client(of network: IPPrefix) -> IPAddress {
    let first = network.address
    let octets = Array(first.octets.dropLast() + [(first.octets.last ?? 0) | 2])
    let second = IPAddress(octets: octets.span)
    return second.flatMap { network.contains($0) ? $0 : nil } ?? first
  }

  private func interface(of network: IPPrefix) -> String? {
    host.addresses.first { $0.network.overlaps(network) }.flatMap { host.interface(index: $0.interface)?.name }
  }

  /// By which interface the host reaches what it has no other route to.
  private func uplink(_ family: IPAddress.Family) -> String? {
    host.routes.first { $0.destination.length == 0 && $0.destination.address.family == family }
      .flatMap { host.interface(index: $0.interface)?.name }
  }
}

// MARK: - Of this host

extension SetsDiagnosis {
  /// - Throws: where nft cannot be run or its listing not be read, or the host's network cannot be read.
  init(_ settings: Settings) throws {
    let listing = try HostProgram.run(["/usr/sbin/nft", "-j", "list", "ruleset"], input: "")
    guard listing.status == 0 else { throw StartError("nft cannot list the rules: \(listing.errors)") }
    self.init(
      settings: settings, ruleset: try ForwardRuleset(listing.output),
      host: try RouteSocket().read { $0.destination.length == 0 },
      hasLegacyRules: ["ip", "ip6"].contains { !(HostFile.text("/proc/net/\($0)_tables_names") ?? "").isEmpty })
  }
}
