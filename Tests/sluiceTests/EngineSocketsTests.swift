import Control
import Foundation
import IPNetwork
import Testing

@testable import sluice

/// Which engines are asked, and what is read of their answers.
@Suite struct EngineSocketsTests {
  private func sockets(
    _ present: [String], named: String? = nil, environment: [String: String] = [:], users: [String] = []
  ) -> EngineSockets {
    let links = ["/var/run/docker.sock": "/run/docker.sock"]
    return EngineSockets(
      named,
      EngineSockets.Surroundings(
        environment: environment,
        resolved: { path in
          let place = links[path] ?? path
          return present.contains(place) ? place : nil
        }, users: users))
  }

  @Test func `what is named is the only one; what is not there is told`() {
    #expect(sockets(["/d.sock", "/run/docker.sock"], named: "/d.sock").paths == ["/d.sock"])
    let absent = sockets(
      ["/run/docker.sock"], named: "/d.sock", environment: ["DOCKER_HOST": "unix:///run/docker.sock"])
    #expect(absent.paths == [])
    #expect(absent.findings.map(\.kind) == [.engineAbsent])
    #expect(absent.findings.allSatisfy { $0.text.contains("/d.sock") && $0.severity == .remark })
    // As it advises.
    #expect(absent.findings.allSatisfy { $0.remedy?.contains("--docker SOCKET") ?? false })
    #expect(sockets(["/run/docker.sock"], named: "/run/docker.sock").findings == [])
  }

