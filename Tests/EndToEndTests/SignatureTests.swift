import Foundation
import Glibc
import TestSupport
import Testing

extension EndToEnd {
  /// Zones that ldns-signzone signed, served by nsd: the root, `signed.example`, and `plain.signed.example`, which does not sign.
  @Suite("Signatures", .timeLimit(.minutes(2)))
  struct SignatureTests {
    private static let server = "192.0.2.53"

    private static func settings() -> TestbedSettings {
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.upstreams = "[ udp://\(server) ]"
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24 ]
        dnssec: require
        egress:
          - "*.signed.example"
          - { host: www.plain.signed.example, dnssec: require }
          - { host: api.plain.signed.example, dnssec: verify }
          - { host: off.bad, dnssec: off }

        """
      settings.configuration += "trust-anchors: root.ds\n"
      return settings
    }

    private func sign(_ zone: String, _ records: String, _ bed: Testbed) throws -> String {
      let file = zone == "." ? "root" : zone
      let text =
        "$ORIGIN \(zone)\n$TTL 60\n@ SOA ns.signed.example. h.signed.example. 1 3600 600 86400 60\n@ NS ns.signed.example.\n"
        + records
      try Data(text.utf8).write(to: bed.folder.appending(path: "\(file).zone"))
      return try Kernel.run(
        "cd \(bed.folder.path) && key=$(ldns-keygen -r /dev/urandom -a ECDSAP256SHA256 -k \(zone)) && "
          + "ldns-signzone -n -t 0 -o \(zone) -f \(file).signed \(file).zone $key && cat $key.ds")
    }

    private func startZones(_ bed: Testbed) throws -> RunningCommand {
      try bed.internet.ip("address add \(Self.server)/24 dev eth0")
      let child = try sign(
        "signed.example.",
        "ns A \(Self.server)\nwww A 45.11.0.20\ncold A 45.11.0.21\nforged A 45.11.0.22\nto CNAME api.plain\n"
          + (0..<8).map { "n\($0) A 45.11.0.3\($0)\n" }.joined() + "plain NS ns.signed.example.\n", bed)
      let root = try sign(
        ".",
        "signed.example NS ns.signed.example.\nns.signed.example A \(Self.server)\n\(child)\noff.bad A 45.11.0.29\n",
        bed)
      try Data(root.utf8).write(to: bed.folder.appending(path: "root.ds"))
      // As a forger changes it: what is signed is another address.
      try Kernel.run("sed -i 's/45.11.0.22$/45.11.0.66/' \(bed.folder.path)/signed.example..signed")
      let plain =
        "$ORIGIN plain.signed.example.\n$TTL 60\n@ SOA ns.signed.example. h.signed.example. 1 3600 600 86400 60\n@ NS ns.signed.example.\n"
      try Data((plain + "www A 45.11.0.23\napi A 45.11.0.24\n").utf8)
        .write(to: bed.folder.appending(path: "plain"))
      let zones = [
        (".", "root.signed"), ("signed.example.", "signed.example..signed"), ("plain.signed.example.", "plain"),
      ]
      let configuration = """
        server:
          ip-address: \(Self.server)
          username: ""
          chroot: ""
          zonesdir: "\(bed.folder.path)"
          database: ""
          pidfile: "\(bed.folder.path)/zones.pid"
          xfrdfile: "\(bed.folder.path)/zones.xfrd"
          zonelistfile: "\(bed.folder.path)/zones.list"
          server-count: 1
          rrl-ratelimit: 0
        remote-control:
          control-enable: no

