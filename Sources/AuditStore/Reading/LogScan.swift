import Dispatch
import Glibc
import LinuxIO
import Synchronization

/// What becomes of the events of a scan: each thread has one of its own.
package protocol LogSink: Sendable {
  /// What is handed on while the scan goes on, in the log's order.
  associatedtype Part: Sendable

  mutating func add(_ line: borrowing LogLine)

  /// What to hand on after a block of the log, and (`isEnd`) after the last block of a piece of it; nil for nothing.
  mutating func part(isEnd: Bool) -> Part?
}

/// A piece of the log that is read by one thread.
struct LogPiece: Sendable {
  let file: LogSourceFile
  /// Lines that begin here are the piece's; of a compressed file all.
  let range: Range<Int>
  /// It ends where the log does: where that is, is asked for.
  var isTail = false
}

/// Scans pieces of the log on several threads and hands on what comes of them in the order of the pieces.
///
/// Memory: for each thread one block and one part under way, and as many parts again that wait to be taken.
final class LogScan<Sink: LogSink>: Sendable {
  /// What one piece hands over, once a thread has taken it.
  private final class BlockSlot: Sendable {
    let hasRoom = DispatchSemaphore(value: 0)
    let isFull = DispatchSemaphore(value: 0)
    let part = Mutex<(Sink.Part?, isEnd: Bool)>((nil, false))

    init() { hasRoom.signal() }
  }

  private let pieces: [LogPiece]
  private let filter: CompiledFilter
  private let slots: [BlockSlot]
  /// As many as there are slots: who takes a piece has one, so that the piece that had its slot before was taken in.
  private let permits = DispatchSemaphore(value: 0)
  private let next = Atomic<Int>(0)
  private let isOver = Atomic<Bool>(false)
  private let sinks = Mutex<[Sink]>([])
  private let outcome = Mutex<Summary>(Summary())

  struct Summary: Sendable {
    var badLines = 0
    /// Where the last line of the tail ends.
    var end = 0
    /// Compressed files that could not be read to their end.
    var damaged: [String] = []
    var error: SystemError?
  }

  init(_ pieces: [LogPiece], _ filter: CompiledFilter, threads: Int) {
    self.pieces = pieces
    self.filter = filter
    slots = (0..<(2 * threads)).map { _ in BlockSlot() }
    for _ in slots { permits.signal() }
  }

  /// Runs to the end, or until `take` says false; the threads' sinks and what was noticed.
  func run(_ make: @escaping @Sendable () -> Sink, _ take: (Sink.Part) -> Bool) throws(SystemError) -> ([Sink], Summary)
  {
    var threads: [NamedThread] = []
    while threads.count < min(slots.count / 2, pieces.count) {
      do throws(SystemError) {
        threads.append(try NamedThread("log-scan") { self.work(make()) })
      } catch {
        guard threads.isEmpty else { break }  // with one less
        throw error
      }
    }
    for index in pieces.indices {
      let slot = slots[index % slots.count]
      var isEnd = false
      while !isEnd {
        slot.isFull.wait()
        let part: Sink.Part?
        (part, isEnd) = slot.part.withLock { held in
          defer { held.0 = nil }
          return held
        }
        slot.hasRoom.signal()
        if let part, !isOver.load(ordering: .relaxed), !take(part) { isOver.store(true, ordering: .relaxed) }
      }
      permits.signal()
    }
    for thread in threads { thread.join() }
    let outcome = outcome.withLock { $0 }
    if let error = outcome.error { throw error }
    return (sinks.withLock { $0 }, outcome)
  }

  private func work(_ sink: consuming Sink) {
    var sink = sink
    var scanner = BlockScanner(filter)
    while true {
      permits.wait()
      let index = next.add(1, ordering: .relaxed).oldValue
      guard index < pieces.count else {
        permits.signal()
        break
      }
      let slot = slots[index % slots.count]
      do throws(SystemError) {
        if !isOver.load(ordering: .relaxed) { try read(pieces[index], slot, &scanner, &sink) }
      } catch {
        outcome.withLock { outcome in
          if error.errno == EBADMSG {
            outcome.damaged.append(pieces[index].file.path)
          } else {
            outcome.error = outcome.error ?? error
          }
        }
        if error.errno != EBADMSG { isOver.store(true, ordering: .relaxed) }
      }
      give(sink.part(isEnd: true), isEnd: true, to: slot)
    }
    outcome.withLock { $0.badLines += scanner.badLines }
    sinks.withLock { $0.append(sink) }
  }

