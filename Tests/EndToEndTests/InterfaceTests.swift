import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("Interfaces and the host's own ports", .timeLimit(.minutes(5)))
  struct InterfaceTests {
    private static let bound = TestbedSettings.standardPolicies.replacing(
      "networks: [ 10.77.1.0/24, \"fd00:77:1::/64\" ]",
      with: "networks: [ 10.77.1.0/24, \"fd00:77:1::/64\" ]\ninterface: br-mcp")

    private func isTold(_ bed: Testbed, _ code: String, client: String) throws {
      try eventually("an event \(code) of \(client)") {
        try bed.sluice.events().contains {
          $0["code"] as? String == code && $0["client"] as? String == client && $0["server"] as? String == "github-mcp"
        }
      }
    }

    @Test("what comes in by a server's interface must come from its networks")
    func strangerOnTheLink() throws {
      var settings = TestbedSettings()
      settings.policies = Self.bound
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.10"))
        // An address of no server, and nothing else would stop it.
        #expect(try !Socket.connects("45.11.0.10", 443, from: bed.client, bind: "10.99.0.2"))
        try isTold(bed, "spoofed-source", client: "10.99.0.2")
        // A server that is bound to no interface may be behind the same one.
        #expect(try bed.dig("api.github.com", "A", "-b", "10.77.1.200").status == "NOERROR")
        #expect(try Socket.connects("45.11.0.10", 443, from: bed.client, bind: "10.77.1.200"))
      }
      // Without `interface` the network lies in the interface's on-link prefix, and that encloses it just as well.
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try !Socket.connects("45.11.0.10", 443, from: bed.client, bind: "10.99.0.2"))
        try isTold(bed, "spoofed-source", client: "10.99.0.2")
      }
    }

    @Test("a server's address on another interface is forged")
    func elsewhere() throws {
      var settings = TestbedSettings()
      settings.policies = Self.bound
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        try bed.internet.ip("address add 10.77.1.9/32 dev lo")
        try bed.host.must("sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.uplink.rp_filter=0")
        try bed.internet.ip("route add 45.99.0.0/16 via 192.0.2.1")
        try bed.host.ip("route add 45.99.0.0/16 dev br-mcp")
        #expect(try !Socket.connects("45.99.0.1", 443, from: bed.internet, bind: "10.77.1.9"))
        try isTold(bed, "spoofed-source", client: "10.77.1.9")
      }
    }

    @Test("on the host a server reaches the resolver and nothing else, by link-local addresses neither")
    func fence() throws {
      var settings = TestbedSettings()
      settings.policies = Self.bound
      try Testbed.run(settings) { (bed: Testbed) throws in
        let listener = try RunningCommand(
          ["busybox", "httpd", "-f", "-p", "8080", "-h", bed.folder.path], in: bed.host, folder: bed.folder)
        defer { listener.signal(SIGKILL) }
        try eventually("the host listens") { try Socket.connects("10.77.1.1", 8080, from: bed.host) }
        #expect(try !bed.connects("10.77.1.1", 8080))
        #expect(try !bed.connects("fd00:77:1::1", 8080))
        #expect(try !bed.connects("192.0.2.1", 8080))
        try isTold(bed, "host-fence", client: "10.77.1.2")
        let link = try bed.host.must("ip -6 -o address show dev br-mcp scope link")
        let address = try #require(
          link.split(separator: " ").first { $0.hasPrefix("fe80") }?.split(separator: "/").first)
        let probe = ["busybox", "nc", "-w", "2", "\(address)%eth0", "8080"]
        #expect(try Command.run(probe, in: bed.client, within: 10).status != 0)
        #expect(try bed.dig("api.github.com", "A", "+tcp").status == "NOERROR")
      }
    }

    @Test("input-fence: false leaves the host's ports to the host")
    func noFence() throws {
      var settings = TestbedSettings()
      settings.configuration += "firewall: { input-fence: false }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        let listener = try RunningCommand(
          ["busybox", "httpd", "-f", "-p", "8080", "-h", bed.folder.path], in: bed.host, folder: bed.folder)
        defer { listener.signal(SIGKILL) }
        try eventually("the client reaches the host") { try bed.connects("10.77.1.1", 8080) }
        #expect(try !bed.connects("45.11.0.66"), "the rest is closed as ever")
      }
    }

    @Test("firewall diff is silent about the managed table and names what another program changed")
    func difference() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let same = try bed.sluice.command("firewall", "diff")
        #expect(same.status == 0 && same.text.isEmpty, "\(same.text)\(same.errors)")
        bed.sluice.signal(SIGTERM)
        _ = try bed.sluice.status()
        try eventually("the bridge is gone too") { try Command.must("ip netns pids \(bed.host.name)").isEmpty }
        _ = try bed.nft("insert rule inet sluice github-mcp tcp dport 8443 accept")
        let changed = try bed.sluice.command("firewall", "diff")
        #expect(changed.status == 1)
        #expect(changed.lines.contains("@ chain github-mcp") && changed.lines.contains("- tcp dport 8443 accept"))
        #expect(try bed.sluice.command("firewall", "install").status == 0)
        #expect(try bed.sluice.command("firewall", "diff").status == 0)
        #expect(try bed.sluice.command("firewall", "remove").status == 0)
        let absent = try bed.sluice.command("firewall", "diff")
        #expect(absent.status == 1 && absent.text.contains("there is no table inet sluice"))
      }
    }
  }
}
