import EgressPolicy
import FirewallModel
import IPNetwork
import Settings

/// Whom containers ask, and by which addresses they are known.
extension DockerDiagnosis {
  /// Whether serve answers at an address.
  func isListenedOn(_ text: String) -> Bool { IPAddress(text).map { !listeners(at: $0).isEmpty } ?? false }

  /// Where serve answers, of what a container means by an address: its loopback is its own.
  private func listeners(at address: IPAddress) -> [ListenAddress] {
    guard !address.isLoopback else { return [] }
    return settings.listen.filter { $0.address == address || $0.isWildcard && ownAddresses.contains(address) }
  }

  func dns(_ container: DockerEngine.Container) -> [Finding] {
    let (name, asked) = (container.shownName, container.resolvers)
    let first = settings.listen.first { !$0.isWildcard && !$0.address.isLoopback }?.address.description ?? "ADDRESS"
    let run = "\(engine.command) run --dns \(nearest(container) ?? first) …"
    if asked.isEmpty {
      return [
        .serious(
          .containerNoResolver, area,
          "container \(name) has no --dns: Docker's resolver asks the host's for it, unfiltered where that one is on "
            + "loopback, and in vain where it is not", run)
      ]
    }
    let strangers = asked.filter { !isListenedOn($0) }
    if let stranger = strangers.first {
      let what =
        "container \(name) has \(container.hasResolversOfFile ? "" : "--dns ")\(strangers.joined(separator: ", "))"
        + (container.hasResolversOfFile ? " in its resolv.conf" : "")
      return [.serious(.containerOtherResolver, area, what + elsewhere(stranger), remedy(stranger, run))]
    }
    if let text = asked.first, let address = IPAddress(text), !listeners(at: address).contains(where: { $0.port == 53 })
    {
      let ports = Set(listeners(at: address).map(\.port)).sorted().map { "\($0)" }.joined(separator: ", ")
      return [
        .warning(
          .containerOtherPort, area,
          "container \(name) asks \(address) at port 53, where sluice listens at port \(ports): no name is answered, "
            + "unless a rule of the host's redirects it",
          "\(ListenAddress(address: address)) in `listen:`, and a restart")
      ]
    }
    guard asked.count > 1 else { return [] }
    return [
      .warning(
        .containerSeveralResolvers, area,
        "container \(name) has several \(container.hasResolversOfFile ? "name servers in its resolv.conf" : "--dns"): "
          + "a denial by one may be asked of the next", "\(run) once")
    ]
  }

  /// Why nobody answers at a resolver's address.
  private func elsewhere(_ stranger: String) -> String {
    IPAddress(stranger)?.isLoopback == true
      ? ", which is the container's own loopback: sluice is not there" : ", where sluice does not listen"
  }

  /// An address of the host is one at which it could listen.
  private func remedy(_ stranger: String, _ run: String) -> String {
    guard let address = IPAddress(stranger), ownAddresses.contains(address), !address.isLoopback else {
      return "\(run) and no other"
    }
    return "\(ListenAddress(address: address)) in `listen:`, and a restart; or \(run) and no other"
  }

  /// The listen address that lies in one of a container's networks.
  private func nearest(_ container: DockerEngine.Container) -> String? {
    let subnets = container.addresses.compactMap { engine.subnet(of: $0) }
    return settings.listen.first { listen in subnets.contains { $0.contains(listen.address) } }?.address.description
  }

  // MARK: - Addresses

  func isCutOff(_ address: IPAddress) -> Bool {
    cutOff.contains { $0.contains(address) } || held.contains { $0.prefix.contains(address) }
  }

  /// Addresses of a governed container that are in no server's network.
  func strayAddresses(_ container: DockerEngine.Container) -> [Finding] {
    let stray = container.addresses.filter { policy.clients.server(of: $0) == nil }
    let servers = serverIndexes(of: container)
    let owner = servers.first.map { policy.servers[$0].name.text } ?? "its server"
    return cutOff(container, stray.filter(isCutOff))
      + stray.filter { !isCutOff($0) }.map { address in
        let network = container.networks.first { $0.value.addresses.contains(address) }
        // Of the same network an address of the other family may be governed already.
        let isShared = network?.value.addresses.contains { policy.clients.server(of: $0) != nil } ?? false
        let otherwise =
          isShared
          ? "make its network without \(address.family == .v6 ? "--ipv6" : "IPv4")"
          : "\(engine.command) network disconnect \(network?.key ?? "NETWORK") \(container.shownName)"
        return .serious(
          .containerSecondAddress, area,
          "container \(container.shownName) has the address \(address) as well, which is in no server's network: that way it "
            + "is not governed",
          "networks: [ \(engine.network(of: address)) ] in the policy of \(owner), or \(otherwise)")
      }
  }

  /// What lies behind an enclosed interface and in no server's network reaches nothing. Of networks that are held another
  /// finding tells.
  func cutOff(_ container: DockerEngine.Container, _ addresses: [IPAddress]) -> [Finding] {
    addresses.filter { address in !held.contains { $0.prefix.contains(address) } }.map { address in
      .warning(
        .containerCutAddress, area,
        "container \(container.shownName) has the address \(address), which is in no server's network and behind a server's "
          + "interface: nothing passes from it",
        "networks: [ \(engine.network(of: address)) ] in a policy, if it is to be used")
    }
  }

  /// One that is in the networks of several servers may use the list of each, by the address that it sends from.
  func servers(_ container: DockerEngine.Container) -> [Finding] {
    let servers = serverIndexes(of: container)
    guard servers.count > 1 else { return [] }
    let places = container.networks.sorted { $0.key < $1.key }.flatMap { network, endpoint in
      endpoint.addresses.compactMap { address in
        policy.clients.server(of: address).map { (network, policy.servers[$0].name.text, address) }
      }
    }
    let others = places.filter { $0.0 != places.first?.0 }.map(\.0)
    let shown = places.map { "\($0.1) (\($0.0), \($0.2))" }.joined(separator: " and ")
    return [
      .serious(
        .containerTwoServers, area,
        "container \(container.shownName) is in the networks of \(shown): it may use the list of each, by the address that it "
          + "sends from",
        others.last.map { "\(engine.command) network disconnect \($0) \(container.shownName)" }
          ?? "name both its networks in the policy of one server")
    ]
  }

  // MARK: - Rootless

  /// What runs in a user's own engine: its networks are not the host's, and its packets leave as that user's.
  func rootless() -> [Finding] {
    let asking = engine.containers.filter { $0.resolvers.contains(where: isListenedOn) }
    guard !engine.containers.isEmpty else { return [.ok(area, "no container runs in the rootless engine")] }
    let names = (asking.isEmpty ? engine.containers : asking).map(\.shownName).sorted()
    let text =
      "\(Self.containers(names)) of a rootless engine: what they send leaves as this host's own, and no policy can tell it"
    let remedy = "run it in the engine of root, in a server's network: sudo \(engine.command) run …"
    return [
      asking.isEmpty
        ? .warning(.engineRootless, area, text, remedy)
        : .serious(.engineRootless, area, "\(text), although they ask sluice", remedy)
    ]
  }
}
