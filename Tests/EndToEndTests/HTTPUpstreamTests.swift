import Foundation
import IPNetwork
import TestSupport
import Testing

extension EndToEnd {
  /// Upstreams by HTTPS: a real server, and a serve that is confined.
  @Suite("Upstreams by HTTPS", .timeLimit(.minutes(2)))
  struct HTTPUpstreamTests {
    private static let authority = Result { try TestAuthority() }
    private static let name = "dns.example.net"
    /// Where the real server answers.
    private static let path = "/dns-query"
    private static let port: UInt16 = 8443

    /// dnsdist in front of the testbed's name server.
    private func start(_ identity: TestAuthority.Identity, _ bed: Testbed) throws -> RunningCommand {
      let file = bed.folder.appending(path: "dnsdist.conf")
      let configuration = """
        setACL("0.0.0.0/0")
        newServer({ address = "\(Testbed.upstreamAddress):53", checkInterval = 60, mustResolve = false })
        addDOHLocal("\(Testbed.upstreamAddress):\(Self.port)", "\(identity.certificate)", "\(identity.key)", "\(Self.path)")

        """
      try Data(configuration.utf8).write(to: file)
      let command = try RunningCommand(
        ["dnsdist", "--supervised", "--disable-syslog", "-C", file.path], in: bed.internet, folder: bed.folder)
      try eventually("dnsdist listens") {
        guard command.isRunning else { throw Obstacle("dnsdist: \(command.errors)") }
        return try Socket.connects(Testbed.upstreamAddress, Self.port, from: bed.host)
      }
      return command
    }

    private func settings(path: String = HTTPUpstreamTests.path) -> TestbedSettings {
      var settings = TestbedSettings()
      settings.upstreams =
        "[ { address: \"https://\(Testbed.upstreamAddress):\(Self.port)\(path)#\(Self.name)\", ca: authorities.pem } ]"
      settings.startsSluice = false
      return settings
    }

    private func trust(_ authority: TestAuthority, _ bed: Testbed) throws {
      try Data(contentsOf: URL(filePath: authority.certificate)).write(
        to: bed.folder.appending(path: "authorities.pem"))
    }

    @Test("a real upstream by HTTPS answers as it does itself, and nothing leaves in the clear")
    func answers() throws {
      try Testbed.run(settings()) { (bed: Testbed) throws in
        try trust(Self.authority.get(), bed)
        let server = try start(try Self.authority.get().issue(Self.name), bed)
        defer { server.signal(15) }
        let file = bed.folder.appending(path: "capture.pcap")
        let capture = try RunningCommand(
          ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-i", "eth0", "-w", file.path], in: bed.internet,
          folder: bed.folder)
        defer { capture.signal(15) }
        try eventually("tcpdump listens") { capture.errors.contains("listening on") }
        try bed.sluice.start()
        for (name, type) in [
          ("api.github.com", "A"), ("api.github.com", "AAAA"), ("onlya.github.com", "AAAA"), ("gone.github.com", "A"),
          ("www.vendor.net", "A"), ("big.github.com", "AAAA"),
        ] {
          let own = try bed.dig(name, type)
          let direct = Testbed.parse(
            try Command.must("dig +tcp @\(Testbed.upstreamAddress) \(name) \(type)", in: bed.internet))
          #expect(own.status == direct.status && Set(own.values) == Set(direct.values), "\(name) \(type): \(own.text)")
        }
        let socket = try bed.socket()
        for index in 0..<50 {
          let reply = try #require(socket.ask(Question("n\(index).bulk.net"), id: UInt16(index)))
          #expect(reply.addresses.map(\.description) == [TestbedSettings.address(0x1000 + index)])
        }
        #expect(try bed.connects("45.11.0.10"))
        #expect(try bed.upstream.packets() == 0, "port 53, from outside")
        let status = try bed.sluice.command("status")
        #expect(status.text.contains("https://192.0.2.54:8443\(Self.path)#\(Self.name) healthy"), "\(status.text)")
        var octets: [UInt8] = []
        // Of 56 questions, each in whole blocks.
        try eventually("the capture has them") {
          octets = Array(try Data(contentsOf: file))
          return octets.count > 56 * 2 * 128
        }
        for label in ["github", "vendor", "bulk", "dns-query"] {
          #expect(octets.firstRange(of: Array(label.utf8)) == nil, "\(label) in the clear")
        }
      }
    }

    @Test("an upstream that answers with another status is SERVFAIL with a reason")
    func status() throws {
      try Testbed.run(settings(path: "/nothing-here")) { (bed: Testbed) throws in
        try trust(Self.authority.get(), bed)
        let server = try start(try Self.authority.get().issue(Self.name), bed)
        defer { server.signal(15) }
        try bed.sluice.start()
        let answer = try bed.dig("api.github.com", "A")
        #expect(answer.status == "SERVFAIL")
        #expect(answer.text.contains("EDE: 22") && answer.text.contains("upstream-refused"), "\(answer.text)")
        let event = try bed.sluice.event(of: "api.github.com", decision: "error")
        #expect(event["code"] as? String == "upstream-refused" && event["cause"] as? String == "http-404", "\(event)")
        for words in ["status", "doctor"] {
          let output = try bed.sluice.command(words)
          #expect(output.text.contains("it answers with HTTP status 404"), "\(output.text)")
        }
        #expect(try bed.upstream.packets() == 0)
      }
    }
  }
}
