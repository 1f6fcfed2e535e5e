import Control
import EgressPolicy
import FirewallBridge
import Foundation
import HostNetwork
import IPNetwork
import Settings

/// What `doctor` finds out about the containers of a Docker engine, by its API.
enum DockerDiagnosis {
  static func findings(_ settings: Settings, socket: String) -> [Finding] {
    guard FileManager.default.fileExists(atPath: socket) else {
      return [.ok("docker", "no engine at \(socket)")]
    }
    let containers: [Container]
    do {
      let client = ControlClient(path: socket)
      let listed = try decode([Listed].self, client.call(.get, "/containers/json"))
      containers = try listed.compactMap { listed in
        let answer = try client.call(.get, "/containers/\(listed.id)/json")
        // It may have ended meanwhile.
        return answer.status == 404 ? nil : try decode(Container.self, answer)
      }
    } catch {
      return [
        .warning(
          "docker", "the engine at \(socket) cannot be asked: \(error)", "run it with sudo, or name it with --docker")
      ]
    }
    let policy = PolicySnapshot(settings.policies)
    let enclosure = try? EnclosureDiagnosis(settings)
    let findings = containers.flatMap { container in
      published(container, settings) + inbound(container, policy) + held(container, enclosure)
        + examine(container, policy, settings)
    }
    let governed = containers.filter { container in
      container.addresses.contains { policy.server(for: $0) != nil }
    }
    return findings + [
      .ok("docker", "\(containers.count) containers run, \(governed.count) of them in a server's network")
    ]
  }

  private static func examine(_ container: Container, _ policy: PolicySnapshot, _ settings: Settings) -> [Finding] {
    let name = container.shownName
    let mode = container.hostConfig.networkMode
    if mode == "host" {
      return [
        .warning(
          "docker", "container \(name) shares the host's network: no policy can tell it from the host",
          "give it a network of its own: docker run --network …")
      ]
    }
    let servers = Set(container.addresses.compactMap { policy.server(for: $0) })
    guard !servers.isEmpty else {
      guard !container.addresses.isEmpty else { return [] }
      let places = container.networks.map { "\($0.key) (\($0.value.ipAddress))" }.sorted().joined(separator: ", ")
      return [
        .warning(
          "docker", "container \(name) on \(places) is in no server's network: it is not governed at all",
          "add its network to a policy's `networks:`, if it is to be")
      ]
    }
    return dns(container, name, settings) + families(container, name, policy)
  }

  /// A port of ours that the engine passes on: clients come through its NAT, all with the gateway's address.
  private static func published(_ container: Container, _ settings: Settings) -> [Finding] {
    // On the host's network nothing is passed on.
    guard container.hostConfig.networkMode != "host" else { return [] }
    let taken = (container.hostConfig.portBindings ?? [:]).flatMap { port, bindings in
      (bindings ?? []).filter { binding in
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
  private static func inbound(_ container: Container, _ policy: PolicySnapshot) -> [Finding] {
    guard let server = container.addresses.compactMap({ policy.server(for: $0) }).first else { return [] }
    let listed = policy.servers[server].inbound
    let ports = (container.hostConfig.portBindings ?? [:]).filter { !($0.value ?? []).isEmpty }.keys.sorted()
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
  private static func held(_ container: Container, _ enclosure: EnclosureDiagnosis?) -> [Finding] {
    container.addresses.compactMap { address in
      guard let held = enclosure?.heldNetwork(around: address) else { return nil }
      return .warning(
        "docker",
        "container \(container.shownName) has the address \(address) in \(held.prefix), which stays closed since no policy "
          + "governs it any more (\(held.server)): it reaches nothing",
        "give it a policy, or: \(EnclosureText.release(held))")
    }
  }

  private static func dns(_ container: Container, _ name: String, _ settings: Settings) -> [Finding] {
    let asked = container.hostConfig.dns ?? []
    let listens = settings.listen.map(\.address)
    let isWild = settings.listen.contains { $0.isWildcard }
    let own = isWild ? (try? RouteSocket().read { _ in false })?.ownAddresses ?? [] : []
    let first = settings.listen.first { !$0.isWildcard }?.address.description ?? "ADDRESS"
    let strangers = asked.filter { text in
      guard let address = IPAddress(text) else { return true }
      return !(listens.contains(address) || isWild && own.contains(address))
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
  private static func families(_ container: Container, _ name: String, _ policy: PolicySnapshot) -> [Finding] {
    let open = container.addresses.filter { policy.server(for: $0) == nil }
    return open.map { address in
      .serious(
        "docker",
        "container \(name) has the address \(address) as well, which is in no server's network: that way it is not governed",
        address.family == .v6
          ? "add its IPv6 network to the policy's `networks:`, or make its network without --ipv6"
          : "add its network to the policy's `networks:`, or take the container off it")
    }
  }

  private static func decode<Value: Decodable>(_ type: Value.Type, _ response: ControlResponse) throws -> Value {
    guard response.status == 200 else { throw StartError("it answered with status \(response.status)") }
    return try JSONDecoder().decode(type, from: Data(response.body))
  }

  // MARK: - What the engine tells (Docker Engine API v1.41)

  private struct Listed: Decodable {
    var id: String

    enum CodingKeys: String, CodingKey { case id = "Id" }
  }

  private struct Container: Decodable {
    struct HostConfig: Decodable {
      var networkMode: String
      var dns: [String]?
      /// By `53/udp`.
      var portBindings: [String: [Binding]?]?

      enum CodingKeys: String, CodingKey {
        case networkMode = "NetworkMode"
        case dns = "Dns"
        case portBindings = "PortBindings"
      }
    }

    struct Binding: Decodable {
      /// Empty for all of them.
      var hostAddress: String
      var hostPort: String

      enum CodingKeys: String, CodingKey {
        case hostAddress = "HostIp"
        case hostPort = "HostPort"
      }
    }

    struct Endpoint: Decodable {
      var ipAddress: String
      var ipv6Address: String

      enum CodingKeys: String, CodingKey {
        case ipAddress = "IPAddress"
        case ipv6Address = "GlobalIPv6Address"
      }
    }

    struct NetworkSettings: Decodable {
      var networks: [String: Endpoint]

      enum CodingKeys: String, CodingKey { case networks = "Networks" }
    }

    var name: String
    var hostConfig: HostConfig
    var networkSettings: NetworkSettings

    enum CodingKeys: String, CodingKey {
      case name = "Name"
      case hostConfig = "HostConfig"
      case networkSettings = "NetworkSettings"
    }

    var shownName: String { name.hasPrefix("/") ? String(name.dropFirst()) : name }
    var networks: [String: Endpoint] { networkSettings.networks }

    var addresses: [IPAddress] {
      networks.values.flatMap { [$0.ipAddress, $0.ipv6Address] }.compactMap { IPAddress($0) }.sorted()
    }
  }
}
