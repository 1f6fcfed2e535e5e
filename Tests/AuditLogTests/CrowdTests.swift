import DNSWire
import Foundation
import IPNetwork
import Testing

@testable import AuditLog

/// Clients of a server that are too many to be told apart: addresses can be invented within its networks.
@Suite struct CrowdTests {
  private static let real: UInt32 = 0x0A5B_0102

  /// A coalescer over a clock of its own.
  private struct Bed: ~Copyable {
    private var coalescer: Coalescer
    var now: UInt64 = 1000 * second
    var log: [UInt8] = []
    var pushed = 0

    init(_ bounds: LogBounds? = nil) { coalescer = makeCoalescer(windows(4 << 20), bounds: bounds) }

    mutating func take(_ record: AuditRecord) {
      var one = record
      one.header.wallClock = now
      pushed += 1
      while !coalescer.absorb(one, now: now, into: &log) {
        coalescer.retireForRoom(into: &log, limit: .max)
        coalescer.commit()
      }
    }

    mutating func pass(_ nanoseconds: UInt64) {
      now += nanoseconds
      coalescer.retire(now: now, into: &log, limit: .max)
      coalescer.commit()
    }

    /// All lines; what they sum up to is what was taken in.
    mutating func end() throws -> [[String: Any]] {
      #expect(coalescer.retireEverything(into: &log, limit: .max))
      coalescer.commit()
      let lines = try events(log)
      #expect(sum(lines) == pushed)
      return lines
    }
  }

  private func denied(_ name: String, _ client: UInt32, server: String = "github-mcp") -> AuditRecord {
    record(header(client: client), server: Array(server.utf8), name: wire(name))
  }

  /// A query of a name of its own by one of 65,536 invented clients.
  private func invented(_ number: Int, server: String = "github-mcp") -> AuditRecord {
    denied("n\(number).junk\(number).com", 0x0A5D_0000 | UInt32(number &* 7919 & 0xFFFF), server: server)
  }

  private func isTold(_ destination: String, in lines: [[String: Any]]) -> Bool {
    lines.filter { $0["destination"] as? String == destination }.map { $0["client"] as? String } == ["10.91.1.2"]
  }

  @Test("a client that had a line keeps its lines, however many clients are invented beside it")
  func settled() throws {
    var bed = Bed()
    bed.take(denied("first.example", Self.real))
    bed.pass(60 * second)
    for number in 0..<30_000 {
      bed.take(invented(number))
      if number % 3000 == 2999 { bed.take(denied("c2.marked\(number).example", Self.real)) }
      if number % 15 == 0 { bed.pass(10_000_000) }
    }
    let lines = try bed.end()
    for number in stride(from: 2999, to: 30_000, by: 3000) {
      #expect(isTold("c2.marked\(number).example", in: lines), "\(number)")
    }
    #expect(lines.count { $0["code"] as? String == "noise" && $0["client"] is NSNull } == 1)
  }

  @Test("it keeps them over the hours, as long as it has a line in each, and where room for others is long gone")
  func hours() throws {
    // A share that is never gone, and room for 4,096 destinations.
    var bed = Bed(LogBounds(history: 1 << 40, servers: 400))
    bed.take(denied("first.example", Self.real))
    for hour in 0..<3 {
      for window in 0..<6 {
        for number in 0..<1200 { bed.take(invented((hour * 6 + window) * 1200 + number)) }
        if window % 2 == 1 { bed.take(denied("c2.marked\(hour)-\(window).example", Self.real)) }
        bed.pass(10 * second)
      }
      bed.pass(3600 * second)
    }
    let lines = try bed.end()
    for hour in 0..<3 {
      for window in stride(from: 1, to: 6, by: 2) {
        #expect(isTold("c2.marked\(hour)-\(window).example", in: lines), "\(hour) \(window)")
      }
    }
  }

