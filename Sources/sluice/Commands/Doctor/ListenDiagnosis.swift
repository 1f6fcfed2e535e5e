import Foundation
import IPNetwork
import Serving
import Settings

/// What `doctor` finds out about the addresses that Sluice listens on.
enum ListenDiagnosis {
  /// Those that are not there yet.
  static func addresses(_ settings: Settings) -> [Finding] {
    HostAddresses.absent(of: settings.listen).map { address in
      .warning(
        .listenAbsent, "listen", HostAddresses.text(absent: address, settings, ", and nobody can ask there"),
        "make its network (docker network create --gateway \(address.address) …), or take it out of `listen:`")
    }
  }

  /// Those that a program other than Sluice has: serve cannot start.
  static func taken(_ listen: [ListenAddress]) -> [Finding] {
    listen.flatMap { PortHolder.others($0) }.map { .serious(.listenTaken, "listen", $0.text, $0.remedy) }
  }

  /// Those at which no policy knows who asks.
  static func outside(_ gaps: [ListenCoverage.Gap]) -> [Finding] {
    gaps.map { gap in
      .warning(
        .listenOutside, "listen", gap.text,
        gap.candidate.map { "networks: the one around \(gap.listen) instead of \($0.network), or the other way round" }
          ?? "a policy with the network around \(gap.listen), or take it out of `listen:`")
    }
  }

  /// Servers whose containers cannot ask at their own gateway.
  static func unheard(_ coverage: ListenCoverage) -> [Finding] {
    coverage.unheard.map { [.warning(.listenUnheard, "listen", $0.text, $0.remedy)] } ?? []
  }

  // MARK: - Podman

  /// Where packages put the name server that Podman starts for each of its networks.
  private static let aardvark = ["/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns"]

  /// Podman's networks whose gateway Sluice listens on: aardvark-dns binds port 53 there, and of two programs one gets it.
  ///
  /// - Parameter folder: holds a file for each network (netavark; containers-common).
  static func podman(_ listen: [ListenAddress], folder: String) -> [Finding] {
    // Without the folder there is no Podman, or it has made no network yet.
    let files = HostFile.names(in: folder)
    var (networks, unread) = ([PodmanNetwork](), [Finding]())
    for file in files where file.hasSuffix(".json") {
      guard let octets = FileManager.default.contents(atPath: "\(folder)/\(file)") else { continue }
      do {
        networks.append(try JSONDecoder().decode(PodmanNetwork.self, from: octets))
      } catch {
        unread.append(
          .warning(
            .podmanFile, "podman", "\(folder)/\(file) is no network as netavark keeps one",
            "podman network rm, and make it anew; or move the file away"))
      }
    }
    let isInstalled = aardvark.contains { FileManager.default.fileExists(atPath: $0) }
    return unread + podman(listen, networks, hasAardvark: isInstalled, absent: HostAddresses.absent(of: listen))
  }

  static func podman(
    _ listen: [ListenAddress], _ networks: [PodmanNetwork], hasAardvark: Bool, absent: [ListenAddress]
  ) -> [Finding] {
    let kept = networks.filter(\.hasDNS).flatMap { network in
      network.gateways.filter { gateway in
        listen.contains { listen in
          let isEveryAddress = listen.isWildcard && listen.address.family == gateway.family
          return listen.port == 53 && (listen.address == gateway || isEveryAddress)
        }
      }.map { gateway in
        Finding.serious(
          .podmanNetwork, "podman",
          "network \(network.name) has DNS of its own: aardvark-dns cannot bind \(gateway) port 53, where sluice listens, "
            + "and its containers do not start, or by the version of Podman without that DNS",
          "make the network without it: podman network create --disable-dns …, and podman run --dns \(gateway) …")
      }
    }
    guard kept.isEmpty, hasAardvark else { return kept }
    // Bound free, an address is taken before its network exists.
    return absent.filter { $0.port == 53 }.map { address in
      .warning(
        .podmanPort, "podman",
        "sluice has port 53 of \(address.address), which is not there yet: aardvark-dns, which is installed, gets none in a "
          + "network with that gateway",
        "make that network with podman network create --disable-dns …")
    }
  }

  /// A network as netavark keeps it.
  struct PodmanNetwork: Decodable {
    struct Subnet: Decodable {
      var gateway: String?
    }

    var name: String
    var subnets: [Subnet]?
    var dns: Bool?

    enum CodingKeys: String, CodingKey {
      case name
      case subnets
      case dns = "dns_enabled"
    }

    var hasDNS: Bool { dns ?? false }
    var gateways: [IPAddress] { (subnets ?? []).compactMap { $0.gateway.flatMap { IPAddress($0) } } }
  }
}
