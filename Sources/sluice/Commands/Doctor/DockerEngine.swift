import Control
import Foundation
import IPNetwork
import Serving

/// What a Docker engine tells of itself and of the containers that run (Docker Engine API v1.41), or Podman, which serves the
/// same API.
struct DockerEngine: Equatable {
  struct Container: Equatable {
    var id: String
    var name: String
    /// The program that it began with.
    var program: String
    var labels: [String: String]
    /// `host`, `container:ID`, `none`, or a network's name.
    var networkMode: String
    /// Whom it asks, or whom the engine's own resolver asks for it, as far as the engine tells.
    var resolvers: [String]
    /// By port of the container, as `53/udp`.
    var published: [String: [Binding]]
    var networks: [String: Endpoint]
    var volumes: [Volume]
    /// `seccomp=unconfined`, `seccomp={…}`, …
    var securityOptions: [String]
    var isPrivileged: Bool
    /// Without the prefix `CAP_`.
    var addedCapabilities: [String]
    var droppedCapabilities: [String] = []
    /// Whether it is in the host's PID namespace.
    var seesHostProcesses = false
    /// Whether its resolvers stand in its resolv.conf alone, and no --dns named them.
    var hasResolversOfFile = false

    var shownName: String { name.hasPrefix("/") ? String(name.dropFirst()) : name }
    var addresses: [IPAddress] { networks.values.flatMap(\.addresses).sorted() }
  }

  struct Binding: Decodable, Equatable {
    /// Empty for all of them.
    var hostAddress: String
    var hostPort: String

    enum CodingKeys: String, CodingKey {
      case hostAddress = "HostIp"
      case hostPort = "HostPort"
    }
  }

  struct Endpoint: Decodable, Equatable {
    var ipAddress: String
    var ipv6Address: String

    enum CodingKeys: String, CodingKey {
      case ipAddress = "IPAddress"
      case ipv6Address = "GlobalIPv6Address"
    }

    var addresses: [IPAddress] { [ipAddress, ipv6Address].compactMap { IPAddress($0) } }
  }

  /// A folder or file of the host that a container sees.
  struct Volume: Equatable {
    /// Its path on the host; of a volume that is a folder elsewhere, that folder's.
    var source: String
    var destination: String
    var isWritable: Bool
  }

  struct Network: Equatable {
    var name: String
    /// `bridge`, `macvlan`, `ipvlan`, `overlay` …
    var driver: String
    var subnets: [IPPrefix]
    /// The interface that a macvlan or ipvlan network stands on.
    var parent: String?
    /// What keeps the host from having an address in it, as an option of the driver; nil where it has one.
    var isolation: String?
    /// Whether the engine lets nothing out of it (`--internal`).
    var isInternal = false
  }

  /// Where the packages of Podman put the profile that it calls its default.
  static let podmanProfile = "/usr/share/containers/seccomp.json"

  var version = ""
  var isPodman = false
  /// Whether it runs as a user who is not root.
  var isRootless = false
  /// What containers get that name no profile: `default`, `builtin`, `unconfined`, or the path of a file; nil where the
  /// engine uses no seccomp.
  var seccompProfile: String?
  var networks: [Network] = []
  var containers: [Container] = []

  /// The program that gives it orders.
  var command: String { isPodman ? "podman" : "docker" }

  /// The network that holds an address, as it was made; nil where the engine tells of none.
  func subnet(of address: IPAddress) -> IPPrefix? {
    networks.lazy.flatMap(\.subnets).first { $0.contains(address) }
  }

  /// What a policy's `networks:` has to hold for an address to be a server's.
  func network(of address: IPAddress) -> String {
    subnet(of: address)?.description ?? "\(address)/\(address.family == .v4 ? 32 : 128)"
  }

  /// Whether a container may make raw sockets: Docker gives that to each, Podman to those that ask for it.
  func maySendRawPackets(_ container: Container) -> Bool {
    let isAdded = container.addedCapabilities.contains { ["NET_RAW", "ALL"].contains($0) }
    let isDropped = container.droppedCapabilities.contains { ["NET_RAW", "ALL"].contains($0) }
    return isAdded || !isDropped && !isPodman
  }

