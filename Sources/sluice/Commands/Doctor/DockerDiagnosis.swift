import FirewallModel
import Control
import EgressPolicy
import Foundation
import HostNetwork
import IPNetwork
import Serving
import Settings

/// What `doctor` finds out about the containers of a Docker engine: what it tells and what the host is like go in, findings
/// come out.
struct DockerDiagnosis {
  /// A container that is the host's own business is told so by this label with the value `true`.
  static let trustLabel = "sluice.trusted"

  var engine: DockerEngine
  var settings: Settings
  var policy: PolicySnapshot
  /// Networks that stay closed although nothing governs them.
  var held: [HeldNetwork] = []
  /// What AF_VSOCK leads to on this host; nil for nowhere.
  var vsock: VsockReach?
  var runs32Bit = false
  /// Sockets and files of the host that must not be in a container.
  var keys: [HostKey] = []
  /// The addresses of the host's own interfaces.
  var ownAddresses: Set<IPAddress> = []
  /// A profile by its path on this host; nil where it cannot be read.
  var profile: (String) -> [UInt8]? = { _ in nil }

  static func findings(_ settings: Settings, configuration: String, socket: String) -> [Finding] {
    let reach = VsockReach.ofThisHost
    guard FileManager.default.fileExists(atPath: socket) else {
      let unknown = reach.map { reach in
        Finding.warning(
          "vsock", "AF_VSOCK leads \(reach.text), past every rule, and no engine tells which container may use it",
          VsockText.remedy)
      }
      return [.ok("docker", "no engine at \(socket)")] + [unknown].compactMap(\.self)
    }
    do {
      var diagnosis = DockerDiagnosis(
        engine: try DockerEngine(socket: socket), settings: settings, policy: PolicySnapshot(settings.policies))
      // That interfaces and routes cannot be read is a finding of its own.
      diagnosis.held = (try? EnclosureDiagnosis(settings))?.held ?? []
      diagnosis.vsock = reach
      diagnosis.runs32Bit = VsockReach.runs32Bit
      diagnosis.keys = HostKey.all(settings, configuration: configuration, engine: socket)
      diagnosis.ownAddresses = HostAddresses.all()
      diagnosis.profile = { FileManager.default.contents(atPath: $0).map { Array($0) } }
      for index in diagnosis.engine.containers.indices {
        for volume in diagnosis.engine.containers[index].volumes.indices {
          let source = diagnosis.engine.containers[index].volumes[volume].source
          diagnosis.engine.containers[index].volumes[volume].source = HostKey.canonical(source)
        }
      }
      return diagnosis.findings
    } catch {
      return [
        .warning(
          "docker", "the engine at \(socket) cannot be asked: \(error)", "run it with sudo, or name it with --docker")
      ]
    }
  }

  var findings: [Finding] {
    let governed = engine.containers.filter { isGoverned($0) }
    return engine.containers.flatMap { container in
      published(container) + inbound(container) + held(container) + examine(container)
    } + engine.networks.compactMap { elsewhere($0) } + vsock(governed) + [
      .ok(
        "docker",
        "\(engine.containers.count) containers run, \(governed.count) of them in a server's network")
    ]
  }

  /// Whether its network, or the one that it shares, is a server's.
  private func isGoverned(_ container: DockerEngine.Container) -> Bool {
    engine.networkOwner(of: container).addresses.contains { policy.clients.server(of: $0) != nil }
  }

  private func examine(_ container: DockerEngine.Container) -> [Finding] {
    let name = container.shownName
    let owner = engine.networkOwner(of: container)
    if owner.networkMode == "host" { return hostNetwork(container, owner) }
    guard isGoverned(container) else {
      guard !container.addresses.isEmpty else { return [] }
      let networks = container.networks.map { "\($0.key) (\($0.value.ipAddress))" }.sorted().joined(separator: ", ")
      return [
        .warning(
          "docker", "container \(name) on \(networks) is in no server's network: it is not governed at all",
          "add its network to a policy's `networks:`, if it is to be")
      ]
    }
    // Of a network that is shared the owner is told.
    let own = owner == container ? dns(container, name) + families(container, name) : []
    return own + volumes(container) + privileges(container)
  }

  // MARK: - Networks

  private func hostNetwork(_ container: DockerEngine.Container, _ owner: DockerEngine.Container) -> [Finding] {
    let isSluice = container.program.split(separator: "/").last == "sluice"
    guard !isSluice else { return [] }
    let way = owner == container ? "" : " by the network of container \(owner.shownName)"
    let text =
      "container \(container.shownName) shares the host's network\(way): no policy can tell it from the host, and it goes "
      + "wherever the host goes"
    if container.labels[Self.trustLabel] == "true" {
      return [
        .warning("docker", text, "it has the label \(Self.trustLabel)=true: nothing to do if it is the host's own")
      ]
    }
    return [
      .serious(
        "docker", text,
        "give it a network of its own: docker run --network …; if it is the host's own, --label \(Self.trustLabel)=true"
      )
    ] + volumes(container)
  }

