import Foundation
import Glibc
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("Addresses that no answer may hold", .timeLimit(.minutes(5)))
  struct ForbiddenAddressTests {
    /// Every name of the zone is listed for the first server; the second one's network is public.
    private static func settings() -> TestbedSettings {
      var settings = TestbedSettings()
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
        egress:
          - "*.github.com"
          - host: translated.lan.example.com
            private: [ "64:ff9b::/96" ]
          - host: "*.lan.example.com"
            private: [ 192.0.2.0/24, 10.0.0.0/8, 45.78.0.0/16, "64:ff9b::/96" ]
        ---
        server: other-mcp
        networks: [ 45.78.0.0/24, 10.77.1.200/32 ]
        egress: []

        """
      settings.records += """
        neighbour.github.com. IN A 45.78.0.9
        wire.github.com. IN A 168.63.129.16
        isatap.github.com. IN AAAA 2a10:77::5efe:a9fe:a9fe
        later.github.com. IN A 45.79.0.9
        translated.lan.example.com. IN AAAA 64:ff9b::a9fe:a9fe
        fine.lan.example.com. IN AAAA 64:ff9b::808:808
        database.lan.example.com. IN A 192.0.2.54
        host.lan.example.com. IN A 192.0.2.1
        neighbour.lan.example.com. IN A 10.77.1.200
        public.lan.example.com. IN A 45.78.0.9

        """
      return settings
    }

    private func isRefused(_ bed: Testbed, _ name: String, _ type: String = "A") throws {
      let answer = try bed.dig(name, type)
      #expect(answer.status == "NOERROR" && answer.values.isEmpty, "\(name)")
      #expect(answer.text.contains("answer-not-public"), "\(name): \(answer.text)")
    }

    @Test("neighbours, metadata services and what leads to them are neither answered nor opened, private or not")
    func refused() throws {
      try Testbed.run(Self.settings()) { (bed: Testbed) throws in
        try isRefused(bed, "neighbour.github.com")
        try isRefused(bed, "wire.github.com")
        try isRefused(bed, "isatap.github.com", "AAAA")
        try isRefused(bed, "translated.lan.example.com", "AAAA")
        try isRefused(bed, "host.lan.example.com")
        try isRefused(bed, "neighbour.lan.example.com")
        try isRefused(bed, "public.lan.example.com")
        let kernel = try KernelView(bed)
        for text in [
          "45.78.0.9", "168.63.129.16", "2a10:77::5efe:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "192.0.2.1", "10.77.1.200",
        ] {
          #expect(try !kernel.holds(try #require(IPAddress(text))), "\(text)")
        }
        // What the rule lists is open, though it lies on a link of the host, or is the form of a public address.
        #expect(try bed.dig("database.lan.example.com", "A").values == ["192.0.2.54"])
        #expect(try kernel.holds(try #require(IPAddress("192.0.2.54"))))
        #expect(try bed.dig("fine.lan.example.com", "AAAA").values == ["64:ff9b::808:808"])
        let check = try bed.sluice.command("check")
        #expect(check.errors.contains("carry IPv4 addresses (64:ff9b::/96)"), "\(check.errors)")
        #expect(check.errors.contains("a network of other-mcp"), "\(check.errors)")
      }
    }

    @Test("an address or link that the host gets later is refused at once, and what is open of it is closed")
    func later() throws {
      try Testbed.run(Self.settings()) { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let (api, uploads) = (try #require(IPAddress("45.11.0.10")), try #require(IPAddress("45.11.0.11")))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        #expect(try kernel.holds(api) && kernel.holds(uploads))
        let cut = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        try bed.host.ip("address add 45.11.0.10/32 dev uplink")
        try eventually("what is open of the address is closed") { try !kernel.holds(api) }
        try isRefused(bed, "api.github.com")
        try eventually("its connection is cut") { !cut.isAlive() }
        #expect(try kernel.holds(uploads))
        #expect(try bed.dig("uploads.github.com", "A").values == ["45.11.0.11"])
        #expect(
          try bed.sluice.events().contains {
            $0["code"] as? String == "revoked" && $0["cause"] as? String == "address-refused"
          })
        // A link of which nothing is open: the next answer is judged by it.
        try bed.host.ip("address add 45.79.0.1/24 dev uplink")
        try eventually("the link is refused") {
          try bed.dig("later.github.com", "A").text.contains("answer-not-public")
        }
        try bed.host.ip("address del 45.79.0.1/24 dev uplink")
        try bed.host.ip("address del 45.11.0.10/32 dev uplink")
        try eventually("what the host gave back is answered") {
          try bed.dig("api.github.com", "A").values == ["45.11.0.10"]
        }
      }
    }

    @Test("a restart does not take over what is refused now, and a permit does not open it")
    func restartAndPermit() throws {
      try Testbed.run(Self.settings()) { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let api = try #require(IPAddress("45.11.0.10"))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        bed.sluice.signal(SIGTERM)
        _ = try bed.sluice.status()
        #expect(try kernel.holds(api))
        try bed.host.ip("address add 45.11.0.10/32 dev uplink")
        try bed.sluice.startAgain()
        #expect(try !kernel.holds(api))
        #expect(try kernel.holds(try #require(IPAddress("45.11.0.11"))))
        let allowed = try bed.sluice.command(
          "allow", "give", "--name", "neighbour.github.com", "--server", "github-mcp", "--for", "10m", "--reason", "try"
        )
        #expect(allowed.status == 0, "\(allowed.errors)")
        try isRefused(bed, "neighbour.github.com")
        #expect(try !kernel.holds(try #require(IPAddress("45.78.0.9"))))
      }
    }

    @Test("a network that a reload governs is closed to all other servers at once")
    func reload() throws {
      let settings = Self.settings()
      try Testbed.run(settings) { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let api = try #require(IPAddress("45.11.0.10"))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try kernel.holds(api))
        try Data(settings.policies.replacing("45.78.0.0/24", with: "45.11.0.0/24").utf8).write(
          to: bed.sluice.policyFile)
        bed.sluice.signal(SIGHUP)
        try eventually("what is open in it is closed") { try !kernel.holds(api) }
        try isRefused(bed, "api.github.com")
      }
    }
  }
}