  /// The one whose network a container uses: its own, or what `--network container:` leads to.
  func networkOwner(of container: Container) -> Container {
    var owner = container
    // A chain is as long as there are containers, at most.
    for _ in containers.indices {
      guard owner.networkMode.hasPrefix("container:") else { break }
      let wanted = owner.networkMode.dropFirst("container:".count)
      guard let next = containers.first(where: { $0.id == wanted || $0.shownName == wanted }) else { break }
      owner = next
    }
    return owner
  }
}

// MARK: - Asking

extension DockerEngine {
  /// - Throws: where it cannot be asked, or answers with something else.
  init(socket: String) throws {
    let client = ControlClient(path: socket)
    func get<Value: Decodable>(_ path: String, as type: Value.Type) throws -> Value? {
      let response = try client.call(.get, path)
      // It may have ended meanwhile.
      guard response.status != 404 else { return nil }
      guard response.status == 200 else { throw StartError("it answered with status \(response.status)") }
      return try JSONDecoder().decode(type, from: Data(response.body))
    }
    let told = try get("/version", as: Version.self)
    version = told?.version ?? ""
    isPodman = told?.components?.contains { $0.name.hasPrefix("Podman") } ?? false
    let options = try get("/info", as: Information.self)?.securityOptions ?? []
    isRootless = options.contains { $0 == "name=rootless" || $0.hasPrefix("name=rootless,") }
    seccompProfile = options.first { $0.hasPrefix("name=seccomp") }.map { option in
      option.split(separator: ",").first { $0.hasPrefix("profile=") }.map { String($0.dropFirst("profile=".count)) }
        ?? "default"
    }
    networks = try (get("/networks", as: [ListedNetwork].self) ?? []).map { network in
      Network(
        name: network.name, driver: network.driver,
        subnets: (network.addresses?.ranges ?? []).compactMap { $0.subnet.flatMap { IPPrefix($0) } },
        parent: network.options?["parent"],
        isolation: ["ipv4", "ipv6"].lazy.map { "com.docker.network.bridge.gateway_mode_\($0)" }
          .first { network.options?[$0] == "isolated" }.map { "\($0)=isolated" },
        isInternal: network.isInternal ?? false)
    }
    containers = try (get("/containers/json", as: [Listed].self) ?? []).compactMap { listed in
      guard let told = try get("/containers/\(listed.id)/json", as: Told.self) else { return nil }
      return Container(
        told,
        volumes: try (told.mounts ?? []).map { mount in
          let folder = try mount.name.flatMap { try get("/volumes/\($0)", as: TellsOfVolume.self)?.folder }
          return Volume(
            source: folder ?? mount.source, destination: mount.destination, isWritable: mount.isWritable ?? true)
        })
    }
  }

  private struct Version: Decodable {
    struct Component: Decodable {
      var name: String

      enum CodingKeys: String, CodingKey { case name = "Name" }
    }

    var version: String
    var components: [Component]?

    enum CodingKeys: String, CodingKey {
      case version = "Version"
      case components = "Components"
    }
  }

  private struct Information: Decodable {
    var securityOptions: [String]?

    enum CodingKeys: String, CodingKey { case securityOptions = "SecurityOptions" }
  }

  private struct ListedNetwork: Decodable {
    struct Addresses: Decodable {
      struct Range: Decodable {
        var subnet: String?

        enum CodingKeys: String, CodingKey { case subnet = "Subnet" }
      }

      var ranges: [Range]?

      enum CodingKeys: String, CodingKey { case ranges = "Config" }
    }

    var name: String
    var driver: String
    var addresses: Addresses?
    var options: [String: String]?
    var isInternal: Bool?

    enum CodingKeys: String, CodingKey {
      case name = "Name"
      case driver = "Driver"
      case addresses = "IPAM"
      case options = "Options"
      case isInternal = "Internal"
    }
  }

  private struct TellsOfVolume: Decodable {
    var options: [String: String]?

    enum CodingKeys: String, CodingKey { case options = "Options" }

    /// Of the local driver's bind mounts; a device or a share is none.
    var folder: String? {
      guard let device = options?["device"], device.hasPrefix("/"), !device.hasPrefix("/dev/"),
        options?["o"]?.contains("bind") ?? false
      else { return nil }
      return device
    }
  }

  private struct Listed: Decodable {
    var id: String

    enum CodingKeys: String, CodingKey { case id = "Id" }
  }

