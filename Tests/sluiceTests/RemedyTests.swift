import EgressPolicy
import FirewallModel
import Foundation
import HostNetwork
import IPNetwork
import Serving
import Settings
import Testing

@testable import sluice

/// What `doctor` advises mends what it found: each kind of finding is brought about, its advice followed, and it is gone.
/// Those of files and of the machine itself are followed in DoctorTests, word for word.
@Suite struct RemedyTests {
  /// A host with an engine, as far as doctor sees it.
  struct World {
    var engine = DockerEngine(version: "28.1.0", seccompProfile: "default")
    var listen = ["10.77.1.1"]
    /// `networks:` and further lines of each server's document.
    var policies = ["agent": "networks: [ 10.77.1.0/24 ]\ninbound: [ 8080/tcp ]"]
    var host = HostNetwork()
    var held: [HeldNetwork] = []
    var vsock: VsockReach?
    var bridgeFilter = WaysOut.BridgeFilter(v4: true, v6: true)
    var flowtables: [WaysOut.Flowtable] = []
    var keys = [HostKey(path: "/run/docker.sock", kind: .engine)]
    /// Of the server's document.
    var egress = "[]"

    init() {
      engine.networks = [
        Self.network("agents", "10.77.1.0/24"), Self.network("lan", "10.88.0.0/24"),
      ]
      engine.containers = [Self.container("a")]
      link("br-a", "bridge", "10.77.1.1/24")
      link("eth0", "", "192.0.2.1/24")
      host.routes = [HostNetwork.Route(destination: IPPrefix("0.0.0.0/0")!, interface: 3)]
    }

    static func network(_ name: String, _ subnet: String) -> DockerEngine.Network {
      DockerEngine.Network(name: name, driver: "bridge", subnets: [IPPrefix(subnet)!])
    }

    static func container(_ name: String, on networks: [String: String] = ["agents": "10.77.1.2"])
      -> DockerEngine.Container
    {
      DockerEngine.Container(
        id: "id-\(name)", name: "/\(name)", program: "sleep", labels: [:], networkMode: networks.keys.min() ?? "none",
        resolvers: ["10.77.1.1"], published: [:],
        networks: networks.mapValues { DockerEngine.Endpoint(ipAddress: $0, ipv6Address: "") }, volumes: [],
        securityOptions: [], isPrivileged: false, addedCapabilities: [], droppedCapabilities: ["ALL"])
    }

    mutating func link(_ name: String, _ kind: String, _ address: String? = nil) {
      let index = UInt32(host.interfaces.count + 2)
      host.interfaces.append(HostNetwork.Interface(index: index, name: name, kind: kind))
      guard let address, let slash = address.firstIndex(of: "/") else { return }
      let (own, length) = (IPAddress(address[..<slash])!, Int(address[slash...].dropFirst())!)
      host.addresses.append(
        HostNetwork.Address(interface: index, address: own, network: IPPrefix(own, length: length)!))
    }

    func index(_ name: String) -> UInt32 { host.interface(named: name)?.index ?? 0 }

    func findings() throws -> [Finding] {
      let settings = try settings()
      let surroundings = Ruleset.Surroundings(FirewallPlan(settings, settings.policies), held: held, host: host)
      let enclosure = EnclosureDiagnosis(settings, surroundings)
      var diagnosis = DockerDiagnosis(engine: engine, settings: settings, policy: PolicySnapshot(settings.policies))
      diagnosis.held = held
      diagnosis.cutOff = enclosure.cutOff
      diagnosis.vsock = vsock
      diagnosis.keys = keys
      diagnosis.ownAddresses = host.ownAddresses
      let ways = WaysOut(
        serversByInterface: enclosure.serversByInterface, host: host, bridgeFilter: bridgeFilter, flowtables: flowtables
      )
      let coverage = ListenCoverage(settings.listen.map(\.address), settings.policies, host: host)
      return diagnosis.findings + enclosure.findings + ways.findings + ListenDiagnosis.outside(coverage.gaps)
        + ListenDiagnosis.unheard(coverage)
    }

