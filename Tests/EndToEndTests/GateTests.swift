import Foundation
import Glibc
import TestSupport
import Testing

extension EndToEnd {
  @Suite("Connections that have to say a name", .timeLimit(.minutes(3)))
  struct GateTests {
    private static let policies = """
      server: github-mcp
      networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
      egress:
        - api.github.com
        - uploads.github.com
        - { host: www.vendor.net, ports: [ 80/tcp ] }
        - { host: plain.github.com, verify: address }
        - { host: closed.github.com, ports: [ 8444/tcp ], verify: sni }
        - { host: capped.github.com, max-bytes: 64KiB }
        - { host: audited.github.com, max-bytes: 64KiB, on-excess: audit }
        - { host: hourly.github.com, max-bytes-per-hour: 64KiB, on-excess: audit }
      ---
      server: other-mcp
      networks: [ 10.77.1.200/32 ]
      egress: [ other.github.com ]

      """

    /// A testbed with a TLS server behind every address, whose policies say of `verify` what they must.
    private func run(verify: String? = nil, _ body: (Testbed) throws -> Void) throws {
      _ = try? Command.must("useradd --system --no-create-home --shell /usr/sbin/nologin sluice-gate")
      let authority = try TestAuthority()
      let identity = try authority.issue("api.github.com")
      var settings = TestbedSettings()
      settings.policies = Self.policies
      settings.verify = verify
      settings.identity = (identity.certificate, identity.key)
      settings.records += """
        other.github.com. IN A 45.11.0.10
        plain.github.com. IN A 45.11.0.11
        closed.github.com. IN A 45.11.0.10
        capped.github.com. IN A 45.11.0.12
        audited.github.com. IN A 45.11.0.12
        hourly.github.com. IN A 45.11.0.12

        """
      try Testbed.run(settings) { (bed: Testbed) throws in
        try withExtendedLifetime(authority) { try body(bed) }
      }
    }

    /// Whether a client that says `name` gets a page from an address.
    private func gets(_ name: String, at address: String, _ words: String..., from bed: Testbed) throws -> Bool {
      let target = address.contains(":") ? "[\(address)]" : address
      return try Command.run(
        ["curl", "-sk", "--max-time", "8", "--connect-to", "\(name):443:\(target):443", "https://\(name)/"] + words,
        in: bed.client
      ).status == 0
    }

    private func sends(_ text: String, to address: String, from bed: Testbed) throws -> Bool {
      let script = "printf '\(text)' | timeout 3 openssl s_client -quiet -noservername -connect \(address):443"
      return try Command.run(["sh", "-c", script], in: bed.client).text.contains("HTTP/1.0 200")
    }

    /// A connection that said a name and idles, until a file is there: then it asks for the page, and ends with 0 if it gets that.
    private func idle(_ name: String, at address: String, until file: String = "never", from bed: Testbed) throws
      -> RunningCommand
    {
      let words = ["python3", "-c", Self.idler, name, address, bed.folder.appending(path: file).path]
      let client = try RunningCommand(words, in: bed.client, folder: bed.folder)
      try eventually("it is there") { client.errors.contains("there") }
      return client
    }

    private static let idler = """
      import os, socket, ssl, sys
      name, address, file = sys.argv[1:]
      link = ssl._create_unverified_context().wrap_socket(socket.create_connection((address, 443)), server_hostname=name)
      print("there", file=sys.stderr, flush=True)
      link.settimeout(0.1)
      while not os.path.exists(file):
          try:
              if not link.recv(1): sys.exit(2)
          except TimeoutError:
              pass
      link.settimeout(8)
      link.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
      sys.exit(0 if b"hello" in link.recv(4096) else 1)
      """

    private func makeFile(_ name: String, _ bed: Testbed) throws {
      try Data().write(to: bed.folder.appending(path: name))
    }

    private func code(_ destination: String, _ bed: Testbed, _ decision: String = "block") throws -> String? {
      try bed.sluice.event(of: destination, decision: decision)["code"] as? String
    }

