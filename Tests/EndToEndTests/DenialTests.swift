import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

extension EndToEnd {
  @Suite("Deny before forward", .timeLimit(.minutes(5)))
  struct DenialTests {
    @Test("ten thousand denied queries of every kind: no packet upstream, no address, each accounted for")
    func tenThousand() throws {
      try Testbed.run { (bed: Testbed) throws in
        let before = try bed.upstream.packets()
        let socket = try bed.socket()
        var random = SeededRandom(seed: 2_026)
        var denials = 0
        for index in 0..<10_000 {
          let (octets, isDecision) = Self.denied(index, &random)
          socket.send(octets)
          let answer = try #require(socket.receive(within: 3), "query \(index) got no answer: \(octets)")
          let reply = try #require(Reply(answer), "query \(index)")
          #expect(reply.id == UInt16(index))
          #expect(reply.addresses.isEmpty)
          #expect(reply.header.answerCount == 0)
          #expect(
            reply.code != .NOERROR || isDecision == false || index % Self.kinds == 9,
            "query \(index): only a type that is not allowed is NODATA")
          if isDecision, reply.code != .SERVFAIL { denials += 1 }
        }
        #expect(try bed.upstream.packets() == before)
        #expect(denials > 8_000)
        bed.sluice.signal(SIGTERM)
        #expect(try bed.sluice.status() == 0)
        let events = try bed.sluice.events().filter { $0["decision"] as? String == "block" }
        #expect(events.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } >= denials)
      }
    }

    private static let kinds = 12

    /// A query that policy denies, and whether it is well-formed enough for a decision that is recorded.
    private static func denied(_ index: Int, _ random: inout SeededRandom) -> (octets: [UInt8], isDecision: Bool) {
      let id = UInt16(index)
      let number = Array("\(index)".utf8)
      let com = Array("com".utf8)
      func ask(_ labels: [[UInt8]], _ type: RRType = .A, _ klass: RRClass = .IN) -> ([UInt8], Bool) {
        (Question(labels: labels, type, klass).octets(id: id), true)
      }
      switch index % kinds {
      case 0: return ask([Array("eViL".utf8) + number, Array("ExAmPlE".utf8), com])
      // One label that looks like a listed name.
      case 1: return ask([Array("api.github.com".utf8), number, com])
      case 2: return ask([Array("api.github".utf8), com])
      // An embedded NUL, after which a careless reader stops.
      case 3: return ask([Array("api".utf8), Array("github".utf8), com + [0], Array("evil".utf8) + number, com])
      case 4: return ask([Array("a\0pi".utf8) + number, Array("github".utf8), com])
      // Any octets at all.
      case 5: return ask([random.octets(20).map { $0 | 0x80 }, number, com])
      case 6: return ask([Array("*".utf8), Array("load".utf8) + number, Array("net".utf8)])
      case 7: return ask([Array("x".utf8), Array("api".utf8) + number, Array("github".utf8), com])
      case 8: return ask([Array("n\(index)".utf8), Array("xload".utf8), Array("net".utf8)], .AAAA)
      // A listed name with types that are not allowed.
      case 9:
        let types: [RRType] = [.TXT, .MX, .HTTPS, .SRV, .CAA, .NS, .SOA, RRType(rawValue: 65_280)]
        return ask([Array("api".utf8), Array("github".utf8), com], types[index / kinds % types.count])
      case 10:
        let types: [RRType] = [.ANY, .AXFR, .IXFR, .MAILB, RRType(rawValue: 10), .TXT]
        let classes: [RRClass] = [.CH, .HS, .ANY, .NONE]
        if index / kinds % 2 == 0 { return ask([number, com], types[index / kinds % types.count]) }
        return ask([Array("version".utf8), Array("bind".utf8)], .TXT, classes[index / kinds % classes.count])
      // Two questions: FORMERR (RFC 9619), and no decision.
      default: return (Question("api.github.com").octets(id: id, copies: 2), false)
      }
    }

    @Test("a denied name is NXDOMAIN with the sinkhole's SOA and an extended error; a listed one is not hurt by TXT")
    func shape() throws {
      try Testbed.run { (bed: Testbed) throws in
        let denied = try bed.dig("evil.example.com", "A")
        #expect(denied.status == "NXDOMAIN")
        #expect(denied.text.contains("EDE: 15 (Blocked): (github-mcp: not-listed)"))
        #expect(denied.text.contains("SOA\tsluice.invalid."))
        let event = try bed.sluice.event(of: "evil.example.com")
        #expect(event["decision"] as? String == "block")
        #expect(event["reason"] as? String == "destination not in allowlist")
        #expect(event["server"] as? String == "github-mcp")
        #expect(event["client"] as? String == "10.77.1.2")
        #expect(event["type"] as? String == "A")
        #expect(event["rcode"] as? String == "NXDOMAIN")
        let text = try bed.dig("api.github.com", "TXT")
        #expect(text.status == "NOERROR" && text.values.isEmpty)
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
      }
    }

