import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("Byte caps", .timeLimit(.minutes(5)))
  struct ByteCapTests {
    private static let policies = """
      server: github-mcp
      networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
      egress:
        - host: api.github.com
          ports: [ 9000/tcp ]
          max-bytes: 256KiB
        - host: uploads.github.com
          ports: [ 9000/tcp ]
          max-bytes-per-hour: 256KiB
        - host: www.vendor.net
          ports: [ 9000/tcp ]
          max-bytes: 256KiB
          on-excess: audit

      """

    @Test(
      "a connection is cut at its cap, a new one begins anew, and the event names the host",
      arguments: ["45.11.0.10", "2a10:77::10"])
    func perConnection(_ address: String) throws {
      var settings = TestbedSettings()
      settings.policies = Self.policies
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", address.contains(":") ? "AAAA" : "A").status == "NOERROR")
        let sink = try Sink(in: bed.internet)
        defer { sink.stop() }
        for _ in 0..<2 {
          let before = sink.received
          try sink.upload(to: address, octets: 1 << 20, from: bed.client)
          let got = sink.received - before
          // Headers count, so a little less; what was in flight when the cap was reached is one burst.
          #expect((150_000...262_144).contains(got), "\(got)")
        }
        let event = try bed.sluice.event(of: "api.github.com", decision: "block")
        #expect(event["code"] as? String == "max-bytes" && event["address"] as? String == address)
        // What the connection sent, and not the packet that met the cap.
        let sent = try #require(event["payload_size"] as? Int)
        #expect((262_144...1 << 21).contains(sent), "\(sent)")
      }
    }

    @Test("of two names of an address the event names the one whose cap it was, whichever was asked for last")
    func shared() throws {
      var settings = TestbedSettings()
      settings.policies = Self.policies.replacing("  - host: www.vendor.net\n", with: "  - host: free.github.com\n")
        .replacing("    max-bytes: 256KiB\n    on-excess: audit\n", with: "")
      settings.records += "free.github.com. IN A 45.11.0.10\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("free.github.com", "A").status == "NOERROR")
        let sink = try Sink(in: bed.internet)
        defer { sink.stop() }
        try sink.upload(to: "45.11.0.10", octets: 1 << 20, from: bed.client)
        #expect((150_000...262_144).contains(sink.received), "\(sink.received)")
        let event = try bed.sluice.event(of: "api.github.com", decision: "block")
        #expect(event["code"] as? String == "max-bytes" && event["address"] as? String == "45.11.0.10")
        #expect(
          try bed.sluice.events().allSatisfy {
            $0["destination"] as? String != "free.github.com" || $0["decision"] as? String == "allow"
          })
      }
    }

    @Test("a destination gets no more in an hour than its cap, over all connections")
    func perHour() throws {
      var settings = TestbedSettings()
      settings.policies = Self.policies
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        let sink = try Sink(in: bed.internet)
        defer { sink.stop() }
        // Once the hour's octets are used up, not even a connection comes about.
        for _ in 0..<8 { try? sink.upload(to: "45.11.0.11", octets: 60_000, from: bed.client) }
        #expect(try !Socket.connects("45.11.0.11", Sink.port, from: bed.client))
        #expect((200_000...262_144).contains(sink.received), "\(sink.received)")
        #expect(
          try bed.sluice.event(of: "uploads.github.com", decision: "block")["code"] as? String == "max-bytes-per-hour")
        // Another program takes the bound away: it comes back with what is open.
        _ = try bed.nft("flush set inet sluice github-mcp-4/hour-262144")
        try eventually("the bound is back") {
          try bed.nft("list set inet sluice github-mcp-4/hour-262144").contains("45.11.0.11")
        }
        // A cap that audits bounds nothing, and tells.
        let before = sink.received
        #expect(try bed.dig("www.vendor.net", "A").status == "NOERROR")
        try sink.upload(to: "45.11.0.12", octets: 1 << 20, from: bed.client)
        #expect(sink.received - before == 1 << 20)
        let event = try bed.sluice.event(of: "www.vendor.net", decision: "observe")
        #expect(event["code"] as? String == "over-max-bytes" && event["count"] as? Int == 1)
        #expect(try #require(event["payload_size"] as? Int) > 262_144)
      }
    }
  }
}
