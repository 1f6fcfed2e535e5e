import Foundation
import Glibc
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("What an operator allows for a time and asks in a server's name", .timeLimit(.minutes(5)))
  struct OperatorTests {
    private func object(_ text: String) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    private func objects(_ text: String) throws -> [[String: Any]] {
      try text.split(separator: "\n").map { try object(String($0)) }
    }

    private func allow(
      _ bed: Testbed, _ name: String, for duration: String, _ words: String..., server: String = "github-mcp"
    ) throws -> Command.Output {
      let executable = try #require(Machine.executable)
      return try Command.run(
        [executable, "allow", "--server", server, "--name", name, "--for", duration, "--reason", "incident 4711"]
          + words + ["--config", bed.sluice.configurationFile], in: bed.host)
    }

    @Test("a name is allowed for its time, and closed in memory and in the kernel when that is over")
    func allowed() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        let output = try allow(bed, "EVIL.example.com.", for: "12s", "--json")
        #expect(output.status == 0, "\(output.errors)")
        let permit = try object(output.text)
        #expect(permit["name"] as? String == "evil.example.com" && permit["uid"] as? Int == 0)
        #expect(
          permit["ports"] as? [String] == ["443/tcp"] && (8_000...12_000).contains(permit["remaining_ms"] as? Int ?? 0))
        #expect(try bed.dig("evil.example.com", "A", server: "10.77.1.1").status == "NOERROR")
        #expect(try bed.connects("45.11.0.66"))
        // The grant's least lifetime is a minute: it must not outlive the permit even if nothing takes it back.
        let address = try #require(IPAddress("45.11.0.66"))
        #expect(try #require(try KernelView(bed).remaining(address)) <= 12 + 3)
        let listed = try objects(try bed.sluice.command("allow", "list", "--json").text)
        #expect(listed.map { $0["justification"] as? String } == ["incident 4711"])
        #expect(try bed.sluice.command("allow", "list").text.contains("incident 4711"))
        let cut = try Socket(streamTo: "45.11.0.66", 443, from: bed.client)
        try eventually("the name is denied again", within: 20) {
          try bed.dig("evil.example.com", "A").status == "NXDOMAIN"
        }
        try eventually("the connection is cut") { !cut.isAlive() }
        #expect(try !bed.connects("45.11.0.66"))
        #expect(try bed.sluice.command("allow", "list", "--json").text.isEmpty)
        let events = try bed.sluice.events()
        let given = try #require(events.first { $0["code"] as? String == "allowed-for-time" })
        #expect(given["destination"] as? String == "evil.example.com" && given["server"] as? String == "github-mcp")
        #expect(given["justification"] as? String == "incident 4711" && given["uid"] as? Int == 0)
        let granted = try #require(events.first { $0["code"] as? String == "granted" })
        #expect(granted["rule"] as? String == "permit 1")
        let ended = try #require(events.first { $0["code"] as? String == "allowance-ended" })
        #expect(ended["permit"] as? Int == 1 && ended["uid"] == nil)
      }
    }

    @Test("a permit ends in the kernel although everything of sluice was killed")
    func killed() throws {
      var settings = TestbedSettings()
      settings.configuration += "permits: { ports: any }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try allow(bed, "evil.example.com", for: "12s").status == 0)
        // Policy lists this one without an end, for another port.
        #expect(try allow(bed, "uploads.github.com", for: "12s", "--ports", "80/tcp").status == 0)
        #expect(try bed.dig("evil.example.com", "A").status == "NOERROR")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        kill(try bed.sluice.pid, SIGSTOP)
        Processes.killDescendants(of: try bed.sluice.pid)
        kill(try bed.sluice.pid, SIGKILL)
        #expect(try bed.connects("45.11.0.66"))
        #expect(try bed.connects("45.11.0.11", 80))
        try eventually("the address is closed", within: 20) { try !bed.connects("45.11.0.66") }
        try eventually("the port is closed", within: 20) { try !bed.connects("45.11.0.11", 80) }
        #expect(try bed.connects("45.11.0.10"))
      }
    }

    @Test("a withdrawn permit closes what it opened; a reload keeps permits, and ends those of servers that are gone")
    func withdrawn() throws {
      var settings = TestbedSettings()
      settings.configuration += "permits: { ports: any }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        // Beside the ports that policy opens, not in their place; what is open stays so, to the end and beyond.
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let listed = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        #expect(try allow(bed, "api.github.com", for: "1h", "--ports", "80/tcp").status == 0)
        #expect(try bed.connects("45.11.0.10", 443))
        #expect(try allow(bed, "*.example.com", for: "1h30m").status == 0)
        #expect(try allow(bed, "evil.example.com", for: "1h", server: "other-mcp").status == 0)
        for name in ["api.github.com", "evil.example.com"] { #expect(try bed.dig(name, "A").status == "NOERROR") }
        #expect(try bed.connects("45.11.0.10", 443))
        #expect(try bed.connects("45.11.0.10", 80))
        #expect(try bed.connects("45.11.0.66"))
        let text = TestbedSettings.standardPolicies
        try Data(text.replacing("  - uploads.github.com\n", with: "").utf8).write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("reload").status == 0)
        #expect(try bed.sluice.command("allow", "list", "--json").text.split(separator: "\n").count == 3)
        #expect(try bed.connects("45.11.0.66"))
        let first = try bed.sluice.command("allow", "withdraw", "1", "--json")
        #expect(try object(first.text)["permits"] as? Int == 1, "\(first)")
        #expect(try bed.connects("45.11.0.10", 443))
        #expect(try !bed.connects("45.11.0.10", 80))
        #expect(listed.isAlive())
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.10", 443))
        #expect(try bed.sluice.command("allow", "withdraw", "1").errors.contains("there is no permit 1"))
        let alone = try #require(text.split(separator: "---\n").first)
        try Data(alone.utf8).write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("reload").status == 0)
        #expect(
          try objects(bed.sluice.command("allow", "list", "--json").text).map { $0["name"] as? String }
            == ["*.example.com"])
        #expect(try bed.sluice.command("allow", "withdraw", "--server", "github-mcp").text.hasPrefix("1 permit ended"))
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        #expect(try !bed.connects("45.11.0.66"))
        let ended = try bed.sluice.events().filter { $0["code"] as? String == "allowance-ended" }
        #expect(ended.map { $0["permit"] as? Int } == [1, 3, 2])
        #expect(ended.map { $0["uid"] as? Int } == [0, nil, 0])
      }
    }

    @Test("what is no permit is refused with what was expected, and changes nothing")
    func refused() throws {
      try Testbed.run { (bed: Testbed) throws in
        let before = try object(try bed.sluice.command("status", "--json").text)["policy"] as? [String: Any]
        for (name, duration, words, status, text) in [
          ("a.example", "8d", [], 64, "7d at most"), ("a.example", "1", [], 64, "without a unit; expected 1s"),
          ("a.example", "0s", [], 64, "which is no time; expected one such as 30m"),
          ("**.com", "1h", [], 1, "covers a public suffix"),
          ("https://a.example/", "1h", [], 1, "is a URL, expected a.example"),
          ("192.0.2.1", "1h", [], 1, "is an address"),
          ("a.example", "1h", ["--ports", "443"], 1, "expected"),
          ("a.example", "1h", ["--types", "ANY"], 1, "expected"),
          (
            "a.example", "1h", ["--ports", Array(repeating: "443/tcp", count: 65).joined(separator: ",")], 1,
            "64 of each"
          ),
          ("a\": [ b ]\nports: any", "1h", [], 1, "is several texts"),
        ] as [(String, String, [String], Int32, String)] {
          let output = try Command.run(
            [
              try #require(Machine.executable), "allow", "--server", "github-mcp", "--name", name, "--for", duration,
              "--reason", "x", "--config", bed.sluice.configurationFile,
            ] + words)
          #expect(output.status == status && output.errors.contains(text), "\(name): \(output)")
        }
        let unknown = try allow(bed, "a.example", for: "1h", server: "nobody")
        #expect(unknown.status == 1 && unknown.errors.contains("there is no server nobody"))
        let after = try object(try bed.sluice.command("status", "--json").text)["policy"] as? [String: Any]
        #expect(before?["fingerprint"] as? String == after?["fingerprint"] as? String)
        #expect(try bed.sluice.command("allow", "list", "--json").text.isEmpty)
        #expect(try bed.sluice.events().allSatisfy { $0["code"] as? String != "allowed-for-time" })
      }
    }

    @Test(
      "permits are bounded by what the files say: their time, and their ports unless any is allowed; a reload changes it"
    )
    func bounded() throws {
      try Testbed.run { (bed: Testbed) throws in
        let file = URL(filePath: bed.sluice.configurationFile)
        let text = try String(contentsOf: file, encoding: .utf8)
        func permits(_ line: String) throws {
          try Data("\(text)\n\(line)\n".utf8).write(to: file)
          #expect(try bed.sluice.command("reload").status == 0)
        }
        let late = try allow(bed, "evil.example.com", for: "25h")
        #expect(
          late.status == 1 && late.errors.contains("a permit for 1d1h is too long; expected 1d at most (permits: max"),
          "\(late)")
        for ports in ["8443/tcp", "443/udp", "any"] {
          let other = try allow(bed, "evil.example.com", for: "1m", "--ports", ports)
          #expect(other.status == 1 && other.errors.contains("no entry of github-mcp opens \(ports)"), "\(other)")
        }
        try permits("permits: { max: 2m, ports: any }")
        #expect(try allow(bed, "evil.example.com", for: "3m").errors.contains("expected 2m at most"))
        #expect(try allow(bed, "evil.example.com", for: "1m", "--ports", "8443/tcp").status == 0)
        #expect(try bed.dig("evil.example.com", "A").status == "NOERROR")
        #expect(try allow(bed, "www.evil.example.com", for: "1m", "--ports", "any").status == 0)
        // What the files do not allow any more ends with the reload.
        try permits("permits: { ports: listed }")
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        #expect(try bed.sluice.command("allow", "list", "--json").text.isEmpty)
        #expect(try allow(bed, "evil.example.com", for: "1m").status == 0)
        try permits("permits: { max: off }")
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        #expect(try allow(bed, "other.example.com", for: "1m").errors.contains("allows no permits"))
      }
    }

    @Test("query goes the way of a server's queries, and says what became of it")
    func query() throws {
      try Testbed.run { (bed: Testbed) throws in
        let first = try bed.sluice.command("query", "--server", "github-mcp", "API.github.com")
        #expect(first.status == 0, "\(first.errors)")
        for part in [
          "rcode: NOERROR", "IN\tA\t45.11.0.10", ";; VERDICT: allowed, by ", "policies.yaml:4: api.github.com",
          ";; RESULT: NOERROR", ";; FROM: resolved", ";; CACHE: NOERROR, ", ";; OPEN: 45.11.0.10 443/tcp for ",
        ] { #expect(first.text.contains(part), "\(part) is not in \(first.text)") }
        #expect(try bed.connects("45.11.0.10"))
        let second = try object(
          try bed.sluice.command("query", "--client", "10.77.1.2", "api.github.com", "--json").text)
        #expect(second["from"] as? String == "cache" && second["server"] as? String == "github-mcp")
        #expect((second["cache"] as? [String: Any])?["hits"] as? Int == 1)
        #expect(
          try bed.sluice.command("query", "--server", "github-mcp", "www.vendor.net", "--short").text.hasSuffix(
            "45.11.0.12\n"))
        let denied = try object(
          try bed.sluice.command("query", "--server", "github-mcp", "evil.example.com", "--json").text)
        #expect(denied["verdict"] as? String == "not-listed" && denied["rcode"] as? String == "NXDOMAIN")
        let text = try bed.sluice.command("query", "--server", "github-mcp", "evil.example.com")
        #expect(text.status == 1 && text.text.contains(";; RESULT: NXDOMAIN, EDE 15 (Blocked): "), "\(text.text)")
        #expect(!text.text.contains("id: 0") && !text.text.contains("; EDE:"), "\(text.text)")
        let typed = try object(
          try bed.sluice.command("query", "--server", "github-mcp", "api.github.com", "TXT", "--json").text)
        #expect(typed["verdict"] as? String == "type-not-allowed" && typed["rcode"] as? String == "NOERROR")
        let stranger = try object(
          try bed.sluice.command("query", "--client", "192.0.2.9", "api.github.com", "--json").text)
        #expect(stranger["verdict"] as? String == "unknown-client" && stranger["server"] == nil)
        let bad = try object(try bed.sluice.command("query", "--server", "github-mcp", "bad.github.com", "--json").text)
        #expect(bad["rcode"] as? String == "NOERROR" && (bad["grants"] as? [Any])?.isEmpty == true)
        #expect(try bed.sluice.command("query", "api.github.com").status == 64)
        #expect(try bed.sluice.command("query", "--server", "nobody", "api.github.com").status == 1)
        let wrong = try bed.sluice.command("query", "--server", "github-mcp", "a..b")
        #expect(wrong.status == 1 && wrong.errors.contains("name is 'a..b'"))
        let event = try bed.sluice.event(of: "evil.example.com", decision: "block")
        #expect(event["transport"] as? String == "control" && event["client"] as? String == "10.77.1.0")
        let asked = try bed.sluice.events().filter { $0["code"] as? String == "asked-by-operator" }
        #expect(asked.count == 8 && asked.allSatisfy { $0["uid"] as? Int == 0 })
        #expect(
          asked.first?["destination"] as? String == "API.github.com" && asked[5]["query_type"] as? String == "TXT")
        #expect(asked[1]["server"] as? String == "github-mcp", "asked as a client, it is about the client's server")
        // What an operator asked, the container did not.
        let table = try bed.sluice.command("log", "--name", "evil.example.com").text
        #expect(table.contains("10.77.1.0 (operator)"), "\(table)")
        #expect(try !bed.sluice.command("log", "top", "--decision", "block").text.contains("evil.example.com"))
        #expect(try !bed.sluice.command("log", "suggest", "--server", "github-mcp").text.contains("evil.example.com"))
        // Every line is an event to the strict reader: no member stands twice.
        let read = try bed.sluice.command("log", "--count")
        #expect(read.status == 0 && read.errors.isEmpty, "\(read)")
      }
    }

    @Test("with `watch: on` a written policy is in force by itself, however it was written; a broken one is told")
    func watched() throws {
      var settings = TestbedSettings()
      settings.configuration += "watch: on\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        func allows(_ name: String) throws -> Bool { try bed.dig(name, "A").status != "NXDOMAIN" }
        #expect(try !allows("evil.example.com"))
        let text = TestbedSettings.standardPolicies
        let other = text.replacing("  - uploads.github.com\n", with: "  - evil.example.com\n")
        try Data(other.utf8).write(to: bed.sluice.policyFile)
        try eventually("a written file is in force") { try allows("evil.example.com") }
        // As editors and configuration management do it.
        let aside = bed.sluice.folder.appending(path: "policies.yaml.new")
        try Data(text.utf8).write(to: aside)
        #expect(unsafe rename(aside.path, bed.sluice.policyFile.path) == 0)
        try eventually("a file that was moved there is in force") { try !allows("evil.example.com") }
        try Data("server: [".utf8).write(to: bed.sluice.policyFile)
        try eventually("the broken file is an event") {
          try bed.sluice.events().contains { $0["code"] as? String == "policy-refused" }
        }
        #expect(try allows("api.github.com"))
        // What serve writes itself in that folder is no change of the policy.
        let reloads = try bed.sluice.events().count { $0["code"] as? String == "policy-reloaded" }
        #expect(reloads == 2)
      }
    }

    @Test("what was made under a permit is cut with it, although its address had closed by itself before")
    func lapsed() throws {
      var settings = TestbedSettings()
      settings.configuration += "firewall: { min-lifetime: 2s, grace: 1s }\ncache: { max-ttl: 1s }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try allow(bed, "evil.example.com", for: "1h").status == 0)
        for name in ["evil.example.com", "api.github.com"] { #expect(try bed.dig(name, "A").status == "NOERROR") }
        let permitted = try Socket(streamTo: "45.11.0.66", 443, from: bed.client)
        let listed = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        let address = try #require(IPAddress("45.11.0.66"))
        let kernel = try KernelView(bed)
        try eventually("the address has closed by itself") { try !kernel.holds(address) }
        #expect(permitted.isAlive() && listed.isAlive())
        let withdrawn = try object(try bed.sluice.command("allow", "withdraw", "1", "--json").text)
        #expect(withdrawn["addresses_closed"] as? Int == 0 && withdrawn["flows_cut"] as? Int == 1)
        try eventually("the connection is cut") { !permitted.isAlive() }
        #expect(listed.isAlive())
      }
    }

    /// Has every plan that needs nft refused while `body` runs: in the mount namespace of serve alone.
    private func withoutNft(_ bed: Testbed, _ body: () throws -> Void) throws {
      let enter = "nsenter --mount --target \(try bed.sluice.pid)"
      try Command.must("\(enter) mount --bind /bin/false /usr/sbin/nft")
      defer { _ = try? Command.must("\(enter) umount /usr/sbin/nft") }
      try body()
    }

    @Test("a reload that the firewall refuses leaves nothing behind: what is answered is open, and what ends ends")
    func refusedReload() throws {
      let names = (0..<9).map { "n\($0).bulk.net" }
      func policies(_ cap: Int, until: Int) -> String {
        let end = ISO8601DateFormatter().string(from: Date(timeIntervalSince1970: Double(until)))
        let capped = names.enumerated().map { "  - host: \($1)\n    max-bytes: \(cap + $0)KiB\n" }.joined()
        return TestbedSettings.standardPolicies.replacing("  - \"*.bulk.net\"\n", with: capped).replacing(
          "  - gone.github.com\n",
          with: "  - host: evil.example.com\n    until: \(end)\n  - cidr: 45.11.7.0/24\n    until: \(end)\n")
      }
      let until = Int(Date().timeIntervalSince1970) + 25
      var settings = TestbedSettings()
      settings.policies = policies(100, until: until)
      settings.hasOwnMounts = true
      try Testbed.run(settings) { (bed: Testbed) throws in
        for name in names + ["evil.example.com"] { #expect(try bed.dig(name, "A").status == "NOERROR") }
        let address = TestbedSettings.address(0x1000)
        #expect(try bed.connects(address))
        try withoutNft(bed) {
          // More bounds than places: all of them would be numbered anew.
          try Data(policies(900, until: until).utf8).write(to: bed.sluice.policyFile)
          let refused = try bed.sluice.command("reload")
          #expect(refused.status == 1 && refused.errors.contains("the firewall cannot take it"), "\(refused)")
        }
        try Data(settings.policies.utf8).write(to: bed.sluice.policyFile)
        #expect(try allow(bed, "new.example.net", for: "1h", server: "other-mcp").status == 0)
        for (index, name) in names.enumerated() {
          #expect(try bed.dig(name, "A").status == "NOERROR")
          #expect(try bed.connects(TestbedSettings.address(0x1000 + index)), "\(name) is answered and closed")
        }
        try withoutNft(bed) {
          // The end changes the rules, which the firewall does not take; the name is denied all the same.
          try eventually("the name has ended", within: 40) {
            try bed.dig("evil.example.com", "A").status == "NXDOMAIN"
          }
          #expect(try !bed.connects("45.11.0.66"))
          try Data("server: [".utf8).write(to: bed.sluice.policyFile)
          #expect(try bed.sluice.command("reload").status == 1)
          #expect(try bed.nft("list chain inet sluice github-mcp").contains("45.11.7.0/24"))
        }
        try eventually("the rule has ended as well", within: 20) {
          try !bed.nft("list chain inet sluice github-mcp").contains("45.11.7.0/24")
        }
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
      }
    }
  }
}
