import DNSWire
import Foundation
import IPNetwork
import Testing

@testable import AuditLog

/// Events of the service that a container can make many of.
@Suite struct TotalsTests {
  private struct Sums: Equatable {
    var octets = 0
    var packets = 0
    var count = 0
  }

  /// Coalesces intervals of one server, each told largest first, so many seconds apart.
  private func lines(
    _ intervals: [[Int]], every seconds: UInt64 = 20, burst: Int = 64 << 10, noise: Int = 0,
    code: AuditCode = .egressVolume
  ) throws -> [[String: Any]] {
    var coalescer = makeCoalescer(windows(), bounds: LogBounds(history: burst * 16, servers: 1))
    var output: [UInt8] = []
    var (now, pushed) = (1000 * second, 0)
    func take(_ record: AuditRecord) {
      pushed += 1
      while !coalescer.absorb(record, now: now, into: &output) {
        coalescer.retireForRoom(into: &output, limit: .max)
        coalescer.commit()
      }
    }
    for number in 0..<noise {
      take(record(header(), server: Array("one".utf8), name: wire("junk\(number).com")))
      take(record(header(), server: Array("one".utf8), name: wire("junk\(number).com")))
    }
    for interval in intervals {
      coalescer.retire(now: now, into: &output, limit: .max)
      coalescer.commit()
      for (number, octets) in interval.enumerated() {
        let address = "198.18.\(number / 250).\(number % 250)"
        let members =
          code == .revoked
          ? #","addresses":["\#(address)"],"address_count":\#(octets),"flows_cut":2,"policy":"00""#
          : #","address":"\#(address)","protocol":"tcp","port":443,"bytes":\#(octets),"packets":2,"interval":20"#
        take(
          record(
            AuditRecordHeader(service: code, wallClock: now), server: Array("one".utf8), name: Array(address.utf8),
            members: Array(members.utf8)))
      }
      now += seconds * second
    }
    #expect(coalescer.retireEverything(into: &output, limit: .max))
    let lines = try events(output)
    #expect(sum(lines) == pushed)
    return lines.filter { $0["code"] as? String == code.token.description }
  }

  private func sums(_ lines: [[String: Any]]) -> Sums {
    lines.reduce(into: Sums()) { sums, line in
      sums.octets += line["bytes"] as? Int ?? -1_000_000_000
      sums.packets += line["packets"] as? Int ?? -1_000_000_000
      sums.count += line["count"] as? Int ?? -1_000_000_000
    }
  }

  @Test("of a server within its share each destination is a line")
  func fine() throws {
    let lines = try lines([Array((1...60).reversed())])
    #expect(lines.count == 60 && lines.allSatisfy { $0["destination"] as? String != "*" })
  }

  @Test("over its share the largest of an interval are lines and the rest is one, and octets, packets and count add up")
  func coarse() throws {
    // A bucket of 1 MiB: half of it is gone within the first 1,500.
    let interval = Array((1...3000).reversed())
    let lines = try lines([interval], burst: 1 << 20)
    let rest = lines.filter { $0["destination"] as? String == "*" }
    #expect(rest.count == 1 && lines.count < 2000)
    // What came first is in no sum.
    let told = lines.compactMap { $0["destination"] as? String == "*" ? nil : $0["bytes"] as? Int }
    #expect(told == Array(interval.prefix(told.count)))
    let line = try #require(rest.first)
    #expect(line["destinations"] as? Int == 3000 - told.count && line["count"] as? Int == 3000 - told.count)
    #expect(line["client"] is NSNull && line["server"] as? String == "one" && line["transport"] is NSNull)
    #expect(sums(lines) == Sums(octets: interval.reduce(0, +), packets: 6000, count: 3000))
  }

  @Test("with its windows of a minute a server has the 64 largest of each interval")
  func largest() throws {
    let first = Array((1...1450).reversed())
    let second = Array((10_001...10_500).reversed())
    let all = try lines([first, second], burst: 1 << 20)
    let large = all.compactMap { $0["destination"] as? String == "*" ? nil : $0["bytes"] as? Int }.filter {
      $0 > 10_000
    }
    #expect(large == Array(second.prefix(64)))
    #expect(sums(all).octets == (first + second).reduce(0, +))
  }

  @Test("far over its share they are one line a minute, which no number of intervals makes more of")
  func coarsest() throws {
    let intervals = (0..<30).map { _ in Array((1...1000).reversed()) }
    let lines = try lines(intervals, noise: 300)
    // 30 intervals of 20 s are 10 minutes.
    #expect((8...12).contains(lines.count))
    #expect(lines.allSatisfy { $0["destination"] as? String == "*" && $0["destinations"] as? Int == 1000 })
    #expect(sums(lines) == Sums(octets: 30 * 500_500, packets: 60_000, count: 30_000))
  }

  @Test("a day of them stays within the server's share, which is used")
  func day() throws {
    let intervals = (0..<144).map { _ in Array((1...400).reversed()) }
    let lines = try lines(intervals, every: 600, burst: 256 << 10)
    // Of 4 MiB, a line being 300 to 500 octets.
    #expect(lines.count * 300 < 4 << 20 && lines.count * 500 > 2 << 20)
    #expect(sums(lines).count == 144 * 400)
  }

  @Test("addresses that were closed are summed up where a server is far over its share, after sixteen at a time")
  func revoked() throws {
    let lines = try lines([Array((1...500).reversed())], noise: 300, code: .revoked)
    #expect(lines.count == 17)
    let rest = try #require(lines.last)
    #expect(rest["destination"] as? String == "*" && rest["count"] as? Int == 484)
    #expect(rest["address_count"] as? Int == 484 * 485 / 2 && rest["flows_cut"] as? Int == 968)
  }

  @Test("sums that a killed run left are told by the next")
  func killed() throws {
    let memory = windows()
    var coalescer = makeCoalescer(memory, bounds: LogBounds(history: 1 << 20, servers: 1))
    var output: [UInt8] = []
    for number in 0..<2000 {
      let one = record(
        AuditRecordHeader(service: .egressVolume, wallClock: 7), name: Array("a.example".utf8),
        members: Array(#","port":\#(number),"bytes":3,"packets":1,"interval":20"#.utf8))
      #expect(coalescer.absorb(one, now: second, into: &output))
    }
    coalescer.commit()
    var next = makeCoalescer(memory, run: 2)
    #expect(next.retireEverything(into: &output, limit: .max))
    let lines = try events(output).filter { $0["code"] as? String == "egress-volume" }
    #expect(lines.contains { $0["destination"] as? String == "*" })
    #expect(sums(lines) == Sums(octets: 6000, packets: 2000, count: 2000))
  }
}