  fileprivate struct Told: Decodable {
    struct HostConfig: Decodable {
      var networkMode: String
      var dns: [String]?
      var published: [String: [Binding]?]?
      var securityOptions: [String]?
      var isPrivileged: Bool?
      var addedCapabilities: [String]?
      var droppedCapabilities: [String]?
      var processes: String?

      enum CodingKeys: String, CodingKey {
        case networkMode = "NetworkMode"
        case dns = "Dns"
        case published = "PortBindings"
        case securityOptions = "SecurityOpt"
        case isPrivileged = "Privileged"
        case addedCapabilities = "CapAdd"
        case droppedCapabilities = "CapDrop"
        case processes = "PidMode"
      }
    }

    struct Mount: Decodable {
      /// Of a volume.
      var name: String?
      var source: String
      var destination: String
      var isWritable: Bool?

      enum CodingKeys: String, CodingKey {
        case name = "Name"
        case source = "Source"
        case destination = "Destination"
        case isWritable = "RW"
      }
    }

    struct NetworkSettings: Decodable {
      var networks: [String: Endpoint]?
      /// As the engine made them: `-P` leaves the choice to it, and stands in no `PortBindings`.
      var published: [String: [Binding]?]?

      enum CodingKeys: String, CodingKey {
        case networks = "Networks"
        case published = "Ports"
      }
    }

    struct Configuration: Decodable {
      var labels: [String: String]?

      enum CodingKeys: String, CodingKey { case labels = "Labels" }
    }

    var id: String
    var name: String
    var path: String?
    /// The file that is the container's /etc/resolv.conf.
    var resolverFile: String?
    var configuration: Configuration?
    var hostConfig: HostConfig
    var mounts: [Mount]?
    var networkSettings: NetworkSettings

    enum CodingKeys: String, CodingKey {
      case id = "Id"
      case name = "Name"
      case path = "Path"
      case resolverFile = "ResolvConfPath"
      case configuration = "Config"
      case hostConfig = "HostConfig"
      case mounts = "Mounts"
      case networkSettings = "NetworkSettings"
    }
  }
}

extension DockerEngine.Container {
  fileprivate init(_ told: DockerEngine.Told, volumes: [DockerEngine.Volume]) {
    let host = told.hostConfig
    let named = host.dns ?? []
    // Without --dns it asks whom the engine or the host asks, as its file says.
    let resolvers = named.isEmpty ? Self.resolvers(told.resolverFile.flatMap { HostFile.text($0) } ?? "") : named
    self.init(
      id: told.id, name: told.name, program: told.path ?? "", labels: told.configuration?.labels ?? [:],
      networkMode: host.networkMode, resolvers: resolvers,
      published: (host.published ?? [:]).compactMapValues(\.self)
        .merging((told.networkSettings.published ?? [:]).compactMapValues(\.self)) { $1.isEmpty ? $0 : $1 },
      networks: told.networkSettings.networks ?? [:], volumes: volumes,
      securityOptions: host.securityOptions ?? [], isPrivileged: host.isPrivileged ?? false,
      addedCapabilities: (host.addedCapabilities ?? []).map(Self.capability),
      droppedCapabilities: (host.droppedCapabilities ?? []).map(Self.capability),
      seesHostProcesses: host.processes == "host", hasResolversOfFile: named.isEmpty)
  }

  private static func capability(_ name: String) -> String {
    name.hasPrefix("CAP_") ? String(name.dropFirst(4)) : name
  }

  /// The name servers of a container's resolv.conf. 127.0.0.11 is the engine's own resolver, and whom that one asks stands in
  /// a comment since Docker 25: `# ExtServers: [10.77.2.1 host(127.0.0.53)]`.
  static func resolvers(_ text: String) -> [String] {
    let lines = text.split(whereSeparator: \.isNewline).map {
      $0.split(whereSeparator: \.isWhitespace).map(String.init)
    }
    let servers = lines.filter { $0.first == "nameserver" && $0.count > 1 }.map { $0[1] }
    let passedOn = lines.first { $0.starts(with: ["#", "ExtServers:"]) }.map { line in
      line.dropFirst(2).map { $0.trimmingCharacters(in: ["[", "]"]) }
    }
    return servers.filter { $0 != "127.0.0.11" } + (servers.contains("127.0.0.11") ? passedOn ?? [] : [])
  }
}
