import DNSWire
import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("Commands", .timeLimit(.minutes(3)))
  struct CommandTests {
    @Test("check prints every error of every file with line and column, and exits with 1")
    func check() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.configuration = "wrokers: 2\nfirewall: { deadline: soon }\n"
      settings.policies = "server: github-mcp\nnetworks: [ 10.77.1.1/24 ]\negress: [ \"**.com\" ]\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let output = try bed.sluice.command("check")
        #expect(output.status == 1)
        for words in ["sluice.yaml:7:1", "sluice.yaml:8:", "policies.yaml:2:", "policies.yaml:3:"] {
          #expect(output.errors.contains(words), "\(words) in \(output.errors)")
        }
      }
    }

    @Test("check reports a broken zone with file and line")
    func brokenZone() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.zones = ["lan.zone": "lan. 60 IN SOA a. b. 1 2 3 4 5\nx.lan. 60 IN A 1.2.3\n"]
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let output = try bed.sluice.command("check")
        #expect(output.status == 1)
        #expect(output.errors.contains("lan.zone:2"))
      }
    }

    @Test("check accepts what serve accepts, and shows the effective policy")
    func effective() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let output = try bed.sluice.command("check", "--effective")
        #expect(output.status == 0, "\(output.errors)")
        #expect(output.text.contains("api.github.com"))
        #expect(output.errors.contains("udp://"), "an upstream without authentication is warned about")
      }
    }

    @Test("explain names the rule that decides, without a running server")
    func explain() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let listed = try bed.sluice.command("explain", "10.77.1.2", "n1.bulk.net")
        #expect(listed.status == 0)
        #expect(listed.text.contains("policies.yaml:13"), "\(listed.text)")
        #expect(listed.text.contains("443/tcp"))
        let denied = try bed.sluice.command("explain", "github-mcp", "evil.example.com", "AAAA")
        #expect(denied.status == 0)
        #expect(denied.text.contains("NXDOMAIN"), "\(denied.text)")
      }
    }

    @Test("the static ruleset is printed, installed and removed")
    func firewall() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        #expect(try bed.sluice.command("firewall", "print").text.contains("github-mcp-4"))
        #expect(try bed.sluice.command("firewall", "install").status == 0)
        #expect(try bed.nft("list table inet sluice").contains("set github-mcp-6"))
        #expect(try !bed.connects("45.11.0.66"), "default drop before anything serves")
        #expect(try bed.sluice.command("firewall", "remove").status == 0)
        #expect(try !bed.nft("list tables").contains("sluice"))
        #expect(try bed.connects("45.11.0.66"))
      }
    }

    @Test("the log is filtered by server, decision and name, as lines for people or as they are")
    func log() throws {
      try Testbed.run { (bed: Testbed) throws in
        _ = try bed.dig("evil.example.com", "A")
        _ = try bed.dig("worse.example.org", "A", "-b", "10.77.1.200")
        _ = try bed.dig("api.github.com", "A")
        _ = try bed.sluice.event(of: "worse.example.org")
        _ = try bed.sluice.event(of: "api.github.com", decision: "allow")
        let denied = try bed.sluice.command("log", "--decision", "block")
        #expect(denied.status == 0)
        #expect(denied.lines.contains { $0.contains("evil.example.com") && $0.contains("github-mcp") })
        #expect(!denied.text.contains("api.github.com"))
        let other = try bed.sluice.command("log", "--server", "other-mcp", "--json")
        #expect(other.lines.count == 1)
        #expect(other.text.hasPrefix("{\"ts\":\""))
        let named = try bed.sluice.command("log", "--name", "*.example.org").text
        #expect(named.contains("worse.example.org") && !named.contains("evil.example.com"))
        let mode = try FileManager.default.attributesOfItem(atPath: bed.sluice.auditFile)[.posixPermissions] as? Int
        #expect(mode == 0o600)
      }
    }

    @Test("log --follow prints events as they come, and goes on after a rotation")
    func follow() throws {
      try Testbed.run { (bed: Testbed) throws in
        let executable = try #require(Machine.executable)
        let follower = try RunningCommand(
          [executable, "log", "--follow", "--json", "--config", bed.sluice.configurationFile], in: bed.host,
          folder: bed.folder)
        defer { follower.signal(SIGKILL) }
        _ = try bed.dig("one.example.com", "A")
        try eventually("the first event is printed") { follower.output.contains("one.example.com") }
        try FileManager.default.moveItem(atPath: bed.sluice.auditFile, toPath: bed.sluice.auditFile + ".1")
        bed.sluice.signal(SIGHUP)
        try eventually("the log is reopened") { FileManager.default.fileExists(atPath: bed.sluice.auditFile) }
        _ = try bed.dig("two.example.com", "A")
        try eventually("the event after the rotation is printed") { follower.output.contains("two.example.com") }
        follower.signal(SIGTERM)
        _ = try follower.status(within: 5)
      }
    }

    @Test("names of any octets make one line of JSON each, escaped")
    func escapes() throws {
      try Testbed.run { (bed: Testbed) throws in
        let socket = try bed.socket()
        let label: [UInt8] = [0, 10, 13, 27, 34, 92, 46, 255]
        #expect(socket.ask(Question(labels: [label, Array("com".utf8)]), id: 1)?.code == .NXDOMAIN)
        let event = try bed.sluice.event(of: #"\000\010\013\027\"\\\.\255.com"#)
        #expect(event["count"] as? Int == 1)
        let line = try Command.run(["jq", "-c", ".destination", bed.sluice.auditFile]).text
        #expect(line.contains(#"\\000\\010"#))
      }
    }
  }
}
