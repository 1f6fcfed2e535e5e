import EgressPolicy
import Foundation
import IPNetwork
import Settings
import Testing

@testable import sluice

/// What `doctor` says of containers, by what an engine tells of them.
@Suite struct DockerDiagnosisTests {
  private static let settings: Settings = {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-doctor-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try! FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try! Data(
      """
      listen: [ 10.77.1.1 ]
      upstreams: [ udp://192.0.2.54 ]
      policies: policy.yaml
      audit: { path: audit.jsonl }
      control: /run/sluice/control.sock
      """.utf8
    ).write(to: folder.appending(path: "sluice.yaml"))
    try! Data(
      """
      server: agent
      networks: [ 10.77.1.0/24 ]
      inbound: [ 8080/tcp ]
      egress: []
      """.utf8
    ).write(to: folder.appending(path: "policy.yaml"))
    let loaded = SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path)
    return loaded.settings!
  }()

  private func container(
    _ name: String, mode: String = "agents", address: String = "10.77.1.2",
    _ change: (inout DockerEngine.Container) -> Void = { _ in }
  ) -> DockerEngine.Container {
    var container = DockerEngine.Container(
      id: "id-\(name)", name: "/\(name)", program: "sleep", labels: [:], networkMode: mode, resolvers: ["10.77.1.1"],
      published: [:], networks: [mode: DockerEngine.Endpoint(ipAddress: address, ipv6Address: "")], volumes: [],
      securityOptions: [], isPrivileged: false, addedCapabilities: [])
    change(&container)
    return container
  }

  private func diagnosis(
    _ containers: [DockerEngine.Container], networks: [DockerEngine.Network] = [], version: String = "20.10.24+dfsg1",
    profile: String? = "default"
  ) -> DockerDiagnosis {
    DockerDiagnosis(
      engine: DockerEngine(version: version, seccompProfile: profile, networks: networks, containers: containers),
      settings: Self.settings, policy: PolicySnapshot(Self.settings.policies))
  }

  private func serious(_ diagnosis: DockerDiagnosis) -> [String] {
    diagnosis.findings.filter { $0.severity == .serious }.map(\.text)
  }

  @Test func `a container as it should be has nothing serious`() {
    #expect(serious(diagnosis([container("a")])) == [])
  }

  // MARK: - Networks

  @Test
  func `the host's network is serious, also when it is another container's, but not Sluice's own or a trusted one's`() {
    let shares = container("b", mode: "container:id-a", address: "")
    let further = container("c", mode: "container:id-b", address: "")
    let found = serious(diagnosis([container("a", mode: "host", address: ""), shares, further]))
    #expect(found.count == 3)
    #expect(found.contains { $0.hasPrefix("container b shares the host's network by the network of container a:") })
    #expect(found.contains { $0.hasPrefix("container c shares the host's network by the network of container a:") })
    let own = container("sluice", mode: "host", address: "") { $0.program = "/usr/bin/sluice" }
    let trusted = container("exporter", mode: "host", address: "") { $0.labels = ["sluice.trusted": "true"] }
    let calm = diagnosis([own, trusted])
    #expect(serious(calm) == [])
    #expect(
      calm.findings.contains { $0.severity == .warning && $0.text.contains("exporter shares the host's network") })
    // A ring ends.
    let ring = [
      container("x", mode: "container:id-y", address: ""), container("y", mode: "container:id-x", address: ""),
    ]
    #expect(serious(diagnosis(ring)) == [])
  }

  @Test(arguments: [("macvlan", true), ("ipvlan", true), ("overlay", true), ("bridge", false)])
  func `a network of a server's that is no bridge goes beside the rules`(driver: String, isSerious: Bool) {
    let network = DockerEngine.Network(
      name: "lan", driver: driver, subnets: [IPPrefix("10.77.0.0/16")!], parent: "eth1")
    #expect(serious(diagnosis([], networks: [network])).count == (isSerious ? 1 : 0))
    let other = DockerEngine.Network(name: "lan", driver: driver, subnets: [IPPrefix("10.78.0.0/16")!], parent: "eth1")
    #expect(serious(diagnosis([], networks: [other])) == [])
    // A governed container with a foot in it has an address that is in no server's network.
    let both = container("a") { $0.networks["lan"] = DockerEngine.Endpoint(ipAddress: "10.78.0.9", ipv6Address: "") }
    #expect(serious(diagnosis([both], networks: [other])).count == 1)
  }

  @Test func `a published port that inbound does not list is serious, one that it lists is not`() {
    let bindings = [DockerEngine.Binding(hostAddress: "0.0.0.0", hostPort: "9000")]
    let found = diagnosis([container("a") { $0.published = ["8080/tcp": bindings, "8081/tcp": bindings, "1/udp": []] }])
    #expect(serious(found).count == 1)
    #expect(serious(found).allSatisfy { $0.contains("publishes 8081/tcp, which agent does not list as inbound") })
    #expect(found.findings.contains { $0.severity == .ok && $0.text.contains("publishes 8080/tcp") })
    #expect(found.findings.contains { $0.remedy?.hasPrefix("inbound: [ 8081/tcp ]") ?? false })
  }

  @Test func `it is told whether --dns or the resolv.conf of a container names whom it asks`() {
    let named = serious(diagnosis([container("a") { $0.resolvers = ["192.0.2.53"] }]))
    #expect(named == ["container a has --dns 192.0.2.53, where sluice does not listen"])
    let inFile = serious(
      diagnosis([
        container("a") {
          $0.resolvers = ["192.0.2.53"]
          $0.hasResolversOfFile = true
        }
      ]))
    #expect(inFile == ["container a has 192.0.2.53 in its resolv.conf, where sluice does not listen"])
  }

  // MARK: - Volumes

  private static let keys = [
    HostKey(path: "/run/docker.sock", kind: .engine), HostKey(path: "/run/sluice/control.sock", kind: .control),
    HostKey(path: "/etc/sluice/policies/agent.yaml", kind: .policy),
  ]

  @Test(arguments: [
    ("/run/docker.sock", false, true), ("/run", false, true), ("/", false, true), ("/run/sluice", false, true),
    ("/run/sluice/control.sock", false, true), ("/srv/other/docker.sock", false, true),
    ("/var/run/crio.sock", true, true),
    ("/run/user/1000/podman/podman.sock", false, true), ("/run/containerd/containerd.sock", false, true),
    ("/run/dock", true, false), ("/srv", true, false), ("/etc/sluice", true, true), ("/etc/sluice", false, false),
    ("/etc/sluice/policies/agent.yaml", true, true),
  ])
  func `a volume that is or holds a key of the host is serious, read-only where that is no help`(
    source: String, isWritable: Bool, isSerious: Bool
  ) {
    var found = diagnosis([
      container("a") {
        $0.volumes = [DockerEngine.Volume(source: source, destination: "/mnt", isWritable: isWritable)]
      }
    ])
    found.keys = Self.keys
    #expect(serious(found).count == (isSerious ? 1 : 0), "\(serious(found))")
    #expect(serious(found).allSatisfy { $0.contains(source) && $0.contains("at /mnt") })
    // It is as bad beside one that is governed, and none of policy's business elsewhere.
    found.engine.containers[0].name = "/side"
    found.engine.containers[0].networkMode = "container:id-main"
    found.engine.containers[0].networks = [:]
    found.engine.containers.append(container("main"))
    #expect(serious(found).count == (isSerious ? 1 : 0))
    found.engine.containers[1].networks = [:]
    #expect(serious(found) == [])
  }

  @Test func `what can leave its namespaces is serious`() {
    #expect(serious(diagnosis([container("a") { $0.isPrivileged = true }])).count == 1)
    #expect(serious(diagnosis([container("a") { $0.addedCapabilities = ["SYS_ADMIN"] }])).count == 1)
    #expect(serious(diagnosis([container("a") { $0.addedCapabilities = ["NET_ADMIN"] }])).count == 1)
    #expect(serious(diagnosis([container("a") { $0.addedCapabilities = ["NET_RAW", "CHOWN"] }])) == [])
    // Another process's memory is a way out only where processes outside are seen.
    for (seesHost, count) in [(false, 0), (true, 1)] {
      let traces = container("a") {
        $0.addedCapabilities = ["SYS_PTRACE"]
        $0.seesHostProcesses = seesHost
      }
      #expect(serious(diagnosis([traces])).count == count)
    }
  }

  // MARK: - AF_VSOCK

  private static func profile(_ rules: String, _ architectures: String = "") -> String {
    "seccomp={\"defaultAction\":\"SCMP_ACT_ERRNO\",\(architectures)\"syscalls\":[\(rules)]}"
  }

  private static let allowsAll = "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\"}"
  private static let allowsOthers =
    "{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_NE\"}]}"
  private static let with32Bit =
    "\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]}],"

  /// Version and profile of the engine, the container's own, and what is said.
  private static let cases: [(String, String?, String?, String?)] = [
    ("20.10.24+dfsg1", "default", nil, "may use"), ("28.1.0", "default", nil, "may, by programs of 32 bits"),
    ("28.1.0", nil, nil, "may use"), ("28.1.0", "unconfined", nil, "may use"),
    ("28.1.0", "/gone.json", nil, "cannot be read here"), ("28.1.0", "default", "seccomp=unconfined", "may use"),
    ("20.10", "default", profile(allowsAll), "may use"), ("20.10", "default", profile(allowsOthers), nil),
    ("20.10", "default", profile(allowsOthers, with32Bit), "may, by programs of 32 bits"),
    ("20.10", "default", "seccomp={", "cannot be read here"),
    (
      "20.10", "default",
      "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"socket\",\"action\":\"SCMP_ACT_ERRNO\","
        + "\"args\":[{\"index\":0,\"value\":40,\"op\":\"SCMP_CMP_EQ\"}]}]}", nil
    ),
    ("20.10", "default", "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "may use"),
  ]

  @Test(arguments: cases)
  func `AF_VSOCK is serious where it leads somewhere and the profile lets a governed container use it`(
    version: String, engine: String?, own: String?, expected: String?
  ) {
    var found = diagnosis(
      [
        container("a") { $0.securityOptions = [own].compactMap(\.self) },
        container("b", address: "10.9.9.9") { $0.resolvers = [] },
      ],
      version: version, profile: engine)
    #expect(serious(found) == [], "it leads nowhere")
    found.runs32Bit = true
    for reach in [VsockReach.hypervisor(3), .machines, .loopback] {
      found.vsock = reach
      let texts = serious(found)
      #expect(texts.count == (expected == nil ? 0 : 1), "\(texts)")
      #expect(
        texts.allSatisfy { $0.contains(expected ?? "") && $0.contains("container a ") && $0.contains(reach.text) })
    }
  }

  @Test func `the profile that the examples ship closes AF_VSOCK, to programs of 32 bits as well`() throws {
    let path = URL(filePath: #filePath).appending(path: "../../../Examples/docker/seccomp.json").standardizedFileURL
    let profile = try SeccompProfile(Data(contentsOf: path))
    #expect(profile.reach(runs32Bit: true) == .closed)
  }

  // MARK: - Podman

  @Test func `a gateway that is not there yet and that Sluice has already keeps aardvark-dns out`() throws {
    let listen = [ListenAddress(address: IPAddress("10.88.0.1")!), ListenAddress(address: IPAddress("10.77.1.1")!)]
    let absent = [listen[0]]
    let found = ListenDiagnosis.podman(listen, [], hasAardvark: true, absent: absent)
    #expect(found.map(\.severity) == [.warning])
    #expect(found.allSatisfy { $0.text.contains("10.88.0.1") && $0.remedy?.contains("--disable-dns") ?? false })
    #expect(ListenDiagnosis.podman(listen, [], hasAardvark: false, absent: absent) == [])
    #expect(ListenDiagnosis.podman(listen, [], hasAardvark: true, absent: []) == [])
    let other = [ListenAddress(address: IPAddress("10.88.0.1")!, port: 5353)]
    #expect(ListenDiagnosis.podman(other, [], hasAardvark: true, absent: other) == [])
    let network = try JSONDecoder().decode(
      ListenDiagnosis.PodmanNetwork.self,
      from: Data("{\"name\":\"agents\",\"subnets\":[{\"gateway\":\"10.88.0.1\"}],\"dns_enabled\":true}".utf8))
    #expect(ListenDiagnosis.podman(listen, [network], hasAardvark: true, absent: absent).map(\.severity) == [.serious])
  }
}
