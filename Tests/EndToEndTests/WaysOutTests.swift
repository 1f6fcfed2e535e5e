import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// Each way out is tried first, so that what `doctor` says of it is known to be true.
  @Suite("Ways out that are not IP", .timeLimit(.minutes(5)))
  struct WaysOutTests {
    private static let servers = """
      server: one
      networks: [ 10.78.1.0/25 ]
      egress: []
      ---
      server: two
      networks: [ 10.78.1.128/25 ]
      egress: []
      ---
      server: lan-agent
      networks: [ 10.78.2.0/24 ]
      egress: []

      """

    private struct Found: Decodable {
      var severity: String
      var area: String
      var text: String
      var remedy: String?
    }

    private func serious(_ bed: Testbed, docker: String = "/nowhere/docker.sock") throws -> [String] {
      let output = try bed.sluice.command("doctor", "--json", "--docker", docker)
      let findings = try output.lines.map { try JSONDecoder().decode(Found.self, from: Data($0.utf8)) }
      #expect(output.status == (findings.contains { $0.severity == "serious" } ? 1 : 0))
      #expect(findings.allSatisfy { $0.severity == "ok" || !($0.remedy ?? "").isEmpty })
      return findings.filter { $0.severity == "serious" }.map { "\($0.area): \($0.text)" }
    }

    private func settings() -> TestbedSettings {
      var settings = TestbedSettings()
      settings.policies = TestbedSettings.standardPolicies + "---\n" + Self.servers
      return settings
    }

    /// A namespace that is a port of a bridge.
    private func neighbour(_ label: String, _ address: String, of bridge: String, in bed: Testbed) throws -> Namespace {
      let namespace = try Namespace(label)
      try Command.must("ip link add \(label)0 netns \(bed.host.name) type veth peer name eth0 netns \(namespace.name)")
      try bed.host.ip("link set \(label)0 master \(bridge) up")
      try namespace.ip("address add \(address) dev eth0")
      try namespace.ip("link set eth0 up")
      return namespace
    }

    @Test("neighbours on a bridge without br_netfilter, a foreign port, and what stands on a bridge are serious")
    func links() throws {
      try Testbed.run(settings()) { (bed: Testbed) throws in
        #expect(try serious(bed) == [])
        try bed.host.ip("link add br-both type bridge")
        try bed.host.ip("address add 10.78.1.1/24 dev br-both")
        try bed.host.ip("link set br-both up")
        let one = try neighbour("one", "10.78.1.2/24", of: "br-both", in: bed)
        defer { one.delete() }
        let two = try neighbour("two", "10.78.1.200/24", of: "br-both", in: bed)
        defer { two.delete() }
        let server = try RunningCommand(
          ["busybox", "httpd", "-f", "-p", "80", "-h", bed.folder.path], in: two, folder: bed.folder)
        defer { server.signal(SIGKILL) }
        func filter(_ value: Int) throws -> Bool {
          guard try Command.run(["test", "-e", "/proc/sys/net/bridge"], in: bed.host).status == 0 else { return false }
          try bed.host.must(
            "sysctl -q -w net.bridge.bridge-nf-call-iptables=\(value) net.bridge.bridge-nf-call-ip6tables=\(value)")
          return true
        }
        let hasFilter = try filter(0)
        try eventually("one reaches two below the rules") { try Socket.connects("10.78.1.200", 80, from: one) }
        let neighbours =
          "ways out: one, two are neighbours on br-both, which passes IPv4 and IPv6 between them below the rules"
        #expect(try serious(bed) == [neighbours])
        if hasFilter {
          _ = try filter(1)
          try eventually("the rules keep one from two") { try !Socket.connects("10.78.1.200", 80, from: one) }
          #expect(try serious(bed) == [])
        } else {
          try bed.host.ip("link set one0 type bridge_slave isolated on")
          try bed.host.ip("link set two0 type bridge_slave isolated on")
          #expect(try serious(bed) == [])
        }

        try bed.host.ip("link add lan0 type vxlan id 7 dev uplink remote 192.0.2.54 dstport 4789")
        try bed.host.ip("link set lan0 master br-both up")
        try bed.internet.ip("link add lan0 type vxlan id 7 dev eth0 remote 192.0.2.1 dstport 4789")
        try bed.internet.ip("address add 10.78.1.77/24 dev lan0")
        try bed.internet.ip("link set lan0 up")
        try eventually("it reaches what is behind the port") { try Socket.connects("10.78.1.77", 80, from: one) }
        #expect(try serious(bed).contains { $0.hasPrefix("ways out: lan0 (vxlan) is a port of br-both") })
        try bed.host.ip("link delete lan0")
        #expect(try serious(bed) == [])
        try bed.host.ip("link add shim0 link br-both type macvlan mode bridge")
        #expect(try serious(bed).contains { $0.hasPrefix("ways out: shim0 (macvlan) stands on br-both") })
      }
    }

    @Test(
      "what lies behind an enclosed interface beside its servers, and networks behind none, are told by status and doctor"
    )
    func report() throws {
      try Testbed.run(settings()) { (bed: Testbed) throws in
        for command in ["status", "doctor"] {
          let text = try bed.sluice.command(command).text
          #expect(text.contains("10.99.0.0/24 behind br-mcp"), "\(text)")
          #expect(text.contains("10.78.1.0/25, 10.78.1.128/25, 10.78.2.0/24"), "\(text)")
        }
        try bed.host.ip("address del 10.99.0.1/24 dev br-mcp")
        try bed.host.ip("address add 10.78.2.1/24 dev br-mcp")
        try eventually("neither is told any more") {
          let text = try bed.sluice.command("status").text
          return !text.contains("10.99.0.0/24") && !text.contains("10.78.2.0/24")
            && text.contains("10.78.1.0/25, 10.78.1.128/25: behind no interface now")
        }
      }
    }

    @Test(
      "with a real engine: AF_VSOCK, macvlan, the host's network, sockets and files of the host, and published ports",
      .enabled(if: Machine.has("dockerd"), "needs Docker's engine: apt-get install docker.io"))
    func engine() throws {
      try Testbed.run(settings()) { (bed: Testbed) throws in
        let engine = try Engine(bed)
        defer { engine.stop() }
        try engine.docker("network create --subnet 10.78.1.0/24 --gateway 10.78.1.1 agents")
        let own = "--network agents --dns 10.77.1.1"
        let closed = "--security-opt seccomp=\(Machine.repository)/Examples/docker/seccomp.json"
        func serious() throws -> [String] {
          let all = try self.serious(bed, docker: engine.socket)
          return all.filter { !$0.hasPrefix("ways out: one, two are neighbours") }
        }
        /// What is said once a container runs, which ends then.
        func saying(_ words: String) throws -> [String] {
          try engine.docker("run -d --name tried --ip 10.78.1.9 \(own) \(closed) \(words) test/busybox sleep 600")
          defer { _ = try? engine.docker("rm -f tried") }
          return try serious()
        }
        try engine.docker("run -d --name agent \(own) \(closed) test/busybox sleep 600")
        #expect(try serious() == [])

        // The host's network, by itself and by another container's.
        try engine.docker("run -d --name free --network host \(closed) test/busybox sleep 600")
        try engine.docker("run -d --name guest --network container:free \(closed) test/busybox sleep 600")
        #expect(
          try engine.docker("exec guest nc -w 3 45.11.0.66 443 -e true").status == 0, "it goes wherever the host goes")
        #expect(try engine.docker("exec agent nc -w 3 45.11.0.66 443 -e true").status != 0)
        let shared = try serious()
        #expect(shared.count == 2 && shared.allSatisfy { $0.contains("shares the host's network") }, "\(shared)")
        try engine.docker("rm -f guest free")

        // Sockets and files of the host.
        try engine.docker("volume create --opt type=none --opt o=bind --opt device=\(bed.folder.path) sly")
        let control = try engine.docker(
          "run --rm \(own) -v \(bed.folder.path):/mnt test/busybox test -S /mnt/control.sock")
        #expect(control.status == 0, "the control socket is seen")
        for volume in [
          "\(engine.socket):/d.sock", "\(bed.folder.path):/mnt:ro", "sly:/mnt:ro", "/:/host:ro",
          "\(bed.sluice.policyFile.path):/policy.yaml",
        ] {
          let said = try saying("-v \(volume)")
          #expect(
            said.count == 1 && said.allSatisfy { $0.hasPrefix("docker: container tried has ") }, "\(volume): \(said)")
        }
        #expect(try saying("-v \(bed.sluice.policyFile.path):/policy.yaml:ro") == [])

        // Outside every server's network, and in one of them and another; by the engine's words what is advised.
        try engine.docker("network create --subnet 10.90.0.0/24 other")
        try engine.docker("run -d --name outside --network other --dns 10.77.1.1 \(closed) test/busybox sleep 600")
        let outside = try serious()
        #expect(outside.count == 1 && outside.allSatisfy { $0.contains("asks sluice and is in no server's network") })
        try engine.docker("rm -f outside")
        try engine.docker("run -d --name tried --ip 10.78.1.9 \(own) \(closed) test/busybox sleep 600")
        try engine.docker("network connect other tried")
        let both = try serious()
        let told = "container tried has the address 10.90.0."
        #expect(both.count == 1 && both.allSatisfy { $0.contains(told) }, "\(both)")
        try engine.docker("network disconnect other tried")
        #expect(try serious() == [])
        try engine.docker("rm -f tried")
        #expect(try saying("--cap-add NET_ADMIN").count == 1)

        // A port that nothing lists, by the engine's proxy.
        let published = try saying("-p 18081:8081")
        #expect(
          published.count == 1 && published.allSatisfy { $0.contains("publishes 8081/tcp, which one does not list") })

        try macvlan(bed, engine, closed)
        #expect(try serious().filter { $0.contains("macvlan") }.count == 1)
        try engine.docker("rm -f aside")
        try engine.docker("network rm lan")
        #expect(try serious() == [])

        // AF_VSOCK: a program in the container says whether it gets a socket; without a transport it leads nowhere.
        let leads = try Command.run(["python3", "-c", Self.hasVsock]).status == 0
        for (profile, isDefault) in [(closed, false), ("", true)] {
          try engine.docker(
            "run -d --name tried --ip 10.78.1.9 \(own) \(profile) -v /usr:/usr:ro test/busybox sleep 600")
          defer { _ = try? engine.docker("rm -f tried") }
          let makes = try engine.docker(["exec", "tried", "/usr/bin/python3", "-c", Self.makesVsock]).status == 0
          #expect(isDefault || !makes, "the shipped profile denies it")
          let said = try serious().filter { $0.hasPrefix("vsock: container tried may ") }
          #expect(!makes || said.count == (leads ? 1 : 0), "\(said)")
          #expect(isDefault || said == [])
        }
      }
    }

    private static let hasVsock = """
      import fcntl, struct
      cid = bytearray(4)
      fcntl.ioctl(open("/dev/vsock", "rb"), 0x7b9, cid)
      assert struct.unpack("I", cid)[0] != 2**32 - 1
      """

    /// Listens only: nothing is sent to the machine that runs this one.
    private static let makesVsock = """
      import socket
      s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
      s.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
      s.listen()
      """

    /// A container of a server on a macvlan network, which reaches a neighbour of the host's link.
    private func macvlan(_ bed: Testbed, _ engine: Engine, _ closed: String) throws {
      try Command.must("ip link add lan netns \(bed.host.name) type veth peer name lan netns \(bed.internet.name)")
      try bed.host.ip("link set lan up")
      try bed.internet.ip("address add 10.78.2.77/24 dev lan")
      try bed.internet.ip("link set lan up")
      try engine.docker("network create -d macvlan --subnet 10.78.2.0/24 -o parent=lan lan")
      try engine.docker("run -d --name aside --network lan --dns 10.77.1.1 \(closed) test/busybox sleep 600")
      try eventually("it gets out beside the host") {
        try engine.docker("exec aside nc -w 3 10.78.2.77 443 -e true").status == 0
      }
    }
  }
}

