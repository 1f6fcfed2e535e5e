import DNSWire
import Foundation
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("Resolution", .timeLimit(.minutes(3)))
  struct ResolutionTests {
    @Test("a listed name answers over UDP and TCP, IPv4 and IPv6, and its addresses are connectable")
    func listed() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try !bed.connects("45.11.0.10"))
        #expect(try !bed.connects("2a10:77::10"))
        for server in ["10.77.1.1", "fd00:77:1::1"] {
          for transport in ["+notcp", "+tcp"] {
            #expect(try bed.dig("api.github.com", "A", transport, server: server).values == ["45.11.0.10"])
            #expect(try bed.dig("api.github.com", "AAAA", transport, server: server).values == ["2a10:77::10"])
          }
        }
        #expect(try bed.connects("45.11.0.10"))
        #expect(try bed.connects("2a10:77::10"))
        #expect(try !bed.connects("45.11.0.10", 80), "only port 443 is opened")
        #expect(try !bed.connects("45.11.0.66"), "another address of the same network")
        #expect(try !bed.connects("2a10:77::66"))
        #expect(try !bed.connects("45.11.0.11"), "a listed name that was not asked for")
      }
    }

    @Test("the header says what we are: RA, no AA, no AD, and the question comes back in the client's own case")
    func header() throws {
      try Testbed.run { (bed: Testbed) throws in
        let socket = try bed.socket()
        let question = Question("aPi.GitHub.COM")
        socket.send(question.octets(id: 77))
        let octets = try #require(socket.receive(within: 3))
        let reply = try #require(Reply(octets))
        #expect(reply.header.recursionAvailable && reply.header.recursionDesired)
        #expect(!reply.header.isAuthoritative && !reply.header.authenticData)
        #expect(Array(octets[12..<(12 + question.entry.count)]) == question.entry)
        #expect(reply.addresses == [IPAddress("45.11.0.10")])
      }
    }

    @Test("a chain to an unlisted name is answered inside the chain only, and its event tells the chain")
    func chain() throws {
      try Testbed.run { (bed: Testbed) throws in
        let answer = try bed.dig("www.vendor.net", "A")
        #expect(answer.records.map(\.type) == ["CNAME", "CNAME", "A"])
        #expect(answer.values == ["cdn.edge.net.", "pop.edge.net.", "45.11.0.12"])
        #expect(try bed.connects("45.11.0.12"))
        #expect(try bed.dig("pop.edge.net", "A").status == "NXDOMAIN")
        let event = try bed.sluice.event(of: "www.vendor.net", decision: "allow")
        #expect((event["chain"] as? [String])?.contains("cdn.edge.net") == true)
        #expect(event["addresses"] as? [String] == ["45.11.0.12"])
        #expect(event["ports"] as? [String] == ["443/tcp"])
        #expect((event["rule"] as? String)?.hasSuffix("policies.yaml:11") == true)
      }
    }

    @Test(
      "every new name under a pattern is counted in the log, whatever was answered and whatever else is recorded",
      arguments: ["none", "grants"])
    func namesUnderPattern(allowed: String) throws {
      var settings = TestbedSettings()
      settings.auditAllowed = allowed
      try Testbed.run(settings) { (bed: Testbed) throws in
        let socket = try bed.socket()
        // What carries data does not exist; each is asked for twice, and one exists.
        for _ in 0..<2 {
          for index in 0..<56 {
            let reply = try #require(socket.ask(Question("x\(index)kq3jw5mfz2.bulk.net"), id: UInt16(index)))
            #expect(reply.code == .NXDOMAIN)
          }
        }
        #expect(try bed.dig("n1.bulk.net", "A").status == "NOERROR")
        try eventually("all are counted", within: 20) {
          let events = try bed.sluice.events().filter { ["answered", "granted"].contains($0["code"] as? String) }
          let count = events.reduce(0) { $0 + ($1["count"] as? Int ?? 0) }
          #expect(count <= 57)
          return count == 57
        }
        let events = try bed.sluice.events().filter { $0["code"] as? String == "answered" }
        #expect(events.filter { ($0["destination"] as? String)?.hasPrefix("x") == true }.count == 20)
        #expect(
          events.contains { $0["destination"] as? String == "*.bulk.net" && $0["rcode"] as? String == "NXDOMAIN" })
      }
    }

    @Test("a listed name without the asked type is NODATA, one that does not exist NXDOMAIN")
    func negative() throws {
      try Testbed.run { (bed: Testbed) throws in
        let noData = try bed.dig("onlya.github.com", "AAAA")
        #expect(noData.status == "NOERROR" && noData.values.isEmpty)
        #expect(try bed.dig("onlya.github.com", "A").values == ["45.11.0.13"], "NODATA of one type hides no other")
        #expect(try bed.dig("gone.github.com", "A").status == "NXDOMAIN")
        let before = try bed.upstream.packets()
        #expect(try bed.dig("gone.github.com", "A").status == "NXDOMAIN")
        #expect(try bed.upstream.packets() == before, "a denial of the upstream is cached")
      }
    }

    @Test("an answer too large for UDP is truncated to the records that fit, and whole over TCP")
    func truncation() throws {
      try Testbed.run { (bed: Testbed) throws in
        let short = try bed.dig("big.github.com", "AAAA", "+ignore", "+bufsize=1232")
        #expect(short.isTruncated)
        // The question is 32 octets with its header, the OPT 11, each address 28.
        #expect(short.values.count == 42)
        let whole = try bed.dig("big.github.com", "AAAA")
        #expect(whole.values.count == 50)
        #expect(Set(whole.values).count == 50 && Set(whole.values).isSuperset(of: short.values))
        #expect(try bed.connects("2a10:77::b49"), "every address of the answer is open")
      }
    }

    @Test("without EDNS at most 512 octets are answered, with it no more than was asked for")
    func sizes() throws {
      try Testbed.run { (bed: Testbed) throws in
        let socket = try bed.socket()
        for (size, limit) in [(nil, 512), (512, 512), (900, 900), (4096, 1232), (0, 512)] as [(UInt16?, Int)] {
          var question = Question("big.github.com", .AAAA)
          question.size = size
          let reply = try #require(socket.ask(question, id: size ?? 1))
          #expect(reply.octetCount <= limit)
          #expect(reply.header.isTruncated && !reply.addresses.isEmpty && reply.octetCount > limit - 28 - 11)
          #expect(reply.header.additionalCount == (size == nil ? 0 : 1), "an OPT only where the query had one")
        }
      }
    }

    @Test("what is cached is answered without the upstream, its TTL aged and never above what stays open")
    func cache() throws {
      try Testbed.run { (bed: Testbed) throws in
        let kernel = try KernelView(bed)
        let address = try #require(IPAddress("45.11.0.10"))
        let first = try bed.dig("api.github.com", "A")
        let packets = try bed.upstream.packets()
        for _ in 0..<20 {
          let answer = try bed.dig("api.github.com", "A")
          let remaining = try #require(try kernel.remaining(address))
          let ttl = try #require(answer.records.first?.ttl)
          #expect(ttl <= first.records[0].ttl)
          #expect(Double(ttl) <= remaining + 1, "the answer is a moment older than the look at the kernel")
        }
        #expect(try bed.upstream.packets() == packets)
      }
    }

    @Test("two servers share neither policy nor open addresses")
    func servers() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A", "-b", "10.77.1.200").values == ["45.11.0.10"])
        #expect(try bed.dig("uploads.github.com", "A", "-b", "10.77.1.200").status == "NXDOMAIN")
        #expect(try !bed.connects("45.11.0.10"), "10.77.1.2 did not ask")
        #expect(try bed.nft("list set inet sluice other-mcp-4-any").contains("45.11.0.10"))
      }
    }

    @Test("special-use names are answered here, and a local zone's address only to whom it is listed for")
    func local() throws {
      var settings = TestbedSettings()
      settings.zones = [
        "lan.zone": """
        lan. 60 IN SOA sluice.invalid. . 1 3600 600 86400 60
        collector.lan. 60 IN A 45.11.0.77

        """
      ]
      try Testbed.run(settings) { (bed: Testbed) throws in
        let before = try bed.upstream.packets()
        #expect(try bed.dig("localhost", "A").values == ["127.0.0.1"])
        #expect(try bed.dig("any.localhost", "AAAA").values == ["::1"])
        for name in ["use-application-dns.net", "printer.local", "abc.onion", "x.test", "host", "nas.home.arpa"] {
          #expect(try bed.dig(name, "A").status == "NXDOMAIN", "\(name)")
        }
        #expect(try bed.dig("collector.lan", "A", "-b", "10.77.1.200").status == "NXDOMAIN")
        #expect(try bed.dig("collector.lan", "A").values == ["45.11.0.77"])
        #expect(try bed.connects("45.11.0.77"), "a local address is opened like any other")
        #expect(try bed.upstream.packets() == before)
      }
    }

    @Test("the name of an open address is answered backwards, and of no other")
    func pointer() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("10.0.11.45.in-addr.arpa", "PTR").status == "NXDOMAIN")
        _ = try bed.dig("api.github.com", "A")
        let before = try bed.upstream.packets()
        #expect(try bed.dig("10.0.11.45.in-addr.arpa", "PTR").values == ["api.github.com."])
        #expect(try bed.dig("10.0.11.45.in-addr.arpa", "PTR", "-b", "10.77.1.200").status == "NXDOMAIN")
        #expect(try bed.dig("66.0.11.45.in-addr.arpa", "PTR").status == "NXDOMAIN")
        #expect(try bed.upstream.packets() == before)
      }
    }

    @Test("a policy of a thousand names answers each of them and nothing beside")
    func thousandNames() throws {
      var settings = TestbedSettings()
      let names = (0..<1_000).map { "n\($0).bulk.net" }
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24 ]
        egress:

        """ + names.map { "  - \($0)\n" }.joined()
      try Testbed.run(settings) { (bed: Testbed) throws in
        let socket = try bed.socket()
        for (index, name) in names.enumerated() {
          let reply = try #require(socket.ask(Question(name), id: UInt16(index)))
          #expect(reply.addresses == [IPAddress(TestbedSettings.address(0x1000 + index))])
          let other = try #require(socket.ask(Question("x" + name), id: UInt16(index) | 0x8000))
          #expect(other.code == .NXDOMAIN)
        }
      }
    }

    @Test("when no upstream answers, the reply is SERVFAIL with an extended error, and the event says so")
    func silentUpstream() throws {
      try Testbed.run { (bed: Testbed) throws in
        try bed.upstream.signal(19)
        defer { try? bed.upstream.signal(18) }
        let output = try Command.run(
          ["dig", "+time=15", "+tries=1", "@10.77.1.1", "api.github.com", "A"], in: bed.client)
        #expect(Testbed.parse(output.text).status == "SERVFAIL")
        #expect(output.text.contains("EDE: 22") || output.text.contains("EDE: 23"), "\(output.text)")
        #expect(try bed.sluice.event(of: "api.github.com")["code"] as? String == "upstream-unreachable")
        #expect(try !bed.connects("45.11.0.10"))
      }
    }
  }
}