  @Test func `Docker's and Podman's, those of the environment and of users, each once`() {
    let present = [
      "/srv/own.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/user/1000/docker.sock",
      "/run/user/1001/podman/podman.sock", "/usr/bin/podman",
    ]
    let found = sockets(
      present,
      environment: ["DOCKER_HOST": "unix:///srv/own.sock", "CONTAINER_HOST": "unix:///run/podman/podman.sock"],
      users: ["/run/user/1000", "/run/user/1001"])
    #expect(
      found.paths == [
        "/srv/own.sock", "/run/podman/podman.sock", "/run/docker.sock", "/run/user/1000/docker.sock",
        "/run/user/1001/podman/podman.sock",
      ])
    #expect(found.findings == [])
  }

  @Test func `none at all is a remark, and not in order`() {
    let none = sockets([])
    #expect(none.findings.map(\.kind) == [.engineAbsent])
    #expect(none.findings.allSatisfy { $0.text.contains("/run/docker.sock") && $0.text.contains("podman.sock") })
  }

  @Test(arguments: ["tcp://192.0.2.1:2375", "ssh://root@192.0.2.1"])
  func `an engine elsewhere is told of, whatever else is here`(address: String) {
    let found = sockets(["/run/docker.sock"], environment: ["DOCKER_HOST": address])
    #expect(found.paths == ["/run/docker.sock"])
    #expect(found.findings.map(\.kind) == [.engineUnasked])
    #expect(found.findings.allSatisfy { $0.text.contains(address) })
    // As it advises.
    #expect(sockets(["/d.sock"], named: "/d.sock", environment: ["DOCKER_HOST": address]).findings == [])
  }

  @Test func `Podman without its API is told of, until it is served`() {
    let found = sockets(["/usr/bin/podman", "/run/docker.sock"])
    #expect(found.findings.map(\.remedy) == ["systemctl start podman.socket"])
    #expect(sockets(["/usr/bin/podman", "/run/docker.sock", "/run/podman/podman.sock"]).findings == [])
  }

  // MARK: - An engine's answers

  /// An engine that answers from a table, by Unix socket as a real one.
  private final class FakeEngine {
    let socket: String
    private let server: ControlServer
    private let folder: URL

    init(_ answers: [String: String]) throws {
      folder = FileManager.default.temporaryDirectory.appending(path: "engine-\(UUID().uuidString.prefix(8))")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      socket = folder.appending(path: "d.sock").path
      server = try ControlServer(ControlSocket(path: socket)) { request, completion in
        let answer = answers["/" + request.path.joined(separator: "/")]
        completion(ControlResponse(status: answer == nil ? 404 : 200, body: Array((answer ?? "{}").utf8)))
      }
    }

    func stop() {
      server.stop()
      try? FileManager.default.removeItem(at: folder)
    }
  }

  private static func answers(
    _ host: String, resolverFile: String = "/nowhere", ports: String = "null"
  ) -> [String: String] {
    [
      "/version": #"{"Version": "28.1.0", "Components": [{"Name": "Engine"}]}"#,
      "/info": #"{"SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin"]}"#,
      "/networks": """
      [{"Name": "iso", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "10.77.1.0/24"}, {}]},
        "Options": {"com.docker.network.bridge.gateway_mode_ipv4": "isolated"}, "Internal": true},
       {"Name": "lan", "Driver": "macvlan", "IPAM": {"Config": null}, "Options": {"parent": "eth1"}}]
      """,
      "/containers/json": #"[{"Id": "c1"}, {"Id": "gone"}]"#,
      "/containers/c1/json": """
      {"Id": "c1", "Name": "/web", "Path": "sh", "ResolvConfPath": "\(resolverFile)", "Config": {"Labels": {"a": "b"}},
       "HostConfig": {"NetworkMode": "iso", \(host)},
       "Mounts": [{"Source": "/run/docker.sock", "Destination": "/d.sock", "RW": false}],
       "NetworkSettings": {"Ports": \(ports),
         "Networks": {"iso": {"IPAddress": "10.77.1.2", "GlobalIPv6Address": ""}}}}
      """,
    ]
  }

  @Test func `an engine is read by its socket`() throws {
    let fake = try FakeEngine(
      Self.answers(
        #""Dns": ["10.77.1.1"], "CapAdd": ["CAP_NET_ADMIN", "BPF"], "CapDrop": ["NET_RAW"], "PidMode": "host""#))
    defer { fake.stop() }
    let engine = try DockerEngine(socket: fake.socket)
    #expect(engine.version == "28.1.0" && engine.seccompProfile == "builtin")
    #expect(!engine.isPodman && !engine.isRootless)
    #expect(engine.networks.map(\.isolation) == ["com.docker.network.bridge.gateway_mode_ipv4=isolated", nil])
    #expect(engine.networks.map(\.parent) == [nil, "eth1"])
    #expect(engine.networks.map(\.isInternal) == [true, false])
    let container = try #require(engine.containers.first)
    #expect(engine.containers.count == 1)
    #expect(container.shownName == "web" && container.resolvers == ["10.77.1.1"])
    #expect(container.addedCapabilities == ["NET_ADMIN", "BPF"] && container.droppedCapabilities == ["NET_RAW"])
    #expect(container.seesHostProcesses && !engine.maySendRawPackets(container))
    #expect(container.volumes.map(\.source) == ["/run/docker.sock"])
    #expect(engine.network(of: IPAddress("10.77.1.9")!) == "10.77.1.0/24")
    #expect(engine.network(of: IPAddress("fd00::9")!) == "fd00::9/128")
  }

  @Test func `ports are those that the engine made, -P or not`() throws {
    let fake = try FakeEngine(
      Self.answers(
        #""Dns": ["10.77.1.1"], "PortBindings": {"1/tcp": [{"HostIp": "", "HostPort": "0"}]}"#,
        ports:
          #"{"1/tcp": [{"HostIp": "", "HostPort": "9"}], "2/tcp": [{"HostIp": "", "HostPort": "53"}], "3/tcp": null}"#
      ))
    defer { fake.stop() }
    let container = try #require(try DockerEngine(socket: fake.socket).containers.first)
    #expect(container.published.mapValues { $0.map(\.hostPort) } == ["1/tcp": ["9"], "2/tcp": ["53"]])
    #expect(!container.hasResolversOfFile)
  }

  @Test func `Podman and rootless engines are known by what they say of themselves`() throws {
    var answers = Self.answers(#""Dns": null"#)
    answers["/version"] = #"{"Version": "4.3.1", "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}"#
    answers["/info"] = #"{"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}"#
    let fake = try FakeEngine(answers)
    defer { fake.stop() }
    let engine = try DockerEngine(socket: fake.socket)
    #expect(engine.isPodman && engine.isRootless && engine.command == "podman")
    let container = try #require(engine.containers.first)
    #expect(container.resolvers == [])
    // Podman gives raw sockets to none that does not ask for them.
    #expect(!engine.maySendRawPackets(container))
  }

  @Test(arguments: [
    ("nameserver 10.77.1.1\nnameserver 192.0.2.53\noptions edns0\n", ["10.77.1.1", "192.0.2.53"]),
    ("nameserver 127.0.0.11\noptions ndots:0\n", []),
    (
      "nameserver 127.0.0.11\n\n# Based on host file: '/etc/resolv.conf' (internal resolver)\n"
        + "# ExtServers: [10.77.1.1 host(127.0.0.53)]\n", ["10.77.1.1", "host(127.0.0.53)"]
    ),
    ("nameserver\t10.77.2.1\r\nnameserver \t 192.0.2.53\n", ["10.77.2.1", "192.0.2.53"]),
    ("", []),
  ])
  func `without --dns a container asks whom its resolv.conf names`(text: String, expected: [String]) throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "resolv-\(UUID().uuidString)")
    try Data(text.utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let fake = try FakeEngine(Self.answers(#""Dns": []"#, resolverFile: file.path))
    defer { fake.stop() }
    let containers = try DockerEngine(socket: fake.socket).containers
    #expect(containers.map(\.resolvers) == [expected])
    #expect(containers.map(\.hasResolversOfFile) == [true])
  }
}
