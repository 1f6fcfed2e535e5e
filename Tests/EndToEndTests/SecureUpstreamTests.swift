import Foundation
import IPNetwork
import TestSupport
import Testing

extension EndToEnd {
  /// Upstreams by TLS and by HTTPS: the real servers, and a serve that is confined.
  @Suite("Upstreams by TLS and HTTPS", .timeLimit(.minutes(2)))
  struct SecureUpstreamTests {
    private static let authority = Result { try TestAuthority() }

    @Test(
      "a real upstream by TLS or HTTPS answers as it does itself, and nothing leaves in the clear",
      arguments: RealUpstream.allCases)
    func answers(server: RealUpstream) throws {
      let identity = try Self.authority.get().issue(RealUpstream.name)
      try Testbed.run(server.settings(pins: [identity.pin])) { (bed: Testbed) throws in
        try bed.trust(Self.authority.get())
        let command = try server.start(identity, bed)
        defer { command.signal(15) }
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
        #expect(status.text.contains("\(server.address) healthy"), "\(status.text)")
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

    @Test("an upstream by HTTPS that answers with another status is SERVFAIL with a reason")
    func status() throws {
      try Testbed.run(RealUpstream.dnsdist.settings(path: "/nothing-here")) { (bed: Testbed) throws in
        try bed.trust(Self.authority.get())
        let server = try RealUpstream.dnsdist.start(try Self.authority.get().issue(RealUpstream.name), bed)
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

    @Test("an upstream that cannot be trusted is SERVFAIL with a reason, until a reload of the authorities mends it")
    func untrusted() throws {
      try Testbed.run(RealUpstream.nsd.settings()) { (bed: Testbed) throws in
        try bed.trust(try TestAuthority())
        let command = try RealUpstream.nsd.start(try Self.authority.get().issue(RealUpstream.name), bed)
        defer { command.signal(15) }
        try bed.sluice.start()
        let answer = try bed.dig("api.github.com", "A")
        #expect(answer.status == "SERVFAIL")
        #expect(
          answer.text.contains("EDE: 22") && answer.text.contains("github-mcp: upstream-untrusted"), "\(answer.text)")
        let event = try bed.sluice.event(of: "api.github.com", decision: "error")
        #expect(event["code"] as? String == "upstream-untrusted")
        #expect(event["cause"] as? String == "certificate-untrusted")
        #expect(event["upstream"] as? String == "tls://192.0.2.54:853#\(RealUpstream.name)")
        for words in ["status", "doctor"] {
          let output = try bed.sluice.command(words)
          #expect(output.text.contains("its certificate is not from an authority that is trusted"), "\(output.text)")
        }
        #expect(try bed.upstream.packets() == 0)
        // Confined and without privileges by now.
        try bed.trust(Self.authority.get())
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
      try Testbed.run(RealUpstream.nsd.settings()) { (bed: Testbed) throws in
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