    private func settings() throws -> Settings {
      let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-remedy-\(UUID().uuidString)")
      defer { try? FileManager.default.removeItem(at: folder) }
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      let text = """
        listen: [ \(listen.joined(separator: ", ")) ]
        upstreams: [ udp://192.0.2.54 ]
        policies: policy.yaml
        audit: { path: audit.jsonl }
        state: state
        """
      try Data(text.utf8).write(to: folder.appending(path: "sluice.yaml"))
      let documents = policies.sorted { $0.key < $1.key }.map { "server: \($0)\n\($1)\negress: \(egress)\n" }
      try Data(documents.joined(separator: "---\n").utf8).write(to: folder.appending(path: "policy.yaml"))
      let loaded = SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path)
      return try #require(loaded.settings, "\(loaded.diagnostics)")
    }
  }

  struct Row: CustomTestStringConvertible {
    var kind: FindingKind
    /// What the advice says, word for word.
    var says: String
    /// Brings the finding about.
    var fault: @Sendable (inout World) -> Void
    /// Does what the advice says.
    var follow: @Sendable (inout World) -> Void

    init(
      _ kind: FindingKind, says: String, _ fault: @escaping @Sendable (inout World) -> Void,
      follow: @escaping @Sendable (inout World) -> Void
    ) {
      (self.kind, self.says, self.fault, self.follow) = (kind, says, fault, follow)
    }

    var testDescription: String { "\(kind.rawValue): \(says)" }
  }

  static let rows: [Row] = containers + engines + networks + links

  private static let shipped: String = {
    let path = URL(filePath: #filePath).appending(path: "../../../Examples/docker/seccomp.json").standardizedFileURL
    return "seccomp=\(try! String(contentsOf: path, encoding: .utf8))"
  }()

  private static func guest(_ world: inout World, _ resolvers: [String] = ["10.77.1.1"]) {
    var guest = World.container("b", on: ["lan": "10.88.0.2"])
    guest.resolvers = resolvers
    world.engine.containers.append(guest)
  }

  private static let containers: [Row] =
    [
      Row(.containerUngoverned, says: "networks: [ 10.88.0.0/24 ] in a policy") {
        guest(&$0, ["192.0.2.1"])
      } follow: {
        $0.policies["guest"] = "networks: [ 10.88.0.0/24 ]"
      },
      Row(
        .containerOutside,
        says: "networks: [ 10.88.0.0/24 ] in a policy, then sluice reload; they name agent: 10.77.1.0/24"
      ) {
        guest(&$0)
      } follow: {
        $0.policies["guest"] = "networks: [ 10.88.0.0/24 ]"
      },
      Row(.containerHostNetwork, says: "docker run --network …") {
        $0.engine.containers[0].networkMode = "host"
      } follow: {
        $0.engine.containers[0].networkMode = "agents"
      },
      Row(.containerHostNetwork, says: "--label sluice.trusted=true") {
        $0.engine.containers[0].networkMode = "host"
      } follow: {
        $0.engine.containers[0].labels = ["sluice.trusted": "true"]
      },
      Row(.containerTrusted, says: "else a network of its own") {
        $0.engine.containers[0].networkMode = "host"
        $0.engine.containers[0].labels = ["sluice.trusted": "true"]
      } follow: {
        $0.engine.containers[0].networkMode = "agents"
      },
      Row(.containerTwoServers, says: "docker network disconnect lan a") {
        $0.policies["guest"] = "networks: [ 10.88.0.0/24 ]"
        $0.engine.containers[0].networks["lan"] = DockerEngine.Endpoint(ipAddress: "10.88.0.2", ipv6Address: "")
      } follow: {
        $0.engine.containers[0].networks["lan"] = nil
      },
      Row(.containerTwoServers, says: "name both its networks in the policy of one server") {
        $0.policies["guest"] = "networks: [ fd00:77::/64 ]"
        $0.engine.containers[0].networks["agents"]?.ipv6Address = "fd00:77::2"
      } follow: {
        $0.policies = ["agent": "networks: [ 10.77.1.0/24, fd00:77::/64 ]"]
      },
      Row(.containerSecondAddress, says: "docker network disconnect lan a") {
        $0.engine.containers[0].networks["lan"] = DockerEngine.Endpoint(ipAddress: "10.88.0.2", ipv6Address: "")
      } follow: {
        $0.engine.containers[0].networks["lan"] = nil
      },
      Row(.containerSecondAddress, says: "networks: [ fd00:77::/64 ] in the policy of agent") {
        $0.engine.networks[0].subnets.append(IPPrefix("fd00:77::/64")!)
        $0.engine.containers[0].networks["agents"]?.ipv6Address = "fd00:77::2"
      } follow: {
        $0.policies = ["agent": "networks: [ 10.77.1.0/24, fd00:77::/64 ]"]
      },
      Row(.containerSecondAddress, says: "make its network without --ipv6") {
        $0.engine.containers[0].networks["agents"]?.ipv6Address = "fd00:77::2"
      } follow: {
        $0.engine.containers[0].networks["agents"]?.ipv6Address = ""
      },
      // Behind an enclosed interface it is closed, not open.
      Row(.containerCutAddress, says: "networks: [ fd00:77::/64 ] in a policy") {
        $0.engine.networks[0].subnets.append(IPPrefix("fd00:77::/64")!)
        $0.engine.containers[0].networks["agents"]?.ipv6Address = "fd00:77::2"
        $0.host.addresses.append(
          HostNetwork.Address(
            interface: $0.index("br-a"), address: IPAddress("fd00:77::1")!, network: IPPrefix("fd00:77::/64")!))
      } follow: {
        $0.policies = ["agent": "networks: [ 10.77.1.0/24, fd00:77::/64 ]"]
      },
      Row(.containerHeld, says: "sluice firewall release 10.88.0.0/24") {
        guest(&$0)
        $0.held = [HeldNetwork(prefix: IPPrefix("10.88.0.0/24")!, server: "former")]
      } follow: {
        $0.held = []
      },
      Row(.containerNoResolver, says: "docker run --dns 10.77.1.1 …") {
        $0.engine.containers[0].resolvers = []
      } follow: {
        $0.engine.containers[0].resolvers = ["10.77.1.1"]
      },
      Row(.containerOtherResolver, says: "docker run --dns 10.77.1.1 … and no other") {
        $0.engine.containers[0].resolvers = ["10.77.1.1", "192.0.2.53"]
      } follow: {
        $0.engine.containers[0].resolvers = ["10.77.1.1"]
      },
      // Its own gateway, which is not listened on: that is what mends it, and not another network's.
      Row(.containerOtherResolver, says: "10.77.1.1:53 in `listen:`, and a restart") {
        $0.listen = ["10.88.0.1"]
      } follow: {
        $0.listen = ["10.77.1.1"]
      },
      Row(.containerOtherResolver, says: "docker run --dns 10.77.1.1 … and no other") {
        $0.listen = ["10.77.1.1", "127.0.0.1"]
        $0.engine.containers[0].resolvers = ["127.0.0.1"]
      } follow: {
        $0.engine.containers[0].resolvers = ["10.77.1.1"]
      },
      Row(.containerOtherPort, says: "10.77.1.1:53 in `listen:`, and a restart") {
        $0.listen = ["\"10.77.1.1:5353\""]
      } follow: {
        $0.listen = ["10.77.1.1"]
      },
      Row(.containerSeveralResolvers, says: "docker run --dns 10.77.1.1 … once") {
        $0.listen.append("10.77.1.3")
        $0.engine.containers[0].resolvers = ["10.77.1.1", "10.77.1.3"]
      } follow: {
        $0.engine.containers[0].resolvers = ["10.77.1.1"]
      },
      Row(.containerVolume, says: "run it without that volume") {
        $0.engine.containers[0].volumes = [
          DockerEngine.Volume(source: "/run/docker.sock", destination: "/d", isWritable: false)
        ]
      } follow: {
        $0.engine.containers[0].volumes = []
      },
      Row(.containerVolume, says: "or with it read-only (`:ro`)") {
        $0.keys = [HostKey(path: "/etc/sluice/sluice.yaml", kind: .policy)]
        $0.engine.containers[0].volumes = [
          DockerEngine.Volume(source: "/etc/sluice", destination: "/c", isWritable: true)
        ]
      } follow: {
        $0.engine.containers[0].volumes[0].isWritable = false
      },
      Row(.containerPrivileged, says: "run it without --privileged") {
        $0.engine.containers[0].isPrivileged = true
      } follow: {
        $0.engine.containers[0].isPrivileged = false
      },
      Row(.containerRawPackets, says: "docker run --cap-drop NET_RAW …") {
        $0.engine.containers[0].droppedCapabilities = []
      } follow: {
        $0.engine.containers[0].droppedCapabilities = ["NET_RAW"]
      },
      Row(.containerPublishesResolver, says: "publish no port that it listens on") {
        $0.engine.containers[0].published = ["8080/tcp": [DockerEngine.Binding(hostAddress: "", hostPort: "53")]]
      } follow: {
        $0.engine.containers[0].published = ["8080/tcp": [DockerEngine.Binding(hostAddress: "", hostPort: "8080")]]
      },
      Row(.containerPublishes, says: "inbound: [ 8081/tcp ] in the policy of agent") {
        $0.engine.containers[0].published = ["8081/tcp": [DockerEngine.Binding(hostAddress: "", hostPort: "80")]]
      } follow: {
        $0.policies["agent"] = "networks: [ 10.77.1.0/24 ]\ninbound: [ 8081/tcp ]"
      },
      Row(.vsockOpen, says: "docker run --security-opt seccomp=FILE") {
        $0.vsock = .loopback
        $0.engine.seccompProfile = "unconfined"
      } follow: {
        $0.engine.containers[0].securityOptions = [shipped]
      },
      Row(.vsockUnknown, says: "\"seccomp-profile\" in /etc/docker/daemon.json") {
        $0.vsock = .loopback
        $0.engine.seccompProfile = "/gone.json"
      } follow: {
        $0.engine.seccompProfile = String(shipped.dropFirst("seccomp=".count))
      },
    ]
    + ["NET_ADMIN", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF", "ALL"].map { capability in
      Row(.containerCapability, says: "run it without --cap-add \(capability)") {
        $0.engine.containers[0].addedCapabilities = [capability, "CHOWN"]
      } follow: {
        $0.engine.containers[0].addedCapabilities = ["CHOWN"]
      }
    }

  private static let engines: [Row] = [
    Row(.engineRootless, says: "run it in the engine of root, in a server's network: sudo docker run …") {
      $0.engine.isRootless = true
    } follow: {
      $0.engine.isRootless = false
    },
    Row(.driverBeside, says: "docker network create --driver bridge …") {
      $0.engine.networks[0].driver = "macvlan"
    } follow: {
      $0.engine.networks[0].driver = "bridge"
    },
    Row(.networkInternal, says: "make it without --internal (Compose: `internal: true`)") {
      $0.egress = "[ api.example.com ]"
      $0.engine.networks[0].isInternal = true
    } follow: {
      $0.engine.networks[0].isInternal = false
    },
    Row(.gatewayIsolated, says: "make it without com.docker.network.bridge.gateway_mode_ipv4=isolated") {
      $0.engine.networks[0].isolation = "com.docker.network.bridge.gateway_mode_ipv4=isolated"
    } follow: {
      $0.engine.networks[0].isolation = nil
    },
  ]

  private static let networks: [Row] = [
    Row(.listenUnheard, says: "the gateway of 10.99.0.0/24 in `listen:`, and a restart") {
      $0.policies["guest"] = "networks: [ 10.99.0.0/24 ]"
    } follow: {
      $0.listen.append("10.99.0.1")
    },
    Row(.listenUnheard, says: "the gateway of 10.77.1.0/24 in `listen:`, and a restart") {
      $0.listen = ["127.0.0.1"]
    } follow: {
      $0.listen = ["10.77.1.1"]
    },
    Row(.listenOutside, says: "a policy with the network around 10.88.0.1") {
      $0.listen.append("10.88.0.1")
    } follow: {
      $0.policies["guest"] = "networks: [ 10.88.0.0/24 ]"
    },
    Row(.listenOutside, says: "networks: the one around 10.88.0.1 instead of 10.89.0.0/24") {
      $0.listen.append("10.88.0.1")
      $0.policies["guest"] = "networks: [ 10.89.0.0/24 ]"
    } follow: {
      $0.policies["guest"] = "networks: [ 10.88.0.0/24 ]"
    },
    Row(.networkExposed, says: "interface: br-a in the policy") {
      $0.host.routes = [HostNetwork.Route(destination: IPPrefix("0.0.0.0/0")!, interface: $0.index("br-a"))]
    } follow: {
      $0.policies["agent"] = "networks: [ 10.77.1.0/24 ]\ninterface: br-a"
    },
    Row(.networkElsewhere, says: "interface: br-a in the policy") {
      $0.policies["agent"] = "networks: [ 10.77.1.0/24 ]\ninterface: br-other"
    } follow: {
      $0.policies["agent"] = "networks: [ 10.77.1.0/24 ]\ninterface: br-a"
    },
    Row(.networkElsewhere, says: "docker network create -o com.docker.network.bridge.name=br-mcp …") {
      $0.policies["agent"] = "networks: [ 10.77.1.0/24 ]\ninterface: br-mcp"
    } follow: {
      $0.host.interfaces[0].name = "br-mcp"
    },
    Row(.networkOthers, says: "add what should be governed to a policy's `networks:`") {
      $0.host.addresses.append(
        HostNetwork.Address(
          interface: $0.index("br-a"), address: IPAddress("10.99.0.1")!, network: IPPrefix("10.99.0.0/24")!))
    } follow: {
      $0.policies["other"] = "networks: [ 10.99.0.0/24 ]"
    },
    Row(.networkHeld, says: "sluice firewall release 10.88.0.0/24") {
      $0.held = [HeldNetwork(prefix: IPPrefix("10.88.0.0/24")!, server: "former")]
    } follow: {
      $0.held = []
    },
    Row(.networkAbsent, says: "make the network") {
      $0.policies["guest"] = "networks: [ 10.88.0.0/24 ]"
    } follow: {
      $0.link("br-b", "bridge", "10.88.0.1/24")
    },
  ]

  private static let links: [Row] = [
    Row(.linkShared, says: "put the servers behind a bridge of their own") {
      $0.host.interfaces[0].kind = "macvlan"
    } follow: {
      $0.host.interfaces[0].kind = "bridge"
    },
    Row(.portForeign, says: "ip link set lan0 nomaster") {
      $0.link("lan0", "vxlan")
      $0.host.interfaces[2].controller = $0.index("br-a")
    } follow: {
      $0.host.interfaces[2].controller = 0
    },
    Row(.linkAbove, says: "ip link delete shim0") {
      $0.link("shim0", "macvlan")
      $0.host.interfaces[2].lower = $0.index("br-a")
    } follow: {
      $0.host.interfaces.removeLast()
    },
    Row(.neighboursOpen, says: "sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1") {
      $0.policies = ["agent": "networks: [ 10.77.1.0/25 ]", "other": "networks: [ 10.77.1.128/25 ]"]
      $0.bridgeFilter = WaysOut.BridgeFilter(v4: false, v6: false)
    } follow: {
      $0.bridgeFilter = WaysOut.BridgeFilter(v4: true, v6: true)
    },
    Row(.neighboursFrames, says: "give each server a network of its own") {
      $0.policies = ["agent": "networks: [ 10.77.1.0/25 ]", "other": "networks: [ 10.77.1.128/25 ]"]
    } follow: {
      $0.policies = ["agent": "networks: [ 10.77.1.0/24 ]", "other": "networks: [ 10.88.0.0/24 ]"]
    },
    Row(.flowtableGoverned, says: "take the interfaces of servers out of it") {
      $0.flowtables = [WaysOut.Flowtable(title: "inet filter fast", devices: ["br-a", "eth0"])]
    } follow: {
      $0.flowtables = []
    },
    Row(.flowtableOther, says: "nft delete flowtable inet filter fast") {
      $0.flowtables = [WaysOut.Flowtable(title: "inet filter fast", devices: ["eth0"])]
    } follow: {
      $0.flowtables = []
    },
  ]

  @Test func `a host in order has nothing to mend`() throws {
    #expect(try World().findings().filter { $0.kind != nil } == [])
  }

  @Test(arguments: rows)
  func `what is advised mends what was found, and brings nothing else about`(row: Row) throws {
    var world = World()
    row.fault(&world)
    let found = try world.findings()
    #expect(found.contains { $0.kind == row.kind }, "\(found)")
    #expect(found.contains { $0.kind == row.kind && $0.remedy?.contains(row.says) ?? false }, "\(found)")
    row.follow(&world)
    let left = try world.findings()
    #expect(!left.contains { $0.kind == row.kind }, "\(left)")
    // Who is governed now may still ask another resolver, which the next advice mends.
    let known = Set(found.compactMap(\.kind)).union([
      .containerOtherResolver, .containerTrusted, .networkAbsent, .containerUngoverned, .containerOutside,
    ])
    #expect(left.filter { $0.severity == .serious }.allSatisfy { $0.kind.map(known.contains) ?? false }, "\(left)")
  }

  /// What no test brings about, and why.
  private static let apart: [FindingKind: String] = [
    .clock: "the machine's clock is not a test's to unset", .tablesUnusable: "needs a kernel without nf_tables",
    .tablesUnread: "the tests run as root", .serverForbidden: "the tests run as root",
    .connectionsFull: "needs as many connections as the kernel tracks",
    .interfacesUnread: "rtnetlink fails for no reason that a test could make",
    .gateDown: "GateFindingTests", .gateRestarted: "GateFindingTests",
    .inspectorDown: "GateFindingTests",
    .bridgeDown: "serve ends with its bridge, FirewallFaultTests", .kernelBehind: "ReconciliationTests",
    .logBlocked: "AuditFaultTests", .logUnrotated: "AuditFaultTests", .upstreamSilent: "ResolutionTests",
    .upstreamRefusing: "ResolutionTests", .upstreamUntrusted: "SecureUpstreamTests",
    .upstreamIntercepted: "Scenario+Forwarding",
    .listenTaken: "RulesFirstTests", .logDiskFull: "HostPlayTests",
    .tableUncompared: "needs a host without nft", .fileUnreadable: "ServiceReadingTests",
    .nftablesReload: "EarlyRulesTests",
    .nftablesRefused: "the machine's nftables.service is not a test's to change",
    .restartNeeded: "a restart is followed by no finding, PolicyChangesTests has what is compared",
    .configurationWarning: "each has its own, SettingsLoaderTests", .fileExposed: "ConfinementFolderTests",
    .podmanFile: "ListenDiagnosisTests", .podmanNetwork: "ListenDiagnosisTests", .podmanPort: "DockerDiagnosisTests",
    .setUnused: "SetsDiagnosisTests", .forwardOpen: "SetsDiagnosisTests", .forwardClosed: "SetsDiagnosisTests",
    .queriesRefused: "HostFiltersTests", .openRefused: "HostFiltersTests",
    .forwardUnknown: "a remark for what cannot be told", .forwardUnread: "needs a host without nft",
    .engineAbsent: "EngineSocketsTests", .engineUnasked: "EngineSocketsTests",
  ]

  @Test func `each kind of finding is followed here or in DoctorTests, or it is said why not`() throws {
    let place = URL(filePath: #filePath).appending(path: "../../EndToEndTests/DoctorTests.swift").standardizedFileURL
    let text = try String(contentsOf: place, encoding: .utf8)
    // Followed in both: by what doctor sees, and for real.
    let both: Set<FindingKind> = [.networkElsewhere, .listenOutside]
    let followed = Set(Self.rows.map(\.kind)).subtracting(both)
    for kind in FindingKind.allCases {
      let places = [followed.contains(kind), text.contains("follow(\"\(kind.rawValue)\""), Self.apart[kind] != nil]
      #expect(places.filter(\.self).count == 1, "\(kind.rawValue)")
    }
  }
}