        """ + zones.map { "zone:\n  name: \"\($0.0)\"\n  zonefile: \($0.1)\n" }.joined()
      let file = bed.folder.appending(path: "zones.conf")
      try Data(configuration.utf8).write(to: file)
      let nsd = try RunningCommand(["nsd", "-d", "-c", file.path], in: bed.internet, folder: bed.folder)
      let dig = ["dig", "+short", "+time=1", "+tries=1", "@\(Self.server)", "www.signed.example", "A"]
      try eventually("nsd answers") {
        guard nsd.isRunning else { throw Obstacle("nsd: \(nsd.errors)") }
        return try Command.run(dig, in: bed.internet).text.hasPrefix("45.11.0.20")
      }
      return nsd
    }

    /// The validator's worker, and the process that keeps it.
    private func validator(_ bed: Testbed) throws -> (supervisor: Int32, worker: Int32) {
      let children = Processes.children(of: try bed.sluice.pid)
      let supervisor = try #require(
        try children.first { try Kernel.run("tr '\\0' ' ' < /proc/\($0)/cmdline").contains("validator --supervisor") })
      return (supervisor, try #require(Processes.children(of: supervisor).first))
    }

    @Test(
      "what is signed is answered and opened, what is not, or wrongly, is neither; a dead or standing validator is replaced"
    )
    func signatures() throws {
      try Testbed.run(Self.settings()) { (bed: Testbed) throws in
        let nsd = try startZones(bed)
        defer { nsd.signal(SIGTERM) }
        try bed.sluice.start()
        #expect(try bed.dig("www.signed.example", "A").values == ["45.11.0.20"])
        #expect(try Socket.connects("45.11.0.20", 443, from: bed.client))
        #expect(try bed.dig("nothing.signed.example", "A").status == "NXDOMAIN")
        #expect(try bed.dig("www.signed.example", "AAAA").status == "NOERROR")

        let forged = try bed.dig("forged.signed.example", "A")
        #expect(forged.status == "SERVFAIL" && forged.text.contains("EDE: 6") && forged.values == [])
        let event = try bed.sluice.event(of: "forged.signed.example", decision: "error")
        #expect(event["code"] as? String == "bogus" && event["cause"] as? String == "forged", "\(event)")
        #expect(try !Socket.connects("45.11.0.66", 443, from: bed.client))

        #expect(
          try bed.dig("api.plain.signed.example", "A").values == ["45.11.0.24"],
          "verify takes what is shown to be unsigned")
        #expect(try bed.dig("www.plain.signed.example", "A").status == "SERVFAIL")
        #expect(
          try bed.sluice.event(of: "www.plain.signed.example", decision: "error")["code"] as? String == "insecure")
        #expect(
          try bed.dig("to.signed.example", "A").status == "SERVFAIL", "its chain leads into a zone that does not sign")
        #expect(try !Socket.connects("45.11.0.23", 443, from: bed.client))

        let told = try bed.sluice.command("explain", "github-mcp", "www.signed.example")
        #expect(
          told.text.contains("dnssec") && told.text.contains("require: what is not signed is refused"), "\(told.text)")
        #expect(try bed.sluice.command("status").text.contains("validator up"))

        let first = try validator(bed)
        Processes.signal(first.worker, SIGKILL)
        try eventually("another worker judges") { try bed.dig("cold.signed.example", "A").values == ["45.11.0.21"] }
        let second = try validator(bed)
        #expect(second.supervisor == first.supervisor && second.worker != first.worker)

        Processes.signal(second.worker, SIGSTOP)
        #expect(try bed.dig("n0.signed.example", "A", "+time=5").status == "SERVFAIL")
        #expect(
          try bed.sluice.event(of: "n0.signed.example", decision: "error")["cause"] as? String == "validator-down")
        #expect(try bed.dig("www.signed.example", "A").values == ["45.11.0.20"], "what is in the cache is answered")
        #expect(try bed.dig("off.bad", "A").values == ["45.11.0.29"])
        try eventually("a worker in its place judges") {
          try bed.dig("n1.signed.example", "A").values == ["45.11.0.31"]
        }
        #expect(try bed.sluice.command("status").text.contains("restarted 2 times"))
      }
    }
  }
}
