import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import AuditLog

@Suite struct ConnectionEventTests {
  private func refused(
    _ destination: String, port: UInt16 = 443, transport: UInt8 = 6, code: AuditCode = .rawAddress,
    client: UInt32 = 0x0A4D_0102, members: String? = nil
  ) -> AuditRecord {
    let header = AuditRecordHeader(
      connection: code, transport: transport, port: port, payloadSize: 60, client: IPAddress(v4: client),
      clientPort: 40188, wallClock: 1_763_630_062_481_000_000)
    let own = #","address":"192.0.2.1","protocol":"tcp","port":\#(port)"#
    return record(header, name: Array(destination.utf8), members: Array((members ?? own).utf8))
  }

  private func line(_ record: AuditRecord) -> String {
    var encoder = EventEncoder(run: 7)
    var output: [UInt8] = []
    encoder.append(record, to: &output)
    return String(decoding: output, as: UTF8.self)
  }

  @Test("the event of a connection has the contract's keys in order, without type and rcode, then its members")
  func connection() {
    #expect(
      line(refused("api.example.com", port: 22, code: .wrongPort))
        == #"{"ts":"2025-11-20T09:14:22.481Z","server":"github-mcp","destination":"api.example.com","decision":"block","#
        + #""reason":"address open, but not on this port","payload_size":60,"id":"0000000007-0000000001","#
        + #""code":"wrong-port","client":"10.77.1.2","client_port":40188,"transport":"tcp","type":null,"rcode":null,"#
        + #""count":1,"address":"192.0.2.1","protocol":"tcp","port":22}"# + "\n")
  }

  @Test("a packet without ports has no client port and no transport")
  func withoutPorts() {
    #expect(
      line(refused("192.0.2.1", transport: 1, members: #","protocol":"icmp""#)).contains(
        #""client":"10.77.1.2","client_port":null,"transport":null,"type":null,"rcode":null,"count":1,"protocol":"icmp"}"#
      ))
  }