  private func read(
    _ piece: LogPiece, _ slot: BlockSlot, _ scanner: inout BlockScanner, _ sink: inout Sink
  ) throws(SystemError) {
    var source = try LogPieceReader(piece.file, from: max(piece.range.lowerBound - 1, 0))
    scanner.begin(piece.range)
    while !isOver.load(ordering: .relaxed), try scanner.scanBlock(of: &source, { sink.add($0) }) {
      if let part = sink.part(isEnd: false) { give(part, isEnd: false, to: slot) }
    }
    if piece.isTail { outcome.withLock { $0.end = scanner.offset } }
  }

  private func give(_ part: Sink.Part?, isEnd: Bool, to slot: BlockSlot) {
    slot.hasRoom.wait()
    slot.part.withLock { $0 = (part, isEnd) }
    slot.isFull.signal()
  }
}

/// Finds the events of a source that pass a filter, block by block.
struct BlockScanner: ~Copyable {
  private let filter: CompiledFilter
  private let scan = EventScan()
  private var blocks = LineBlocks()
  /// Lines that begin here or later are another piece's.
  private var end = Int.max
  private var isOver = false
  private(set) var badLines = 0

  init(_ filter: CompiledFilter) { self.filter = filter }

  /// Begins a source that gives what stands from one octet before the range on, or from 0.
  mutating func begin(_ range: Range<Int>) {
    blocks.begin(at: max(range.lowerBound - 1, 0), isStartOfLine: range.lowerBound == 0)
    end = range.upperBound
    isOver = false
  }

  /// Goes on with a source at the start of a line.
  mutating func goOn(at offset: Int) {
    blocks.begin(at: offset, isStartOfLine: true)
    end = .max
    isOver = false
  }

  /// Where the next line begins.
  var offset: Int { blocks.offset }

  /// Reads one block and gives `body` its events; false when there is nothing more.
  mutating func scanBlock(of source: inout LogPieceReader, _ body: (borrowing LogLine) -> Void) throws(SystemError)
    -> Bool
  {
    guard !isOver else { return false }
    let overlong = blocks.overlong
    let isMore = try blocks.fill(from: &source)
    badLines += blocks.overlong - overlong
    guard isMore else { return false }
    scanLines(body)
    return true
  }

  private mutating func scanLines(_ body: (borrowing LogLine) -> Void) {
    let lines = blocks.lines
    let octets = blocks.octets
    var ranges = EventMemberRanges()
    var at = lines.lowerBound
    while at < lines.upperBound {
      guard blocks.offset(of: at) < end else {
        isOver = true
        return
      }
      let start = at
      let outcome = unsafe scan.scan(octets.span.bytes, &at, filter, into: &ranges)
      // A line ends within `lines`, and the scan stopped at its newline or before.
      guard let newline = blocks.newline(in: at..<lines.upperBound) else { return }
      at = newline + 1
      guard newline - start <= LineBlocks.maxLine else {
        badLines += 1
        continue
      }
      switch outcome {
      case .event: if unsafe filter.matches(ranges, octets.span.bytes) { body(LogLine(octets, ranges)) }
      case .noEvent: badLines += 1
      case .ruledOut: break
      }
    }
  }
}

/// Events with their lines copied, in order.
package struct LogBatch: LogSink {
  /// Whole lines, each with its newline.
  package private(set) var octets: [UInt8] = []
  private var ranges: [EventMemberRanges] = []

  package init() {}

  package var count: Int { ranges.count }

  /// Copies the line behind the others.
  package mutating func add(_ line: borrowing LogLine) {
    if octets.isEmpty { octets.reserveCapacity(4096) }
    ranges.append(line.moved(to: &octets))
  }

  /// All that was added since the last part; nil where nothing was.
  package mutating func part(isEnd: Bool) -> LogBatch? {
    guard !ranges.isEmpty else { return nil }
    let part = self
    self = LogBatch()
    return part
  }

  /// Calls `body` with each line, in the order in which they were added.
  package func forEach(_ body: (LogLine) -> Void) {
    let block = octets + repeatElement(0, count: LineBlocks.slack)
    for range in ranges { body(LogLine(block, range)) }
  }
}

