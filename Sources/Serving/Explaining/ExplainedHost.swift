import ControlAPI
import EgressPolicy
package import IPNetwork
package import Settings

/// What of the host decides about a connection beside the policy.
package struct ExplainedHost: Sendable {
  private let mode: FirewallSettings.Mode
  private let isFenced: Bool
  private let addresses: Set<IPAddress>
  private let listen: [ListenAddress]
  private let closed: [IPPrefix]

  /// - Parameters:
  ///   - isFenced: `firewall.input-fence`.
  ///   - addresses: those of the host's own interfaces.
  ///   - listen: where the resolver answers.
  ///   - closed: networks of no server that are refused: held ones, and those behind the interface of a server.
  package init(
    mode: FirewallSettings.Mode, isFenced: Bool = true, addresses: Set<IPAddress> = [], listen: [ListenAddress] = [],
    closed: [IPPrefix] = []
  ) {
    self.mode = mode
    self.isFenced = isFenced
    // A container's loopback is its own.
    self.addresses = addresses.filter { $0.family == .v4 ? $0.low >> 24 != 127 : $0.high != 0 || $0.low != 1 }
    self.listen = listen
    self.closed = closed
  }

  /// This host as it is now.
  package init(_ settings: Settings, closed: [IPPrefix]) {
    self.init(
      mode: settings.firewall.mode, isFenced: settings.firewall.inputFence, addresses: HostAddresses.all(),
      listen: settings.listen, closed: closed)
  }

  /// What no rule of Sluice's decides; nil where it has rules.
  var unenforced: ControlAPI.Explanation.Decision? {
    switch mode {
    case .managed: nil
    case .sets: .block
    case .off: .allow
    }
  }

  /// Whether an address is the host's own, whatever network it is in.
  func has(_ address: IPAddress) -> Bool { addresses.contains(address) }

  /// Whether a client of no server is refused all the same.
  func refuses(_ client: IPAddress) -> Bool { closed.contains { $0.contains(client) } }

  /// Whether the host itself takes a connection of a server, as the fence around it says.
  ///
  /// - Parameter port: nil for any.
  func takes(_ port: PortRule?, at address: IPAddress, of policy: ServerPolicy) -> Bool {
    guard isFenced else { return true }
    guard let port else { return false }
    if policy.asksDHCP, address.family == .v4, port == PortRule(67, .udp) { return true }
    return listen.contains { listen in
      listen.port == port.port && listen.address.family == address.family
        && (listen.isWildcard || listen.address == address)
    }
  }
}
