import EgressPolicy
import FirewallModel
import HostNetwork
import IPNetwork
import Serving
import Settings

/// Whether rules that are not Sluice's let servers' queries come to it: a host firewall that drops at input by default refuses
/// them behind Sluice's own chains, where nothing of Sluice sees it.
struct QueryDiagnosis {
  var settings: Settings
  /// Of the chains that hook input.
  var ruleset: ForwardRuleset
  var host: HostNetwork

  var findings: [Finding] {
    settings.policies.flatMap { policy in policy.networks.flatMap { findings(policy.name.text, $0.prefix) } }
  }

  private func findings(_ server: String, _ network: IPPrefix) -> [Finding] {
    // Before its network is there nobody asks.
    guard let own = host.addresses.first(where: { network.contains($0.address) }),
      let asked = listener(near: own.address),
      let source = [own.address.low ^ 1, own.address.low ^ 2].lazy
        .map({ IPAddress(own.address, low: $0) }).first(where: network.contains)
    else { return [] }
    let packet = ForwardTrial.Packet(
      source: source, content: .query, interface: host.interface(index: own.interface)?.name, sets: [], isOpen: false,
      receiver: asked.address)
    let outcome = ForwardTrial.outcome(of: packet, in: ruleset)
    let refusals = outcome.refusals.sorted().joined(separator: ", ")
    guard !outcome.refusals.isEmpty else { return [] }
    let what = "what \(server) asks from \(network)"
    let remedy =
      "accept 53/udp and 53/tcp from \(packet.interface ?? "\(network)") there, by address and port: these packets are not "
      + "tracked (installation.md, \"Beside a firewall of the host\")"
    guard outcome.passes else {
      return [
        .warning(
          .queriesRefused, "queries",
          "\(what) is refused by \(refusals), and sluice never sees it: no name is answered, and nothing is recorded",
          remedy)
      ]
    }
    return [
      .remark(
        .queriesUnknown, "queries",
        "whether \(refusals) refuses \(what) hangs on conditions that cannot be told here",
        "if containers wait for names in vain, \(remedy)")
    ]
  }

  /// The listen address that containers of a network ask at, as far as it is at port 53: its gateway, or another.
  private func listener(near own: IPAddress) -> ListenAddress? {
    let fitting = settings.listen.filter { $0.port == 53 && $0.address.family == own.family }
    if fitting.contains(where: { $0.isWildcard || $0.address == own }) { return ListenAddress(address: own) }
    return fitting.first { !$0.address.isLoopback }
  }
}

extension IPAddress {
  /// Another address of the same network.
  fileprivate init(_ other: IPAddress, low: UInt64) {
    self =
      other.family == .v4 ? IPAddress(v4: UInt32(truncatingIfNeeded: low)) : IPAddress(high: other.high, low: low)
  }
}

// MARK: - Of this host

extension QueryDiagnosis {
  /// - Throws: where nft cannot be run or its listing not be read, or the host's network cannot be read.
  init(_ settings: Settings) throws {
    let tables = try Self.list(["tables"])
    let listings = try Self.others(in: tables, beside: settings.firewall.table).map { table in
      try Self.list(["table"] + table, ["-j"])
    }
    self.init(
      settings: settings, ruleset: try ForwardRuleset(listings, hook: "input"),
      host: try RouteSocket().read { _ in false })
  }

  private static func list(_ what: [String], _ options: [String] = []) throws -> String {
    let listing = try HostProgram.run(["/usr/sbin/nft"] + options + ["list"] + what, input: "")
    guard listing.status == 0 else { throw StartError("nft cannot list the rules: \(listing.errors)") }
    return listing.output
  }

  /// Family and name of each table but Sluice's own, which lets queries in and may hold very much.
  ///
  /// - Parameter listing: of `nft list tables`.
  static func others(in listing: String, beside table: String) -> [[String]] {
    listing.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ").map(String.init)
      guard words.count == 3, words[0] == "table" else { return nil }
      let isOwn = words[1] == "inet" && (words[2] == table || words[2].hasPrefix("\(table)/"))
      return isOwn ? nil : Array(words.dropFirst())
    }
  }
}
