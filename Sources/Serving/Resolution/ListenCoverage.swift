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

    package var text: String {
      let meant = candidate.map {
        "; \($0.network) of \($0.server) holds no listen address and is behind no interface: one of the two may be mistyped"
      }
      return
        "\(listen) is in no server's network: a container that asks there gets no name, and nothing keeps it from any "
        + "address\(meant ?? "")"
    }
  }

  package let gaps: [Gap]

  /// None where listen addresses elsewhere are what an operator may want: a server's network that is there, and has none of
  /// its own, asks at another's.
  package init(_ listen: [IPAddress], _ servers: [ServerPolicy], host: HostNetwork) {
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
      return Gap(listen: address, candidate: absent)
    }
  }

  /// Of this host; where the kernel cannot be asked as if it had no network.
  package static func ofThisHost(_ settings: Settings) -> ListenCoverage {
    let host: HostNetwork
    do throws(SystemError) {
      host = try RouteSocket().read { $0.destination.length > 0 }
    } catch {
      // What else needs interfaces and routes says that they cannot be read.
      host = HostNetwork()
    }
    return ListenCoverage(settings.listen.map(\.address), settings.policies, host: host)
  }

  /// Warnings for `check`, each where the address stands.
  package static func diagnose(_ settings: Settings) -> [Diagnostic] {
    let gaps = ofThisHost(settings).gaps
    return zip(settings.listen, settings.listenLocations).compactMap { listen, location in
      gaps.first { $0.listen == listen.address }.map { .warning($0.text, at: location) }
    }
  }
}

extension IPAddress {
  /// `0.0.0.0` or `::`.
  fileprivate var isUnspecified: Bool { high == 0 && low == 0 }

  /// RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3.
  fileprivate var isLoopback: Bool { family == .v4 ? low >> 24 == 127 : high == 0 && low == 1 }
}
