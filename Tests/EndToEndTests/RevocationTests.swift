import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("What ends before its time", .timeLimit(.minutes(5)))
  struct RevocationTests {
    private static let policies = """
      server: github-mcp
      networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
      egress:
        - api.github.com
        - uploads.github.com
        - shared.github.com
        - host: timed.github.com
          until: UNTIL
      ---
      server: other-mcp
      networks: [ 10.77.1.200/32 ]
      egress:
        - www.vendor.net
        - host: api.github.com

      """

    private static func settings(until: Date = .now + 3_600) -> TestbedSettings {
      var settings = TestbedSettings()
      settings.policies = policies.replacing("UNTIL", with: ISO8601DateFormatter().string(from: until))
      settings.records += """
        shared.github.com. IN A 45.11.0.10
        timed.github.com. IN A 45.11.0.30
        timed.github.com. IN AAAA 2a10:77::30

        """
      return settings
    }

    private func reload(_ bed: Testbed, _ settings: TestbedSettings, without names: String...) throws {
      var text = settings.policies
      for name in names { text = text.replacing("  - \(name)\n", with: "") }
      let before = bed.sluice.errors.split(separator: "is in force").count
      try Data(text.utf8).write(to: bed.sluice.policyFile)
      bed.sluice.signal(SIGHUP)
      try eventually("the policy is in force") { bed.sluice.errors.split(separator: "is in force").count > before }
    }

    @Test("a reload cuts connections to what is not listed any more, and only those; the event says so")
    func cutConnections() throws {
      let settings = Self.settings()
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("api.github.com", "AAAA").status == "NOERROR")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        let kept = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        let kept6 = try Socket(streamTo: "2a10:77::10", 443, from: bed.client)
        let cut = try Socket(streamTo: "45.11.0.11", 443, from: bed.client)
        try reload(bed, settings, without: "uploads.github.com")
        try eventually("the connection is cut") { !cut.isAlive() }
        #expect(kept.isAlive() && kept6.isAlive())
        #expect(try !bed.connects("45.11.0.11"))
        #expect(try bed.connects("45.11.0.10"))
        var event: [String: Any] = [:]
        try eventually("an event of the revocation") {
          event = try bed.sluice.events().first { $0["code"] as? String == "revoked" } ?? [:]
          return !event.isEmpty
        }
        #expect(event["server"] as? String == "github-mcp")
        #expect(event["addresses"] as? [String] == ["45.11.0.11"])
        #expect(event["flows_cut"] as? Int == 1)
      }
    }

    @Test("an address of two names of a server stays until the last of them leaves")
    func sharedAddress() throws {
      let settings = Self.settings()
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("shared.github.com", "A").status == "NOERROR")
        let connection = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        try reload(bed, settings, without: "shared.github.com")
        #expect(connection.isAlive())
        #expect(try bed.connects("45.11.0.10"))
        try reload(bed, settings, without: "shared.github.com", "api.github.com")
        try eventually("the connection is cut") { !connection.isAlive() }
        #expect(try !bed.connects("45.11.0.10"))
      }
    }

    @Test("one server's answer opens nothing for another, and its removal closes nothing of another")
    func otherServer() throws {
      let settings = Self.settings()
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.10"))
        #expect(try !Socket.connects("45.11.0.10", 443, from: bed.client, bind: "10.77.1.200"))
        #expect(try bed.dig("api.github.com", "A", "-b", "10.77.1.200").status == "NOERROR")
        #expect(try Socket.connects("45.11.0.10", 443, from: bed.client, bind: "10.77.1.200"))
        // The first list writes the name as a plain entry, the second as a mapping.
        try reload(bed, settings, without: "api.github.com")
        #expect(try Socket.connects("45.11.0.10", 443, from: bed.client, bind: "10.77.1.200"))
        #expect(try !bed.connects("45.11.0.10"))
      }
    }

    @Test("connections end with the static rule that admitted them, and with the server whose network it was")
    func staticRule() throws {
      var settings = TestbedSettings()
      let entry = "  - cidr: 45.11.0.66/32\n"
      settings.policies = "server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress:\n  - api.github.com\n" + entry
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let (listed, fixed) = (
          try Socket(streamTo: "45.11.0.10", 443, from: bed.client),
          try Socket(streamTo: "45.11.0.66", 443, from: bed.client)
        )
        func put(_ text: String) throws {
          let before = bed.sluice.errors.split(separator: "is in force").count
          try Data(text.utf8).write(to: bed.sluice.policyFile)
          bed.sluice.signal(SIGHUP)
          try eventually("the policy is in force") { bed.sluice.errors.split(separator: "is in force").count > before }
        }
        try put(settings.policies.replacing(entry, with: ""))
        try eventually("the static rule's connection is cut") { !fixed.isAlive() }
        #expect(listed.isAlive())
        try put(settings.policies.replacing("github-mcp", with: "renamed"))
        try eventually("the former server's connection is cut") { !listed.isAlive() }
      }
    }

    @Test("a rule whose time is over allows nothing any more, and what it opened is closed")
    func timeBound() throws {
      try Testbed.run(Self.settings(until: .now + 12)) { (bed: Testbed) throws in
        #expect(try bed.dig("timed.github.com", "A").status == "NOERROR")
        let connection = try Socket(streamTo: "45.11.0.30", 443, from: bed.client)
        try eventually("the rule's time is over", within: 30) {
          try bed.dig("timed.github.com", "A").status == "NXDOMAIN"
        }
        try eventually("its connection is cut") { !connection.isAlive() }
        #expect(try !bed.connects("45.11.0.30"))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
      }
    }
  }
}
