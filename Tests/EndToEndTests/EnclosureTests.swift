import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// From an interface behind which a governed network lies nothing passes that policy did not allow.
  @Suite("The enclosure", .timeLimit(.minutes(5)))
  struct EnclosureTests {
    private static let ipv4Only = TestbedSettings.standardPolicies.replacing(
      "networks: [ 10.77.1.0/24, \"fd00:77:1::/64\" ]", with: "networks: [ 10.77.1.0/24 ]")

    private func eventCount(_ bed: Testbed, _ code: String) throws -> Int {
      try bed.sluice.events().count { $0["code"] as? String == code }
    }

    private func isTold(_ bed: Testbed, _ code: String, _ member: String, _ value: String) throws {
      try eventually("an event \(code) with \(member) \(value)") {
        try bed.sluice.events().contains { $0["code"] as? String == code && $0[member] as? String == value }
      }
    }

    /// What the internet's capture sees of UDP datagrams that hold `marker` while `body` runs.
    private func octetsOut(_ bed: Testbed, _ body: () throws -> Void) throws -> Int {
      let capture = try RunningCommand(
        ["tcpdump", "-l", "-n", "-i", "eth0", "-A", "udp port 4444 or tcp port 4444 or icmp or icmp6"],
        in: bed.internet, folder: bed.folder)
      defer { capture.signal(SIGTERM) }
      try eventually("tcpdump listens") { capture.errors.contains("listening on") }
      try body()
      // What follows shows that everything before it has been seen.
      try eventually("the last packet is captured") {
        _ = try Command.run(
          ["bash", "-c", "echo LASTPACKET > /dev/udp/192.0.2.54/4444"], in: bed.host)
        return capture.output.contains("LASTPACKET")
      }
      return capture.output.split(separator: "\n").count { $0.contains("SECRET") }
    }

    private func send(_ bed: Testbed, _ source: String, to destination: String) throws {
      let program = """
        import socket, struct, sys
        src, dst = sys.argv[1:3]
        family = socket.AF_INET6 if ":" in dst else socket.AF_INET
        s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        data = struct.pack("!HHHH", 5555, 4444, 8 + 20, 0) + b"SECRET-by-spoofing--"
        if family == socket.AF_INET:
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), 1, 0, 64, 17, 0,
                               socket.inet_aton(src), socket.inet_aton(dst))
        else:
            head = struct.pack("!IHBB16s16s", 6 << 28, len(data), 17, 64,
                               socket.inet_pton(family, src), socket.inet_pton(family, dst))
        for _ in range(5): s.sendto(head + data, (dst, 0))
        """
      let output = try Command.run(["python3", "-c", program, source, destination], in: bed.client)
      guard output.status == 0 else { throw Obstacle("send: \(output.errors)") }
    }

    @Test("a source in no server's network does not leave, with a policy that names no interface (threats E1)")
    func spoofed() throws {
      try Testbed.run { (bed: Testbed) throws in
        try bed.host.must("sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.br-mcp.rp_filter=0")
        let escaped = try octetsOut(bed) {
          for source in ["203.0.113.77", "192.0.2.54", "10.99.0.2", "45.11.0.66", "192.0.2.1", "0.0.0.0"] {
            try send(bed, source, to: "45.11.0.66")
          }
          for source in ["2a10:77::99", "2001:db8:2::54", "fd00:99::1", "fe80::1"] {
            try send(bed, source, to: "2a10:77::66")
          }
        }
        #expect(escaped == 0)
        try isTold(bed, "spoofed-source", "client", "203.0.113.77")
        try isTold(bed, "spoofed-source", "client", "2a10:77::99")
      }
    }

    @Test("the host's own stack answers no forged source: what it refuses would carry octets out")
    func answered() throws {
      try Testbed.run { (bed: Testbed) throws in
        try bed.host.must("sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.br-mcp.rp_filter=0")
        // Sources at the internet's; each is answered by the host without a rule: time exceeded, no route, too big, an
        // option that it does not know, a fragment whose rest never comes.
        let program = """
          import socket, struct
          data = struct.pack("!HHHH", 5555, 4444, 28, 0) + b"SECRET-by-answers---"
          def v4(ttl, dst, more=0, ihl=5, options=b""):
              return struct.pack("!BBHHHBBH4s4s", 0x40 | ihl, 0, ihl * 4 + len(data), 7, more, ttl, 17, 0,
                                 socket.inet_aton("45.11.0.66"), socket.inet_aton(dst)) + options + data
          s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
          for packet, dst in [(v4(1, "45.11.0.10"), "45.11.0.10"), (v4(64, "198.51.100.1"), "198.51.100.1"),
                              (v4(64, "10.77.1.1", more=0x2000), "10.77.1.1"),
                              (v4(64, "45.11.0.10", ihl=6, options=bytes([131, 3, 4, 0])), "45.11.0.10")]:
              for _ in range(3): s.sendto(packet, (dst, 0))
          s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
          src = socket.inet_pton(socket.AF_INET6, "2a10:77::66")
          def v6(hops, dst, header=17, payload=data):
              return struct.pack("!IHBB", 6 << 28, len(payload), header, hops) + src + socket.inet_pton(socket.AF_INET6, dst) + payload
          hop = bytes([17, 0, 0x9E, 4, 0, 0, 0, 0]) + data
          for packet, dst in [(v6(1, "2a10:77::10"), "2a10:77::10"), (v6(64, "2001:db8:9::1"), "2001:db8:9::1"),
                              (v6(64, "2a10:77::10", 0, hop), "2a10:77::10"), (v6(64, "fd00:77:1::1", 0, hop), "fd00:77:1::1")]:
              for _ in range(3): s.sendto(packet, (dst, 0, 0, 0))
          """
        let escaped = try octetsOut(bed) {
          let sent = try Command.run(["python3", "-c", program], in: bed.client)
          guard sent.status == 0 else { throw Obstacle("send: \(sent.errors)") }
          // Fragments are given up after this time.
          try bed.host.must("sysctl -q -w net.ipv4.ipfrag_time=1")
        }
        #expect(escaped == 0)
        try isTold(bed, "spoofed-source", "client", "45.11.0.66")
        try isTold(bed, "spoofed-source", "client", "2a10:77::66")
      }
    }

    @Test("the host's services are not reached over link-local addresses (threats E3)")
    func linkLocal() throws {
      try Testbed.run { (bed: Testbed) throws in
        let listener = try RunningCommand(
          ["busybox", "httpd", "-f", "-p", "8080", "-h", bed.folder.path], in: bed.host, folder: bed.folder)
        defer { listener.signal(SIGKILL) }
        try eventually("the host listens") { try Socket.connects("10.77.1.1", 8080, from: bed.host) }
        let link = try bed.host.must("ip -6 -o address show dev br-mcp scope link")
        let address = try #require(
          link.split(separator: " ").first { $0.hasPrefix("fe80") }?.split(separator: "/").first)
        let probe = ["busybox", "nc", "-w", "2", "\(address)%eth0", "8080"]
        // Its own link-local address may still be tentative at first.
        try eventually("it is told") {
          guard try Command.run(probe, in: bed.client, within: 10).status != 0 else { throw Obstacle("reached") }
          return try eventCount(bed, "spoofed-source") > 0
        }
        #expect(try bed.dig("api.github.com", "AAAA").status == "NOERROR", "neighbours are found all the same")
      }
    }

    @Test("a family of which the policy names no network is refused at once, and its names are answered (threats E2)")
    func otherFamily() throws {
      var settings = TestbedSettings()
      settings.policies = Self.ipv4Only
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "AAAA").values == ["2a10:77::10"])
        #expect(try !bed.connects("2a10:77::66"))
        #expect(try !bed.connects("2a10:77::10"))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.10"))
        try eventually("it is told") { try eventCount(bed, "spoofed-source") > 0 }
      }
    }

    @Test("an interface that comes later is enclosed as soon as it has the network, and let go with it")
    func later() throws {
      try Testbed.run { (bed: Testbed) throws in
        // Linux before 6.2 renames no interface that is up, and an interface that goes down loses its IPv6 addresses.
        try bed.host.ip("link set br-mcp down")
        try bed.host.ip("link set br-mcp name br-old")
        try bed.host.ip("link set br-old up")
        try bed.host.ip("-6 address add fd00:77:1::1/64 dev br-old nodad")
        try isTold(bed, "interface-enclosed", "interface", "br-old")
        try send(bed, "203.0.113.77", to: "45.11.0.66")
        try isTold(bed, "spoofed-source", "client", "203.0.113.77")
        try bed.host.ip("address del 10.77.1.1/24 dev br-old")
        try bed.host.ip("-6 address del fd00:77:1::1/64 dev br-old")
        try eventually("the interface is let go") { try !bed.nft("list table inet sluice").contains("link/br-old") }
        try bed.host.ip("address add 10.77.1.1/24 dev br-old")
        try eventually("the interface is enclosed again") {
          try bed.nft("list table inet sluice").contains("link/br-old")
        }
        let difference = try bed.sluice.command("firewall", "diff")
        #expect(difference.status == 0, "\(difference.text)\(difference.errors)")
      }
    }

    @Test("an interface with the default route or an upstream behind it is not enclosed, and everything says so")
    func exposed() throws {
      try Testbed.run { (bed: Testbed) throws in
        try bed.host.ip("route add default via 10.77.1.2 dev br-mcp")
        try isTold(bed, "network-exposed", "interface", "br-mcp")
        #expect(try !bed.connects("45.11.0.66"), "the network is closed by its source")
        let check = try bed.sluice.command("check")
        #expect(check.errors.contains("`interface: br-mcp`"), "\(check.errors)")
        let doctor = try bed.sluice.command("doctor")
        #expect(doctor.text.contains("serious  enclosure") && doctor.status == 1, "\(doctor.text)")
        #expect(bed.sluice.errors.contains("`interface: br-mcp`"))
        try bed.host.ip("route del default")
        try eventually("it is enclosed again") { try bed.nft("list chain inet sluice forward").contains("links") }
        try isTold(bed, "interface-enclosed", "interface", "br-mcp")
      }
    }

    @Test("an upstream's answer counts only from where the route to it leads", arguments: [0, 2])
    func forgedUpstream(rpFilter: Int) throws {
      var settings = TestbedSettings()
      settings.policies = TestbedSettings.standardPolicies.replacing(
        "egress:\n  - api.github.com", with: "interface: br-mcp\negress:\n  - api.github.com")
      // An upstream that never answers.
      settings.upstreams = "[ udp://192.0.2.77 ]"
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.host.must(
          "sysctl -q -w net.ipv4.conf.all.rp_filter=\(rpFilter) net.ipv4.conf.br-mcp.rp_filter=\(rpFilter)")
        // Answers every id at every source port that the host's sockets have: with the right one the answer is accepted.
        let query = try RunningCommand(
          ["dig", "+time=3", "+tries=1", "@10.77.1.1", "api.github.com", "A"], in: bed.client, folder: bed.folder)
        let ports = try eventuallyPorts(bed)
        let program = """
          import socket, struct, sys
          s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
          s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
          qname = b"\\3api\\6github\\3com\\0"
          for port in map(int, sys.argv[1:]):
              for ident in range(0, 65536):
                  dns = struct.pack("!HHHHHH", ident, 0x8180, 1, 1, 0, 0) + qname + struct.pack("!HH", 1, 1)
                  dns += b"\\xc0\\x0c" + struct.pack("!HHIH4s", 1, 1, 60, 4, socket.inet_aton("45.11.0.66"))
                  udp = struct.pack("!HHHH", 53, port, 8 + len(dns), 0) + dns
                  head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                                     socket.inet_aton("192.0.2.77"), socket.inet_aton("192.0.2.1"))
                  s.sendto(head + udp, ("192.0.2.1", 0))
          """
        _ = try Command.run(["python3", "-c", program] + ports, in: bed.client, within: 20)
        _ = try query.status(within: 10)
        #expect(!query.output.contains("45.11.0.66"), "\(query.output)")
        #expect(try !bed.nft("list set inet sluice github-mcp-4").contains("45.11.0.66"))
        try isTold(bed, "spoofed-source", "client", "192.0.2.77")
      }
    }

    /// The local ports of the host's sockets to the upstream, as soon as there is one.
    private func eventuallyPorts(_ bed: Testbed) throws -> [String] {
      var ports: [String] = []
      try eventually("a question to the upstream") {
        let lines = try bed.host.must("ss -H -u -n -a dst 192.0.2.77").split(separator: "\n")
        ports = lines.compactMap { line in
          line.split(separator: " ").first { $0.hasPrefix("192.0.2.1:") }?.split(separator: ":").last.map(String.init)
        }
        return !ports.isEmpty
      }
      return ports
    }

    // MARK: - Inbound

    private func inboundBed(_ line: String) -> TestbedSettings {
      var settings = TestbedSettings()
      settings.policies = TestbedSettings.standardPolicies.replacing(
        "egress:\n  - api.github.com", with: "\(line)egress:\n  - api.github.com")
      return settings
    }

    private func serve(_ bed: Testbed, _ port: Int) throws -> RunningCommand {
      let server = try RunningCommand(
        ["busybox", "httpd", "-f", "-p", "\(port)", "-h", bed.folder.path], in: bed.client, folder: bed.folder)
      try eventually("the container listens on \(port)") {
        try Socket.connects("10.77.1.2", UInt16(port), from: bed.client)
      }
      return server
    }

    @Test("others connect to a server's listed ports only, and each refusal is told with the line to add (threats E5)")
    func inbound() throws {
      try Testbed.run(inboundBed("inbound: [ 8080/tcp ]\n")) { (bed: Testbed) throws in
        let servers = try [8080, 8081].map { try serve(bed, $0) }
        defer { for server in servers { server.signal(SIGKILL) } }
        #expect(try Socket.connects("10.77.1.2", 8080, from: bed.internet))
        #expect(try !Socket.connects("10.77.1.2", 8081, from: bed.internet))
        #expect(try Socket.connects("10.77.1.2", 8081, from: bed.host), "the host is free")
        try isTold(bed, "inbound-refused", "remedy", "inbound: [ 8081/tcp ]")
        let event = try #require(
          try bed.sluice.events().first { $0["code"] as? String == "inbound-refused" })
        #expect(event["server"] as? String == "github-mcp" && event["client"] as? String == "192.0.2.54")
        let page = try Command.run(["curl", "-s", "-m", "5", "http://10.77.1.2:8080/sluice.yaml"], in: bed.internet)
        #expect(page.text.contains("listen:"), "data leaves by it: \(page.errors)")
      }
      try Testbed.run { (bed: Testbed) throws in
        let server = try serve(bed, 8080)
        defer { server.signal(SIGKILL) }
        #expect(try !Socket.connects("10.77.1.2", 8080, from: bed.internet), "the default is none")
      }
    }

    @Test("a connection that was accepted lives on over a flush and a restart, and one that was not never does")
    func accepted() throws {
      try Testbed.run(inboundBed("inbound: [ 8080/tcp ]\n")) { (bed: Testbed) throws in
        let program = """
          import socketserver
          class Echo(socketserver.BaseRequestHandler):
              def handle(self):
                  while data := self.request.recv(100): self.request.sendall(data)
          socketserver.ThreadingTCPServer(("", 8080), Echo).serve_forever()
          """
        let echo = try RunningCommand(["python3", "-c", program], in: bed.client, folder: bed.folder)
        defer { echo.signal(SIGKILL) }
        try eventually("the echo listens") { try Socket.connects("10.77.1.2", 8080, from: bed.client) }
        let socket = try Socket(streamTo: "10.77.1.2", 8080, from: bed.internet)
        func answers() -> Bool {
          socket.send(Array("ping".utf8))
          return socket.receive(within: 3) != nil
        }
        #expect(answers())
        _ = try bed.nft("flush ruleset")
        try eventually("the rules are back") { try bed.nft("list tables").contains("inet sluice") }
        #expect(answers())
        bed.sluice.stop()
        try bed.sluice.startAgain()
        #expect(answers())
      }
    }

    // MARK: - Networks once governed

    @Test("a removed document leaves its network closed until it is released (threats E4)")
    func held() throws {
      var settings = TestbedSettings()
      settings.policies =
        TestbedSettings.standardPolicies + "---\nserver: third\nnetworks: [ 10.99.0.0/24 ]\negress: []\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try !Socket.connects("45.11.0.66", 443, from: bed.client, bind: "10.99.0.2"))
        try Data(TestbedSettings.standardPolicies.utf8).write(to: bed.sluice.policyFile)
        let reload = try bed.sluice.command("reload")
        #expect(reload.text.contains("sluice firewall release 10.99.0.0/24"), "\(reload.text)\(reload.errors)")
        #expect(try !Socket.connects("45.11.0.66", 443, from: bed.client, bind: "10.99.0.2"))
        try isTold(bed, "network-held", "client", "10.99.0.2")
        let event = try #require(try bed.sluice.events().first { $0["code"] as? String == "network-held" })
        #expect(event["server"] as? String == "third" && event["network"] as? String == "10.99.0.0/24")
        for command in ["status", "doctor"] {
          #expect(try bed.sluice.command(command).text.contains("10.99.0.0/24"), "\(command)")
        }
        #expect(try bed.sluice.command("check").errors.contains("10.99.0.0/24"))
        _ = try bed.nft("flush ruleset")
        try eventually("the rules are back") { try bed.nft("list tables").contains("inet sluice") }
        #expect(try !Socket.connects("45.11.0.66", 443, from: bed.client, bind: "10.99.0.2"))
        bed.sluice.stop()
        try bed.sluice.startAgain()
        #expect(try !Socket.connects("45.11.0.66", 443, from: bed.client, bind: "10.99.0.2"))
        let refused = try bed.sluice.command("firewall", "release", "10.77.1.0/24")
        #expect(refused.status == 1 && refused.errors.contains("governed by github-mcp"), "\(refused.errors)")
        let released = try bed.sluice.command("firewall", "release", "10.99.0.0/24")
        #expect(released.status == 0, "\(released.errors)")
        #expect(try !bed.nft("list table inet sluice").contains("held-4"))
        #expect(try !bed.sluice.command("status").text.contains("release 10.99.0.0/24"))
      }
    }

    @Test("what was removed while sluice was down stays closed, too")
    func heldOverRestart() throws {
      var settings = TestbedSettings()
      settings.policies =
        TestbedSettings.standardPolicies + "---\nserver: third\nnetworks: [ 10.99.0.0/24 ]\negress: []\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        bed.sluice.stop()
        _ = try bed.nft("flush ruleset")
        try Data(TestbedSettings.standardPolicies.utf8).write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("firewall", "install").status == 0)
        #expect(try !Socket.connects("45.11.0.66", 443, from: bed.client, bind: "10.99.0.2"))
        try bed.sluice.startAgain()
        #expect(try !Socket.connects("45.11.0.66", 443, from: bed.client, bind: "10.99.0.2"))
      }
    }
  }
}
