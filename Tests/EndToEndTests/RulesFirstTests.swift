import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("Rules come before sockets", .timeLimit(.minutes(5)))
  struct RulesFirstTests {
    private static func waiting(_ configuration: String = "", _ policies: String? = nil) -> TestbedSettings {
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.configuration += configuration
      if let policies { settings.policies = policies }
      return settings
    }

    private static let servers = ["10.77.1.1", "fd00:77:1::1"]

    /// The client's way out is an address where nothing listens, so that it has one while the listen addresses are not there.
    private func takeAddresses(_ bed: Testbed) throws {
      for address in ["10.77.1.1/24", "fd00:77:1::1/64"] { try bed.host.ip("address delete \(address) dev br-mcp") }
      try bed.host.ip("address add 10.77.1.254/24 dev br-mcp")
      try bed.client.ip("route replace default via 10.77.1.254 src 10.77.1.2")
    }

    private func giveAddresses(_ bed: Testbed) throws {
      try bed.host.ip("address add 10.77.1.1/24 dev br-mcp")
      try bed.host.ip("address add fd00:77:1::1/64 dev br-mcp nodad")
    }

    private func hasTable(_ bed: Testbed) throws -> Bool {
      try Command.run(["nft", "list", "table", "inet", "sluice"], in: bed.host).status == 0
    }

    private func answersEverywhere(_ bed: Testbed) throws {
      for server in Self.servers {
        #expect(try bed.dig("api.github.com", "A", server: server).values == ["45.11.0.10"])
        #expect(try bed.dig("api.github.com", "A", "+tcp", server: server).values == ["45.11.0.10"])
      }
    }

    @Test("without its addresses serve closes the network, says that they are not there yet, and answers once they are")
    func absent() throws {
      try Testbed.run(Self.waiting("metrics: \"127.0.0.1:9153\"\n")) { (bed: Testbed) throws in
        try takeAddresses(bed)
        #expect(try bed.connects("45.11.0.66"))
        try bed.sluice.writeConfiguration()
        let check = try bed.sluice.command("check")
        #expect(check.status == 0 && check.errors.contains("sluice.yaml:1:11: warning: 10.77.1.1:53 is not there yet"))
        try bed.sluice.launch()
        try eventually("serve is at work", within: 20) { bed.sluice.errors.contains("sluice: serving") }
        #expect(try hasTable(bed))
        #expect(try !bed.connects("45.11.0.66"))

        let status = try bed.sluice.command("status")
        #expect(status.text.contains("10.77.1.1:53 (not there yet), [fd00:77:1::1]:53 (not there yet)"), "\(status)")
        let json = try bed.sluice.command("status", "--json").text
        #expect(json.contains("\"listen_absent\":[\"10.77.1.1:53\",\"[fd00:77:1::1]:53\"]"), "\(json)")
        let doctor = try bed.sluice.command("doctor", "--docker", "/nowhere").text
        #expect(doctor.contains("warning  listen: 10.77.1.1:53 is not there yet"), "\(doctor)")
        #expect(try presence(bed) == ["0", "0"])

        try giveAddresses(bed)
        try answersEverywhere(bed)
        #expect(try !bed.sluice.command("status").text.contains("not there yet"))
        #expect(try presence(bed) == ["1", "1"])
        #expect(try bed.connects("45.11.0.10") && !bed.connects("45.11.0.66"))
      }
    }

    /// What the metrics say of each listen address.
    private func presence(_ bed: Testbed) throws -> [Substring] {
      let text = try Command.must("busybox wget -q -O - http://127.0.0.1:9153/metrics", in: bed.host)
      return text.split(separator: "\n").filter { $0.hasPrefix("sluice_listen_address_present{") }.compactMap {
        $0.split(separator: " ").last
      }
    }

    @Test(
      "a network that goes and comes back is answered as before, with and without `interface:`",
      arguments: [nil, "interface: br-mcp\n"])
    func comesAndGoes(_ interface: String?) throws {
      var settings = TestbedSettings()
      if let interface {
        settings.policies = """
          server: github-mcp
          networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
          \(interface)egress: [ api.github.com ]

          """
      }
      try Testbed.run(settings) { (bed: Testbed) throws in
        try answersEverywhere(bed)
        for _ in 0..<2 {
          // Both ends of it go; what is made then has another index.
          try bed.host.ip("link delete br-mcp")
          #expect(try bed.sluice.command("status").text.contains("not there yet"))
          try Command.must(
            "ip link add br-mcp netns \(bed.host.name) type veth peer name eth0 netns \(bed.client.name)")
          try giveAddresses(bed)
          try bed.host.ip("link set br-mcp up")
          try bed.client.ip("address add 10.77.1.2/24 dev eth0")
          try bed.client.ip("address add fd00:77:1::2/64 dev eth0 nodad")
          try bed.client.ip("link set eth0 up")
          try bed.client.ip("route add default via 10.77.1.1")
          try answersEverywhere(bed)
          #expect(try bed.connects("45.11.0.10") && !bed.connects("45.11.0.66"))
        }
      }
    }

    @Test(
      "where the port is another program's serve fails, and the network is closed all the same",
      arguments: ["TCP", "UDP"])
    func taken(_ transport: String) throws {
      let holder = """
        import socket, sys, time
        kind = socket.SOCK_STREAM if sys.argv[1] == "TCP" else socket.SOCK_DGRAM
        made = socket.socket(socket.AF_INET, kind)
        made.bind(("10.77.1.1", 53))
        if sys.argv[1] == "TCP":
            made.listen(1)
        print("bound", flush=True)
        time.sleep(600)
        """
      try Testbed.run(Self.waiting()) { (bed: Testbed) throws in
        let other = try RunningCommand(["python3", "-c", holder, transport], in: bed.host, folder: bed.folder)
        defer { other.signal(SIGKILL) }
        try eventually("the port is taken") { other.output.hasPrefix("bound") }
        try bed.sluice.writeConfiguration()
        try bed.sluice.launch()
        #expect(try bed.sluice.status(within: 20) == 1)
        // Debian's is named `python3` or `python3.11`.
        let told = "listen: \(transport) 10.77.1.1:53 is taken by python3"
        #expect(bed.sluice.errors.contains(told) && bed.sluice.errors.contains("(pid "), "\(bed.sluice.errors)")
        #expect(
          !bed.sluice.errors.contains("bind:") && !bed.sluice.errors.contains("bind("), "no words of a program's inside"
        )
        let check = try bed.sluice.command("check")
        #expect(
          check.status == 0 && check.errors.contains("\(transport) 10.77.1.1:53 is taken by python3"), "\(check.errors)"
        )
        let doctor = try bed.sluice.command("doctor").text
        #expect(doctor.contains("serious  listen: \(transport) 10.77.1.1:53 is taken by python3"), "\(doctor)")
        // What it says mends it: "stop it".
        other.signal(SIGKILL)
        _ = try other.status(within: 5)
        #expect(try !bed.sluice.command("doctor").text.contains("is taken by"))
        #expect(try hasTable(bed))
        #expect(try !bed.connects("45.11.0.66"))
      }
    }

    @Test(
      "a log that cannot be written and a user who is not there end the start after the rules",
      arguments: [
        "user: nobody-of-that-name\n", "audit: { path: /proc/audit.jsonl }\n",
      ])
    func later(_ configuration: String) throws {
      try Testbed.run(Self.waiting()) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let file = URL(filePath: bed.sluice.configurationFile)
        let text = try String(contentsOf: file, encoding: .utf8)
        let key = configuration.prefix { $0 != ":" }
        let kept = text.split(separator: "\n").filter { !$0.hasPrefix("\(key):") }.joined(separator: "\n")
        try Data("\(kept)\n\(configuration)".utf8).write(to: file)
        try bed.sluice.launch()
        #expect(try bed.sluice.status(within: 20) == 1)
        #expect(bed.sluice.errors.contains("sluice: \(key)"), "\(bed.sluice.errors)")
        #expect(try hasTable(bed))
        #expect(try !bed.connects("45.11.0.66"))
      }
    }

    /// Runs what follows on a kernel that binds no absent address: as under a sandbox that knows no IP_FREEBIND.
    private static let withoutFreeBind = """
      import ctypes, os, platform, struct, sys
      number = {"x86_64": 54, "aarch64": 208}[platform.machine()]
      load, equal, give = 0x20, 0x15, 0x06
      code = [
          (load, 0, 0, 0), (equal, 0, 7, number),
          (load, 0, 0, 24), (equal, 0, 2, 0), (load, 0, 0, 32), (equal, 4, 3, 15),
          (equal, 0, 2, 41), (load, 0, 0, 32), (equal, 1, 0, 78),
          (give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | 92),
      ]
      octets = b"".join(struct.pack("HBBI", *line) for line in code)
      buffer = ctypes.create_string_buffer(octets)
      program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buffer))
      libc = ctypes.CDLL(None, use_errno=True)
      assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0
      os.execv(sys.argv[1], sys.argv[1:])
      """

    @Test("where the kernel binds no absent address serve waits behind its rules, and goes on when the address appears")
    func waits() throws {
      try Testbed.run(Self.waiting()) { (bed: Testbed) throws in
        try takeAddresses(bed)
        try bed.sluice.writeConfiguration()
        let launcher = ["python3", "-c", Self.withoutFreeBind]
        try bed.sluice.launch(by: launcher)
        let isWaiting = { bed.sluice.errors.contains("waiting for 10.77.1.1:53, [fd00:77:1::1]:53") }
        try eventually("serve waits", within: 20, isWaiting)
        #expect(try hasTable(bed))
        #expect(try !bed.connects("45.11.0.66"))
        bed.sluice.signal(SIGTERM)
        #expect(try bed.sluice.status(within: 10) == 0)

        try bed.sluice.launch(by: launcher)
        try eventually("serve waits again", within: 20) {
          bed.sluice.errors.components(separatedBy: "waiting for").count > 2
        }
        #expect(bed.sluice.isRunning)
        try giveAddresses(bed)
        try eventually("serve is at work", within: 20) { bed.sluice.errors.contains("sluice: serving") }
        try answersEverywhere(bed)
      }
    }
  }
}