    @Test("pass if it is one that their server resolved to the address, and leave an event in any case")
    func names() throws {
      try run { (bed: Testbed) throws in
        for type in ["A", "AAAA"] { #expect(try bed.dig("api.github.com", type).status == "NOERROR") }
        #expect(try gets("api.github.com", at: "45.11.0.10", from: bed))
        #expect(try gets("api.github.com", at: "2a10:77::10", from: bed))
        #expect(try gets("API.GitHub.com", at: "45.11.0.10", "--tlsv1.2", "--tls-max", "1.2", from: bed))
        #expect(try code("api.github.com", bed, "allow") != nil)
        try eventually("a record of what passed") {
          try bed.sluice.events().contains { $0["code"] as? String == "name-verified" }
        }
        // A listed name, never opened here; another server's; one of no list.
        for name in ["uploads.github.com", "other.github.com", "evil.example.com"] {
          #expect(try !gets(name, at: "45.11.0.10", from: bed))
          #expect(try code(name, bed) == "sni-mismatch")
        }
        let event = try bed.sluice.event(of: "evil.example.com", decision: "block")
        #expect(event["expected"] as? [String] == ["api.github.com"] && event["address"] as? String == "45.11.0.10")
        #expect(try !sends("GET / HTTP/1.0\\r\\n\\r\\n", to: "45.11.0.10", from: bed))
        try eventually("the event of one without a name") {
          try bed.sluice.events().contains { $0["code"] as? String == "sni-missing" }
        }
        #expect(
          try Command.run(["curl", "-s", "--max-time", "3", "http://45.11.0.10:443/"], in: bed.client).status != 0)
        try eventually("the event of what is no TLS") {
          try bed.sluice.events().contains {
            $0["code"] as? String == "not-tls" && $0["remedy"] as? String == "verify: address"
          }
        }
        // The same address is another server's, by a name of its own.
        #expect(try bed.dig("other.github.com", "A", "-b", "10.77.1.200").status == "NOERROR")
        #expect(try gets("other.github.com", at: "45.11.0.10", "--interface", "10.77.1.200", from: bed))
        #expect(try !gets("api.github.com", at: "45.11.0.10", "--interface", "10.77.1.200", from: bed))
      }
    }

    @Test("are not checked where a name holds the address that need not be said, and as long as it does")
    func addresses() throws {
      try run { (bed: Testbed) throws in
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        #expect(try !gets("www.vendor.net", at: "45.11.0.11", from: bed))
        #expect(try bed.dig("plain.github.com", "A").status == "NOERROR")
        #expect(try gets("uploads.github.com", at: "45.11.0.11", from: bed))
        #expect(try gets("plain.github.com", at: "45.11.0.11", from: bed))
        #expect(try gets("anything.example", at: "45.11.0.11", from: bed))
        let grants = try bed.sluice.command("grants").text
        #expect(grants.contains("  sni     plain.github.com, uploads.github.com "), "\(grants)")
        let compared = try bed.sluice.command("grants", "--kernel")
        #expect(compared.status == 0, "\(compared.text)")
        #expect(try bed.sluice.command("firewall", "diff").status == 0)
        // What passed unread ends with the name that needs not be said; what said its own stays.
        let unread = try idle("anything.example", at: "45.11.0.11", from: bed)
        defer { unread.signal(SIGKILL) }
        try Data(Self.policies.replacing("host: plain.github.com", with: "host: gone.github.com").utf8)
          .write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("reload").status == 0)
        try eventually("what passed unread is cut") { !unread.isRunning }
        #expect(try !gets("anything.example", at: "45.11.0.11", from: bed))
        #expect(try gets("uploads.github.com", at: "45.11.0.11", from: bed))
      }
    }

