import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("What doctor finds", .timeLimit(.minutes(5)))
  struct DoctorTests {
    private struct Found: Decodable {
      var severity: String
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
        kill(worker, SIGCONT)
        try eventually("the table is mended") { try doctor(bed).status == 0 }

        bed.sluice.stop()
        let stopped = try doctor(bed)
        #expect(stopped.status == 1)
        #expect(stopped.findings.contains { $0.severity == "serious" && $0.text.contains("nobody serves") })

        try Data("server: a\nnetworks: [ x ]\negress: []\n".utf8).write(to: bed.sluice.policyFile)
        let broken = try doctor(bed)
        #expect(broken.status == 1 && broken.findings.first?.area == "configuration")
      }
    }
  }
}