  @Test("of clients that are not told apart 16 records a minute have lines, each with the same probability")
  func uniform() throws {
    var bed = Bed()
    let servers = (0..<3).map { "s\($0)" }
    for server in servers {
      // As many as are told apart in 10 s; they are settled.
      for number in 0..<1024 {
        bed.take(denied("x.example", UInt32(number + 1), server: server))
        if number == 600 { bed.pass(10 * second) }
      }
      for number in 0..<1024 { bed.take(denied("y.example", UInt32(number + 1), server: server)) }
      for number in 0..<8000 { bed.take(denied("n\(number).late.com", 0x0A5D_0000 | UInt32(number), server: server)) }
    }
    let lines = try bed.end()
    var positions: [Int] = []
    for server in servers {
      let own = lines.filter { $0["server"] as? String == server }
      let late = own.compactMap { ($0["destination"] as? String)?.wholeMatch(of: /n([0-9]+)\.late\.com/) }
      let told = late.compactMap { Int($0.1) }
      let rest = try #require(own.first { $0["client"] as? String == "*" })
      // Those that came while there was room for them in 10 s have lines of their own too.
      #expect(rest["count"] as? Int == 8000 - told.count)
      #expect((rest["samples"] as? [String])?.count == 64)
      positions += told.suffix(16)
    }
    #expect(positions.count == 16 * servers.count)
    // The mean of 48 of 0 ... 8000 has a standard deviation of 333.
    #expect((2600...5400).contains(positions.reduce(0, +) / positions.count))
    #expect(Set(positions).count > 40)
  }

  @Test("what is remembered leaves room for a settled client, whatever a thousand others take")
  func room() {
    var seen = SeenDestinations(servers: 1)
    func find(_ client: UInt64, _ number: UInt64, now: UInt64 = 1) -> SeenDestinations.Sighting {
      let hash = (client << 32 | number) &* 0x9E37_79B9_7F4A_7C15
      let contact = SeenDestinations.Contact(destination: hash ^ hash >> 32, client: client, kind: .name)
      return seen.find(contact, server: 0, mayTell: true, now: now)
    }
    #expect(find(1, 0) == .new)
    var taken = 0
    for client in 2..<3000 as Range<UInt64> {
      for number in 0..<100 as Range<UInt64> where find(client, number) == .new { taken += 1 }
    }
    #expect(taken <= SeenDestinations.serverRoom)
    let own = (1..<1024 as Range<UInt64>).count { find(1, $0) == .new }
    #expect(own >= SeenDestinations.perSettled - 1)
    var settled = [1, 2999].map { seen.isSettled($0, server: 0, now: 1) }
    #expect(settled == [true, false])
    // Another hour: it is settled still, and in the hour after the one without a line it is not.
    #expect(find(1, 0, now: 4000 * second) == .new)
    settled = [8000, 12_000].map { seen.isSettled(1, server: 0, now: $0 * second) }
    #expect(settled == [true, false])
  }

  @Test("a thousand clients, each with as many destinations as it may have, leave a later one some")
  func greedy() {
    var seen = SeenDestinations(servers: 1)
    func find(_ client: UInt64, _ number: UInt64) -> SeenDestinations.Sighting {
      let hash = (client << 32 | number) &* 0x9E37_79B9_7F4A_7C15
      let contact = SeenDestinations.Contact(destination: hash ^ hash >> 32, client: client, kind: .name)
      return seen.find(contact, server: 0, mayTell: true, now: 1)
    }
    for number in 0..<200 as Range<UInt64> {
      for client in 2..<1002 as Range<UInt64> { _ = find(client, number) }
    }
    #expect((0..<1024 as Range<UInt64>).count { find(1, $0) == .new } >= 24)
    #expect((0..<1024 as Range<UInt64>).count { find(2000, $0) == .new } >= 20)
  }

  @Test("of each entry of the policy the first grant of an hour is told apart, as long as there is room for entries")
  func entries() {
    var seen = SeenDestinations(servers: 1)
    let most = UInt64(SeenDestinations.serverRoom / 16)
    func count(_ entries: Range<UInt64>, now: UInt64) -> UInt64 {
      UInt64(entries.count { seen.isNew(entry: $0, server: 0, now: now) })
    }
    let told = [
      count(0..<most, now: 1), count(0..<most, now: 2), count(most..<most + 9, now: 3),
      count(0..<most + 9, now: 4000 * second),
    ]
    #expect(told == [most, 0, 0, most])
  }
}
