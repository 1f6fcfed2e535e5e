import Foundation
import IPNetwork
import TestSupport
import Testing

extension EndToEnd {
  /// Upstreams by TLS: the real servers, and a serve that is confined.
  @Suite("Upstreams by TLS", .timeLimit(.minutes(2)))
  struct SecureUpstreamTests {
    private static let authority = Result { try TestAuthority() }
    private static let name = "dns.example.net"

    /// A real server in front of the testbed's, by TLS at port 853.
    enum Server: String, CaseIterable, Sendable {
      case unbound, nsd

      func start(_ identity: TestAuthority.Identity, _ bed: Testbed) throws -> RunningCommand {
        let folder = bed.folder.appending(path: rawValue + "-tls")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appending(path: "server.conf")
        try Data(configuration(identity, folder, bed).utf8).write(to: file)
        let command = try RunningCommand([rawValue, "-d", "-c", file.path], in: bed.internet, folder: bed.folder)
        try eventually("\(rawValue) listens") {
          guard command.isRunning else { throw Obstacle("\(rawValue): \(command.errors)") }
          return try Socket.connects(Testbed.upstreamAddress, 853, from: bed.host)
        }
        return command
      }

      private func configuration(_ identity: TestAuthority.Identity, _ folder: URL, _ bed: Testbed) -> String {
        let tls = """
            tls-port: 853
            tls-service-key: "\(identity.key)"
            tls-service-pem: "\(identity.certificate)"
            username: ""
            chroot: ""
            pidfile: "\(folder.path)/server.pid"
          """
        switch self {
        case .unbound:
          return """
            server:
              interface: \(Testbed.upstreamAddress)@853
            \(tls)
              access-control: 0.0.0.0/0 allow
              do-not-query-localhost: no
              module-config: "iterator"
              num-threads: 1
              use-syslog: no
            forward-zone:
              name: "."
              forward-addr: \(Testbed.upstreamAddress)

            """
        case .nsd:
          return """
            server:
              ip-address: \(Testbed.upstreamAddress)@853
            \(tls)
              zonesdir: "\(bed.folder.path)/nsd"
              database: ""
              xfrdfile: "\(folder.path)/xfrd.state"
              zonelistfile: "\(folder.path)/zone.list"
              server-count: 1
              rrl-ratelimit: 0
            remote-control:
              control-enable: no
            zone:
              name: "."
              zonefile: root.zone

            """
        }
      }
    }

    private func settings(_ more: String = "") -> TestbedSettings {
      var settings = TestbedSettings()
      settings.upstreams =
        "[ { address: \"tls://\(Testbed.upstreamAddress)#\(Self.name)\", ca: authorities.pem\(more) } ]"
      settings.startsSluice = false
      return settings
    }

    private func trust(_ authority: TestAuthority, _ bed: Testbed) throws {
      try Data(contentsOf: URL(filePath: authority.certificate)).write(
        to: bed.folder.appending(path: "authorities.pem"))
    }

    @Test(
      "a real upstream by TLS answers as it does itself, and nothing leaves in the clear", arguments: Server.allCases)
    func answers(server: Server) throws {
      let identity = try Self.authority.get().issue(Self.name)
      try Testbed.run(settings(", pins: [ \"\(identity.pin)\" ]")) { (bed: Testbed) throws in
        try trust(Self.authority.get(), bed)
        let command = try server.start(identity, bed)
        defer { command.signal(15) }
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
        #expect(status.text.contains("tls://192.0.2.54:853#\(Self.name) healthy"), "\(status.text)")
      }
    }

    @Test("an upstream that cannot be trusted is SERVFAIL with a reason, until a reload of the authorities mends it")
    func untrusted() throws {
      try Testbed.run(settings()) { (bed: Testbed) throws in
        try trust(try TestAuthority(), bed)
        let command = try Server.nsd.start(try Self.authority.get().issue(Self.name), bed)
        defer { command.signal(15) }
        try bed.sluice.start()
        let answer = try bed.dig("api.github.com", "A")
        #expect(answer.status == "SERVFAIL")
        #expect(
          answer.text.contains("EDE: 22") && answer.text.contains("github-mcp: upstream-untrusted"), "\(answer.text)")
        let event = try bed.sluice.event(of: "api.github.com", decision: "error")
        #expect(event["code"] as? String == "upstream-untrusted")
        #expect(event["cause"] as? String == "certificate-untrusted")
        #expect(event["upstream"] as? String == "tls://192.0.2.54:853#\(Self.name)")
        for words in ["status", "doctor"] {
          let output = try bed.sluice.command(words)
          #expect(output.text.contains("its certificate is not from an authority that is trusted"), "\(output.text)")
        }
        #expect(try bed.upstream.packets() == 0)
        // Confined and without privileges by now.
        try trust(Self.authority.get(), bed)
        #expect(try bed.sluice.command("reload").status == 0)
        try eventually("the upstream is trusted") { try bed.dig("uploads.github.com", "A").values == ["45.11.0.11"] }
        #expect(try !bed.sluice.command("status").text.contains("certificate"))
        // What cannot be read refuses the reload, and what was believed before counts on.
        try Data("no certificate\n".utf8).write(to: bed.folder.appending(path: "authorities.pem"))
        let refused = try bed.sluice.command("reload")
        let told = refused.text + refused.errors
        #expect(refused.status == 1 && told.contains("cannot be read as certificates in PEM"), "\(told)")
        #expect(try bed.dig("onlya.github.com", "A").status == "NOERROR")
      }
    }

    @Test("check and serve say what is wrong with authorities, before anything is asked")
    func files() throws {
      try Testbed.run(settings()) { (bed: Testbed) throws in
        try Data("no certificate\n".utf8).write(to: bed.folder.appending(path: "authorities.pem"))
        try bed.sluice.writeConfiguration()
        let check = try bed.sluice.command("check")
        #expect(check.status == 1 && check.errors.contains("authorities.pem"), "\(check.errors)")
        try bed.sluice.launch()
        #expect(try bed.sluice.status() == 1)
        #expect(bed.sluice.errors.contains("cannot be read as certificates in PEM"), "\(bed.sluice.errors)")
      }
    }
  }
}
