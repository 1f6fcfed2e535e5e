import CLinux
package import DNSWire
import Synchronization

/// What became of a query.
package enum QueryOutcome: Int, CaseIterable, Sendable {
  /// Answered from the cache.
  case cached
  /// Answered after upstream or the firewall was asked.
  case resolved
  /// Turned away by policy.
  case denied
  /// Answered on the host: special-use names, AAAA where no IPv6 is opened.
  case special
  /// SERVFAIL made here: upstream, firewall or audit log unavailable, or a limit was hit.
  case failed
  /// No query that could be read.
  case malformed

  package var label: String { "\(self)" }
}

/// How many queries came to what, counted by each thread in memory of its own, so that counting never waits. Read
/// at any time by any thread; a sum may miss what is being counted.
package final class QueryCounts: Sendable {
  /// The codes that are told apart; the last one stands for all others and for no answer at all.
  package static let codes: [ResponseCode?] = [.NOERROR, .NXDOMAIN, .SERVFAIL, .REFUSED, nil]

  /// Unretained: the owner of the counters must outlive it.
  @safe
  package struct Cells: @unchecked Sendable {
    fileprivate typealias Cell = Atomic<UInt64>
    /// Whole lines of the processor's cache for each shard.
    fileprivate static let shardCells = 32
    /// By the four bits of a response code, its index in `codes`.
    private static let codeIndexes: UInt64 = 0x4444_4444_4434_1240

    fileprivate let base: UnsafeMutablePointer<Cell>
    fileprivate let shards: Int

    /// Counts one; by the thread of this shard only.
    ///
    /// - Parameter code: the last four bits of a reply's flags; 15 for no reply at all.
    @inline(__always)
    package func count(_ verdict: QueryOutcome, _ code: UInt8, shard: Int) {
      precondition(UInt(bitPattern: shard) < UInt(bitPattern: shards))
      let codeIndex = Int(truncatingIfNeeded: Self.codeIndexes &>> (UInt64(code & 0xF) &* 4) & 0xF)
      // shard < shards, and a verdict's five cells lie in the shard
      let cell = unsafe base + (shard &* Self.shardCells &+ verdict.rawValue &* 5 &+ codeIndex)
      let value = unsafe cell.pointee.load(ordering: .relaxed)
      unsafe cell.pointee.store(value &+ 1, ordering: .relaxed)
    }

    /// Prefetches the counters of a shard.
    @inline(__always)
    func prefetch(shard: Int) { unsafe sluice_prefetch(base + shard &* Self.shardCells) }
  }

  package let cells: Cells

  /// - Parameter shards: threads that count, each with a shard of its own.
  package init(shards: Int) {
    precondition(shards > 0 && QueryOutcome.allCases.count * Self.codes.count <= Cells.shardCells)
    let count = shards * Cells.shardCells
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Cells.Cell>.stride, alignment: 64)
    let base = unsafe memory.bindMemory(to: Cells.Cell.self, capacity: count)
    for index in 0..<count { unsafe (base + index).initialize(to: Cells.Cell(0)) }
    unsafe cells = Cells(base: base, shards: shards)
  }

  deinit {
    unsafe cells.base.deinitialize(count: cells.shards * Cells.shardCells)
    unsafe cells.base.deallocate()
  }

  /// How many came to this; `code` is one of `codes`.
  package func total(_ verdict: QueryOutcome, _ code: ResponseCode?) -> UInt64 {
    guard let codeIndex = Self.codes.firstIndex(of: code) else { return 0 }
    var sum: UInt64 = 0
    for shard in 0..<cells.shards {
      sum &+= unsafe cells.base[shard * Cells.shardCells + verdict.rawValue * 5 + codeIndex].load(ordering: .relaxed)
    }
    return sum
  }

  /// How many came to this with any code.
  package func total(_ verdict: QueryOutcome) -> UInt64 { Self.codes.reduce(0) { $0 &+ total(verdict, $1) } }
}
