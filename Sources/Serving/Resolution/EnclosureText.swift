package import FirewallModel
package import IPNetwork

/// Sentences about what is enclosed, the same wherever they stand.
package enum EnclosureText {
  /// That a network is closed by its source alone, why, and what mends it.
  package static func text(of exposure: EnclosureReport.Exposure, server: String) -> String {
    "network \(exposure.network) of \(server) is closed by its source alone: \(exposure.interface) leads to it and "
      + "\(because(exposure.gap)). A container there may send with a source that is not its own. "
      + "`\(remedy(exposure))` in its policy closes that, if nothing else comes by this interface"
  }

  /// The key of a policy that closes the network by its interface.
  package static func remedy(_ exposure: EnclosureReport.Exposure) -> String { "interface: \(exposure.interface)" }

  /// That a network lies behind another interface than its policy pins, and what follows.
  package static func text(of displacement: EnclosureReport.Displacement, server: String) -> String {
    "network \(displacement.network) of \(server) lies behind \(displacement.interface), and its policy pins "
      + "\(displacement.pinned): what its containers send is dropped, and no name is answered"
  }

  /// The key of a policy as it would have to be.
  package static func remedy(_ displacement: EnclosureReport.Displacement) -> String {
    "interface: \(displacement.interface)"
  }

  private static func because(_ gap: Enclosure.Gap) -> String {
    switch gap {
    case .defaultRoute: "carries a default route"
    case .upstream(let address): "carries the route to upstream \(address)"
    case .name: "has a name that nft cannot hold"
    }
  }

  /// A token for events.
  static func cause(of gap: Enclosure.Gap) -> String {
    switch gap {
    case .defaultRoute: "default-route"
    case .upstream: "upstream"
    case .name: "interface-name"
    }
  }

  /// That networks of no server have no way out by a server's interface.
  package static func others(_ others: [IPPrefix], behind interface: String) -> String {
    "\(others.map(\.description).joined(separator: ", ")) behind \(interface) belongs to no server, "
      + "and nothing from there is forwarded or reaches the host: \(interface) is a server's interface"
  }

  /// That no interface leads to networks of servers.
  package static func absent(_ networks: [IPPrefix]) -> String {
    "no interface of this host leads to \(networks.map(\.description).joined(separator: ", ")) now: closed by source alone"
  }

  /// That a network stays closed that no policy governs any more.
  package static func held(_ held: HeldNetwork) -> String {
    "\(held.prefix) (\(held.server)) stays closed although no policy governs it: `\(release(held))` opens it"
  }

  /// The command that opens a held network.
  package static func release(_ held: HeldNetwork) -> String { "sluice firewall release \(held.prefix)" }
}
