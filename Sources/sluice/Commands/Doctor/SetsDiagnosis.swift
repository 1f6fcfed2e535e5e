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
    let names = SetName.all(of: server).filter { name in
      name.family == family && ruleset.sets.contains("\(table) \(name.text)")
    }
    guard !names.isEmpty else { return [] }
    return server.prefixes.filter { $0.address.family == family }.flatMap { network in
      findings(Trials(server: server, network: network, names: names, packet: packet(of: server, network, names)))
    }
  }

  /// What a server sends from one of its networks.
  private struct Trials {
    var server: FirewallPlan.Server
    var network: IPPrefix
    /// Those of its sets, of the network's family, that are there.
    var names: [SetName]
    /// One that others are made of.
    var packet: ForwardTrial.Packet

    var what: String { "\(server.name) sends from \(network)" }

    /// To an address that is in no set.
    var closed: [ForwardTrial.Packet] {
      SetsDiagnosis.hosts(of: network).flatMap { source in
        ForwardTrial.Content.forwarded.map { content in
          var packet = packet
          (packet.source, packet.content, packet.isOpen) = (source, content, false)
          return packet
        }
      }
    }
  }

  private func packet(
    of server: FirewallPlan.Server, _ network: IPPrefix, _ names: [SetName]
  ) -> ForwardTrial.Packet {
    ForwardTrial.Packet(
      source: Self.client(of: network), interface: server.interface ?? host.interface(of: network),
      outgoing: host.uplink(network.address.family), sets: Set(names.map { "\(table) \($0.text)" }), isOpen: true)
  }

  private func findings(_ trials: Trials) -> [Finding] {
    let closed = trials.closed.map { ($0, ForwardTrial.outcome(of: $0, in: ruleset)) }
    let open = ForwardTrial.outcome(of: trials.packet, in: ruleset)
    let shown = trials.packet.sets.sorted().joined(separator: ", ")
    var findings: [Finding] = []
    if open.sets.isEmpty, closed.allSatisfy({ $0.1.sets.isEmpty }) {
      findings.append(
        .serious(
          .setUnused, "sets",
          "no chain that hooks forward looks into \(shown) for what \(trials.what): what is in it decides nothing",
          "load rules that do, such as those of Examples/sets; nft list chains shows what hooks forward"))
    }
    let passing = hasLegacyRules ? [] : closed.filter { $0.1.certainlyPasses }.map { $0.0 }
    let untold = closed.filter { hasLegacyRules || $0.1.passes }.map { $0.0 }
    let refusals = closed.reduce(into: Set<String>()) { $0.formUnion($1.1.refusals) }.sorted()
    if !passing.isEmpty {
      findings.append(
        .serious(
          .forwardOpen, "sets",
          "no chain that hooks forward refuses what \(trials.what) to an address that is not in \(shown): "
            + Self.list(passing, of: trials),
          "refuse behind the look-up what is not in it; rules in DOCKER-USER need its jump: iptables -I FORWARD -j DOCKER-USER"
        ))
    } else if !findings.isEmpty {
      return findings
    } else if let first = untold.first {
      findings.append(
        .remark(
          .forwardUnknown, "sets",
          "whether what \(trials.what) to an address that is not in \(shown) is refused hangs on conditions that "
            + "cannot be told here: \(Self.list(untold, of: trials))",
          "try it from a container: \(Self.attempt(first)) must be refused"))
    } else {
      findings.append(
        .ok(
          "sets",
          "what \(trials.what) to an address that is not in \(shown) is refused by "
            + "\(refusals.joined(separator: ", ")) (tried: \(Self.list(closed.map { $0.0 }, of: trials)))"))
    }
    if !open.passes { findings.append(shut(trials, open)) }
    return findings
  }

  /// What the sets hold is refused. A command is printed only where it is sure to open what they hold, and it opens
  /// nothing else.
  private func shut(_ trials: Trials, _ outcome: ForwardTrial.Outcome) -> Finding {
    let chains = outcome.refusals.sorted()
    let lookups = trials.names.filter(\.opens).map { name in
      let isPlain = ruleset.plainSets.contains("\(table) \(name.text)")
      let header = name.family == .v4 ? "ip" : "ip6"
      return "\(header) daddr\(isPlain ? "" : " . meta l4proto . th dport") @\(name.text) accept"
    }
    let remedy: String
    if let chain = chains.first(where: { !$0.hasPrefix("\(table) ") }) {
      remedy =
        "\(chain) cannot look into a set of another table: mark in \(table) what the set holds, and accept that mark "
        + "before what refuses, as Examples/sets/docker-user does"
    } else if chains.count == 1, outcome.refusingRules.isEmpty, isReached(chains[0], by: trials.packet) {
      let header = trials.network.address.family == .v4 ? "ip" : "ip6"
      let from = "\(trials.packet.interface.map { "iifname \"\($0)\" " } ?? "")\(header) saddr \(trials.network)"
      remedy = lookups.map { "nft add rule \(chains[0]) \(from) \($0)" }.joined(separator: "; ")
    } else {
      remedy =
        "accept what the set holds, and only that, before what refuses: \(lookups.joined(separator: "; ")) in "
        + chains.joined(separator: ", ")
    }
    return .warning(
      .forwardClosed, "sets",
      "what \(trials.what) to an address in \(trials.packet.sets.sorted().joined(separator: ", ")) is refused by "
        + chains.joined(separator: ", "), remedy)
  }

  /// Whether a rule that is added to a chain would let a packet through: it may have left the chain before.
  private func isReached(_ chain: String, by packet: ForwardTrial.Packet) -> Bool {
    var mended = ruleset
    mended.append([.object(["accept": .other])], to: chain)
    return ForwardTrial.outcome(of: packet, in: mended).certainlyPasses
  }

  /// One that a network's packets come from: the first host is often the machine itself.
  static func client(of network: IPPrefix) -> IPAddress {
    let hosts = hosts(of: network)
    return hosts.count > 1 ? hosts[1] : network.address
  }

  /// The first, the second and the last host of a network.
  private static func hosts(of network: IPPrefix) -> [IPAddress] {
    let (first, last) = (network.address, network.last)
    let isFour = first.family == .v4
    let hosts: [IPAddress]
    if network.length >= (isFour ? 31 : 127) {
      hosts = [first, last]
    } else if isFour {
      // The last address is the broadcast's.
      hosts = [first.low | 1, first.low | 2, last.low - 1].map { IPAddress(v4: UInt32(truncatingIfNeeded: $0)) }
    } else {
      hosts = [IPAddress(high: first.high, low: first.low | 1), IPAddress(high: first.high, low: first.low | 2), last]
    }
    return Set(hosts).sorted()
  }

  /// `tcp/443, icmp from 10.77.1.2`: from which hosts is said where it is not all that were tried.
  private static func list(_ packets: [ForwardTrial.Packet], of trials: Trials) -> String {
    let tried = hosts(of: trials.network)
    return ForwardTrial.Content.forwarded.compactMap { content in
      let some = packets.filter { $0.content == content }
      guard let first = some.first else { return nil }
      let shown = "\(first.layer)\(content.port.map { "/\($0)" } ?? "")"
      return some.count == tried.count
        ? shown : "\(shown) from \(some.map(\.source.description).joined(separator: " and "))"
    }.joined(separator: ", ")
  }

  private static func attempt(_ packet: ForwardTrial.Packet) -> String {
    guard let port = packet.content.port else { return "ping -c 1 -W 3 \(packet.destination)" }
    return "nc \(packet.layer == "udp" ? "-u " : "")-w 3 \(packet.destination) \(port)"
  }
}

extension HostNetwork {
  /// The interface that has an address in a network.
  func interface(of network: IPPrefix) -> String? {
    addresses.first { $0.network.overlaps(network) }.flatMap { interface(index: $0.interface)?.name }
  }

  /// By which interface the host reaches what it has no other route to.
  func uplink(_ family: IPAddress.Family) -> String? {
    routes.first { $0.destination.length == 0 && $0.destination.address.family == family }
      .flatMap { interface(index: $0.interface)?.name }
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