  /// A network of a server whose packets this host's rules do not see, whether or not a container is on it now.
  private func elsewhere(_ network: DockerEngine.Network) -> Finding? {
    guard !Self.passesHost(network.driver) else { return nil }
    let server = policy.servers.first { server in
      server.networks.contains { governed in network.subnets.contains { $0.overlaps(governed.prefix) } }
    }
    guard let server else { return nil }
    return .serious(
      "docker",
      "network \(network.name) of \(server.name.text) \(Self.way(network)): no rule of this host sees what its containers send",
      "make it a bridge: docker network create --driver bridge …")
  }

  /// Those that are no network pass no packet.
  private static func passesHost(_ driver: String) -> Bool { ["bridge", "host", "null", "none"].contains(driver) }

  private static func way(_ network: DockerEngine.Network) -> String {
    switch (network.driver, network.parent) {
    case ("macvlan", let parent?), ("ipvlan", let parent?):
      "is \(network.driver) on \(parent) and goes out there beside the host"
    default: "has the driver \(network.driver) and goes out beside the host's bridges"
    }
  }

  // MARK: - Not by a network

  private func volumes(_ container: DockerEngine.Container) -> [Finding] {
    container.volumes.compactMap { volume in
      guard let key = keys.first(where: { $0.lies(in: volume) }) ?? HostKey.named(volume.source) else { return nil }
      let what = key.path == volume.source ? key.path : "\(volume.source), which holds \(key.path)"
      return .serious(
        "docker",
        "container \(container.shownName) has \(what) at \(volume.destination): \(key.kind.consequence)",
        "run it without that volume\(key.kind == .policy ? ", or with it read-only (`:ro`)" : ", read-only is no help")"
      )
    }
  }

  /// Capabilities with which a process is not held by its namespaces.
  private static let boundless: Set<String> = ["ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF"]

  private func privileges(_ container: DockerEngine.Container) -> [Finding] {
    let added = container.addedCapabilities.map { $0.hasPrefix("CAP_") ? String($0.dropFirst(4)) : $0 }
    let boundless = added.filter(Self.boundless.contains).sorted()
    guard container.isPrivileged || !boundless.isEmpty else { return [] }
    let what = container.isPrivileged ? "is privileged" : "has \(boundless.joined(separator: ", "))"
    return [
      .serious(
        "docker",
        "container \(container.shownName) \(what): it can leave its namespaces, and then change this host's rules",
        "run it without \(container.isPrivileged ? "--privileged" : "--cap-add")")
    ]
  }

  // MARK: - AF_VSOCK

  /// One finding for all who can use it the same way.
  private func vsock(_ governed: [DockerEngine.Container]) -> [Finding] {
    guard let vsock else { return [] }
    let reaches = governed.map { ($0.shownName, reach(of: $0)) }
    func finding(_ reach: SeccompProfile.Reach?, _ how: String) -> Finding? {
      let names = reaches.filter { $0.1 == reach }.map(\.0).sorted()
      guard !names.isEmpty else { return nil }
      let text =
        "\(names.count == 1 ? "container" : "containers") \(names.joined(separator: ", ")) \(how) use AF_VSOCK, which leads "
        + "\(vsock.text), past every rule"
      return .serious("vsock", text, VsockText.remedy)
    }
    return [
      finding(.open, "may"), finding(.by32Bit, "may, by programs of 32 bits (socketcall),"),
      finding(nil, "has a seccomp profile that cannot be read here, and may perhaps"),
    ].compactMap(\.self)
  }

  /// What a container's seccomp profile lets it do; nil where it cannot be told.
  private func reach(of container: DockerEngine.Container) -> SeccompProfile.Reach? {
    if container.isPrivileged { return .open }
    let own = container.securityOptions.first { $0.hasPrefix("seccomp=") || $0.hasPrefix("seccomp:") }
    let named = own.map { String($0.dropFirst("seccomp=".count)) } ?? engine.seccompProfile
    switch named {
    case nil, "unconfined": return .open
    case "default", "builtin":
      // Since 23.0 it forbids `socket`. Debian's 20.10 does not, although Docker's last 20.10 did.
      let major = Int(engine.version.prefix { $0 != "." }) ?? 0
      return major < 23 ? .open : runs32Bit ? .by32Bit : .closed
    case let text?:
      let json = text.first == "{" ? Array(text.utf8) : profile(text)
      // A profile that cannot be read is a finding: it may permit anything.
      return json.flatMap { try? SeccompProfile($0) }?.reach(runs32Bit: runs32Bit)
    }
  }

