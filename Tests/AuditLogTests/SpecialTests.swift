import DNSWire
import Foundation
import IPNetwork
import Testing

@testable import AuditLog

@Suite struct SpecialTests {
  private static let hour = 3600 * second
  private static let day = 24 * hour

  private func special(_ number: Int) -> AuditRecord {
    record(header(.special, client: UInt32(number % 7 + 1)), name: wire("printer\(number).local"))
  }

  private func type(_ type: RRType, client: UInt32 = 1, name: String = "api.github.com") -> AuditRecord {
    record(header(.typeNotAllowed, client: client, type: type), name: wire(name))
  }

  /// Absorbs records, each so long after the other, and ends what is due `after` the last.
  private func lines(
    _ records: [AuditRecord], every step: UInt64, after: UInt64 = 0, bounds: LogBounds? = nil
  ) throws -> [[String: Any]] {
    var coalescer = makeCoalescer(windows(), bounds: bounds)
    var output: [UInt8] = []
    var now = second
    for record in records {
      coalescer.retire(now: now, into: &output, limit: .max)
      #expect(coalescer.absorb(record, now: now, into: &output))
      coalescer.commit()
      now += step
    }
    coalescer.retire(now: now + after, into: &output, limit: .max)
    return try events(output)
  }

  @Test("special-use names of a server are one line at once, and one an hour with their count and samples")
  func hours() throws {
    // Four hours and a half, ten a minute.
    let all = (0..<2700).map(special)
    let lines = try lines(all, every: 6 * second, after: Self.hour)
    #expect(lines.count == 6 && sum(lines) == 2700)
    #expect(lines[0]["destination"] as? String == "printer0.local" && lines[0]["client"] as? String == "0.0.0.1")
    for line in lines.dropFirst() {
      #expect(line["destination"] as? String == "*" && line["client"] as? String == "*")
      #expect(line["decision"] as? String == "observe" && line["code"] as? String == "special")
      let samples = try #require(line["samples"] as? [String])
      #expect(samples.count == 5 && samples.allSatisfy { $0.hasSuffix(".local") })
    }
    #expect(lines[1...4].allSatisfy { (598...602).contains($0["count"] as? Int ?? 0) })
  }

  @Test("another server's special-use names are its own, and after a quiet hour the first is told at once again")
  func quiet() throws {
    var other = special(0)
    other = record(other.header, server: [97], name: wire("printer0.local"))
    let lines = try lines([special(0), other, special(1), special(2)], every: 2 * Self.hour)
    #expect(lines.map { $0["count"] as? Int } == [1, 1, 1, 1])
  }

  @Test("a type that a listed name is not allowed is a line at once, and then one a day for server, name and type")
  func days() throws {
    // A day is 240 queries of ten clients.
    let all = (0..<960).map { type(.HTTPS, client: UInt32($0 % 10)) }
    let lines = try lines(all, every: 360 * second, after: Self.day)
    #expect(lines.count == 5 && sum(lines) == 960)
    #expect(lines.dropFirst().allSatisfy { $0["client"] as? String == "*" && $0["type"] as? String == "HTTPS" })
    #expect(lines.allSatisfy { $0["destination"] as? String == "api.github.com" && $0["samples"] == nil })
  }

  @Test("another name, type or server is another line")
  func distinct() throws {
    let all = [type(.HTTPS), type(.TXT), type(.HTTPS, name: "b.github.com"), type(.SRV)]
    let lines = try lines(all + all + all, every: second, after: Self.day)
    #expect(lines.map { $0["count"] as? Int } == [1, 1, 1, 1, 2, 2, 2, 2])
  }

  @Test("a flood of names under a pattern is bounded as other denials are")
  func flood() throws {
    let all = (0..<5000).map { type(.TXT, name: "x\($0).bulk.net") }
    let lines = try lines(all, every: 1000, after: Self.day)
    #expect(lines.count == 21 && sum(lines) == 5000)
    #expect(lines.last?["destination"] as? String == "*.bulk.net")
  }

  @Test("what was not told of an hour or a day is told by the next run")
  func killed() throws {
    let memory = windows()
    var coalescer = makeCoalescer(memory)
    var output: [UInt8] = []
    for number in 0..<100 {
      #expect(coalescer.absorb(special(number), now: 1, into: &output))
      #expect(coalescer.absorb(type(.HTTPS), now: 1, into: &output))
    }
    coalescer.commit()
    var next = makeCoalescer(memory, run: 2)
    #expect(next.retireEverything(into: &output, limit: .max))
    #expect(try events(output).map { $0["count"] as? Int } == [1, 1, 99, 99])
  }

  @Test("a long window's event is stamped with the time it is written, and says when it began and ended")
  func time() throws {
    var coalescer = makeCoalescer(windows())
    var output: [UInt8] = []
    for _ in 0..<3 { #expect(coalescer.absorb(special(1), now: 1, into: &output)) }
    output = []
    coalescer.wallClock = 1_763_640_000 * second
    coalescer.retire(now: 2 * Self.hour, into: &output, limit: .max)
    let event = try #require(events(output).first)
    #expect(event["ts"] as? String == "2025-11-20T12:00:00.000Z")
    #expect(event["last_ts"] as? String == "2025-11-20T09:14:22.481Z")
  }
}
