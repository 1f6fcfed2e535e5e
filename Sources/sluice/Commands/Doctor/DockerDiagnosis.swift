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
  /// What lies behind enclosed interfaces beside their servers: nothing from there passes.
  var cutOff: [IPPrefix] = []
  /// What AF_VSOCK leads to on this host; nil for nowhere.
  var vsock: VsockReach?
  var runs32Bit = false
  /// Sockets and files of the host that must not be in a container.
  var keys: [HostKey] = []
  /// The addresses of the host's own interfaces.
  var ownAddresses: Set<IPAddress> = []
  /// A profile by its path on this host; nil where it cannot be read.
  var profile: (String) -> [UInt8]? = { _ in nil }

  /// What each engine of this host tells, and which are not asked.
  static func findings(_ settings: Settings, configuration: String, engines: EngineSockets) -> [Finding] {
    var template = DockerDiagnosis(
      engine: DockerEngine(), settings: settings, policy: PolicySnapshot(settings.policies))
    // That interfaces and routes cannot be read is a finding of its own.
    let enclosure = try? EnclosureDiagnosis(settings)
    template.held = enclosure?.held ?? []
    template.cutOff = enclosure?.cutOff ?? []
    template.vsock = VsockReach.ofThisHost
    template.runs32Bit = VsockReach.runs32Bit
    template.keys = HostKey.all(settings, configuration: configuration, engines: engines.paths)
    template.ownAddresses = HostAddresses.all()
    template.profile = { FileManager.default.contents(atPath: $0).map { Array($0) } }
    var findings = engines.findings
    if engines.paths.isEmpty, let reach = template.vsock {
      findings.append(
        .warning(
          .vsockUnknown, "vsock",
          "AF_VSOCK leads \(reach.text), past every rule, and no engine tells which container may use it",
          VsockText.remedy))
    }
    for socket in engines.paths {
      do {
        var diagnosis = template
        diagnosis.engine = try DockerEngine(socket: socket)
        for index in diagnosis.engine.containers.indices {
          for volume in diagnosis.engine.containers[index].volumes.indices {
            let source = diagnosis.engine.containers[index].volumes[volume].source
            diagnosis.engine.containers[index].volumes[volume].source = HostKey.canonical(source)
          }
        }
        findings += diagnosis.findings
      } catch {
        findings.append(
          .warning(
            .engineUnasked, "docker", "the engine at \(socket) cannot be asked: \(error)",
            "run it with sudo, or name another with --docker"))
      }
    }
    return findings
  }

  var findings: [Finding] {
    guard !engine.isRootless else { return rootless() }
    let governed = engine.containers.filter { isGoverned($0) }
    return engine.containers.flatMap { container in
      published(container) + inbound(container) + held(container) + examine(container)
    } + engine.networks.flatMap { elsewhere($0) + isolated($0) + shut($0) } + rawPackets(governed) + vsock(governed) + [
      .ok(
        area,
        "\(engine.containers.count) containers run, \(governed.count) of them in a server's network")
    ]
  }

  /// What a finding about a container is about, and the command that mends it.
  var area: String { engine.isPodman ? "podman" : "docker" }

  /// The servers in whose networks a container's addresses are, each once.
  func serverIndexes(of container: DockerEngine.Container) -> [Int] {
    Set(container.addresses.compactMap { policy.clients.server(of: $0) }).sorted()
  }

  /// Whether its network, or the one that it shares, is a server's.
  private func isGoverned(_ container: DockerEngine.Container) -> Bool {
    engine.networkOwner(of: container).addresses.contains { policy.clients.server(of: $0) != nil }
  }

  private func examine(_ container: DockerEngine.Container) -> [Finding] {
    let owner = engine.networkOwner(of: container)
    if owner.networkMode == "host" { return hostNetwork(container, owner) }
    guard isGoverned(container) else { return ungoverned(container) }
    // Of a network that is shared the owner is told.
    let own = owner == container ? dns(container) + strayAddresses(container) + servers(container) : []
    return own + volumes(container) + privileges(container)
  }

  /// One that is in no server's network: nothing to Sluice, unless it asks there or its packets are cut off.
  private func ungoverned(_ container: DockerEngine.Container) -> [Finding] {
    let name = container.shownName
    // What is cut off is told of a network that stays closed, or of what lies behind an enclosed interface.
    let open = container.addresses.filter { !isCutOff($0) }
    guard !open.isEmpty else { return container.addresses.isEmpty ? [] : cutOff(container, container.addresses) }
    let networks = container.networks.map { "\($0.key) (\($0.value.ipAddress))" }.sorted().joined(separator: ", ")
    let wanted = Set(open.map { engine.network(of: $0) }).sorted().joined(separator: ", ")
    guard container.resolvers.contains(where: isListenedOn) else {
      return [
        .warning(
          .containerUngoverned, area,
          "container \(name) on \(networks) is in no server's network: it is not governed at all",
          "networks: [ \(wanted) ] in a policy, if it is to be")
      ]
    }
    let named = policy.servers.map {
      "\($0.name.text): \($0.networks.map(\.prefix.description).joined(separator: ", "))"
    }
    return [
      .serious(
        .containerOutside, area,
        "container \(name) on \(networks) asks sluice and is in no server's network: it gets no name, and reaches every address",
        "networks: [ \(wanted) ] in a policy, then sluice reload; they name \(named.joined(separator: "; "))")
    ]
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
        .warning(
          .containerTrusted, area, text,
          "it has the label \(Self.trustLabel)=true: nothing to do if it is the host's own; else a network of its own")
      ]
    }
    return [
      .serious(
        .containerHostNetwork, area, text,
        "give it a network of its own: \(engine.command) run --network …; if it is the host's own, --label \(Self.trustLabel)=true"
      )
    ] + volumes(container)
  }

  /// The first server with a network in one of the engine's.
  private func server(of network: DockerEngine.Network) -> ServerPolicy? {
    policy.servers.first { server in
      server.networks.contains { governed in network.subnets.contains { $0.overlaps(governed.prefix) } }
    }
  }

  /// A network of a server whose packets this host's rules do not see, whether or not a container is on it now.
  private func elsewhere(_ network: DockerEngine.Network) -> [Finding] {
    guard !Self.passesHost(network.driver), let server = server(of: network) else { return [] }
    return [
      .serious(
        .driverBeside, area,
        "network \(network.name) of \(server.name.text) \(Self.way(network)): no rule of this host sees what its containers send",
        "make it a bridge: \(engine.command) network create --driver bridge …")
    ]
  }

  /// A network of a server in which the host has no address (since Docker 28): there is nothing that Sluice could listen on.
  private func isolated(_ network: DockerEngine.Network) -> [Finding] {
    guard let mode = network.isolation, let server = server(of: network) else { return [] }
    return [
      .warning(
        .gatewayIsolated, area,
        "network \(network.name) of \(server.name.text) has \(mode): the host has no address there, and its containers "
          + "can ask nobody",
        "make it without \(mode), and its gateway an address of `listen:`")
    ]
  }

  /// A network that its engine lets nothing out of, although its server's policy does.
  private func shut(_ network: DockerEngine.Network) -> [Finding] {
    guard network.isInternal, let server = server(of: network), !server.rules.isEmpty || !server.prefixes.isEmpty else {
      return []
    }
    return [
      .warning(
        .networkInternal, area,
        "network \(network.name) of \(server.name.text) is internal: names are answered, and the engine drops every "
          + "connection that leaves it",
        "make it without --internal (Compose: `internal: true`): policy alone says what leaves it")
    ]
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
        .containerVolume, area,
        "container \(container.shownName) has \(what) at \(volume.destination): \(key.kind.consequence)",
        "run it without that volume\(key.kind == .policy ? ", or with it read-only (`:ro`)" : ", read-only is no help")"
      )
    }
  }

  /// Capabilities with which a process is not held by its namespaces.
  private static let boundless: Set<String> = [
    "ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF",
  ]

  private func privileges(_ container: DockerEngine.Container) -> [Finding] {
    let name = container.shownName
    let leaves = "it can leave its namespaces, and then change this host's rules"
    guard !container.isPrivileged else {
      return [
        .serious(
          .containerPrivileged, area, "container \(name) is privileged: \(leaves)", "run it without --privileged")
      ]
    }
    // Another process's memory is that of a process outside only where it is seen.
    let tracing: Set<String> = container.seesHostProcesses ? ["SYS_PTRACE"] : []
    return container.addedCapabilities.sorted().compactMap { capability in
      let consequence: String
      switch capability {
      case _ where Self.boundless.union(tracing).contains(capability): consequence = leaves
      case "NET_ADMIN": consequence = "it can give itself any address of its network, and be who has that one"
      default: return nil
      }
      return .serious(
        .containerCapability, area, "container \(name) has \(capability): \(consequence)",
        "run it without --cap-add \(capability)")
    }
  }

  /// What every container of Docker's may that does not give it up: one remark for all.
  private func rawPackets(_ governed: [DockerEngine.Container]) -> [Finding] {
    let names = governed.filter { !$0.isPrivileged && engine.maySendRawPackets($0) }.map(\.shownName).sorted()
    guard !names.isEmpty else { return [] }
    return [
      .remark(
        .containerRawPackets, area,
        "\(Self.containers(names)) may send raw packets (NET_RAW, which \(engine.isPodman ? "was added" : "is a default")): "
          + "in a network with several it can speak with another's address",
        "\(engine.command) run --cap-drop NET_RAW …, if it needs no ping")
    ]
  }

  static func containers(_ names: [String]) -> String {
    "\(names.count == 1 ? "container" : "containers") \(names.joined(separator: ", "))"
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
        "\(Self.containers(names)) \(how) use AF_VSOCK, which leads \(vsock.text), past every rule"
      return .serious(reach == nil ? .vsockUnknown : .vsockOpen, "vsock", text, VsockText.remedy)
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
    let json: [UInt8]?
    switch named {
    case nil, "unconfined": return .open
    case "default" where !engine.isPodman, "builtin" where !engine.isPodman:
      // Since 23.0 it forbids `socket`. Debian's 20.10 does not, although Docker's last 20.10 did.
      let major = Int(engine.version.prefix { $0 != "." }) ?? 0
      return major < 23 ? .open : runs32Bit ? .by32Bit : .closed
    case "default", "builtin": json = profile(DockerEngine.podmanProfile)
    case let text?: json = text.first == "{" ? Array(text.utf8) : profile(text)
    }
    // A profile that cannot be read is a finding: it may permit anything.
    return json.flatMap { try? SeccompProfile($0) }?.reach(runs32Bit: runs32Bit)
  }

  // MARK: - Ports

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
        .containerPublishesResolver, area,
        "container \(container.shownName) publishes \(taken.sorted().joined(separator: ", ")): queries that come that way "
          + "bear the gateway's address, and no policy can tell who asks",
        "run sluice on the host's network (\(engine.command) run --network host …), and publish no port that it listens on"
      )
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
        ? .ok(area, "container \(container.shownName) publishes \(port), which \(name) lists as inbound")
        : .serious(
          .containerPublishes, area,
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
        .containerHeld, area,
        "container \(container.shownName) has the address \(address) in \(held.prefix), which stays closed since no policy "
          + "governs it any more (\(held.server)): it reaches nothing",
        "give it a policy, or: \(EnclosureText.release(held))")
    }
  }
}