  @Test("an event of the service may have no client")
  func service() {
    let header = AuditRecordHeader(service: .enforcementDegraded, wallClock: 0)
    let text = line(record(header, name: Array("inet sluice".utf8)))
    #expect(
      text.contains(#""client":null,"client_port":null,"transport":null,"type":null,"rcode":null,"count":1}"#))
    #expect(text.contains(#""destination":"inet sluice","decision":"error""#))
    let revoked = AuditRecordHeader(service: .revoked, client: IPAddress(v4: 0x0A00_0001), wallClock: 0)
    #expect(line(record(revoked, name: [])).contains(#""destination":"","decision":"observe""#))
    #expect(line(record(revoked, name: [])).contains(#""client":"10.0.0.1","client_port":null"#))
  }

  @Test("every code is about a query, a connection or the service; only connections and queries are merged")
  func kinds() {
    for code in AuditCode.registered {
      #expect([code.isQuery, code.isConnection, code.isService].filter { $0 }.count == 1)
    }
    #expect(
      AuditCode.registered.filter(\.isConnection).map(\.rawValue) == Array(17...27) + [37, 38, 43, 44, 57] + (72...81)
        + [84, 86])
    #expect(AuditCode.registered.filter(\.isQuery).map(\.rawValue) == Array(1...13) + Array(52...56) + (59...64) + [85])
    #expect(
      AuditCode.registered.filter(\.isConnection).filter { $0.decision != .block }
        == [.nameVerified, .inspectorFlagged, .overMaxBytes, .overMaxBytesPerHour])
  }

  @Test("headers of all kinds come through the ring")
  func ring() {
    let (ring, _) = makeRing()
    let reader = AuditRingReader(ring)
    var got = AuditRecord()
    var wide = refused("2001:db8::1")
    wide.header.client = IPAddress(high: 0xFD00_0077_0001_0000, low: 2)
    let service = record(AuditRecordHeader(service: .egressVolume, wallClock: 5), name: Array("a.example".utf8))
    for one in [
      refused("192.0.2.1"), refused("x", transport: 17), refused("x", transport: 58), wide, service, record(),
    ] {
      #expect(ring.push(one) == .stored)
      #expect(reader.next(into: &got) == .record)
      #expect(got.header == one.header && got.octets == one.octets && got.nameEnd == one.nameEnd)
    }
  }

  @Test("whatever octets a destination has, a line stays one JSON object", arguments: 0..<4 as Range<UInt64>)
  func hostileDestinations(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var coalescer = makeCoalescer(windows(65_536))
    var output: [UInt8] = []
    var pushed = 0
    for number in 0..<3000 {
      let count = Int.random(in: 0...(number % 10 == 0 ? 255 : 3), using: &random)
      let destination = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      let codes: [AuditCode] = [.neverResolved, .expired, .maxBytes, .egressVolume, .notListed]
      var one = record(header(), name: destination, members: Array(#","port":\#(number % 3)"#.utf8))
      one.header.code = codes[Int.random(in: 0..<5, using: &random)]
      one.header.type = RRType(rawValue: .random(in: 0...3, using: &random))
      one.header.transport = [.udp, .tcp, nil][Int.random(in: 0..<3, using: &random)]
      one.header.client = number % 7 == 0 && !one.header.code.isQuery ? nil : IPAddress(v4: UInt32(number % 50))
      while !coalescer.absorb(one, now: 0, into: &output) {
        coalescer.retireForRoom(into: &output, limit: .max)
        coalescer.commit()
      }
      pushed += 1
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    #expect(output.allSatisfy { (0x20...0x7E).contains($0) || $0 == UInt8(ascii: "\n") })
    #expect(try sum(events(output)) == pushed)
  }

  @Test("a destination is told as it is")
  func destinations() throws {
    for destination in ["2001:db8::1", "*.example.com", #"a\.b.example"#, #"quote"d"#, "tab\tbed", "a;b", ""] {
      let event = try #require(events(Array(line(refused(destination)).utf8)).first)
      #expect(event["destination"] as? String == destination)
    }
  }

  // MARK: - Floods

  /// Absorbs a flood and ends all windows; the lines of the flood itself, and of the end.
  private func flood(_ records: some Sequence<AuditRecord>) throws -> (first: [[String: Any]], last: [[String: Any]]) {
    var coalescer = makeCoalescer(windows(4 << 20))
    var output: [UInt8] = []
    for record in records { #expect(coalescer.absorb(record, now: 0, into: &output)) }
    let first = try events(output)
    output = []
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    return (first, try events(output))
  }

  @Test("a scan of all ports of an address is 1,024 events, one that says so, and one aggregate with ports")
  func portScan() throws {
    let (first, last) = try flood((1...UInt16.max).lazy.map { refused("192.0.2.1", port: $0) })
    #expect(first.count == 1025 && last.count == 1)
    #expect(last.first?["destination"] as? String == "*")
    #expect(last.first?["count"] as? Int == 65_535 - 1024)
    let samples = try #require(last.first?["samples"] as? [String])
    #expect(samples.count == 64 && samples.allSatisfy { $0.hasPrefix("192.0.2.1 ") && $0.hasSuffix("/tcp") })
    #expect(last.first?["type"] is NSNull && last.first?["transport"] as? String == "tcp")
  }

  @Test("an aggregate of several transports has none, and says them in its samples")
  func mixedScan() throws {
    let transports: [UInt8] = [6, 17, 1]
    let (first, last) = try flood(
      (0..<9000).lazy.map { refused("2001:db8::1", port: UInt16($0 / 3), transport: transports[$0 % 3], members: "") })
    #expect(first.count == 1025)
    let event = try #require(last.first { $0["samples"] != nil })
    #expect(event["transport"] is NSNull && event["client_port"] is NSNull)
    #expect((event["samples"] as? [String])?.contains { $0.hasSuffix("/udp") } == true)
    #expect(sum(first) + sum(last) == 9000)
  }

  @Test("a scan of addresses is 1,024 events, one that says so, and one aggregate with addresses", arguments: [4, 6])
  func addressScan(family: Int) throws {
    let prefix = family == 4 ? "198.18." : "2001:db8::"
    let separator = family == 4 ? "." : ":"
    let (first, last) = try flood(
      (0..<20_000).lazy.map { refused("\(prefix)\($0 / 250)\(separator)\($0 % 250)", port: UInt16($0 % 7)) })
    #expect(first.count == 1025 && last.count == 1)
    #expect(last.first?["destination"] as? String == "*")
    #expect(last.first?["client"] as? String == "10.77.1.2")
    #expect(last.first?["count"] as? Int == 20_000 - 1024)
    let samples = try #require(last.first?["samples"] as? [String])
    #expect(samples.count == 64 && samples.allSatisfy { $0.hasPrefix(prefix) })
  }

  @Test("a scan of addresses and ports at once is bounded, over and over")
  func scanOfBoth() throws {
    var random = SeededRandom(seed: 3)
    var coalescer = makeCoalescer(windows())
    var lines = 0
    var octets = 0
    for round in 0..<20 as Range<UInt64> {
      var output: [UInt8] = []
      coalescer.retire(now: round * 10 * second, into: &output, limit: .max)
      for _ in 0..<5000 {
        let one = refused(
          "198.18.\(Int.random(in: 0...255, using: &random)).\(Int.random(in: 0...255, using: &random))",
          port: .random(in: 0...UInt16.max, using: &random))
        #expect(coalescer.absorb(one, now: round * 10 * second, into: &output))
      }
      coalescer.commit()
      lines += try events(output).count
      octets += output.count
    }
    #expect(lines <= 1025 + 4)
    #expect(octets < 500_000)
  }

  @Test("a flood of invented sources is bounded too")
  func sources() throws {
    let (first, last) = try flood(
      (0..<5000).lazy.map { refused("192.0.2.1", code: .spoofedSource, client: UInt32($0)) })
    // A thousand, and one that says that there are more.
    #expect(first.count == 1001 && last.count == 17)
    #expect(last.prefix(16).allSatisfy { $0["client"] as? String != "*" && $0["count"] as? Int == 1 })
    #expect(last.last?["client"] as? String == "*" && last.last?["count"] as? Int == 3984)
  }

  @Test("the longest texts are cut, and keep a line whole")
  func longest() throws {
    let (first, last) = try flood(
      (0..<2000).lazy.map { refused(String(repeating: "x", count: 251) + String($0 + 1000), members: "") })
    #expect(first.count == 1025)
    let samples = try #require(last.first?["samples"] as? [String])
    #expect(samples.count == 64 && samples.allSatisfy { (240...254).contains($0.utf8.count) })
  }

  // MARK: - What is the same

  @Test("transport, port, code, destination and members each make another event; the rest does not")
  func distinct() throws {
    let one = refused("a.example")
    var later = one
    later.header.clientPort = 9
    later.header.payloadSize = 1500
    let others = [
      one, refused("a.example", port: 444, members: ""), refused("a.example", transport: 17),
      refused("a.example", code: .expired), refused("b.example"), refused("a.example", client: 1),
      refused("a.example", members: #","address":"192.0.2.2""#),
    ]
    let (first, last) = try flood(others + others + [later, later])
    #expect(first.count == 7)
    #expect(last.map { $0["count"] as? Int } == [3, 1, 1, 1, 1, 1, 1])
    #expect(last.first?["address"] as? String == "192.0.2.1" && last.first?["port"] as? Int == 443)
    #expect(last.first?["first_ts"] is String)
  }

  @Test("a port is no record type: equal numbers of a query and a connection are two events")
  func portsAndTypes() throws {
    var query = record(header(.notListed, type: RRType(rawValue: 443)), name: [])
    query.header.type = RRType(rawValue: 443)
    let (first, _) = try flood([query, refused("", members: ""), query, refused("", members: "")])
    #expect(first.count == 2)
    #expect(first.map { $0["destination"] as? String } == [".", ""])
  }

  @Test("events of the service are told one by one, equal ones too", arguments: AuditCode.registered)
  func serviceEvents(code: AuditCode) throws {
    guard code.isService else { return }
    let one = record(AuditRecordHeader(service: code, wallClock: 1), name: Array("192.0.2.1".utf8))
    let (first, last) = try flood(Array(repeating: one, count: 50))
    #expect(first.count == 50 && last.isEmpty)
  }

  @Test("windows of connections that a killed run left are told by the next")
  func nextRun() throws {
    let memory = windows()
    var coalescer = makeCoalescer(memory)
    var output: [UInt8] = []
    for port in 1...2000 as ClosedRange<UInt16> {
      for _ in 0..<2 { _ = coalescer.absorb(refused("192.0.2.9", port: port), now: 0, into: &output) }
    }
    let told = try sum(events(output))
    var next = makeCoalescer(memory, run: 2)
    output = []
    #expect(next.retireEverything(into: &output, limit: .max))
    let rest = try events(output)
    #expect(told + sum(rest) == 4000)
    #expect(rest.filter { $0["port"] != nil }.count == 1024)
    #expect(rest.compactMap { $0["samples"] as? [String] }.first?.count == 5)
  }

  @Test("damaged windows of connections never trap, and end")
  func damage() throws {
    var random = SeededRandom(seed: 18)
    for _ in 0..<500 {
      let memory = windows(65_536)
      var coalescer = makeCoalescer(memory)
      var output: [UInt8] = []
      for number in 0..<60 as Range<UInt16> {
        _ = coalescer.absorb(refused("192.0.2.\(number % 2)", port: number), now: 0, into: &output)
      }
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        memory.set(.random(in: 0...255, using: &random), at: .random(in: 0..<16_384, using: &random))
      }
      var next = makeCoalescer(memory)
      output = []
      #expect(next.retireEverything(into: &output, limit: .max))
      _ = try events(output)
    }
  }
}
