import Foundation
import Testing

extension EndToEnd {
  /// A company's resolver beside the general one: `unbound` for `corp.example`, nsd for everything.
  @Suite("Forwarded zones", .timeLimit(.minutes(2)))
  struct ForwardTests {
    private static let corporate = "192.0.2.53"

    private static func settings() -> TestbedSettings {
      var settings = TestbedSettings()
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24 ]
        egress: [ api.github.com, "**.corp.example" ]

        """
      // What the general one would say is another address, so that a leak is seen.
      settings.records += "wiki.corp.example. IN A 45.11.0.66\ndown.corp.example. IN A 45.11.0.66\n"
      settings.configuration += """
        forward: [ { zone: corp.example, upstreams: [ udp://\(corporate) ], private: [ 10.1.0.0/16 ] } ]

        """
      return settings
    }

    private func startUnbound(_ bed: Testbed) throws -> RunningCommand {
      try bed.internet.ip("address add \(Self.corporate)/24 dev eth0")
      let file = bed.folder.appending(path: "unbound.conf")
      let configuration = """
        server:
          interface: \(Self.corporate)
          access-control: 0.0.0.0/0 allow
          username: ""
          chroot: ""
          directory: "\(bed.folder.path)"
          pidfile: ""
          do-daemonize: no
          use-syslog: no
          local-zone: "corp.example." static
          local-data: "wiki.corp.example. 60 IN A 10.1.0.5"
          local-data: "neighbour.corp.example. 60 IN A 10.77.1.9"
        remote-control:
          control-enable: no

        """
      try Data(configuration.utf8).write(to: file)
      let unbound = try RunningCommand(["unbound", "-d", "-c", file.path], in: bed.internet, folder: bed.folder)
      let dig = ["dig", "+short", "+time=1", "+tries=1", "@\(Self.corporate)", "wiki.corp.example", "A"]
      try eventually("unbound answers") {
        guard unbound.isRunning else { throw Obstacle("unbound: \(unbound.errors)") }
        return try Command.run(dig, in: bed.internet).text.hasPrefix("10.1.0.5")
      }
      return unbound
    }

    @Test("a zone's names are its upstream's alone, private addresses with them, and a dead one is asked of no other")
    func forwarded() throws {
      var settings = Self.settings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        let unbound = try startUnbound(bed)
        defer { unbound.signal(SIGKILL) }
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        // What came for the general one from now on, by the kernel's count.
        try bed.internet.must("nft add counter inet watch general")
        try bed.internet.must(
          "nft add rule inet watch arrived ip daddr \(Testbed.upstreamAddress) meta l4proto { tcp, udp } th dport 53 counter name general"
        )
        #expect(try bed.dig("wiki.corp.example", "A").values == ["10.1.0.5"])
        #expect(try bed.dig("wiki.corp.example", "A", "+tcp").values == ["10.1.0.5"])
        #expect(try bed.dig("none.corp.example", "A").status == "NXDOMAIN")
        #expect(
          try bed.dig("neighbour.corp.example", "A").values == [], "in the server's own network, not in the zone's")
        let grants = try bed.sluice.command("grants", "--json")
        #expect(grants.text.contains("10.1.0.5"), "\(grants.text)")
        let told = try bed.sluice.command("explain", "github-mcp", "wiki.corp.example")
        #expect(
          told.text.contains("udp://\(Self.corporate):53, the upstreams of zone corp.example alone"), "\(told.text)")

        unbound.signal(SIGKILL)
        _ = try unbound.status(within: 5)
        #expect(try bed.dig("down.corp.example", "A", "+time=5").status == "SERVFAIL")
        let event = try bed.sluice.event(of: "down.corp.example", decision: "error")
        #expect(event["upstream"] as? String == "udp://\(Self.corporate):53")
        let leaked = try bed.internet.must("nft list counter inet watch general")
        #expect(leaked.contains("packets 0 "), "\(leaked)")
        #expect(try bed.dig("api.github.com", "AAAA").values == ["2a10:77::10"])
        try eventually("status and doctor tell of the zone's upstream", within: 20) {
          let status = try bed.sluice.command("status").text
          return status.contains("udp://\(Self.corporate):53 for corp.example unhealthy")
        }
        let findings = try bed.sluice.command("doctor").text
        #expect(findings.contains("of the forwarded zone corp.example does not answer"), "\(findings)")
      }
    }
  }
}
