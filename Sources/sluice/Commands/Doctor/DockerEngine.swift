import Control
import Foundation
import IPNetwork
import Serving

/// What a Docker engine tells of itself and of the containers that run (Docker Engine API v1.41).
struct DockerEngine: Equatable {
  struct Container: Equatable {
    var id: String
    var name: String
    /// The program that it began with.
    var program: String
    var labels: [String: String]
    /// `host`, `container:ID`, `none`, or a network's name.
    var networkMode: String
    var dns: [String]
    /// By port of the container, as `53/udp`.
    var published: [String: [Binding]]
    var networks: [String: Endpoint]
    var volumes: [Volume]
    /// `seccomp=unconfined`, `seccomp={…}`, …
    var securityOptions: [String]
    var isPrivileged: Bool
    var addedCapabilities: [String]

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
  }

  var version: String
  /// What containers get that name no profile: `default`, `builtin`, `unconfined`, or the path of a file; nil where the
  /// engine uses no seccomp.
  var seccompProfile: String?
  var networks: [Network]
  var containers: [Container]

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
    version = try get("/version", as: Version.self)?.version ?? ""
    let options = try get("/info", as: Information.self)?.securityOptions ?? []
    seccompProfile = options.first { $0.hasPrefix("name=seccomp") }.map { option in
      option.split(separator: ",").first { $0.hasPrefix("profile=") }.map { String($0.dropFirst("profile=".count)) }
        ?? "default"
    }
    networks = try (get("/networks", as: [ListedNetwork].self) ?? []).map { network in
      Network(
        name: network.name, driver: network.driver,
        subnets: (network.addresses?.ranges ?? []).compactMap { $0.subnet.flatMap { IPPrefix($0) } },
        parent: network.options?["parent"])
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
    var version: String

    enum CodingKeys: String, CodingKey { case version = "Version" }
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

    enum CodingKeys: String, CodingKey {
      case name = "Name"
      case driver = "Driver"
      case addresses = "IPAM"
      case options = "Options"
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

      enum CodingKeys: String, CodingKey {
        case networkMode = "NetworkMode"
        case dns = "Dns"
        case published = "PortBindings"
        case securityOptions = "SecurityOpt"
        case isPrivileged = "Privileged"
        case addedCapabilities = "CapAdd"
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

      enum CodingKeys: String, CodingKey { case networks = "Networks" }
    }

    struct Configuration: Decodable {
      var labels: [String: String]?

      enum CodingKeys: String, CodingKey { case labels = "Labels" }
    }

    var id: String
    var name: String
    var path: String?
    var configuration: Configuration?
    var hostConfig: HostConfig
    var mounts: [Mount]?
    var networkSettings: NetworkSettings

    enum CodingKeys: String, CodingKey {
      case id = "Id"
      case name = "Name"
      case path = "Path"
      case configuration = "Config"
      case hostConfig = "HostConfig"
      case mounts = "Mounts"
      case networkSettings = "NetworkSettings"
    }
  }
}

extension DockerEngine.Container {
  fileprivate init(_ told: DockerEngine.Told, volumes: [DockerEngine.Volume]) {
    self.init(
      id: told.id, name: told.name, program: told.path ?? "", labels: told.configuration?.labels ?? [:],
      networkMode: told.hostConfig.networkMode, dns: told.hostConfig.dns ?? [],
      published: (told.hostConfig.published ?? [:]).compactMapValues(\.self),
      networks: told.networkSettings.networks ?? [:], volumes: volumes,
      securityOptions: told.hostConfig.securityOptions ?? [], isPrivileged: told.hostConfig.isPrivileged ?? false,
      addedCapabilities: told.hostConfig.addedCapabilities ?? [])
  }
}
