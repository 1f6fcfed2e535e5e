import Foundation
import TestSupport
import Testing

@testable import AuditStore

/// Of the last lines only those are kept that can be among the latest.
@Suite("The latest lines")
struct LatestLinesTests {
  private static func text(_ seconds: [Int]) -> String {
    seconds.enumerated().map { number, second in
      let time = String(format: "2026-11-20T%02d:%02d:%02d.000Z", second / 3600, second / 60 % 60, second % 60)
      return #"{"ts":"\#(time)","decision":"block","id":"\#(number)"}"# + "\n"
    }.joined()
  }

  /// What is printed, and how many lines were given for it.
  private func latest(
    _ log: String, limit: Int, latest: Int, thinning: Bool
  ) throws -> (ids: [String], given: Int) {
    var filter = LogFilter(limit: limit)
    if thinning { filter.latest = latest }
    var reader = AuditReader(path: log, filter: filter, pieceOctets: 4096, threads: 3)
    var (order, ids, given) = (LogOrder(), [String](), 0)
    try reader.read {
      given += 1
      order.add($0) { _ in }
    }
    order.end(limit: latest) { ids.append($0.text(.id)) }
    return (ids, given)
  }

  @Test("they are the same as of all that is read, however much is out of order", arguments: 0..<40 as Range<UInt64>)
  func same(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let scratch = Scratch()
    let count = Int.random(in: 1...2000, using: &random)
    // From a log in order to one in none.
    let disorder = [0, 3, 100, 2000].randomElement(using: &random) ?? 0
    let seconds = (0..<count).map { max($0 + Int.random(in: -disorder...disorder, using: &random), 0) }
    try Self.text(seconds).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    for _ in 0..<8 {
      let limit = Int.random(in: 0...(count + 10), using: &random)
      let latest = Int.random(in: 0...max(limit, 1), using: &random)
      let all = try self.latest(scratch.log, limit: limit, latest: latest, thinning: false)
      let some = try self.latest(scratch.log, limit: limit, latest: latest, thinning: true)
      #expect(some.ids == all.ids, "limit \(limit), latest \(latest) of \(count), disorder \(disorder)")
      #expect(some.given <= all.given)
    }
  }

  @Test("a piece without an event hands on nothing, and neither does one that has handed on what it had")
  func nothing() throws {
    var lines = LastLines(5)
    let none = lines.part(isEnd: true)
    lines.add(try #require(LogLine(Array(Self.text([1]).utf8.dropLast())[...])))
    let (one, again) = (lines.part(isEnd: true), lines.part(isEnd: true))
    #expect(none == nil && one?.count == 1 && one?.lines.map(\.number) == [0] && again == nil)
  }

  @Test("any limit is taken", arguments: [(1, 1), (Int.max, 1), (Int.max, Int.max), (0, 0)])
  func limits(limit: Int, latest: Int) throws {
    let scratch = Scratch()
    try Self.text([3, 1, 2]).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    let all = try self.latest(scratch.log, limit: limit, latest: latest, thinning: false)
    #expect(try self.latest(scratch.log, limit: limit, latest: latest, thinning: true).ids == all.ids)
    #expect(all.ids.count == min(limit, latest, 3))
  }

  @Test("of a log that is about in order no more than twice as many are kept")
  func few() throws {
    let scratch = Scratch()
    try Self.text((0..<20_000).map { $0 + $0 % 3 }).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    var lines = LastLines(65_536, latest: 20)
    var reader = AuditReader(path: scratch.log, filter: LogFilter())
    var most = 0
    try reader.read {
      lines.add($0)
      most = max(most, lines.kept)
    }
    #expect(most <= 2 * 20 + 256 + 16)
    let left = lines.part(isEnd: true)
    let part = try #require(left)
    #expect(part.count == 20_000)
    #expect(part.lines.count < 30)
  }
}