    @Test("send their cap of payload and are cut, or are told of and go on, each by the name that it says")
    func caps() throws {
      try run { (bed: Testbed) throws in
        let body = bed.folder.appending(path: "body")
        try Data(count: 100_000).write(to: body)
        for name in ["capped.github.com", "audited.github.com"] {
          #expect(try bed.dig(name, "A").status == "NOERROR")
          #expect(try gets(name, at: "45.11.0.12", from: bed))
          _ = try gets(
            name, at: "45.11.0.12", "--max-time", "2", "--http1.1", "-H", "Expect:", "--data-binary", "@\(body.path)",
            from: bed)
        }
        let cut = try bed.sluice.event(of: "capped.github.com", decision: "block")
        #expect(cut["code"] as? String == "max-bytes" && cut["payload_size"] as? Int == 65_536)
        let told = try bed.sluice.event(of: "audited.github.com", decision: "observe")
        #expect(told["code"] as? String == "over-max-bytes" && told["count"] as? Int == 1)
        #expect((65_537...110_000).contains(try #require(told["payload_size"] as? Int)))
        // Of an hour it is the sum of connections, each of which goes on.
        try Data(count: 40_000).write(to: body)
        #expect(try bed.dig("hourly.github.com", "A").status == "NOERROR")
        for _ in 0..<2 {
          _ = try gets(
            "hourly.github.com", at: "45.11.0.12", "--max-time", "2", "--http1.1", "-H", "Expect:", "--data-binary",
            "@\(body.path)", from: bed)
        }
        let hourly = try bed.sluice.event(of: "hourly.github.com", decision: "observe")
        #expect(hourly["code"] as? String == "over-max-bytes-per-hour" && hourly["count"] as? Int == 1)
        #expect((1...45_000).contains(try #require(hourly["payload_size"] as? Int)), "of the second one alone")
        #expect(try gets("hourly.github.com", at: "45.11.0.12", from: bed))
        #expect(
          try bed.sluice.events().allSatisfy {
            $0["destination"] as? String != "hourly.github.com" || $0["decision"] as? String != "block"
          })
        #expect(try bed.sluice.events().allSatisfy { $0["code"] as? String != "max-bytes" || $0["count"] as? Int == 1 })
      }
    }

    @Test("go through nothing else: the gate's port asked directly, and what the gate's user asks for, are refused")
    func bounds() throws {
      try run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try !Socket.connects("10.77.1.1", 61_443, from: bed.client))
        #expect(try !Socket.connects("192.0.2.1", 61_443, from: bed.internet))
        let asGate = ["setpriv", "--reuid=sluice-gate", "--clear-groups"]
        let fetch = { (target: String) in
          try Command.run(asGate + ["curl", "-sk", "--max-time", "3", target], in: bed.host).status
        }
        #expect(try fetch("https://45.11.0.10/") == 0)
        #expect(try fetch("http://45.11.0.66/") != 0)
        #expect(
          try Command.run(asGate + ["dig", "+time=1", "+tries=1", "@192.0.2.54", "evil.example.com"], in: bed.host)
            .status != 0)
        // Where nothing answers, the gate's first try is the last for a while: the kernel refuses the next.
        #expect(try bed.dig("closed.github.com", "A").status == "NOERROR")
        for _ in 0..<2 {
          let words = [
            "curl", "-sk", "--max-time", "5", "--connect-to", "::45.11.0.10:8444", "https://closed.github.com:8444/",
          ]
          #expect(try Command.run(words, in: bed.client).status != 0)
          try eventually("it is refused for a while") {
            try bed.nft("list set inet sluice github-mcp-4/unreachable").contains("45.11.0.10 . tcp . 8444")
          }
        }
        #expect(try code("closed.github.com", bed) == "unreachable")
      }
    }

    @Test("wait for a gate that is started again, and pass as before; what is withdrawn is cut")
    func restarts() throws {
      try run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try gets("api.github.com", at: "45.11.0.10", from: bed))
        let gate = try Processes.descendants(of: try bed.sluice.pid).filter {
          try Processes.status($0, "Uid")?.split(separator: "\t").first.map(String.init)
            == Command.run(["id", "-u", "sluice-gate"]).text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        #expect(gate.count == 2)
        for process in gate { #expect(try Processes.status(process, "CapBnd") == "0000000000000000") }
        Processes.signal(try #require(gate.last), SIGKILL)
        #expect(try gets("api.github.com", at: "45.11.0.10", from: bed))
        let status = try bed.sluice.command("status").text
        #expect(status.contains("gate      up, 2 connections passed by name") && status.contains("restarted 1 time"))
        // A restart of serve leaves connections alone, with the gate that has them; a name that is withdrawn cuts them there as well.
        let asks = try idle("api.github.com", at: "45.11.0.10", until: "restarted", from: bed)
        let before = try idle("api.github.com", at: "45.11.0.10", until: "withdrawn", from: bed)
        bed.sluice.signal(SIGTERM)
        #expect(try bed.sluice.status() == 0)
        #expect(try !gets("api.github.com", at: "45.11.0.10", from: bed))
        try bed.sluice.startAgain()
        try makeFile("restarted", bed)
        #expect(try asks.status(within: 10) == 0)
        let after = try idle("api.github.com", at: "45.11.0.10", from: bed)
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        let other = try idle("uploads.github.com", at: "45.11.0.11", from: bed)
        defer { other.signal(SIGKILL) }
        try Data(Self.policies.replacing("- api.github.com", with: "- gone.github.com").utf8)
          .write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("reload").status == 0)
        #expect(try after.status(within: 5) != 0)
        try makeFile("withdrawn", bed)
        #expect(try before.status(within: 10) != 0)
        #expect(other.isRunning, "what another rule has open goes on")
        #expect(try !gets("api.github.com", at: "45.11.0.10", from: bed))
      }
    }

    @Test(
      "are checked from the start on where an earlier run opened addresses; a serve that can have no gate says why, closed"
    )
    func upgrade() throws {
      try run(verify: "address") { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try gets("neighbour.example.com", at: "45.11.0.10", from: bed))
        bed.sluice.stop()
        let text = try String(contentsOfFile: bed.sluice.configurationFile, encoding: .utf8)
        try text.replacing("verify: address", with: "").write(
          toFile: bed.sluice.configurationFile, atomically: true, encoding: .utf8)
        try bed.sluice.startAgain()
        #expect(try !gets("neighbour.example.com", at: "45.11.0.10", from: bed))
        #expect(try gets("api.github.com", at: "45.11.0.10", from: bed))
        bed.sluice.stop()
        try bed.sluice.launch(by: ["setpriv", "--bounding-set=-setuid"])
        try eventually("serve ends", within: 10) { !bed.sluice.isRunning }
        #expect(
          bed.sluice.errors.contains("to make it sluice-gate serve needs root, or CAP_SETUID"), "\(bed.sluice.errors)")
        for name in ["neighbour.example.com", "api.github.com"] {
          #expect(try !gets(name, at: "45.11.0.10", from: bed))
        }
      }
    }
  }
}
