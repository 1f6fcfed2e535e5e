import Foundation
import Glibc
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("What the firewall tells", .timeLimit(.minutes(5)))
  struct FirewallEventTests {
    private func event(_ bed: Testbed, _ code: String, address: String? = nil) throws -> [String: Any] {
      var found: [String: Any]?
      try eventually("an event \(code) of \(address ?? "anything")") {
        found = try bed.sluice.events().last {
          $0["code"] as? String == code && (address == nil || $0["address"] as? String == address)
        }
        return found != nil
      }
      return found ?? [:]
    }

    @Test("every refused connection is an event of its server that says why, over IPv4 and IPv6")
    func refusals() throws {
      var settings = TestbedSettings()
      settings.configuration += "firewall: { min-lifetime: 1s, grace: 1s, max-lifetime: 2s }\n"
      settings.records = settings.records.replacing(
        "uploads.github.com. IN A", with: "uploads.github.com. 1 IN A")
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try !bed.connects("45.11.0.10", 80))
        let wrongPort = try event(bed, "wrong-port", address: "45.11.0.10")
        #expect(wrongPort["destination"] as? String == "api.github.com")
        #expect(wrongPort["server"] as? String == "github-mcp" && wrongPort["client"] as? String == "10.77.1.2")
        #expect(wrongPort["port"] as? Int == 80 && wrongPort["protocol"] as? String == "tcp")
        #expect(wrongPort["decision"] as? String == "block" && wrongPort["transport"] as? String == "tcp")

        #expect(try !bed.connects("45.11.0.66"))
        let raw = try event(bed, "raw-address", address: "45.11.0.66")
        #expect(raw["destination"] as? String == "45.11.0.66" && raw["port"] as? Int == 443, "\(raw)")

        #expect(try !bed.connects("2a10:77::66"))
        #expect(try event(bed, "raw-address", address: "2a10:77::66")["client"] as? String == "fd00:77:1::2")

        #expect(try !Socket.connects("45.11.0.10", 443, from: bed.client, bind: "10.77.1.200"))
        let other = try event(bed, "never-resolved", address: "45.11.0.10")
        #expect(other["server"] as? String == "other-mcp" && other["client"] as? String == "10.77.1.200")

        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        // An attempt may also fail without being refused.
        try eventually("the grant ends, and a connection after it is refused") {
          guard try !bed.connects("45.11.0.11") else { return false }
          return try bed.sluice.events().contains {
            $0["code"] as? String == "expired" && $0["address"] as? String == "45.11.0.11"
          }
        }
        #expect(try event(bed, "expired", address: "45.11.0.11")["destination"] as? String == "uploads.github.com")

        _ = try Command.run(["dig", "+time=1", "+tries=1", "@45.11.0.53", "evil.example.com"], in: bed.client)
        #expect(try event(bed, "other-resolver", address: "45.11.0.53")["protocol"] as? String == "udp")
        #expect(try !bed.connects("45.11.0.54", 853))
        _ = try event(bed, "dns-over-tls", address: "45.11.0.54")
        try bed.host.ip("route add 1.1.1.1/32 via \(Testbed.upstreamAddress)")
        #expect(try !bed.connects("1.1.1.1", 443))
        _ = try event(bed, "dns-over-https", address: "1.1.1.1")
        #expect(try !bed.connects("10.77.1.1", 22))
        _ = try event(bed, "host-fence", address: "10.77.1.1")
      }
    }

    @Test("a scan is a line for each address and port that the kernel told of")
    func scan() throws {
      try Testbed.run { (bed: Testbed) throws in
        // The kernel tells of 100 refusals and then of 50 a second: a scan of two seconds, so that there is a rest.
        for last in 1..<250 {
          _ = try bed.connects("45.11.9.\(last)")
          usleep(8_000)
        }
        _ = try event(bed, "raw-address", address: "45.11.9.1")
        for port in 1..<250 as Range<UInt16> { _ = try bed.connects("45.11.8.1", port) }
        var events: [[String: Any]] = []
        try eventually("many are told", within: 25) {
          events = try bed.sluice.events().filter { $0["code"] as? String == "raw-address" }
          return events.count > 100
        }
        // Each address and port has a line, and one for its repeats at most.
        #expect(events.count <= 2 * 498, "\(events.count)")
        #expect(!events.contains { $0["samples"] != nil })
      }
    }

    /// Sends datagrams from the client; `targets` is a Python expression of (address, port) pairs.
    private func noise(_ bed: Testbed, _ targets: String) throws {
      let script =
        "import socket\nu=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nfor t in \(targets):\n try: u.sendto(b'x',t)\n"
        + " except OSError: pass"
      #expect(try Command.run(["python3", "-c", script], in: bed.client).status == 0)
    }

    @Test("however much noise there is, each destination is told, and the books say how many packets were refused")
    func noise() throws {
      try Testbed.run { (bed: Testbed) throws in
        // Far beyond the bucket: one destination at full speed, then nearly as many as have lines of their own, then the one
        // that matters, then noise.
        try noise(
          bed,
          "[('45.11.9.1', 9)] * 3000 + [('45.11.9.%d' % n, p) for n in range(1, 4) for p in range(1000, 1300)]")
        #expect(try !bed.connects("45.11.0.66", 4_444))
        try noise(bed, "[('45.11.9.1', 9)] * 3000")
        let marked = try event(bed, "raw-address", address: "45.11.0.66")
        #expect(marked["port"] as? Int == 4_444, "\(marked)")
        // Each minute: what the kernel counted, and how much of it has an event.
        var books: [[String: Any]] = []
        try eventually("the books of the minute", within: 90) {
          books = try bed.sluice.events().filter { $0["code"] as? String == "refusals" }
          return !books.isEmpty
        }
        let refused = books.compactMap { $0["refused"] as? Int }.reduce(0, +)
        let inLines = books.compactMap { $0["told"] as? Int }.reduce(0, +)
        // The datagrams, and the one connection, whose refusal ends it.
        #expect(refused == 6_901, "\(books)")
        // Each of the 902 destinations, and of the repeats what the bucket holds.
        #expect((902..<1_500).contains(inLines) && books.allSatisfy { $0["server"] as? String == "github-mcp" })
        #expect(try bed.nft("list counter inet sluice refused/github-mcp").contains("packets 6901 "))
        let lines = try bed.sluice.events().filter { $0["code"] as? String == "raw-address" }
        #expect(lines.map { $0["count"] as? Int ?? 1 }.reduce(0, +) == inLines)
        #expect(try bed.sluice.command("firewall", "diff").status == 0)

        // What a flush takes along is said.
        try noise(bed, "[('45.11.9.2', 9)] * 500")
        _ = try bed.nft("flush ruleset")
        let over = try event(bed, "enforcement-restored")
        #expect(over["counters_lost"] as? [String] == ["github-mcp"] && over["counted_until"] != nil, "\(over)")
      }
    }

    /// Sends segments that belong to no connection: they begin and reset one.
    private func unconnected(_ bed: Testbed, _ address: String, _ count: Int) throws {
      let script =
        "import socket,struct\nu=socket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_TCP)\n"
        + "for n in range(\(count)): u.sendto(struct.pack('!HHIIBBHHH',4000,443,1,1,0x50,6,0,0,0),('\(address)',0))"
      #expect(try Command.run(["python3", "-c", script], in: bed.client).status == 0)
    }

    @Test("a stop closes the books: what was refused and not told is in the log, of connections and of none")
    func lastBooks() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        try noise(bed, "[('45.11.9.1', 9)] * 3000")
        // Open or not: what belongs to no connection does not pass.
        try unconnected(bed, "45.11.0.10", 200)
        try unconnected(bed, "45.11.9.1", 200)
        let single = try event(bed, "no-connection", address: "45.11.0.10")
        #expect(single["destination"] as? String == "api.github.com" && single["port"] as? Int == 443, "\(single)")
        bed.sluice.stop()
        let events = try bed.sluice.events()
        let books = try #require(events.first { $0["code"] as? String == "refusals" }, "\(events)")
        #expect(books["refused"] as? Int == 3_400, "\(books)")
        var counted = 0
        for event in events where ["raw-address", "no-connection"].contains(event["code"] as? String) {
          counted += event["count"] as? Int ?? 0
        }
        #expect(counted == books["told"] as? Int, "\(events)")
        #expect(events.last { $0["server"] as? String == "*" }?["code"] as? String == "stopped")
      }
    }

    @Test("while another program reads the kernel's log everything says so, and it is read again when that is gone")
    func logTaken() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.configuration += "metrics: 127.0.0.1:9153\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        let thief = try RunningCommand(
          ["tcpdump", "-U", "-i", "nflog:53", "-w", "-"], in: bed.host, folder: bed.folder)
        defer { thief.signal(SIGKILL) }
        try eventually("tcpdump reads the group") { thief.errors.contains("listening on") }
        try bed.sluice.start()
        let taken = try bed.sluice.command("status")
        #expect(taken.text.contains("another program reads the group of the kernel's log"), "\(taken.text)")
        #expect(taken.status == 1 && taken.text.contains("no: refused connections cannot be recorded"), "\(taken.text)")
        let ready = ["curl", "-s", "http://127.0.0.1:9153/readyz"]
        #expect(try Command.run(ready, in: bed.host).text.contains("another program reads the kernel's log"))
        #expect(try !bed.connects("45.11.0.66"))
        thief.signal(SIGTERM)
        try eventually("the group is read again") { try Command.run(ready, in: bed.host).text == "ready\n" }
        #expect(try !bed.connects("45.11.0.67"))
        _ = try event(bed, "raw-address", address: "45.11.0.67")
        #expect(try bed.sluice.events().allSatisfy { $0["address"] as? String != "45.11.0.66" })
        // What was refused meanwhile is in the counts.
        bed.sluice.stop()
        let books = try bed.sluice.events().first { $0["code"] as? String == "refusals" }
        #expect(books?["refused"] as? Int == 2 && books?["told"] as? Int == 1, "\(books ?? [:])")
      }
    }

    @Test("a foreign flush, a foreign element, a deleted table: one event when it begins and one when it is over")
    func incidents() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let kernel = try KernelView(bed)
        let (own, stranger) = (try #require(IPAddress("45.11.0.10")), try #require(IPAddress("45.11.0.99")))
        for (number, deed) in [
          "flush set inet sluice github-mcp-4", "add element inet sluice github-mcp-4 { 45.11.0.99 . tcp . 443 }",
          "delete table inet sluice", "flush ruleset",
        ].enumerated() {
          _ = try bed.nft(deed)
          try eventually("\(deed) is over") {
            try bed.sluice.events().filter { $0["code"] as? String == "enforcement-restored" }.count == number + 1
          }
          #expect(try kernel.holds(own), "after \(deed)")
          #expect(try !kernel.holds(stranger), "after \(deed)")
          #expect(try bed.connects("45.11.0.10"))
          #expect(try !bed.connects("45.11.0.66"))
        }
        let events = try bed.sluice.events()
        let begun = events.filter { $0["code"] as? String == "enforcement-degraded" }
        #expect(
          begun.map { $0["cause"] as? String } == [
            "elements-removed", "elements-added", "table-removed", "table-removed",
          ])
        #expect(begun.allSatisfy { $0["decision"] as? String == "error" })
      }
    }

    @Test("whatever is put in the place of our table, or into it, is undone")
    func replaced() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let (own, kernel) = (try #require(IPAddress("45.11.0.10")), try KernelView(bed))
        let script = bed.folder.appending(path: "foreign.nft")
        for (number, deed) in [
          "insert rule inet sluice forward accept",
          "flush chain inet sluice github-mcp",
          "add element inet sluice github-mcp-4 { 45.11.0.10 . tcp . 443 timeout 1s expires 1s }",
          "delete element inet sluice github-mcp-4 { 45.11.0.10 . tcp . 443 }",
          "delete table inet sluice\nadd table inet sluice\nadd set inet sluice github-mcp-4 { type ipv4_addr; flags interval; }",
          "delete table inet sluice\nadd table inet sluice\nadd chain inet sluice forward",
        ].enumerated() {
          try Data((deed + "\n").utf8).write(to: script)
          try bed.host.must("nft -f \(script.path)")
          try eventually("\(deed) is undone") {
            try bed.sluice.events().filter { $0["code"] as? String == "enforcement-restored" }.count == number + 1
          }
          #expect(try kernel.remaining(own) ?? 0 > 5, "after \(deed)")
          #expect(try bed.connects("45.11.0.10"), "after \(deed)")
          #expect(try !bed.connects("45.11.0.66"), "after \(deed)")
          #expect(try bed.sluice.command("firewall", "diff").status == 0, "after \(deed)")
        }
        let events = try bed.sluice.events()
        #expect(events.filter { $0["code"] as? String == "enforcement-degraded" }.count == 6)
      }
    }

    @Test("a killed bridge is one incident, and what was open stays open")
    func killedBridge() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let worker = try bed.sluice.bridge
        // What another program adds while nothing watches is found by the next worker.
        Processes.signal(worker, SIGSTOP)
        _ = try bed.nft("add element inet sluice github-mcp-4 { 45.11.0.66 . tcp . 443 timeout 1h }")
        Processes.signal(worker, SIGKILL)
        let over = try event(bed, "enforcement-restored")
        #expect(over["cause"] as? String == "bridge-restarted")
        #expect(try bed.connects("45.11.0.10"))
        #expect(try !bed.connects("45.11.0.66"))
      }
    }

    @Test("what goes to a destination is told in octets, by name, and by the entry where there is none")
    func volumes() throws {
      var settings = TestbedSettings()
      settings.auditAllowed = "grants, volume: 10s"
      settings.policies = settings.policies.replacing(
        "  - uploads.github.com\n", with: "  - uploads.github.com\n  - { cidr: 45.11.0.64/30, ports: [ 443/tcp ] }\n")
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let connection = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        connection.send(Array(repeating: 0x61, count: 2_000))
        let unnamed = try Socket(streamTo: "45.11.0.66", 443, from: bed.client)
        unnamed.send(Array(repeating: 0x61, count: 3_000))
        var event: [String: Any]?
        var ofEntry: [[String: Any]] = []
        try eventually("events of the volume", within: 40) {
          let all = try bed.sluice.events().filter { $0["code"] as? String == "egress-volume" }
          event = all.first { $0["address"] != nil }
          ofEntry = all.filter { $0["destination"] as? String == "45.11.0.64/30" }
          return event != nil && !ofEntry.isEmpty
        }
        let sent = ofEntry.compactMap { $0["bytes"] as? Int }.reduce(0, +)
        #expect(sent > 3_000 && sent < 4_500, "\(ofEntry)")
        #expect(ofEntry.allSatisfy { ($0["rule"] as? String)?.contains("policies.yaml:") == true })
        #expect(event?["destination"] as? String == "api.github.com" && event?["server"] as? String == "github-mcp")
        #expect(event?["address"] as? String == "45.11.0.10" && event?["port"] as? Int == 443)
        #expect((event?["bytes"] as? Int ?? 0) > 0)
        let grants = try bed.sluice.command("grants", "--json")
        #expect(grants.status == 0)
        let line = try #require(grants.lines.first { $0.contains("45.11.0.10") })
        let grant = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        #expect(grant?["names"] as? [String] == ["api.github.com"] && (grant?["bytes"] as? Int ?? 0) > 0, "\(line)")
      }
    }
  }
}