/// How many events there are.
package struct LogCount: LogSink {
  package private(set) var events: UInt64 = 0
  /// An event that stands for several counts as many.
  package private(set) var records: UInt64 = 0

  package init() {}

  /// Counts an event, and the records that it stands for.
  package mutating func add(_ line: borrowing LogLine) {
    events += 1
    records &+= line.count
  }

  /// Nothing is handed on before the end.
  package func part(isEnd: Bool) -> Never? { nil }

  /// Adds what another thread counted.
  package mutating func add(_ other: LogCount) {
    events += other.events
    records &+= other.records
  }
}

/// The last so many events of each piece, or of those the ones that can be among the latest by their time.
///
/// Memory: twice as many lines as are the latest, where the log's order is about that of time; never more than the last ones.
struct LastLines: LogSink {
  /// What is left of a piece.
  struct Part: Sendable {
    /// How many events the piece has, those of `lines` among them.
    var count = 0
    /// In the log's order, each with its place in the piece.
    var lines: [(number: Int, line: LogLine)] = []
  }

  private struct Entry {
    var number: Int
    var time: Int64
    var line: LogLine
  }

  /// How many more lines there are at least when those that do not matter are let go again.
  private static let slack = 256

  private let limit: Int
  private let latest: Int
  private var entries: [Entry] = []
  private var count = 0
  /// How many lines are the next reason to let some go: twice as many as were left the last time.
  private var most: Int

  init(_ limit: Int, latest: Int? = nil) {
    self.limit = limit
    self.latest = min(latest ?? limit, limit)
    most = min(self.latest, .max / 4) + Self.slack
  }

  /// How many lines are held now.
  var kept: Int { entries.count }

  mutating func add(_ line: borrowing LogLine) {
    entries.append(Entry(number: count, time: line.time ?? .min, line: line.alone()))
    count += 1
    if entries.count >= most { thin() }
  }

  /// Lets go what is too far from the end, and each line behind which there are `latest` that are not earlier: whatever is
  /// the end, those are among the last lines as well.
  private mutating func thin() {
    defer { most = 2 * entries.count + Self.slack }
    entries.removeAll { $0.number < count - limit }
    guard latest < limit else { return }
    var later = LeastOf(latest)
    var kept: [Entry] = []
    for entry in entries.reversed() where later.insert(entry.time) { kept.append(entry) }
    entries = kept.reversed()
  }

  mutating func part(isEnd: Bool) -> Part? {
    guard isEnd, count > 0, limit > 0 else { return nil }
    thin()
    let part = Part(count: count, lines: entries.map { ($0.number, $0.line) })
    self = LastLines(limit, latest: latest)
    return part
  }
}

/// The greatest so many of some numbers, the least of them at hand: a heap.
private struct LeastOf {
  private let most: Int
  private var heap: [Int64] = []

  init(_ most: Int) { self.most = most }

  /// Whether a number is above the least, or there is room; then it is one of them.
  mutating func insert(_ number: Int64) -> Bool {
    guard heap.count == most else {
      heap.append(number)
      var child = heap.count - 1
      while child > 0, heap[child] < heap[(child - 1) / 2] {
        heap.swapAt(child, (child - 1) / 2)
        child = (child - 1) / 2
      }
      return true
    }
    guard let least = heap.first, number > least else { return false }
    heap[0] = number
    var parent = 0
    while let child = [2 * parent + 1, 2 * parent + 2].filter({ $0 < most }).min(by: { heap[$0] < heap[$1] }),
      heap[child] < heap[parent]
    {
      heap.swapAt(child, parent)
      parent = child
    }
    return true
  }
}
