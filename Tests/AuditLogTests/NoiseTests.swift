import DNSWire
import Foundation
import IPNetwork
import Testing

@testable import AuditLog

@Suite struct NoiseTests {
  private func lines(_ records: some Sequence<AuditRecord>, bounds: LogBounds? = nil) throws -> [[String: Any]] {
    var coalescer = makeCoalescer(windows(4 << 20), bounds: bounds)
    var output: [UInt8] = []
    var pushed = 0
    for (number, record) in records.enumerated() {
      pushed += 1
      while !coalescer.absorb(record, now: 1 + UInt64(number) * 1000, into: &output) {
        coalescer.retireForRoom(into: &output, limit: .max)
        coalescer.commit()
      }
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let lines = try events(output)
    #expect(sum(lines) == pushed)
    return lines
  }

  private func denied(_ name: String, client: UInt32 = 1) -> AuditRecord {
    record(header(client: client), name: wire(name))
  }

  private func refused(_ address: String, port: UInt16, client: UInt32 = 1, destination: String? = nil) -> AuditRecord {
    record(
      AuditRecordHeader(
        connection: .rawAddress, transport: 6, port: port, payloadSize: 60, client: IPAddress(v4: client),
        clientPort: 40_188, wallClock: 1),
      name: Array((destination ?? address).utf8),
      members: Array(#","address":"\#(address)","protocol":"tcp","port":\#(port)"#.utf8))
  }

  private func find(_ destination: String, in lines: [[String: Any]]) -> [[String: Any]] {
    lines.filter { $0["destination"] as? String == destination }
  }

  @Test("a name among a thousand junk names of its client, each asked over and over, has a line of its own")
  func markedName() throws {
    let junk = (0..<20_000).lazy.map { denied("x\($0).junk\($0 % 1000).com") }
    for index in [0, 150, 5_000, 19_000] {
      let all = junk.prefix(index).map { $0 } + [denied("c2.attacker.example")] + junk.dropFirst(index)
      #expect(try find("c2.attacker.example", in: lines(all)).map { $0["count"] as? Int } == [1])
    }
  }

  @Test("a connection among a thousand others of its client has a line of its own")
  func markedConnection() throws {
    for index in [0, 150, 5_000, 19_000] {
      var all = (0..<20_000).map { refused("198.18.\($0 % 4).\($0 / 4 % 250)", port: 80) }
      all.insert(refused("45.11.6.6", port: 4444), at: index)
      let found = try find("45.11.6.6", in: lines(all))
      #expect(found.map { $0["port"] as? Int } == [4444] && found.first?["count"] as? Int == 1)
    }
  }

  @Test("equal names for other addresses and other ports are other destinations")
  func pairs() throws {
    let all = (0..<40).flatMap { number in
      [1, 2].map { refused("192.0.2.\($0)", port: UInt16(number), destination: "a.example") }
    }
    #expect(try lines(all).count == 80)
  }

  @Test("beyond 1,024 destinations a line says how many more, how many different ones, the most frequent, and a sample")
  func digest() throws {
    var all = (0..<1024).map { denied("first\($0).com") }
    all += (0..<40_000).flatMap { number in
      number.isMultiple(of: 10)
        ? [denied("n\(number).heavy.org"), denied("n\(number).junk\(number).com")]
        : [denied("n\(number).junk\(number).com")]
    }
    let lines = try lines(all)
    let line = try #require(lines.first { $0["samples"] != nil })
    #expect(lines.filter { $0["samples"] != nil }.count == 1)
    #expect(line["destination"] as? String == "*" && line["code"] as? String == "not-listed")
    #expect(line["count"] as? Int == 44_000)
    // 3.3 % is the standard error: five of them.
    let distinct = try #require(line["distinct"] as? Int)
    #expect(abs(distinct - 40_001) < 40_001 / 6)
    let top = try #require(line["top"] as? [[String: Any]])
    #expect(top.count == 16 && top.first?["destination"] as? String == "heavy.org")
    let heavy = try #require(top.first?["count"] as? Int)
    #expect(heavy <= 4000 && heavy >= 4000 - 44_000 / 64)
    let samples = try #require(line["samples"] as? [String])
    #expect(samples.count == 64)
    let numbers = samples.compactMap { Int($0.dropFirst().prefix { $0 != "." }) }
    let mean = numbers.reduce(0, +) / 64
    // The mean of 64 of 0 ... 40,000 has a standard deviation of 1,443.
    #expect((11_000...29_000).contains(mean))
  }

  @Test("few different ones are counted nearly exactly", arguments: [1, 10, 100])
  func few(count: Int) throws {
    let all = (0..<1024).map { denied("first\($0).com") } + (0..<5000).map { denied("x\($0).junk\($0 % count).com") }
    let line = try #require(lines(all).first { $0["samples"] != nil })
    let distinct = try #require(line["distinct"] as? Int)
    #expect(abs(distinct - count) <= count / 10)
  }

  @Test("a client that has had all its lines is one noise event in an hour")
  func noise() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    for hour in 0..<2 as Range<UInt64> {
      for number in 0..<3000 {
        for client in [1, 2] as [UInt32] where client == 1 || number < 1000 {
          while !coalescer.absorb(
            denied("junk\(number).com", client: client), now: 1 + hour * 3600 * second, into: &output)
          {
            coalescer.retireForRoom(into: &output, limit: .max)
            coalescer.commit()
          }
        }
      }
    }
    let noise = try events(output).filter { $0["code"] as? String == "noise" }
    #expect(noise.map { $0["client"] as? String } == ["0.0.0.1", "0.0.0.1"])
    let first = try #require(noise.first)
    #expect(first["decision"] as? String == "observe" && first["count"] as? Int == 1)
    #expect(first["server"] as? String == "github-mcp" && first["type"] is NSNull)
  }

  @Test("names and connections each have 1,024, and no client takes another's")
  func shares() throws {
    var all = (0..<5000).map { denied("junk\($0).com") } + (0..<1024).map { refused("192.0.2.1", port: UInt16($0)) }
    all += (0..<1024).map { denied("junk\($0).com", client: 2) }
    let lines = try lines(all)
    #expect(lines.filter { $0["port"] != nil }.count == 1024)
    #expect(lines.filter { $0["client"] as? String == "0.0.0.2" }.count == 1024)
  }

  @Test("what is remembered is bounded for all clients and servers together", arguments: [1, 16, 100, 5000])
  func bound(servers: Int) {
    var seen = SeenDestinations(servers: servers)
    #expect(seen.room * servers <= max(SeenDestinations.totalRoom, 4096 * servers))
    var found = 0
    for number in 0..<100_000 as Range<UInt64> {
      let contact = SeenDestinations.Contact(
        destination: number &* 0x9E37_79B9_7F4A_7C15 | 1, client: number / 1000, kind: .name)
      let finding = seen.find(contact, server: 0, mayTell: true, now: 1)
      if finding == .new { found += 1 }
    }
    #expect(found <= seen.room && found >= seen.room / 2)
    // Another hour, another set.
    let another = SeenDestinations.Contact(destination: 77, client: 1, kind: .name)
    #expect(seen.find(another, server: 0, mayTell: true, now: 4000 * second) == .new)
  }

  @Test("more noisy clients than have digests are in the sum")
  func manyNoisy() throws {
    let all = (0..<70).flatMap { client in (0..<1100).map { denied("junk\($0).com", client: UInt32(client + 1)) } }
    let lines = try lines(all)
    #expect(lines.filter { $0["samples"] != nil }.count >= 64)
  }

  @Test("far over its share a server's new destinations still have lines of their own")
  func markedOverQuota() throws {
    let bounds = LogBounds(history: 1 << 20, servers: 2)
    var all = (0..<20_000).map {
      record(header(.granted, client: 1), name: wire("n\($0).listed.com"), members: Array(#","ttl":1"#.utf8))
    }
    all.insert(denied("c2.attacker.example"), at: 15_000)
    all.insert(refused("45.11.6.6", port: 4444), at: 16_000)
    let lines = try lines(all, bounds: bounds)
    #expect(lines.contains { $0["code"] as? String == "summary" })
    #expect(find("c2.attacker.example", in: lines).count == 1 && find("45.11.6.6", in: lines).count == 1)
    let summary = try #require(lines.first { $0["code"] as? String == "summary" })
    #expect((summary["samples"] as? [String])?.isEmpty == false && summary["distinct"] as? Int == 1)
  }

  @Test("a digest keeps its count and five samples when the process is killed")
  func killed() throws {
    let memory = windows()
    var coalescer = makeCoalescer(memory)
    var output: [UInt8] = []
    for number in 0..<3000 { #expect(coalescer.absorb(denied("junk\(number).com"), now: 1, into: &output)) }
    let before = try sum(events(output))
    var next = makeCoalescer(memory, run: 2)
    output = []
    #expect(next.retireEverything(into: &output, limit: .max))
    let line = try #require(events(output).first)
    #expect(before + (line["count"] as? Int ?? 0) == 3000)
    #expect((line["samples"] as? [String])?.count == 5 && line["distinct"] == nil)
  }
}
