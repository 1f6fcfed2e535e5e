package import EgressPolicy
package import HostNetwork
package import IPNetwork
import LinuxIO
package import Settings

/// Whether policy knows who asks at each listen address: a container that asks at one which lies in no server's network gets
/// no name, looks guarded, and connects wherever it likes.
package struct ListenCoverage {
  /// A network that may have been meant: it holds no listen address, and nothing of the host leads to it.
  package struct Candidate: Hashable, Sendable {
    package var network: IPPrefix
    package var server: String
  }

  /// A listen address that lies in no server's network.
  package struct Gap: Hashable, Sendable {
    package var listen: IPAddress
    package var candidate: Candidate?
    /// Whether its network stays closed since no policy governs it any more.
    package var isHeld = false

    package var text: String {
      let meant = candidate.map {
        "; \($0.network) of \($0.server) holds no listen address and is behind no interface: one of the two may be mistyped"
      }
      let consequence = isHeld ? "and its network stays closed" : "and nothing keeps it from any address"
      return
        "\(listen) is in no server's network: a container that asks there gets no name, \(consequence)\(meant ?? "")"
    }
  }

  /// Servers whose containers cannot ask at a gateway of theirs, although the others can.
  package struct Unheard: Hashable, Sendable {
    /// The first of them, by one of its networks.
    package var first: Candidate
    /// How many servers more.
    package var others: Int
    /// Where they may ask instead; nil for loopback, where no container gets to.
    package var elsewhere: IPAddress?

    package var text: String {
      let more = others > 0 ? ", nor in those of \(counted(others, "server")) more" : ""
      let instead = elsewhere.map {
        "the gateway there does not answer, and --dns has to name another's, such as \($0)"
      }
      return "no listen address lies in \(first.network) of \(first.server)\(more): "
        + (instead ?? "what is listened on is loopback, which in a container is its own")
    }

    /// What mends it.
    package var remedy: String { "the gateway of \(first.network) in `listen:`, and a restart" }
  }

  package let gaps: [Gap]
  /// Nil where each server has a listen address in one of its networks, or where none has: then they are asked elsewhere
  /// on purpose.
  package let unheard: Unheard?

  /// None where listen addresses elsewhere are what an operator may want: a server's network that is there, and has none of
  /// its own, asks at another's.
  ///
  /// - Parameter held: networks that stay closed although no policy governs them.
  package init(_ listen: [IPAddress], _ servers: [ServerPolicy], host: HostNetwork, held: [IPPrefix] = []) {
    let networks = servers.flatMap { server in
      server.networks.map { Candidate(network: $0.prefix, server: server.name.text) }
    }
    let known = host.addresses.map(\.network) + host.routes.map(\.destination).filter { $0.length > 0 }
    let idle = networks.filter { network in !listen.contains(where: network.network.contains) }
    gaps = listen.filter { address in
      !address.isUnspecified && !address.isLoopback && !networks.contains { $0.network.contains(address) }
    }.compactMap { address in
      let candidates = idle.filter { $0.network.address.family == address.family }
      let absent = candidates.first { candidate in !known.contains { $0.overlaps(candidate.network) } }
      guard absent != nil || candidates.isEmpty else { return nil }
      return Gap(listen: address, candidate: absent, isHeld: held.contains { $0.contains(address) })
    }
    unheard = Self.unheard(listen, servers)
  }

  private static func unheard(_ listen: [IPAddress], _ servers: [ServerPolicy]) -> Unheard? {
    let networks = servers.map { $0.networks.map(\.prefix) }
    let isOnLoopback = listen.allSatisfy(\.isLoopback)
    // One for every address, and one of no server's network, is where all may ask.
    guard
      isOnLoopback || listen.allSatisfy({ address in networks.contains { $0.contains { $0.contains(address) } } })
    else { return nil }
    let silent = zip(servers, networks).filter { _, networks in
      !networks.isEmpty && !networks.contains { network in listen.contains(where: network.contains) }
    }
    guard let (server, prefixes) = silent.first, let network = prefixes.first else { return nil }
    return Unheard(
      first: Candidate(network: network, server: server.name.text), others: silent.count - 1,
      elsewhere: isOnLoopback ? nil : listen.first)
  }

  /// Of this host; where the kernel cannot be asked as if it had no network.
  ///
  /// - Parameter held: networks that stay closed although no policy governs them.
  package static func ofThisHost(_ settings: Settings, held: [IPPrefix] = []) -> ListenCoverage {
    let host: HostNetwork
    do throws(SystemError) {
      host = try RouteSocket().read { $0.destination.length > 0 }
    } catch {
      // What else needs interfaces and routes says that they cannot be read.
      host = HostNetwork()
    }
    return ListenCoverage(settings.listen.map(\.address), settings.policies, host: host, held: held)
  }

  /// Warnings for `check`, each where the address stands.
  ///
  /// - Parameter held: networks that stay closed although no policy governs them.
  package static func diagnose(_ settings: Settings, held: [IPPrefix]) -> [Diagnostic] {
    let coverage = ofThisHost(settings, held: held)
    let outside = zip(settings.listen, settings.listenLocations).compactMap { listen, location in
      coverage.gaps.first { $0.listen == listen.address }.map { Diagnostic.warning($0.text, at: location) }
    }
    guard let unheard = coverage.unheard, let location = settings.listenLocations.first else { return outside }
    return outside + [.warning("\(unheard.text); expected \(unheard.remedy)", at: location)]
  }
}

extension IPAddress {
  /// `0.0.0.0` or `::`.
  fileprivate var isUnspecified: Bool { high == 0 && low == 0 }
}
