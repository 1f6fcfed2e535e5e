import DNSWire
import IPNetwork
import Testing

@testable import AuditLog

/// Grants of a server that is far over its share of the log.
@Suite struct GrantNoiseTests {
  private func grant(_ name: String, line: Int = 3, client: UInt32 = 1) -> AuditRecord {
    record(
      header(.granted, client: client), name: wire(name),
      members: Array(#","rule":"a.yaml:\#(line)","addresses":["192.0.2.1"],"ttl":1"#.utf8))
  }

  private func denied(_ name: String, client: UInt32 = 1) -> AuditRecord {
    record(header(client: client), name: wire(name))
  }

  /// Absorbs records within a second or two, and ends all windows.
  private func lines(_ records: some Sequence<AuditRecord>) throws -> [[String: Any]] {
    var coalescer = makeCoalescer(windows(4 << 20), bounds: LogBounds(history: 1 << 20, servers: 2))
    var output: [UInt8] = []
    var pushed = 0
    for record in records {
      pushed += 1
      while !coalescer.absorb(record, now: second + UInt64(pushed) * 1000, into: &output) {
        coalescer.retireForRoom(into: &output, limit: .max)
        coalescer.commit()
      }
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let lines = try events(output)
    #expect(sum(lines) == pushed)
    #expect(lines.contains { $0["code"] as? String == "summary" })
    return lines
  }

  private func find(_ destination: String, in lines: [[String: Any]]) -> [[String: Any]] {
    lines.filter { $0["destination"] as? String == destination }
  }

  private func isTold(_ lines: [[String: Any]], _ destination: String) -> Bool {
    find(destination, in: lines).map { $0["count"] as? Int } == [1]
  }

  @Test(
    "a grant of a name that no line of the hour has is told, among any number under a pattern, and its repeats are summed"
  )
  func marked() throws {
    var all = (0..<30_000).map { grant("n\($0).listed.com") }
    for index in [29_999, 25_000, 20_001, 20_000] { all.insert(grant("marked.exact.net", line: 9), at: index) }
    let lines = try lines(all)
    #expect(isTold(lines, "marked.exact.net"))
    #expect(find("marked.exact.net", in: lines).first?["rule"] as? String == "a.yaml:9")
  }

  @Test("a flood of denied names, each with repeats to be told, leaves a grant its line", arguments: [1, 300])
  func denials(clients: UInt32) throws {
    var all: [AuditRecord] = (0..<20_000).flatMap { number in
      let one = denied("junk\(number / 2).com", client: 1 + UInt32(number) % clients)
      return [one, one]
    }
    all.insert(grant("marked.exact.net"), at: 35_000)
    #expect(try isTold(lines(all), "marked.exact.net"))
  }

  @Test(
    "a flood of grants by invented clients leaves another entry of the policy its line, in the same line of a file too")
  func inventedClients() throws {
    var all = (0..<40_000).map { grant("n\($0).listed.com", client: UInt32($0)) }
    all.insert(grant("marked.exact.net", client: 77), at: 35_000)
    all.insert(grant("marked.other.net", line: 4, client: 77), at: 36_000)
    let lines = try lines(all)
    #expect(isTold(lines, "marked.exact.net") && isTold(lines, "marked.other.net"))
  }

  @Test("what is told so is paid from the server's share: all servers fill the history in no less than a day")
  func day() throws {
    var coalescer = makeCoalescer(windows(), bounds: LogBounds(history: 4 << 20, servers: 2))
    var output: [UInt8] = []
    var pushed = 0
    for step in 0..<180 as Range<UInt64> {
      for number in 0..<40 {
        for server in ["one", "two"] {
          var one = grant("n\(number).d\(step).com", line: number, client: UInt32(number))
          one = record(
            one.header, server: Array(server.utf8), name: wire("n.d\(step).com"),
            members: Array(one.octets[one.members]))
          #expect(coalescer.absorb(one, now: 1000 * second + step * 480 * second, into: &output))
          pushed += 1
        }
      }
      coalescer.retire(now: 1000 * second + (step + 1) * 480 * second, into: &output, limit: .max)
      coalescer.commit()
    }
    #expect(output.count <= 4 << 20)
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    #expect(try sum(events(output)) == pushed)
  }
}