  // MARK: - Ports and names

  /// A port of serve that the engine passes on: clients come through its NAT, all with the gateway's address.
  private func published(_ container: DockerEngine.Container) -> [Finding] {
    // On the host's network nothing is passed on.
    guard container.networkMode != "host" else { return [] }
    let taken = container.published.flatMap { port, bindings in
      bindings.filter { binding in
        let address = IPAddress(binding.hostAddress)
        return settings.listen.contains { listen in
          "\(listen.port)" == binding.hostPort
            && (address == nil || listen.isWildcard || address == listen.address
              || address?.high == 0 && address?.low == 0)
        }
      }.map { "\($0.hostPort)->\(port)" }
    }
    guard !taken.isEmpty else { return [] }
    return [
      .serious(
        "docker",
        "container \(container.shownName) publishes \(taken.sorted().joined(separator: ", ")): queries that come that way "
          + "bear the gateway's address, and no policy can tell who asks",
        "run sluice on the host's network (docker run --network host …), and publish no port that it listens on")
    ]
  }

  /// Ports of governed containers that the engine publishes: its proxy connects from the host itself, which is free.
  private func inbound(_ container: DockerEngine.Container) -> [Finding] {
    guard let server = container.addresses.compactMap({ policy.clients.server(of: $0) }).first else { return [] }
    let listed = policy.servers[server].inbound
    let ports = container.published.filter { !$0.value.isEmpty }.keys.sorted()
    return ports.map { port in
      let isListed =
        switch listed {
        case .any: true
        case .ports(let rules): PortRule(port).map(rules.contains) ?? false
        case nil: false
        }
      let name = policy.servers[server].name.text
      return isListed
        ? .ok("docker", "container \(container.shownName) publishes \(port), which \(name) lists as inbound")
        : .serious(
          "docker",
          "container \(container.shownName) publishes \(port), which \(name) does not list as inbound: others are refused, "
            + "but what connects by the engine's proxy on this host gets in, and data out",
          "inbound: [ \(port) ] in the policy of \(name), or publish no port")
    }
  }

  /// A network that stays closed for what was governed there once, and that the engine has given to another container.
  private func held(_ container: DockerEngine.Container) -> [Finding] {
    container.addresses.compactMap { address in
      guard let held = held.first(where: { $0.prefix.contains(address) }) else { return nil }
      return .warning(
        "docker",
        "container \(container.shownName) has the address \(address) in \(held.prefix), which stays closed since no policy "
          + "governs it any more (\(held.server)): it reaches nothing",
        "give it a policy, or: \(EnclosureText.release(held))")
    }
  }

  private func dns(_ container: DockerEngine.Container, _ name: String) -> [Finding] {
    let asked = container.dns
    let listens = settings.listen.map(\.address)
    let isWild = settings.listen.contains { $0.isWildcard }
    let first = settings.listen.first { !$0.isWildcard }?.address.description ?? "ADDRESS"
    let strangers = asked.filter { text in
      guard let address = IPAddress(text) else { return true }
      return !(listens.contains(address) || isWild && ownAddresses.contains(address))
    }
    if asked.isEmpty {
      return [
        .serious(
          "docker",
          "container \(name) has no --dns: it asks Docker's resolver, which asks the host's, so names leave unfiltered",
          "docker run --dns \(first) …")
      ]
    }
    if !strangers.isEmpty {
      return [
        .serious(
          "docker", "container \(name) has --dns \(strangers.joined(separator: ", ")), where sluice does not listen",
          "docker run --dns \(first) … and no other")
      ]
    }
    if asked.count > 1 {
      return [
        .warning(
          "docker", "container \(name) has several --dns: a denial by one may be asked of the next",
          "docker run --dns \(first) … once")
      ]
    }
    return []
  }

  /// An address of one family in a server's network and one of the other in none.
  private func families(_ container: DockerEngine.Container, _ name: String) -> [Finding] {
    let open = container.addresses.filter { policy.clients.server(of: $0) == nil }
    return open.map { address in
      .serious(
        "docker",
        "container \(name) has the address \(address) as well, which is in no server's network: that way it is not governed",
        address.family == .v6
          ? "add its IPv6 network to the policy's `networks:`, or make its network without --ipv6"
          : "add its network to the policy's `networks:`, or take the container off it")
    }
  }
}