/// A Docker engine of the test's own in the host's namespace, with an image that is nothing but busybox.
private final class Engine {
  let socket: String
  private let bed: Testbed
  private let process: RunningCommand

  init(_ bed: Testbed) throws {
    self.bed = bed
    let folder = bed.folder.appending(path: "engine").path
    socket = "\(folder)/docker.sock"
    let name = bed.host.name
    process = try RunningCommand(
      [
        "dockerd", "--data-root", "\(folder)/data", "--exec-root", "\(folder)/run", "--pidfile", "\(folder)/pid",
        "-H", "unix://\(socket)", "--bridge=none", "--storage-driver=vfs", "--containerd-namespace", name,
        "--containerd-plugins-namespace", "\(name)-plugins",
      ], in: bed.host, folder: bed.folder)
    do {
      try eventually("the engine answers", within: 60) { try docker("info").status == 0 }
      let root = bed.folder.appending(path: "root")
      for place in ["bin", "tmp", "usr"] {
        try FileManager.default.createDirectory(at: root.appending(path: place), withIntermediateDirectories: true)
      }
      try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root.appending(path: "bin/busybox").path)
      for link in ["lib", "lib64"] {
        try FileManager.default.createSymbolicLink(
          atPath: root.appending(path: link).path, withDestinationPath: "usr/\(link)")
      }
      for applet in ["sh", "nc", "sleep", "true", "test"] {
        try FileManager.default.createSymbolicLink(
          atPath: root.appending(path: "bin/\(applet)").path, withDestinationPath: "busybox")
      }
      try Command.must("tar -C \(root.path) -cf \(bed.folder.path)/image.tar .")
      try docker("import \(bed.folder.path)/image.tar test/busybox")
    } catch {
      stop()
      throw Obstacle("\(error)\n\(process.errors.suffix(2_000))")
    }
  }

  @discardableResult
  func docker(_ line: String) throws -> Command.Output {
    let words = line.split(separator: " ").map(String.init)
    let isTry = ["exec", "info"].contains(words.first) || line.hasPrefix("run --rm")
    let output = try docker(words)
    guard isTry || output.status == 0 else { throw Obstacle("docker \(line): \(output.errors)") }
    return output
  }

  func docker(_ words: [String]) throws -> Command.Output {
    try Command.run(["docker", "-H", "unix://\(socket)"] + words, within: 60)
  }

  func stop() {
    if let left = try? docker(["ps", "-aq"]), !left.lines.isEmpty {
      _ = try? docker(["rm", "-f"] + left.lines.map(String.init))
    }
    process.signal(SIGTERM)
    _ = try? process.status(within: 20)
    // A container on the engine's own network leaves a mount behind.
    _ = try? Command.run(["sh", "-c", "umount \(bed.folder.path)/engine/run/netns/*"])
  }
}
