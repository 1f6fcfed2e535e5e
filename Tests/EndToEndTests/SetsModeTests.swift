import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("A table of the user's own", .timeLimit(.minutes(8)))
  struct SetsModeTests {
    private static let settings: TestbedSettings = {
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.configuration += "firewall: { mode: sets, table: inet filter-mcp }\n"
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
        egress:
          - api.github.com
          - uploads.github.com
          - onlya.github.com

        """
      return settings
    }()

    private static let ports4 = "github-mcp-4 { type ipv4_addr . inet_proto . inet_service ; flags timeout ; }"
    private static let ports6 = "github-mcp-6 { type ipv6_addr . inet_proto . inet_service ; flags timeout ; }"

    /// The user's table with these sets, and rules that let nothing through but what is in the first two.
    private func makeTable(_ bed: Testbed, sets: [String] = [ports4, ports6]) throws {
      let forward = "inet filter-mcp forward"
      _ = try bed.nft("add table inet filter-mcp")
      for set in sets {
        _ = try bed.nft("add set inet filter-mcp \(set)")
      }
      _ = try bed.nft("add chain \(forward) { type filter hook forward priority 0 ; }")
      _ = try bed.nft("add rule \(forward) ct state established,related accept")
      if sets == [Self.ports4, Self.ports6] {
        _ = try bed.nft("add rule \(forward) ip daddr . meta l4proto . th dport @github-mcp-4 accept")
        _ = try bed.nft("add rule \(forward) ip6 daddr . meta l4proto . th dport @github-mcp-6 accept")
      }
      _ = try bed.nft("add rule \(forward) iifname br-mcp reject")
    }

    private func elements(_ bed: Testbed, _ set: String = "github-mcp-4") throws -> [String: Bool] {
      let text = try Command.must("nft list set inet filter-mcp \(set)", in: bed.host)
      guard let list = text.split(separator: "elements = {").dropFirst().first?.prefix(while: { $0 != "}" }) else {
        return [:]
      }
      var isTimed: [String: Bool] = [:]
      for element in list.split(separator: ",") {
        guard let address = element.split(whereSeparator: \.isWhitespace).first else { continue }
        isTimed[String(address)] = element.contains("expires")
      }
      return isTimed
    }

    // MARK: - The examples

    private func run(_ example: String) throws {
      let output = try Command.run(
        ["\(Machine.repository)/Examples/sets/\(example)/run"], within: 240,
        environment: ["SLUICE_EXECUTABLE": try #require(Machine.executable)])
      #expect(output.status == 0, "\(output.text)\n\(output.errors)")
      #expect(output.text.contains("== all outcomes seen"))
      let named = try #require(output.lines.first { $0.hasPrefix("they are named ") })
      let names = named.split(separator: " ").dropFirst(3)
      // Others may run examples at the same time.
      let left = try Command.must("ip netns list").split(whereSeparator: \.isWhitespace)
      #expect(names.count == 3 && Set(names).isDisjoint(with: left))
    }

    @Test("the example with nftables alone")
    func nftables() throws {
      try run("nftables")
    }

    @Test("the example with DOCKER-USER", .enabled(if: Machine.has("iptables"), "needs iptables"))
    func dockerUser() throws {
      try run("docker-user")
    }

    @Test(
      "the example with firewalld",
      .enabled(if: Machine.has("firewalld") && Machine.has("dbus-daemon"), "needs firewalld and dbus"))
    func firewalld() throws {
      try run("firewalld")
    }

    // MARK: - What is refused

    struct Refusal: CustomTestStringConvertible, Sendable {
      var testDescription: String
      var sets: [String]?
      var error: String
      var egress = "api.github.com"
    }

    static let refusals = [
      Refusal(
        testDescription: "no table", sets: nil,
        error: "table inet filter-mcp holds neither set github-mcp-4 nor github-mcp-6"),
      Refusal(
        testDescription: "no set", sets: [],
        error: "table inet filter-mcp holds neither set github-mcp-4 nor github-mcp-6"),
      Refusal(
        testDescription: "another element type",
        sets: ["github-mcp-4 { type ipv4_addr . inet_service ; flags timeout ; }", ports6],
        error: "table inet filter-mcp: set github-mcp-4 has another element type than "
          + "ipv4_addr . inet_proto . inet_service, and it is no set of plain addresses either"),
      Refusal(
        testDescription: "another element type over IPv6",
        sets: [ports4, "github-mcp-6 { type ipv4_addr ; flags timeout ; }"],
        error: "table inet filter-mcp: set github-mcp-6 has another element type than "
          + "ipv6_addr . inet_proto . inet_service, and it is no set of plain addresses either"),
      Refusal(
        testDescription: "an interval set",
        sets: ["github-mcp-4 { type ipv4_addr . inet_proto . inet_service ; flags interval, timeout ; }", ports6],
        error: "table inet filter-mcp: set github-mcp-4 is a map, a constant set or an interval set; expected a plain "
          + "set with flags timeout"),
      Refusal(
        testDescription: "an interval set of plain addresses",
        sets: ["github-mcp-4 { type ipv4_addr ; flags interval, timeout ; }", ports6],
        error: "table inet filter-mcp: set github-mcp-4 is a map, a constant set or an interval set; expected a plain "
          + "set with flags timeout"),
      Refusal(
        testDescription: "no flags timeout",
        sets: ["github-mcp-4 { type ipv4_addr . inet_proto . inet_service ; }", ports6],
        error: "table inet filter-mcp: set github-mcp-4 lacks flags timeout"),
      Refusal(
        testDescription: "no flags timeout with plain addresses", sets: ["github-mcp-4 { type ipv4_addr ; }", ports6],
        error: "table inet filter-mcp: set github-mcp-4 lacks flags timeout"),
      Refusal(
        testDescription: "no set for a rule with any port", sets: [ports4, ports6],
        error: "table inet filter-mcp lacks set github-mcp-4-any, which a rule with ports: any needs",
        egress: "{ host: api.github.com, ports: any }"),
    ]

    @Test("what cannot be fed is refused with a precise error and status 1", arguments: refusals)
    func refused(_ refusal: Refusal) throws {
      var settings = Self.settings
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
        egress: [ \(refusal.egress) ]

        """
      try Testbed.run(settings) { (bed: Testbed) throws in
        if let sets = refusal.sets { try makeTable(bed, sets: sets) }
        let before = try bed.nft("list ruleset")
        try bed.sluice.writeConfiguration()
        let output = try bed.sluice.command("serve")
        #expect(output.status == 1)
        #expect(
          output.errors.split(separator: "\n").contains { $0.contains(refusal.error) }, "\(output.errors)")
        #expect(try bed.nft("list ruleset") == before, "nothing is changed")
      }
    }

    @Test("sets of other flags and sizes, and a set for one family only, are fed")
    func accepted() throws {
      try Testbed.run(Self.settings) { (bed: Testbed) throws in
        try makeTable(bed, sets: ["github-mcp-4 { type ipv4_addr ; size 100 ; flags timeout, dynamic ; counter ; }"])
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try elements(bed) == ["45.11.0.10": true])
        let other = try bed.dig("api.github.com", "AAAA")
        #expect(other.status == "NOERROR" && other.values.isEmpty, "no place for an address: \(other.text)")
        let explained = try bed.sluice.command("explain", "github-mcp", "api.github.com", "AAAA")
        #expect(explained.text.contains("NODATA: the firewall has no set for IPv6 addresses"), "\(explained.text)")
      }
    }

    // MARK: - While serving

    @Test("the user's table deleted: SERVFAIL and an event, and answers again when it is back")
    func deletedTable() throws {
      try Testbed.run(Self.settings) { (bed: Testbed) throws in
        try makeTable(bed)
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try bed.connects("45.11.0.10"))
        #expect(try !bed.connects("45.11.0.66"))

        _ = try bed.nft("delete table inet filter-mcp")
        try eventually("the event") { try has(bed, "enforcement-degraded") }
        for name in ["api.github.com", "uploads.github.com"] {
          let answer = try bed.dig(name, "A")
          #expect(answer.status == "SERVFAIL" && answer.values.isEmpty, "\(name): \(answer.text)")
        }
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN", "denials need no firewall")
        // Nothing of the user's is made by Sluice, however long it takes.
        usleep(3_000_000)
        #expect(try !bed.nft("list tables").contains("filter-mcp"))
        #expect(try bed.dig("onlya.github.com", "A").status == "SERVFAIL")
        #expect(try !has(bed, "enforcement-restored"), "nothing is restored while the table is missing")
        #expect(bed.sluice.isRunning)

        try makeTable(bed)
        try eventually("answers again", within: 20) { try bed.dig("api.github.com", "A").values == ["45.11.0.10"] }
        #expect(try elements(bed)["45.11.0.10"] == true)
        #expect(try bed.connects("45.11.0.10"))
        #expect(try !bed.connects("45.11.0.66"))
        try eventually("the end of the incident") { try has(bed, "enforcement-restored") }
        #expect(try bed.dig("uploads.github.com", "A").values == ["45.11.0.11"])
      }
    }

    private func has(_ bed: Testbed, _ code: String) throws -> Bool {
      try bed.sluice.events().contains { $0["code"] as? String == code }
    }

    @Test("the user's permanent elements stay at start; a timed one that has no name does not")
    func permanentElements() throws {
      try Testbed.run(Self.settings) { (bed: Testbed) throws in
        try makeTable(bed)
        for element in ["45.11.0.66 . tcp . 443", "45.11.0.67 . tcp . 443 timeout 1h"] {
          _ = try bed.nft("add element inet filter-mcp github-mcp-4 { \(element) }")
        }
        try bed.sluice.start()
        try eventually("a timed element that has no name is removed") { try elements(bed)["45.11.0.67"] == nil }
        #expect(try elements(bed) == ["45.11.0.66": false])
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try elements(bed) == ["45.11.0.66": false, "45.11.0.10": true])
        #expect(try bed.connects("45.11.0.66"))

        try revoke("api.github.com", bed)
        try eventually("what is not listed any more is closed") { try elements(bed)["45.11.0.10"] == nil }
        bed.sluice.signal(SIGTERM)
        #expect(try bed.sluice.status() == 0)
        try bed.sluice.startAgain()
        #expect(try elements(bed) == ["45.11.0.66": false])
      }
    }

    @Test("a permanent element of the user's stays when its name is asked for and revoked")
    func answeredPermanentElement() throws {
      try Testbed.run(Self.settings) { (bed: Testbed) throws in
        try makeTable(bed)
        _ = try bed.nft("add element inet filter-mcp github-mcp-4 { 45.11.0.10 . tcp . 443 }")
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        let answered = try elements(bed)
        try revoke("api.github.com", bed)
        try eventually("the new policy is in force") { try bed.dig("api.github.com", "A").status == "NXDOMAIN" }
        let revoked = try elements(bed)
        #expect(answered == ["45.11.0.10": false])
        #expect(revoked == ["45.11.0.10": false])
      }
    }

    /// Two names with one address: listed with port 443 and an hour's TTL, and with port 80 and a minute's.
    private static let shared: TestbedSettings = {
      var shared = settings
      shared.records = "api.github.com. 3600 IN A 45.11.0.10\nuploads.github.com. 60 IN A 45.11.0.10\n"
      shared.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
        egress:
          - api.github.com
          - { host: uploads.github.com, ports: [ 80/tcp ] }

        """
      return shared
    }()

    private static let plain4 = "github-mcp-4 { type ipv4_addr ; flags timeout ; }"

    @Test("sets of plain addresses: what one name's revocation leaves to another is still open")
    func revokedSharedAddress() throws {
      try Testbed.run(Self.shared) { (bed: Testbed) throws in
        try makeTable(bed, sets: [Self.plain4])
        try bed.sluice.start()
        for name in ["api.github.com", "uploads.github.com"] {
          #expect(try bed.dig(name, "A").values == ["45.11.0.10"])
        }
        let fewer = Self.shared.policies.replacing("  - { host: uploads.github.com, ports: [ 80/tcp ] }\n", with: "")
        try Data(fewer.utf8).write(to: bed.sluice.policyFile)
        bed.sluice.signal(SIGHUP)
        try eventually("the new policy is in force") { try bed.dig("uploads.github.com", "A").status == "NXDOMAIN" }
        usleep(500_000)
        let left = try elements(bed)
        #expect(left == ["45.11.0.10": true], "api.github.com still holds it")
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try elements(bed) == ["45.11.0.10": true], "answered, and so open")
      }
    }

    @Test("sets of plain addresses: an answer of a shorter life takes nothing from a longer one")
    func shortenedSharedAddress() throws {
      try Testbed.run(Self.shared) { (bed: Testbed) throws in
        try makeTable(bed, sets: [Self.plain4])
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try bed.nft("list set inet filter-mcp github-mcp-4").contains("expires 59m"))
        #expect(try bed.dig("uploads.github.com", "A").values == ["45.11.0.10"])
        let answer = try bed.dig("api.github.com", "A")
        #expect((answer.records.first?.ttl ?? 0) > 3_000)
        let set = try bed.nft("list set inet filter-mcp github-mcp-4")
        #expect(set.contains("expires 59m"), "\(set)")
      }
    }

    private func revoke(_ name: String, _ bed: Testbed) throws {
      try Data(Self.settings.policies.replacing("  - \(name)\n", with: "").utf8).write(to: bed.sluice.policyFile)
      bed.sluice.signal(SIGHUP)
    }
  }
}
