import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import AuditLog

@Suite struct QuotaTests {
  private static let minute = 60 * second
  private static let hour = 60 * minute

  /// A coalescer over a clock of its own, whose output is collected by server.
  private struct Bed: ~Copyable {
    private let memory = windows()
    private var coalescer: Coalescer
    var now: UInt64 = 1000 * second
    var log: [UInt8] = []
    var pushed = 0

    init(_ bounds: LogBounds?) { coalescer = makeCoalescer(memory, bounds: bounds) }

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

    mutating func end() {
      #expect(coalescer.retireEverything(into: &log, limit: .max))
      coalescer.commit()
    }
  }

  private func junk(_ server: String, _ number: Int, _ code: AuditCode = .notListed) -> AuditRecord {
    record(header(code), server: Array(server.utf8), name: wire("n\(number).junk\(number).com"))
  }

  @Test("all servers at their limit fill the history in no less than a day, and no record is left out of the sum")
  func day() throws {
    let history = 4 << 20
    var bed = Bed(LogBounds(history: history, servers: 2))
    var number = 0
    for _ in 0..<(24 * 60) {
      for _ in 0..<30 {
        for server in ["one", "two"] { bed.take(junk(server, number)) }
        number += 1
      }
      bed.pass(Self.minute)
    }
    #expect(bed.log.count <= history)
    // What there is may be used.
    #expect(bed.log.count > history / 2)
    bed.end()
    #expect(try sum(events(bed.log)) == bed.pushed)
  }

  @Test("over its share a server's events are windows of a minute, and then a line a minute with counts by code")
  func coarser() throws {
    var bed = Bed(LogBounds(history: 1 << 20, servers: 4))
    var number = 0
    var coarse: [String: Int] = [:]
    for _ in 0..<10 {
      for _ in 0..<300 {
        for code in [AuditCode.notListed, .granted] {
          bed.take(junk("one", number, code))
          coarse["\(code.token)", default: 0] += 1
        }
        number += 1
      }
      bed.pass(Self.minute)
    }
    bed.end()
    let lines = try events(bed.log)
    #expect(sum(lines) == bed.pushed)
    let summaries = lines.filter { $0["code"] as? String == "summary" }
    #expect((4...10).contains(summaries.count))
    for line in summaries {
      let codes = try #require(line["codes"] as? [String: Int])
      #expect(codes.values.reduce(0, +) == line["count"] as? Int)
      #expect(line["server"] as? String == "one" && line["destination"] as? String == "*")
      #expect(line["client"] is NSNull && line["decision"] as? String == "observe")
    }
    for (code, count) in coarse {
      let own = sum(lines.filter { $0["code"] as? String == code })
      #expect(own + summaries.reduce(0) { $0 + (($1["codes"] as? [String: Int])?[code] ?? 0) } == count)
    }
  }

  @Test("one event an hour says from when to when a server's events were coarser, and of how many records")
  func quotaEvent() throws {
    var bed = Bed(LogBounds(history: 1 << 20, servers: 1))
    for number in 0..<1000 { bed.take(junk("one", number, .granted)) }
    bed.pass(5 * second)
    bed.take(junk("one", 1000, .granted))
    bed.pass(Self.hour)
    let lines = try events(bed.log).filter { $0["code"] as? String == "log-quota" }
    let line = try #require(lines.first)
    #expect(lines.count == 1 && line["server"] as? String == "one" && line["count"] as? Int == 1)
    #expect(line["first_ts"] as? String == "1970-01-01T00:16:40.000Z")
    #expect(line["last_ts"] as? String == "1970-01-01T00:16:45.000Z")
    let records = try #require(line["records"] as? Int)
    #expect((700...1000).contains(records))
    bed.take(junk("one", 1001))
    bed.end()
    #expect(try events(bed.log).filter { $0["code"] as? String == "log-quota" }.count == 1)
  }

  @Test("a neighbour's flood leaves a server's events as they are")
  func neighbour() throws {
    var bed = Bed(LogBounds(history: 1 << 20, servers: 2))
    for number in 0..<5000 { bed.take(junk("loud", number, .granted)) }
    for number in 0..<50 { bed.take(junk("quiet", number)) }
    bed.end()
    let quiet = try events(bed.log).filter { $0["server"] as? String == "quiet" }
    #expect(quiet.count == 50 && quiet.allSatisfy { $0["code"] as? String == "not-listed" })
  }

