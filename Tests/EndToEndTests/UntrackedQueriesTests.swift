import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// A server has as many source ports as it likes; the host's table of connections has places for all its guests.
  @Suite("Queries and the connection table", .timeLimit(.minutes(5)))
  struct UntrackedQueriesTests {
    /// A server behind a bridge, with a listener on its other side.
    private static let bridged = """
      ---
      server: bridged-mcp
      networks: [ 10.78.1.0/24 ]
      egress: [ api.github.com ]

      """

    /// Asks `count` times over each transport and family, each time from another port; prints how many were answered.
    private static let program = """
      import socket, struct, sys
      count, source, listener = int(sys.argv[1]), sys.argv[2], sys.argv[3]
      family = socket.AF_INET6 if ":" in listener else socket.AF_INET
      query = bytes.fromhex("123401000001000000000000") + b"\\3api\\6github\\3com\\0" + struct.pack("!HH", 1, 1)
      answered = 0
      for index in range(count):
          for kind in [socket.SOCK_DGRAM] + ([socket.SOCK_STREAM] if index % 10 == 0 else []):
              with socket.socket(family, kind) as s:
                  s.settimeout(3)
                  s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                  s.bind((source, 20000 + index))
                  s.connect((listener, 53))
                  data = query if kind == socket.SOCK_DGRAM else struct.pack("!H", len(query)) + query
                  s.send(data)
                  try:
                      reply = s.recv(1000)
                      if kind == socket.SOCK_STREAM and len(reply) == 2: reply += s.recv(1000)
                      if socket.inet_aton("45.11.0.10") in reply: answered += 1
                  except TimeoutError:
                      pass
      print(answered)
      """

    private func answered(_ count: Int, from source: String, to listener: String, in space: Namespace) throws -> Int {
      let words = ["python3", "-c", Self.program, "\(count)", source, listener]
      let output = try Command.run(words, in: space, within: 120)
      guard output.status == 0, let answered = Int(output.text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
        throw Obstacle("queries: \(output.errors)")
      }
      return answered
    }

    private func entries(_ bed: Testbed) throws -> Int {
      Int(try bed.host.must("cat /proc/sys/net/netfilter/nf_conntrack_count").trimmingCharacters(in: .newlines)) ?? -1
    }

    /// Asks, and what was asked is in no table.
    private func isUntracked(
      _ bed: Testbed, from source: String, to listener: String, in space: Namespace, _ name: String
    ) throws {
      let before = try entries(bed)
      #expect(try answered(400, from: source, to: listener, in: space) == 440, "\(name)")
      let after = try entries(bed)
      // Sluice's own queries to its upstream among them.
      #expect(after - before < 20, "\(name): \(before) entries before, \(after) after 440 queries")
    }

    private func isClosed(_ bed: Testbed, _ name: String) throws {
      #expect(try !bed.connects("10.77.1.1", 8080), "\(name): the fence")
      #expect(try !bed.connects("45.11.0.66"), "\(name): a name that was never answered")
      #expect(try !bed.connects("45.11.0.66", 53), "\(name): another resolver")
      #expect(try bed.connects("45.11.0.10"), "\(name): what was answered")
    }

    @Test("queries and responses take no place in it, over UDP and TCP, IPv4 and IPv6 (threats T12)")
    func untracked() throws {
      try Testbed.run { (bed: Testbed) throws in
        let listener = try RunningCommand(
          ["busybox", "httpd", "-f", "-p", "8080", "-h", bed.folder.path], in: bed.host, folder: bed.folder)
        defer { listener.signal(SIGKILL) }
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        try isUntracked(bed, from: "10.77.1.2", to: "10.77.1.1", in: bed.client, "IPv4")
        try isUntracked(bed, from: "fd00:77:1::2", to: "fd00:77:1::1", in: bed.client, "IPv6")
        try isClosed(bed, "enclosed")
        // Where the interface encloses nothing, all of them come by the prerouting hook.
        try bed.host.ip("route add default via 10.77.1.2 dev br-mcp")
        try eventually("the network is exposed") { try bed.nft("list table inet sluice").contains("host/arriving") }
        try isUntracked(bed, from: "10.77.1.2", to: "10.77.1.1", in: bed.client, "exposed")
        try isClosed(bed, "exposed")
      }
    }

    @Test(
      "neither do those that come through a bridge, whether br_netfilter sees its frames or not", arguments: [0, 1])
    func bridge(shown: Int) throws {
      var settings = TestbedSettings()
      settings.policies += Self.bridged
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        let guest = try Namespace("guest")
        defer { guest.delete() }
        try bed.host.ip("link add br-two type bridge")
        try Command.must("ip link add port netns \(bed.host.name) type veth peer name eth0 netns \(guest.name)")
        try bed.host.ip("link set port master br-two up")
        try bed.host.ip("address add 10.78.1.1/24 dev br-two")
        try bed.host.ip("link set br-two up")
        try guest.ip("address add 10.78.1.2/24 dev eth0")
        try guest.ip("link set eth0 up")
        try guest.ip("route add default via 10.78.1.1")
        try bed.host.must("sysctl -q -w net.bridge.bridge-nf-call-iptables=\(shown)")
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        try isUntracked(bed, from: "10.78.1.2", to: "10.77.1.1", in: guest, "bridge")
        #expect(try Socket.connects("45.11.0.10", 443, from: guest))
        #expect(try !Socket.connects("45.11.0.66", 443, from: guest))
      }
    }

    @Test("a resolver on every address takes no place either, and what goes past the host does")
    func wildcard() throws {
      var settings = TestbedSettings()
      settings.listen = #"[ "0.0.0.0:53", "[::]:53" ]"#
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        try isUntracked(bed, from: "10.77.1.2", to: "10.77.1.1", in: bed.client, "IPv4")
        try isUntracked(bed, from: "fd00:77:1::2", to: "fd00:77:1::1", in: bed.client, "IPv6")
        try isClosed(bed, "wildcard")
      }
    }

    @Test("queries that another program redirects to the resolver are answered, beside those that come straight")
    func redirected() throws {
      try Testbed.run { (bed: Testbed) throws in
        _ = try Command.must(
          "ip netns exec \(bed.host.name) nft add table inet mine ; add chain inet mine pre "
            + "{ type nat hook prerouting priority dstnat; } ; "
            + "add rule inet mine pre ip daddr 9.9.9.9 th dport 53 meta l4proto { tcp, udp } dnat ip to 10.77.1.1 ; "
            + "add rule inet mine pre ip daddr 9.9.9.9 udp dport 5300 dnat ip to 10.77.1.1:53")
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try answered(40, from: "10.77.1.2", to: "9.9.9.9", in: bed.client) == 44)
        // The same ports, straight.
        #expect(try answered(40, from: "10.77.1.2", to: "10.77.1.1", in: bed.client) == 44)
        #expect(try answered(40, from: "10.77.1.2", to: "9.9.9.9", in: bed.client) == 44)
        #expect(try bed.dig("api.github.com", "A", "-p", "5300", server: "9.9.9.9").status == "NOERROR")
        #expect(try bed.dig("evil.example.com", "A", server: "9.9.9.9").status == "NXDOMAIN")
        // However many ports one server has redirected, another's are remembered.
        try flood(bed, to: "9.9.9.9", ports: 53..<54)
        #expect(try answered(20, from: "10.77.1.200", to: "9.9.9.9", in: bed.client) == 22)
      }
    }

    /// Sends a short datagram from each of 70,000 addresses and ports of a server's network.
    private func flood(_ bed: Testbed, to destination: String, ports: Range<Int>) throws {
      let program = """
        import socket, struct, sys
        to, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for i in range(70000):
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 30, 1, 0, 64, 17, 0,
                               socket.inet_aton("10.77.1.%d" % (10 + i % 180)), socket.inet_aton(to))
            s.sendto(head + struct.pack("!HHHH", 1024 + i // 2, first + i % count, 10, 0) + b"xx", (to, 0))
        """
      let words = ["python3", "-c", program, destination, "\(ports.lowerBound)", "\(ports.count)"]
      let output = try Command.run(words, in: bed.client, within: 60)
      guard output.status == 0 else { throw Obstacle("flood: \(output.errors)") }
    }

    @Test("noise at the host from many addresses of one server hides no first packet of another")
    func noiseAtTheHost() throws {
      try Testbed.run { (bed: Testbed) throws in
        try flood(bed, to: "10.77.1.1", ports: 2_000..<32_000)
        for port in 6_001..<6_011 as Range<UInt16> {
          #expect(try !Socket.connects("10.77.1.1", port, from: bed.client, bind: "10.77.1.200"))
        }
        try eventually("each of them is told", within: 20) {
          let events = try bed.sluice.events().filter { $0["client"] as? String == "10.77.1.200" }
          return Set(events.compactMap { $0["port"] as? Int }).isSuperset(of: 6_001..<6_011)
        }
        let told = try bed.sluice.events().count {
          ($0["client"] as? String ?? "").hasPrefix("10.77.1.") && $0["port"] != nil
        }
        #expect(told < 12_000, "one server's noise has a share, whatever its sources: \(told)")
      }
    }

    @Test("queries in fragments are dropped and counted, and take no place either")
    func fragments() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let before = try entries(bed)
        let program = """
          import socket, struct
          s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
          for i in range(300):
              udp = struct.pack("!HHHH", 30000 + i, 53, 40, 0) + b"y" * 32
              for offset, more, part in ((0, 1, udp[:24]), (3, 0, udp[24:])):
                  head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(part), 1 + i, more << 13 | offset, 64, 17, 0,
                                     socket.inet_aton("10.77.1.2"), socket.inet_aton("10.77.1.1"))
                  s.sendto(head + part, ("10.77.1.1", 0))
          """
        #expect(try Command.run(["python3", "-c", program], in: bed.client).status == 0)
        #expect(try entries(bed) - before < 20)
        let counter = try bed.nft("list counter inet sluice refused-host")
        #expect(counter.contains("packets 300"), "\(counter)")
      }
    }

    @Test("how many connections to the resolver a server begins has a limit of its own")
    func dialling() throws {
      try Testbed.run { (bed: Testbed) throws in
        let program = """
          import socket, struct, errno
          begun = 0
          for i in range(4000):
              s = socket.socket(); s.setblocking(False)
              s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
              s.connect_ex(("10.77.1.1", 53)); s.close()
          """
        #expect(try Command.run(["python3", "-c", program], in: bed.client, within: 60).status == 0)
        #expect(try bed.nft("list set inet sluice dialling/4").contains("10.77.1.0"))
        #expect(try !bed.nft("list counter inet sluice refused-host").contains("packets 0"), "what is over is counted")
        for _ in 0..<10 { #expect(try bed.dig("api.github.com", "A", "+tcp", "-b", "10.77.1.200").status == "NOERROR") }
      }
    }
  }
}
