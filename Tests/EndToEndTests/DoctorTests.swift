import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("What doctor finds", .timeLimit(.minutes(5)))
  struct DoctorTests {
    private struct Found: Decodable, Equatable {
      var severity: String
      var kind: String?
      var area: String
      var text: String
      var remedy: String?
    }

    private func doctor(_ bed: Testbed) throws -> (status: Int32, findings: [Found]) {
      let output = try bed.sluice.command("doctor", "--json", "--docker", "/nowhere/docker.sock")
      return (output.status, try output.lines.map { try JSONDecoder().decode(Found.self, from: Data($0.utf8)) })
    }

    @Test("a network of Podman's whose name server wants an address of serve's is named; one without DNS is left alone")
    func podman() throws {
      try Testbed.run { (bed: Testbed) throws in
        let networks = bed.folder.appending(path: "networks")
        try FileManager.default.createDirectory(at: networks, withIntermediateDirectories: true)
        func write(_ name: String, _ gateway: String, dns: Bool) throws {
          let text = """
            {"name": "\(name)", "id": "1", "driver": "bridge", "network_interface": "\(name)0", "ipv6_enabled": false,
             "subnets": [{"subnet": "10.77.1.0/24", "gateway": "\(gateway)"}], "dns_enabled": \(dns)}
            """
          try Data(text.utf8).write(to: networks.appending(path: "\(name).json"))
        }
        func found() throws -> [String] {
          let output = try bed.sluice.command(
            "doctor", "--json", "--docker", "/nowhere/docker.sock", "--podman", networks.path)
          let findings = try output.lines.map { try JSONDecoder().decode(Found.self, from: Data($0.utf8)) }
          return findings.filter { $0.area == "podman" }.map { "\($0.severity): \($0.text.prefix { $0 != ":" })" }
        }
        try write("quiet", "10.77.1.1", dns: false)
        try write("elsewhere", "10.88.0.1", dns: true)
        #expect(try found() == [])
        try write("agents", "10.77.1.1", dns: true)
        #expect(try found() == ["serious: network agents has DNS of its own"])
      }
    }

    /// Finds a kind, has done by `deed` what the advice says in these words, and sees it gone.
    private func follow(
      _ kind: String, _ bed: Testbed, says: String, of seen: [Found]? = nil, by deed: () throws -> Void
    ) throws {
      let found = try seen ?? doctor(bed).findings
      let finding = try #require(found.first { $0.kind == kind }, "\(kind): \(found)")
      #expect(finding.remedy?.contains(says) == true, "\(finding)")
      try deed()
      try eventually("\(kind) is gone") { try !doctor(bed).findings.contains(finding) }
    }

    /// Finds a kind, does what is advised, word for word up to what may be done instead, and sees it gone.
    private func follow(_ kind: String, _ bed: Testbed) throws {
      let found = try doctor(bed).findings
      let finding = try #require(found.first { $0.kind == kind }, "\(kind): \(found)")
      let executable = try #require(Machine.executable)
      let advice = try #require(finding.remedy?.split(separator: ", or ").first)
      let command = advice.hasPrefix("sluice ") ? executable + advice.dropFirst("sluice".count) : String(advice)
      let output = try Command.run(["sh", "-c", command], in: bed.host)
      #expect(output.status == 0, "\(command): \(output.errors)")
      let left = try doctor(bed).findings
      #expect(!left.contains { $0 == finding }, "\(command): \(left)")
    }

    @Test("what doctor advises for files, the machine and the server mends it when it is done word for word")
    func advice() throws {
      var settings = TestbedSettings()
      settings.policies += "---\nserver: guest\nnetworks: [ 10.77.9.0/24 ]\negress: []\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        _ = unsafe chmod(bed.sluice.policyFile.path, 0o666)
        try follow("file-writable", bed)
        _ = unsafe chown(bed.sluice.policyFile.path, 1234, 0)
        try follow("file-owner", bed)
        _ = unsafe chmod(bed.sluice.auditFile, 0o644)
        try follow("log-readable", bed)
        let folder = bed.folder.path
        _ = unsafe chown(folder, 0, 0)
        #expect(try doctor(bed).findings.contains { $0.kind == "control-folder" })
        try follow("log-folder", bed)
        _ = unsafe chown(folder, 0, 0)
        try follow("control-folder", bed)
        bed.sluice.stop()
        #expect(!FileManager.default.fileExists(atPath: bed.folder.appending(path: "control.sock").path))
        try bed.sluice.startAgain()
        try bed.host.must("sysctl -q -w net.ipv4.ip_forward=0")
        try follow("forwarding-off", bed)

        let text = settings.policies.replacing("  - uploads.github.com\n", with: "")
        try Data(text.utf8).write(to: bed.sluice.policyFile)
        try follow("policy-differs", bed)

        try Data("server: a\n".utf8).write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("check").status == 1)
        try follow("configuration-error", bed, says: "`sluice check` prints all") {
          try Data(settings.policies.utf8).write(to: bed.sluice.policyFile)
        }
        let list = bed.folder.appending(path: "state/bridge/networks.sluice")
        let networks = try Data(contentsOf: list)
        try (networks + Data("no network\n".utf8)).write(to: list)
        try follow("network-list", bed, says: "or take the line out") { try networks.write(to: list) }

        let configuration = URL(filePath: bed.sluice.configurationFile)
        let lines = try String(contentsOf: configuration, encoding: .utf8)
        try Data("\(lines)\nfirewall: { mode: off }\n".utf8).write(to: configuration)
        try follow("firewall-off", bed, says: "set firewall.mode to managed") {
          try Data("\(lines)\nfirewall: { mode: managed }\n".utf8).write(to: configuration)
        }
        let further = lines.replacing("listen: [", with: "listen: [ 10.77.9.1,")
        #expect(further != lines)
        try Data(further.utf8).write(to: configuration)
        try follow("listen-absent", bed, says: "docker network create --gateway 10.77.9.1 …") {
          try bed.host.ip("link add br-guest type bridge")
          try bed.host.ip("address add 10.77.9.1/24 dev br-guest")
        }
        try Data(lines.utf8).write(to: configuration)
      }
    }

    @Test(
      "one wrong digit in networks is told by check, at the start, when a client asks, and by doctor until it is right")
    func wrongDigit() throws {
      var settings = TestbedSettings()
      settings.listen = "[ 10.77.1.1 ]"
      // Nothing else of a server lies behind the client's bridge, which would close it.
      settings.policies = "server: github-mcp\nnetworks: [ 10.99.1.0/24 ]\negress: [ api.github.com ]\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        let told = "10.77.1.1 is in no server's network"
        #expect(bed.sluice.errors.contains("listen: \(told)") && bed.sluice.errors.contains("10.99.1.0/24"))
        #expect(try bed.sluice.command("check").errors.contains(told))
        _ = try bed.dig("api.github.com", "A")
        try eventually("the client's question is told") {
          bed.sluice.errors.contains("of clients that no policy knows: they get no name")
        }
        try follow("listen-outside", bed, says: "instead of 10.99.1.0/24") {
          try Data(TestbedSettings.standardPolicies.utf8).write(to: bed.sluice.policyFile)
        }
        #expect(try bed.sluice.command("reload").status == 0)
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
      }
    }

    @Test("an interface that is not the network's bridge is told by check, serve, status and doctor until it is right")
    func displaced() throws {
      var settings = TestbedSettings()
      settings.policies = TestbedSettings.standardPolicies.replacing(
        "server: github-mcp\n", with: "server: github-mcp\ninterface: br-wrong\n")
      try Testbed.run(settings) { (bed: Testbed) throws in
        let told = "network 10.77.1.0/24 of github-mcp lies behind br-mcp, and its policy pins br-wrong"
        try eventually("serve tells it") { bed.sluice.errors.contains("warning: \(told)") }
        #expect(try bed.sluice.command("check").errors.contains(told))
        let shown = "displaced 10.77.1.0/24 (github-mcp) behind br-mcp: its policy names br-wrong"
        #expect(try bed.sluice.command("status").text.contains(shown))
        try follow("network-elsewhere", bed, says: "interface: br-mcp in the policy") {
          let text = settings.policies.replacing("br-wrong", with: "br-mcp")
          try Data(text.utf8).write(to: bed.sluice.policyFile)
        }
        #expect(try bed.sluice.command("reload").status == 0)
        try eventually("a name is answered") { try bed.dig("api.github.com", "A").status == "NOERROR" }
      }
    }

    @Test("a host in order has nothing serious; each fault is found, with what mends it")
    func host() throws {
      try Testbed.run { (bed: Testbed) throws in
        let good = try doctor(bed)
        #expect(good.status == 0 && good.findings.allSatisfy { $0.severity != "serious" }, "\(good.findings)")
        #expect(good.findings.contains { $0.area == "table" && $0.severity == "ok" })
        #expect(good.findings.contains { $0.area == "server" && $0.severity == "ok" })

        _ = unsafe chmod(bed.sluice.policyFile.path, 0o666)
        _ = unsafe chmod(bed.sluice.auditFile, 0o644)
        let text = TestbedSettings.standardPolicies.replacing("  - uploads.github.com\n", with: "")
        try Data(text.utf8).write(to: bed.sluice.policyFile)
        let modes = try doctor(bed)
        #expect(modes.status == 1)
        let serious = try #require(modes.findings.first { $0.severity == "serious" })
        #expect(serious.area == "files" && serious.remedy == "chmod go-w \(bed.sluice.policyFile.path)")
        #expect(modes.findings.contains { $0.severity == "warning" && $0.text.contains("the audit log") })
        #expect(modes.findings.contains { $0.severity == "warning" && $0.text.contains("another policy is in force") })
        _ = unsafe chmod(bed.sluice.policyFile.path, 0o644)

        // Nothing mends the table while the worker stands still.
        let worker = try bed.sluice.bridge
        kill(worker, SIGSTOP)
        defer { kill(worker, SIGCONT) }
        _ = try bed.nft("add rule inet sluice github-mcp accept")
        let table = try doctor(bed)
        #expect(table.status == 1)
        #expect(table.findings.contains { $0.severity == "serious" && $0.area == "table" })
        // Its supervisor does not let it stand for long: what was seen is what is followed.
        try follow("table-differs", bed, says: "a running sluice puts it right", of: table.findings) {
          kill(worker, SIGCONT)
        }
        try eventually("the table is mended") { try doctor(bed).status == 0 }

        bed.sluice.stop()
        let stopped = try doctor(bed)
        #expect(stopped.status == 1)
        #expect(stopped.findings.contains { $0.severity == "serious" && $0.text.contains("nobody serves") })
        _ = try bed.nft("delete table inet sluice")
        // Without the table nothing is said to be closed.
        #expect(try !doctor(bed).findings.contains { $0.text.contains("nothing passes") })
        try follow("table-absent", bed)
        #expect(try doctor(bed).findings.contains { $0.area == "table" && $0.text.contains("nothing passes") })
        try follow("server-absent", bed, says: "sluice serve --config \(bed.sluice.configurationFile)") {
          try bed.sluice.startAgain()
        }

        try Data("server: a\nnetworks: [ x ]\negress: []\n".utf8).write(to: bed.sluice.policyFile)
        let broken = try doctor(bed)
        #expect(broken.status == 1 && broken.findings.first?.area == "configuration")
        let running = broken.findings.first { $0.area == "server" }
        #expect(running?.severity == "ok" && running?.text.contains("serving since") == true, "\(broken.findings)")
      }
    }
  }
}