    @Test("a client in no network gets NXDOMAIN with Prohibited, and no packet goes upstream")
    func unknownClient() throws {
      try Testbed.run { (bed: Testbed) throws in
        // Behind another interface: from a server's own, what is not of its networks reaches nothing.
        try bed.internet.ip("address add 192.0.2.99/24 dev eth0")
        let before = try bed.upstream.packets()
        let answer = Testbed.parse(
          try Command.run(
            ["dig", "+time=3", "+tries=1", "-b", "192.0.2.99", "@10.77.1.1", "api.github.com", "A"], in: bed.internet
          ).text)
        #expect(answer.status == "NXDOMAIN")
        #expect(answer.text.contains("EDE: 18 (Prohibited)"))
        #expect(try bed.upstream.packets() == before)
        #expect(try bed.sluice.event(of: "api.github.com")["code"] as? String == "unknown-client")
      }
    }

    @Test("an answer with an address that is not public is refused whole, and nothing is opened")
    func notPublic() throws {
      try Testbed.run { (bed: Testbed) throws in
        for (name, address) in [("bad.github.com", "169.254.169.254"), ("mixed.github.com", "45.11.0.14")] {
          let answer = try bed.dig(name, "A")
          #expect(answer.status == "NOERROR" && answer.values.isEmpty)
          #expect(answer.text.contains("EDE: 15"))
          #expect(try bed.sluice.event(of: name)["code"] as? String == "answer-not-public")
          #expect(try !bed.nft("list set inet sluice github-mcp-4").contains(address))
        }
      }
    }

    @Test("what the upstream sees of a query is the same whatever the client's message held")
    func nothingSmuggled() throws {
      try Testbed.run { (bed: Testbed) throws in
        let capture = try RunningCommand(
          [
            "tcpdump", "-i", "eth0", "-n", "-l", "-x", "--immediate-mode", "udp", "dst", "port", "53",
          ], in: bed.internet, folder: bed.folder)
        try eventually("tcpdump listens") { capture.errors.contains("listening on") }
        let socket = try bed.socket()
        var names: [String] = []
        for index in 0..<40 {
          var name = "n\(1_000 + index).load.net"
          names.append(name)
          if index % 2 == 0 { name = name.uppercased() }
          var octets = Question(name).octets(id: UInt16(truncatingIfNeeded: index &* 40_503))
          // AA, TC, RA, Z, AD and CD as they come, and an OPT with an option of private use, a cookie and a subnet.
          octets[2] |= UInt8(truncatingIfNeeded: index) & 0x06
          octets[3] = UInt8(truncatingIfNeeded: index &* 16)
          let options: [UInt8] = [0xFD, 0xE9, 0, 4] + Array("data".utf8) + [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]
          octets.removeLast(2)
          octets += [0, UInt8(options.count)] + options
          socket.send(octets)
          _ = socket.receive(within: 3)
        }
        try eventually("the upstream saw all questions") { Self.queries(capture.output).count >= 40 }
        capture.signal(15)
        _ = try capture.status(within: 5)
        let queries = Self.queries(capture.output)
        // What stands behind the id but letter case and cookie, our own chance: one and the same for all.
        var shapes: Set<[UInt8]> = []
        var cookies: Set<[UInt8]> = []
        var upper = [0, 0]
        for query in queries {
          let end = try #require(query[12...].firstIndex(of: 0))
          let name = String(decoding: query[13..<end], as: UTF8.self)
          let index = try #require(Int(name.prefix { $0 != "." && $0 != "\u{4}" }.dropFirst()))
          upper[index % 2] += name.utf8.count { (65...90).contains($0) }
          let opt = Array(query[(end + 5)...])
          shapes.insert(Array(query[2..<12]) + Array(query[end..<(end + 5)]) + Array(opt[..<9]))
          try #require(
            opt.count >= 23 && opt[11..<13] == [0, 10] && opt.count == 15 + Int(opt[14]), "a cookie and no more")
          cookies.insert(Array(opt[15..<23]))
        }
        #expect(shapes.count == 1, "\(shapes)")
        #expect(cookies.count == 1 && cookies != [Array(1...8)], "our own, for this upstream")
        // Eight letters in each of twenty names that a client asked in upper case, and in twenty in lower case: half of 160, and
        // six standard deviations of 6.
        #expect(upper.allSatisfy { (42...118).contains($0) }, "no letter case of the client: \(upper)")
        #expect(Set(queries.map { $0[..<2] }).count > 30, "the ids are our own and differ")
      }
    }

    /// The DNS messages of a `tcpdump -x` listing: IPv4 headers of 20 octets and UDP headers of 8 before each.
    private static func queries(_ listing: String) -> [[UInt8]] {
      var packets: [[UInt8]] = []
      for line in listing.split(separator: "\n") {
        if line.first?.isNumber == true { packets.append([]) }
        guard let colon = line.firstIndex(of: ":"), line.hasPrefix("\t0x"), !packets.isEmpty else { continue }
        let digits = line[line.index(after: colon)...].filter(\.isHexDigit)
        var rest = digits[...]
        while let octet = UInt8(rest.prefix(2), radix: 16) {
          packets[packets.count - 1].append(octet)
          rest = rest.dropFirst(2)
        }
      }
      return packets.filter { $0.count > 40 }.map { Array($0[28...]) }
    }
  }
}
