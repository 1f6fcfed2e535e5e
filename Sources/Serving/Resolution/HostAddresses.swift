package import EgressPolicy
package import IPNetwork
package import Settings
import HostNetwork

/// The addresses of the host's own interfaces: no answer may lead a server to them (threats U15).
package enum HostAddresses {
  /// Those of every interface; none where the kernel cannot be asked.
  package static func all() -> Set<IPAddress> {
    // Of links and addresses only; routes say nothing of what is the host's own. That the kernel cannot be asked is told by
    // what follows the host's network all the time.
    (try? RouteSocket().read { _ in false })?.ownAddresses ?? []
  }

  /// Whether a listen address is there: one of an interface, or a wildcard.
  static func has(_ listen: ListenAddress) -> Bool { absent(of: [listen]).isEmpty }

  /// Those that no interface has yet; bound free, they are answered at as soon as one has.
  package static func absent(of listen: [ListenAddress]) -> [ListenAddress] {
    let present = all()
    return listen.filter { !$0.isWildcard && !present.contains($0.address) && !isLoopback($0.address) }
  }

  /// A warning for each listen address that is not there yet, at its location in the configuration.
  package static func diagnose(_ settings: Settings) -> [Diagnostic] {
    let absent = absent(of: settings.listen)
    return zip(settings.listen, settings.listenLocations).filter { absent.contains($0.0) }.map { listen, location in
      .warning(text(absent: listen, settings), at: location)
    }
  }

  /// Of a listen address that is not there yet; where the server's network is there already, what the host has in it.
  ///
  /// - Parameter consequence: what follows from it, as the rest of a sentence.
  package static func text(absent listen: ListenAddress, _ settings: Settings, _ consequence: String = "") -> String {
    text(absent: listen, all(), settings.policies.flatMap(\.networks).map(\.prefix), consequence)
  }

  /// - Parameters:
  ///   - own: the addresses of the host.
  ///   - networks: those of servers.
  static func text(
    absent listen: ListenAddress, _ own: Set<IPAddress>, _ networks: [IPPrefix], _ consequence: String = ""
  ) -> String {
    let network = networks.filter { $0.contains(listen.address) }.max { $0.length < $1.length }
    let other = network.flatMap { network in own.filter(network.contains).min() }
    let instead = other.map { "; in \(network.map { "\($0)" } ?? "its network") it has \($0)" } ?? ""
    return "\(listen) is not there yet: no interface of this host has the address\(consequence)\(instead)"
  }

  /// A warning for each `cidr` that holds an address of the host, which the fence around the host refuses all the same.
  package static func diagnoseEntries(_ settings: Settings) -> [Diagnostic] {
    guard settings.firewall.mode == .managed, settings.firewall.inputFence else { return [] }
    let own = all().sorted { ($0.high, $0.low) < ($1.high, $1.low) }
    return settings.policies.flatMap { policy in policy.prefixes.compactMap { entry(of: $0, own: own) } }
  }

  /// A warning for each inspector at an address that is not this host's: the firewall lets the gate reach it nowhere else.
  package static func diagnoseInspectors(_ settings: Settings) -> [Diagnostic] {
    let inspecting = settings.policies.filter { $0.inspectors.contains { !$0.isLoopback } }
    return inspecting.isEmpty ? [] : inspectors(of: inspecting, own: all())
  }

  static func inspectors(of policies: [ServerPolicy], own: Set<IPAddress>) -> [Diagnostic] {
    policies.flatMap { policy in
      policy.inspectors.filter { !$0.isLoopback && !own.contains($0.address) }.map { inspector in
        .warning(
          "inspector \(inspector) of \(policy.name) is at no address of this host, expected one such as 127.0.0.1: the gate reaches "
            + "it nowhere else, and what it inspects is refused", at: policy.location)
      }
    }
  }

  static func entry(of rule: StaticPrefixRule, own: [IPAddress]) -> Diagnostic? {
    let held = own.filter { rule.prefix.contains($0) }
    guard let first = held.first else { return nil }
    let others = held.count > 1 ? " and \(held.count - 1) more" : ""
    return .warning(
      "cidr \(rule.prefix) holds \(first)\(others), this host's own: the fence around the host refuses it all the same "
        + "(firewall.input-fence)", at: rule.location)
  }

  /// All of 127.0.0.0/8 is the host's, whatever its interfaces list.
  private static func isLoopback(_ address: IPAddress) -> Bool { address.family == .v4 && address.low >> 24 == 127 }
}
