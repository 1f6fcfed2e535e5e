import DNSWire
import Resolver
import Testing

@Suite("The counters of a server")
struct QueryCountsTests {
  @Test("every verdict and code has a counter of its own; codes without one share theirs")
  func indexes() {
    let counts = QueryCounts(shards: 3)
    var number: UInt64 = 0
    var expected: [UInt64] = []
    for verdict in QueryOutcome.allCases {
      for code in QueryCounts.codes {
        number += 1
        expected.append(number)
        for _ in 0..<number {
          counts.cells.count(verdict, code.map { UInt8($0.rawValue) } ?? 15, shard: Int(number) % 3)
        }
      }
    }
    let found = QueryOutcome.allCases.flatMap { verdict in QueryCounts.codes.map { counts.total(verdict, $0) } }
    #expect(found == expected)
    #expect(counts.total(.cached) == 1 + 2 + 3 + 4 + 5)
    for code in [1, 4, 6, 7, 15] as [UInt8] { counts.cells.count(.malformed, code, shard: 0) }
    #expect(counts.total(.malformed, nil) == number + 5)
  }

  @Test("threads that count in shards of their own lose nothing")
  func threads() async {
    let counts = QueryCounts(shards: 4)
    await withTaskGroup(of: Void.self) { group in
      for shard in 0..<4 {
        group.addTask { for _ in 0..<100_000 { counts.cells.count(.denied, 3, shard: shard) } }
      }
    }
    #expect(counts.total(.denied, .NXDOMAIN) == 400_000 && counts.total(.denied) == 400_000)
  }
}