  @Test("what others leave may be used")
  func leftover() throws {
    var lines: [Int] = []
    for others in [0, 9] {
      var bed = Bed(LogBounds(history: 40 << 20, servers: 10))
      bed.take(junk("mine", 0))
      for other in 0..<others { bed.take(junk("s\(other)", 0)) }
      // Ten of ten servers' shares flow while no server writes.
      for _ in 0..<8 { bed.pass(Self.hour) }
      for other in 0..<others {
        for number in 0..<4000 { bed.take(junk("s\(other)", number, .granted)) }
      }
      let before = bed.log.count
      for number in 0..<9000 { bed.take(junk("mine", number, .granted)) }
      lines.append(bed.log.count - before)
    }
    #expect(lines[0] > lines[1] * 2, "\(lines)")
  }

  @Test("a server has 64 KiB an hour, however many there are", arguments: [1, 10_000])
  func floor(servers: Int) throws {
    var bed = Bed(LogBounds(history: 1 << 20, servers: servers))
    var number = 0
    var sizes: [Int] = []
    for _ in 0..<4 {
      let before = bed.log.count
      for _ in 0..<60 {
        for _ in 0..<20 {
          bed.take(junk("one", number, .granted))
          number += 1
        }
        bed.pass(Self.minute)
      }
      sizes.append(bed.log.count - before)
    }
    #expect(sizes.dropFirst().allSatisfy { $0 > 60_000 })
  }

  @Test("repeats of a grant are one event with the addresses of all, however they are spread")
  func union() throws {
    var bed = Bed(nil)
    func grant(_ addresses: [Int]) -> AuditRecord {
      let list = addresses.map { "\"192.0.2.\($0)\"" }.joined(separator: ",")
      return record(
        header(.granted), members: Array(#","rule":"a.yaml:3","addresses":[\#(list)],"ttl":1"#.utf8))
    }
    for number in 0..<40 { bed.take(grant([number, number + 1])) }
    bed.take(grant([3]))
    bed.take(grant([]))
    bed.end()
    let lines = try events(bed.log)
    #expect(lines.map { $0["count"] as? Int } == [1, 41])
    #expect(lines[0]["addresses"] as? [String] == ["192.0.2.0", "192.0.2.1"])
    #expect(Set(lines[1]["addresses"] as? [String] ?? []) == Set((0...40).map { "192.0.2.\($0)" }))
    #expect((lines[1]["addresses"] as? [String])?.count == 41)
    #expect(lines[1]["rule"] as? String == "a.yaml:3" && lines[1]["ttl"] as? Int == 1)
  }

  @Test("addresses that are too many for one event are told by several, each once")
  func longUnion() throws {
    var bed = Bed(nil)
    let all = (0..<1000).map { "2001:db8:1111:2222:3333:4444:5555:\(String($0 + 4096, radix: 16))" }
    for address in all { bed.take(record(header(.granted), members: Array(#","addresses":["\#(address)"]"#.utf8))) }
    bed.end()
    let lines = try events(bed.log)
    #expect(sum(lines) == 1000)
    let isWhole = Set(lines.flatMap { $0["addresses"] as? [String] ?? [] }) == Set(all)
    #expect(isWhole && lines.count < 20)
  }

  @Test("windows of a version that had one area are told by this one")
  func earlier() throws {
    let memory = windows(65_536)
    var coalescer = makeCoalescer(memory)
    var output: [UInt8] = []
    for number in 0..<60 { _ = coalescer.absorb(record(name: wire("n\(number).evil.com")), now: 0, into: &output) }
    let before = try sum(events(output))
    guard var next = Coalescer(earlier: memory.region.part(0..<(64 + 65_536)), run: 2) else {
      Issue.record("not read")
      return
    }
    output = []
    #expect(next.retireEverything(into: &output, limit: .max))
    #expect(try before + sum(events(output)) == 60)
  }

  @Test("without bounds a server may have any number of lines")
  func unbounded() {
    var quota = LogQuota(nil)
    let server = quota.index(of: Array("github-mcp".utf8).span)
    quota.charge(server, 1 << 40)
    #expect(quota.left(server) == .max && quota.mayTell(.destination, server))
  }
}
