import FirewallModel
import Foundation
import HostNetwork
import IPNetwork
import Serving
import Settings

/// Whether rules that are not Sluice's refuse what its own let through: queries to it, and connections to what is open. A
/// firewall that refuses what nothing lists, such as ufw or firewalld, refuses both.
///
/// A warning is sure as far as nft tells of the rules; what it does not tell of is taken to let a packet through.
struct HostFilters {
  var settings: Settings
  /// Without Sluice's own tables.
  var ruleset: ForwardRuleset
  var host: HostNetwork
  /// Interfaces that let nothing in but what their servers may send.
  var enclosed: Set<String>

  init(settings: Settings, ruleset: ForwardRuleset, host: HostNetwork, enclosed: Set<String>) {
    self.settings = settings
    self.ruleset = ruleset
    self.host = host
    self.enclosed = enclosed
    self.ruleset.remove("\(settings.firewall.family) \(settings.firewall.table)")
  }

  var findings: [Finding] {
    FirewallPlan(settings, settings.policies.inForceNow()).servers.flatMap { server in
      server.prefixes.flatMap { findings(server, $0) }
    }
  }

  /// Of a network that is behind no interface nothing can be told.
  private func findings(_ server: FirewallPlan.Server, _ network: IPPrefix) -> [Finding] {
    guard let interface = host.interface(of: network) else { return [] }
    var packet = ForwardTrial.Packet(
      source: SetsDiagnosis.client(of: network), interface: interface, outgoing: host.uplink(network.address.family),
      sets: [], isOpen: false, takesStatesForAnswers: true)
    var findings: [Finding] = []
    let opened = ForwardTrial.outcome(of: packet, in: ruleset)
    if !opened.passes {
      findings.append(
        .warning(
          .openRefused, "filter",
          "what is open for \(server.name) is refused all the same by \(Self.chains(opened)), beside Sluice: "
            + "\(network) reaches nothing",
          forwarding(interface, network, opened)))
    }
    (packet.hook, packet.outgoing, packet.isTracked) = (.input, nil, false)
    for listener in listeners(of: network) {
      (packet.target, packet.content) = (listener.address, .query(Int(listener.port)))
      let asked = ForwardTrial.outcome(of: packet, in: ruleset)
      guard !asked.passes else { continue }
      findings.append(
        .warning(
          .queriesRefused, "filter",
          "what \(server.name) asks at \(listener) is refused by \(Self.chains(asked)), beside Sluice: "
            + "\(network) gets no name",
          asking(interface, network, listener, asked)))
    }
    return findings
  }

  /// Where the clients of a network ask.
  private func listeners(of network: IPPrefix) -> [ListenAddress] {
    settings.listen.flatMap { listener in
      guard listener.isWildcard else { return network.contains(listener.address) ? [listener] : [] }
      return host.addresses.map(\.address)
        .filter { $0.family == listener.address.family && network.contains($0) }
        .map { ListenAddress(address: $0, port: listener.port) }
    }
  }

  private static func chains(_ outcome: ForwardTrial.Outcome) -> String {
    outcome.refusals.sorted().joined(separator: ", ")
  }

  // MARK: - What mends it

  private var isUFW: Bool { ruleset.rules.keys.contains { $0.contains(" ufw-before-") } }

  private static func isFirewalld(_ outcome: ForwardTrial.Outcome) -> Bool {
    outcome.refusals.contains { $0.hasPrefix("inet firewalld ") }
  }

  /// Everything that comes by the interface is accepted then, to the host too: for where Sluice's own fence guards that.
  private func trust(_ interface: String) -> String? {
    guard settings.firewall.inputFence, enclosed.contains(interface) else { return nil }
    return "firewall-cmd --permanent --zone trusted --add-interface \(interface) && firewall-cmd --reload"
  }

  /// Sluice's own rules still refuse what is not open.
  private func forwarding(_ interface: String, _ network: IPPrefix, _ outcome: ForwardTrial.Outcome) -> String {
    if Self.isFirewalld(outcome) {
      return trust(interface)
        ?? "a policy of firewalld that accepts what comes from \(network), see firewalld.policies(5)"
    }
    if isUFW { return "ufw route allow in on \(interface) from \(network)" }
    let header = network.address.family == .v4 ? "ip" : "ip6"
    return Self.accept(
      "iifname \"\(interface)\" \(header) saddr \(network)", "FORWARD -i \(interface) -s \(network)", outcome)
  }

  private func asking(
    _ interface: String, _ network: IPPrefix, _ listener: ListenAddress, _ outcome: ForwardTrial.Outcome
  ) -> String {
    if Self.isFirewalld(outcome) { return trust(interface) ?? Self.rich(network, listener) }
    if isUFW { return "ufw allow in on \(interface) from \(network) to \(listener.address) port \(listener.port)" }
    let header = listener.address.family == .v4 ? "ip" : "ip6"
    return ["udp", "tcp"].map { layer in
      Self.accept(
        "iifname \"\(interface)\" \(header) saddr \(network) \(header) daddr \(listener.address) \(layer) dport \(listener.port)",
        "INPUT -i \(interface) -s \(network) -d \(listener.address) -p \(layer) --dport \(listener.port)", outcome)
    }.joined(separator: "; ")
  }

  /// Rules of firewalld for queries alone (firewalld.richlanguage(5)).
  private static func rich(_ network: IPPrefix, _ listener: ListenAddress) -> String {
    let family = network.address.family == .v4 ? "ipv4" : "ipv6"
    let rules = ["udp", "tcp"].map { layer in
      "--add-rich-rule 'rule family=\"\(family)\" source address=\"\(network)\" port port=\"\(listener.port)\" protocol=\"\(layer)\" accept'"
    }
    return "firewall-cmd --permanent \(rules.joined(separator: " ")) && firewall-cmd --reload"
  }

  /// A rule before those that refuse, in each base chain on whose way they are.
  private static func accept(_ match: String, _ options: String, _ outcome: ForwardTrial.Outcome) -> String {
    let programs = ["ip": "iptables", "ip6": "ip6tables"]
    let commands = outcome.refusingBases.sorted().map { chain in
      let words = chain.split(separator: " ").map(String.init)
      if words.count == 3, words[1] == "filter", ["INPUT", "FORWARD"].contains(words[2]),
        let program = programs[words[0]]
      {
        return "\(program) -I \(options) -j ACCEPT"
      }
      return "nft insert rule \(chain) \(match) accept"
    }
    return commands.joined(separator: "; ")
  }
}

// MARK: - Of this host

extension HostFilters {
  /// Nil where there are rules of iptables-legacy, of which nft tells nothing.
  ///
  /// - Throws: where nft cannot be run or its listing not be read, or the host's network cannot be read.
  init?(_ settings: Settings) throws {
    guard !["ip", "ip6"].contains(where: { !(HostFile.text("/proc/net/\($0)_tables_names") ?? "").isEmpty }) else {
      return nil
    }
    let listing = try HostProgram.run(["/usr/sbin/nft", "-j", "list", "ruleset"], input: "")
    guard listing.status == 0 else { throw StartError("nft cannot list the rules: \(listing.errors)") }
    self.init(
      settings: settings, ruleset: try ForwardRuleset(listing.output),
      host: try RouteSocket().read { $0.destination.length == 0 },
      enclosed: Set(try EnclosureDiagnosis(settings)?.serversByInterface.keys.map { $0 } ?? []))
  }
}
