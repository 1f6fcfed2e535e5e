import Foundation
import Glibc
import IPNetwork
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

    @Test("a longest lifetime that was lowered holds for what an earlier run opened, which comes back after a flush")
    func lowered() throws {
      var settings = Self.settings()
      settings.configuration += "firewall: { min-lifetime: 600s, grace: 1s, max-lifetime: 600s }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        func holds(_ timeout: String) throws -> Bool {
          try bed.nft("list set inet sluice github-mcp-4").split(separator: "\n").contains {
            $0.contains("45.11.0.10 . tcp . 443") && $0.contains("timeout \(timeout)")
          }
        }
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try holds("10m"))
        bed.sluice.stop()
        let text = try String(contentsOfFile: bed.sluice.configurationFile, encoding: .utf8)
        try Data(text.replacing("600s", with: "120s").utf8).write(to: URL(filePath: bed.sluice.configurationFile))
        try bed.sluice.startAgain()
        // What of the two minutes is over when it is shortened is not in them.
        try eventually("it ends sooner") { try holds("2m") || holds("1m") }
        _ = try bed.nft("delete table inet sluice")
        try eventually("it is back") {
          (try? bed.nft("list set inet sluice github-mcp-4").contains("45.11.0.10")) == true
        }
        #expect(try Socket.connects("45.11.0.10", 443, from: bed.client))
        #expect(!bed.sluice.errors.contains("refused ("))
      }
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

    @Test("connections whose destination the host translates are those of the address that they reach")
    func translated() throws {
      let settings = Self.settings()
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.translate("203.0.113.11", to: "45.11.0.11")
        #expect(try !bed.connects("203.0.113.11"), "what it reaches is closed")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let cut = try Socket(streamTo: "203.0.113.11", 443, from: bed.client)
        let kept = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        try reload(bed, settings, without: "uploads.github.com")
        try eventually("the connection is cut") { !cut.isAlive() }
        #expect(try kept.isAlive() && !bed.connects("203.0.113.11"))
        let event = try bed.sluice.events().first { $0["code"] as? String == "revoked" }
        #expect(event?["flows_cut"] as? Int == 1)
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

    /// A name whose address another one holds for much longer.
    private static func shared() -> TestbedSettings {
      var settings = settings()
      settings.records += """
        short.github.com. 60 IN A 45.11.0.40
        long.github.com. 3000 IN A 45.11.0.40

        """
      settings.policies = settings.policies.replacing(
        "  - shared.github.com\n", with: "  - shared.github.com\n  - short.github.com\n  - long.github.com\n")
      return settings
    }

    @Test("what a name that is gone held for longer is shortened, though an earlier worker opened it")
    func shortenedByAnotherWorker() throws {
      let settings = Self.shared()
      try Testbed.run(settings) { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let address = try #require(IPAddress("45.11.0.40"))
        #expect(try bed.dig("short.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("long.github.com", "A").status == "NOERROR")
        #expect(try kernel.remaining(address) ?? 0 > 2_000)
        let worker = try bed.sluice.bridge
        Processes.signal(worker, SIGKILL)
        try eventually("another worker") { (try? bed.sluice.bridge).map { $0 != worker } ?? false }
        try eventually("the incident is over") {
          try bed.sluice.events().contains { $0["code"] as? String == "enforcement-restored" }
        }
        try reload(bed, settings, without: "long.github.com")
        try eventually("it is open for as long as the other name holds it") {
          try kernel.remaining(address) ?? .infinity < 500
        }
        #expect(try kernel.holds(address))
      }
    }

    @Test("a shortening that the bridge does not take is told, and tried again until it does")
    func shortenedLater() throws {
      let settings = Self.shared()
      try Testbed.run(settings) { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let address = try #require(IPAddress("45.11.0.40"))
        #expect(try bed.dig("short.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("long.github.com", "A").status == "NOERROR")
        let bridge = Processes.descendants(of: try bed.sluice.pid)
        for process in bridge { Processes.signal(process, SIGSTOP) }
        defer { for process in bridge { Processes.signal(process, SIGCONT) } }
        try reload(bed, settings, without: "long.github.com")
        try eventually("it is told") { bed.sluice.errors.contains("should end sooner than the kernel knows") }
        #expect(try kernel.remaining(address) ?? 0 > 2_000)
        for process in bridge { Processes.signal(process, SIGCONT) }
        try eventually("it is open for as long as the other name holds it") {
          try kernel.remaining(address) ?? .infinity < 500
        }
        try eventually("all is well again") {
          let codes = try bed.sluice.events().compactMap { $0["code"] as? String }
          return codes.filter { $0 == "enforcement-degraded" }.count
            == codes.filter { $0 == "enforcement-restored" }.count
        }
      }
    }

    /// A count of what could not be done, as `status` has it.
    private func lost(_ bed: Testbed, _ kind: String) throws -> Int? {
      let text = try bed.sluice.command("status", "--json").text
      let status = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
      return (status?["lost"] as? [String: Any])?[kind] as? Int
    }

    @Test("a revocation that a worker dies over is carried out by the next one")
    func revokedLater() throws {
      let settings = Self.settings()
      try Testbed.run(settings) { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let address = try #require(IPAddress("45.11.0.11"))
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        let connection = try Socket(streamTo: "45.11.0.11", 443, from: bed.client)
        let worker = try bed.sluice.bridge
        Processes.signal(worker, SIGSTOP)
        let text = settings.policies.replacing("  - uploads.github.com\n", with: "")
        try Data(text.utf8).write(to: bed.sluice.policyFile)
        bed.sluice.signal(SIGHUP)
        // The bridge is asked to close it only when another policy decides.
        try eventually("the new policy decides") {
          try bed.dig("uploads.github.com", "A", "+time=1", "+tries=1").status == "NXDOMAIN"
        }
        Processes.signal(worker, SIGKILL)
        try eventually("it is closed") { try !kernel.holds(address) }
        try eventually("the connection is cut") { !connection.isAlive() }
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try lost(bed, "revocations") == 0)
      }
    }

    @Test("an eviction that a worker dies over is carried out by the next one")
    func evictedLater() throws {
      var settings = Self.settings()
      settings.policies = TestbedSettings.standardPolicies
      for index in 0..<40 {
        settings.records += "v\(index).bulk.net. 0 IN A \(TestbedSettings.address(0x2000 + index))\n"
      }
      settings.configuration += "firewall: { max-elements-per-server: 16 }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        for index in 0..<16 { #expect(try bed.dig("v\(index).bulk.net", "A").status == "NOERROR") }
        // The answers are over, a second after their time to live; what they opened is not.
        try eventually("room can be made") { try bed.dig("v16.bulk.net", "A").status == "NOERROR" }
        let worker = try bed.sluice.bridge
        Processes.signal(worker, SIGSTOP)
        #expect(try bed.dig("v17.bulk.net", "A").status == "SERVFAIL")
        Processes.signal(worker, SIGKILL)
        try eventually("answers come again", within: 20) { try bed.dig("v18.bulk.net", "A").status == "NOERROR" }
        try eventually("the kernel holds what is granted, and no more") {
          let open = try Set(
            (0..<40).map { TestbedSettings.address(0x2000 + $0) }.filter { try kernel.holds(#require(IPAddress($0))) })
          let lines = try bed.sluice.command("grants", "--json").lines
          let granted = try lines.compactMap {
            (try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])?["address"] as? String
          }
          return open.count <= 16 && open == Set(granted)
        }
        #expect(try lost(bed, "evictions") == 0)
      }
    }

    @Test("however often servers come and go, the firewall holds those that are there, and none inherits anything")
    func numbersGivenBack() throws {
      var settings = TestbedSettings()
      settings.policies = Self.policy(of: "mcp-0", "api.github.com")
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        for index in 1...8 {
          let before = bed.sluice.errors.split(separator: "is in force").count
          let name = index % 2 == 0 ? "api.github.com" : "uploads.github.com"
          try Data(Self.policy(of: "mcp-\(index)", name).utf8).write(to: bed.sluice.policyFile)
          bed.sluice.signal(SIGHUP)
          try eventually("the policy is in force") { bed.sluice.errors.split(separator: "is in force").count > before }
          let (own, other) = index % 2 == 0 ? ("45.11.0.10", "45.11.0.11") : ("45.11.0.11", "45.11.0.10")
          #expect(try !bed.connects(own) && !bed.connects(other), "nothing is inherited by mcp-\(index)")
          #expect(try bed.dig(name, "A").values == [own])
          #expect(try bed.connects(own) && !bed.connects(other))
          let sets = try bed.nft("list sets").split(separator: "\n").filter { $0.contains("set mcp-") }
          let owners = Set(sets.compactMap { $0.split(separator: "-").dropFirst().first })
          #expect(owners.count <= 3, "\(owners)")
        }
      }
    }

    private static func policy(of server: String, _ name: String) -> String {
      "server: \(server)\nnetworks: [ 10.77.1.0/24, \"fd00:77:1::/64\" ]\negress:\n  - \(name)\n"
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

    @Test("what is denied is closed to names, networks and permits, and a reload that denies cuts what is open")
    func denied() throws {
      var settings = TestbedSettings()
      settings.configuration += "always-deny: [ \"**.vendor.net\" ]\n"
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24 ]
        egress:
          - "*.github.com"
          - { cidr: 45.11.0.64/29 }
        deny: [ uploads.github.com, { cidr: 45.11.0.67/32 } ]

        """
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let answer = try bed.dig("uploads.github.com", "A")
        #expect(answer.status == "NXDOMAIN" && answer.text.contains("github-mcp: denied"), "\(answer.text)")
        let refused = try bed.sluice.command(
          "allow", "give", "--server", "github-mcp", "--name", "www.vendor.net", "--for", "10m", "--reason", "try")
        #expect(refused.status == 1 && (refused.text + refused.errors).contains("layer always-deny"), "\(refused)")
        let (named, fixed) = (
          try Socket(streamTo: "45.11.0.10", 443, from: bed.client),
          try Socket(streamTo: "45.11.0.66", 443, from: bed.client)
        )
        #expect(try !bed.connects("45.11.0.67"))
        var event: [String: Any] = [:]
        try eventually("an event of the refused packet") {
          event = try bed.sluice.events().first { $0["code"] as? String == "denied-address" } ?? [:]
          return !event.isEmpty
        }
        #expect((event["rule"] as? String)?.hasSuffix(".yaml:6") == true && event["address"] as? String == "45.11.0.67")
        let before = bed.sluice.errors.split(separator: "is in force").count
        let more = settings.policies.replacing("deny: [", with: "deny: [ api.github.com, { cidr: 45.11.0.66/32 },")
        try Data(more.utf8).write(to: bed.sluice.policyFile)
        bed.sluice.signal(SIGHUP)
        try eventually("the policy is in force") { bed.sluice.errors.split(separator: "is in force").count > before }
        try eventually("both connections are cut") { !named.isAlive() && !fixed.isAlive() }
        #expect(try !bed.connects("45.11.0.10") && !bed.connects("45.11.0.66") && bed.connects("45.11.0.65"))
        #expect(try bed.dig("api.github.com", "A").status == "NXDOMAIN")
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
