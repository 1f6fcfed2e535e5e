import CLinux
package import DNSWire
import Synchronization

/// What became of a query.
package enum QueryVerdict: Int, CaseIterable, Sendable {
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
    /// Whole lines of the processor's cache for each lane.
    fileprivate static let laneCells = 32
    /// By the four bits of a response code, its place in `codes`.
    private static let places: UInt64 = 0x4444_4444_4434_1240

    fileprivate let base: UnsafeMutablePointer<Cell>
    fileprivate let lanes: Int

    /// Counts one; by the thread of this lane only.
    ///
    /// - Parameter code: the last four bits of a reply's flags; 15 for no reply at all.
    @inline(__always)
    package func count(_ verdict: QueryVerdict, _ code: UInt8, lane: Int) {
      precondition(UInt(bitPattern: lane) < UInt(bitPattern: lanes))
      let place = Int(truncatingIfNeeded: Self.places &>> (UInt64(code & 0xF) &* 4) & 0xF)
      // lane < lanes, and a verdict's five cells lie in the lane
      let cell = unsafe base + (lane &* Self.laneCells &+ verdict.rawValue &* 5 &+ place)
      let value = unsafe cell.pointee.load(ordering: .relaxed)
      unsafe cell.pointee.store(value &+ 1, ordering: .relaxed)
    }

    /// Prefetches the counters of a lane.
    @inline(__always)
    func prefetch(lane: Int) { unsafe sluice_prefetch(base + lane &* Self.laneCells) }
  }

  package let cells: Cells

  /// - Parameter lanes: threads that count, each with a lane of its own.
  package init(lanes: Int) {
    precondition(lanes > 0 && QueryVerdict.allCases.count * Self.codes.count <= Cells.laneCells)
    let count = lanes * Cells.laneCells
    let memory = UnsafeMutableRawPointer.allocate(byteCount: count * MemoryLayout<Cells.Cell>.stride, alignment: 64)
    let base = unsafe memory.bindMemory(to: Cells.Cell.self, capacity: count)
    for index in 0..<count { unsafe (base + index).initialize(to: Cells.Cell(0)) }
    unsafe cells = Cells(base: base, lanes: lanes)
  }

  deinit {
    unsafe cells.base.deinitialize(count: cells.lanes * Cells.laneCells)
    unsafe cells.base.deallocate()
  }

  /// How many came to this; `code` is one of `codes`.
  package func total(_ verdict: QueryVerdict, _ code: ResponseCode?) -> UInt64 {
    guard let place = Self.codes.firstIndex(of: code) else { return 0 }
    var sum: UInt64 = 0
    for lane in 0..<cells.lanes {
      sum &+= unsafe cells.base[lane * Cells.laneCells + verdict.rawValue * 5 + place].load(ordering: .relaxed)
    }
    return sum
  }

  /// How many came to this with any code.
  package func total(_ verdict: QueryVerdict) -> UInt64 { Self.codes.reduce(0) { $0 &+ total(verdict, $1) } }
}
