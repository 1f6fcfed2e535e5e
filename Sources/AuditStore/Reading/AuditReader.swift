import Foundation
import Glibc
import LinuxIO

/// Reads the audit log with its rotated files, compressed or not, oldest first, and follows it.
///
/// Files are read on several threads; events come out in their order. Memory is bounded by some blocks for each thread
/// and, with a limit, that many lines, or twice `latest` of them where the log is about in order. A line that is no event is counted, unless what stands before the damage already
/// rules it out, and left out. With `since` or `until`, a file is not read whose first and last lines say that nothing in
/// it can be meant.
package struct AuditReader {
  /// Where reading stopped, for `follow`.
  package struct Position: Sendable {
    fileprivate var file: LogSourceFile?
    fileprivate var offset = 0
  }

  private static let pollMilliseconds = 200
  /// Octets of a plain file that one thread reads at a time.
  static let defaultPieceOctets = 4 << 20
  private static let maxThreads = 8
  /// How much later than the lines around it one may be, in milliseconds: clocks are set.
  private static let disorder: Int64 = 600_000
  /// How much earlier: the longest window is a day.
  private static let delay: Int64 = 86_400_000 + disorder

  private let files: LogFiles
  private let path: String
  private let filter: CompiledFilter
  private let limit: Int?
  private let latest: Int?
  private let pieceOctets: Int
  private let threads: Int
  /// Lines that were no event.
  package private(set) var badLines = 0
  /// Compressed files that could not be read to their end.
  package private(set) var damagedFiles: [String] = []

  package init(path: String, filter: LogFilter) {
    self.init(path: path, filter: filter, pieceOctets: Self.defaultPieceOctets, threads: Self.defaultThreads)
  }

  /// - Parameters:
  ///   - pieceOctets: of a plain file, that one thread reads at a time.
  ///   - threads: that read.
  init(path: String, filter: LogFilter, pieceOctets: Int, threads: Int) {
    self.path = path
    self.pieceOctets = pieceOctets
    self.threads = threads
    files = LogFiles(path: path)
    self.filter = CompiledFilter(filter)
    limit = filter.limit
    latest = filter.latest
  }

  // MARK: - What is there

  /// Whether the log has any file, or one that cannot be opened, which reading tells of.
  package var isThere: Bool { files.areThere }

  /// Gives `body` every event that is there and passes the filter, newest last.
  ///
  /// - Throws: when a file is there and cannot be read; without any file there is nothing to read.
  @discardableResult
  package mutating func read(_ body: (LogLine) -> Void) throws(AuditStoreError) -> Position {
    try readBatches { $0.forEach(body) }
  }

  /// As `read`, several events at a time.
  @discardableResult
  package mutating func readBatches(_ body: (LogBatch) -> Void) throws(AuditStoreError) -> Position {
    do throws(SystemError) {
      if let limit { return try readLast(limit, body) }
      return try scan({ LogBatch() }, body).position
    } catch {
      throw AuditStoreError(path, error)
    }
  }

  /// Counts what passes the filter; the limit does not matter.
  package mutating func count() throws(AuditStoreError) -> LogCount {
    try fold { LogCount() }.reduce(into: LogCount()) { $0.add($1) }
  }

  /// Gives every event that passes the filter to one of several sinks, in no order; the limit does not matter.
  package mutating func fold<Sink: LogSink>(
    _ make: @escaping @Sendable () -> Sink
  ) throws(AuditStoreError) -> [Sink] {
    do throws(SystemError) {
      return try scan(make) { _ in }.sinks
    } catch {
      throw AuditStoreError(path, error)
    }
  }

  private mutating func scan<Sink: LogSink>(
    _ make: @escaping @Sendable () -> Sink, _ take: (Sink.Part) -> Void
  ) throws(SystemError) -> (sinks: [Sink], position: Position) {
    let all = try files.open()
    let pieces = try wanted(all).reversed().flatMap { self.pieces($0, isNewest: $0 === all.first) }
    let (sinks, outcome) = try LogScan<Sink>(pieces, filter, threads: threads).run(make) {
      take($0)
      return true
    }
    note(outcome)
    return (sinks, position(all.first, pieces, outcome.end))
  }

  /// From the newest piece backwards, only as many as it takes.
  private mutating func readLast(_ limit: Int, _ body: (LogBatch) -> Void) throws(SystemError) -> Position {
    let all = try files.open()
    var pieces = try wanted(all).flatMap { self.pieces($0, isNewest: $0 === all.first).reversed() }
    if limit == 0 { pieces = pieces.filter(\.isTail) }
    var found: [[LogLine]] = []
    var missing = limit
    let (_, outcome) = try LogScan<LastLines>(pieces, filter, threads: threads).run({ [latest] in
      LastLines(limit, latest: latest)
    }) { part in
      found.append(part.lines.filter { $0.number >= part.count - missing }.map(\.line))
      missing -= min(part.count, missing)
      return missing > 0
    }
    note(outcome)
    for lines in found.reversed() {
      var batch = LogBatch()
      for line in lines { batch.add(line) }
      body(batch)
    }
    return position(all.first, pieces, outcome.end)
  }

  private mutating func note<Sink>(_ outcome: LogScan<Sink>.Summary) {
    badLines += outcome.badLines
    damagedFiles += outcome.damaged
  }

  private func position(_ newest: LogSourceFile?, _ pieces: [LogPiece], _ end: Int) -> Position {
    guard let newest else { return Position() }
    // Where the tail was not read, nothing in it was meant.
    return Position(file: newest, offset: pieces.contains(where: \.isTail) ? end : newest.size)
  }

  private static var defaultThreads: Int { min(max(ProcessInfo.processInfo.activeProcessorCount, 1), maxThreads) }

  /// The newest file is read as far as it reaches by then.
  private func pieces(_ file: LogSourceFile, isNewest: Bool) -> [LogPiece] {
    guard file.form == .plain else { return [LogPiece(file: file, range: 0..<Int.max)] }
    let size = file.size
    var pieces = stride(from: 0, to: size, by: pieceOctets).map {
      LogPiece(file: file, range: $0..<min($0 + pieceOctets, size))
    }
    if isNewest {
      let start = pieces.popLast()?.range.lowerBound ?? 0
      pieces.append(LogPiece(file: file, range: start..<Int.max, isTail: true))
    }
    return pieces
  }

  /// The files that may hold what is meant, of all, newest first.
  private func wanted(_ all: [LogSourceFile]) throws(SystemError) -> [LogSourceFile] {
    guard filter.since != nil || filter.until != nil else { return all }
    var wanted: [LogSourceFile] = []
    /// When the file after the one looked at begins.
    var following: Int64?
    for (index, file) in all.enumerated() {
      let first = try Self.time(file.firstLine())
      let last = file.form == .plain ? Self.time(file.lastLine()) : following
      var isWanted = true
      if let since = filter.since, index > 0, let following, let first, let last {
        isWanted = max(following, first, last) + Self.disorder >= since
      }
      if let until = filter.until, let first, let last, min(first, last) - Self.delay > until { isWanted = false }
      if isWanted { wanted.append(file) }
      following = first
    }
    return wanted
  }

  private static func time(_ line: [UInt8]?) -> Int64? {
    line.flatMap { LogLine($0[...]) }?.time
  }

  // MARK: - What comes

  /// Gives `body` every further event, across rotation, compression and truncation, until `isOver` says so; `pause` is
  /// called whenever there is no more for now.
  ///
  /// It looks five times a second: a log on any file system is followed alike, which inotify does not promise.
  ///
  /// - Throws: when a file is there and cannot be read.
  package mutating func follow(
    from position: Position, _ body: (LogLine) -> Void, pausing pause: () -> Void = {}, until isOver: () -> Bool
  ) throws(AuditStoreError) {
    do throws(SystemError) {
      var follower = try LogFollower(files, position.file, offset: position.offset, filter)
      let alarm = try WakeCall()
      while !isOver() {
        try follower.advance(body)
        badLines += follower.takeBadLines()
        pause()
        alarm.wait(milliseconds: Self.pollMilliseconds)
      }
    } catch {
      throw AuditStoreError(path, error)
    }
  }
}
