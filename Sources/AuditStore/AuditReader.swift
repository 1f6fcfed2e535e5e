import LinuxIO

/// Reads the audit log with its rotated files, oldest first, and follows it.
///
/// Memory is bounded by one block and, with a limit, that many lines. A line that is no event is counted and left out.
package struct AuditReader {
  /// Where reading stopped, for `follow`.
  package struct Position: Sendable {
    var identity: FileIdentity?
    var offset = 0
  }

  /// Rotated files are looked for up to this number.
  private static let maxFiles = 1000
  private static let pollMilliseconds = 200

  private let path: String
  private let filter: CompiledFilter
  private let limit: Int?
  /// Lines that were no event.
  package private(set) var badLines = 0

  package init(path: String, filter: LogFilter) {
    self.path = path
    self.filter = CompiledFilter(filter)
    limit = filter.limit
  }

  // MARK: - What is there

  /// Gives `body` every event that is there and passes the filter, newest last.
  ///
  /// - Throws: when a file is there and cannot be read; without any file there is nothing to read.
  @discardableResult
  package mutating func read(_ body: (LogLine) -> Void) throws(AuditStoreError) -> Position {
    do throws(SystemError) {
      guard let limit else { return try readAll(body) }
      return try readLast(limit, body)
    } catch {
      throw AuditStoreError(path, error)
    }
  }

  private mutating func readAll(_ body: (LogLine) -> Void) throws(SystemError) -> Position {
    var position = Position()
    for reader in try files().reversed() {
      try scan(reader, body)
      position = Position(identity: reader.identity, offset: reader.offset)
    }
    return position
  }

  /// From the newest file backwards, only as many files as it takes.
  private mutating func readLast(_ limit: Int, _ body: (LogLine) -> Void) throws(SystemError) -> Position {
    var position: Position?
    var found: [[LogLine]] = []
    var missing = max(limit, 0)
    for reader in try files() {
      guard missing > 0 || position == nil else { break }
      var lines = LastLines(missing)
      try scan(reader) { lines.append($0) }
      if position == nil { position = Position(identity: reader.identity, offset: reader.offset) }
      missing -= lines.count
      found.append(lines.inOrder)
    }
    for lines in found.reversed() {
      for line in lines { body(line) }
    }
    return position ?? Position()
  }

  /// The log's files, newest first, opened in that order: a rotation meanwhile shows one twice, which is left out,
  /// and hides none.
  private func files() throws(SystemError) -> [LineReader] {
    var seen: Set<FileIdentity> = []
    var files: [LineReader] = []
    var gaps = 0
    for number in 0..<Self.maxFiles {
      guard let file = try LineReader(path: number == 0 ? path : "\(path).\(number)") else {
        gaps += 1
        if gaps > 2 { break }  // a rotation under way leaves one number free
        continue
      }
      if seen.insert(file.identity).inserted { files.append(file) }
    }
    return files
  }

  private mutating func scan(_ reader: LineReader, _ body: (LogLine) -> Void) throws(SystemError) {
    let filter = filter
    var bad = 0
    let before = reader.overlong
    try reader.forEachLine { octets in
      guard filter.mayMatch(octets) else { return }
      guard let line = LogLine(octets) else {
        bad += 1
        return
      }
      if filter.matches(line) { body(line) }
    }
    badLines += bad + reader.overlong - before
  }

  // MARK: - What comes

  /// Gives `body` every further event, across rotation and truncation, until `isOver` says so.
  ///
  /// It looks five times a second: a log on any file system is followed alike, which inotify does not promise.
  package mutating func follow(
    from position: Position, _ body: (LogLine) -> Void, until isOver: () -> Bool
  ) throws(AuditStoreError) {
    do throws(SystemError) {
      var current = try reopen(position)
      let pause: WakeUp = try WakeUp()
      while !isOver() {
        if current == nil { current = try LineReader(path: path) }
        if let file = current { current = try advance(file, body) }
        pause.wait(milliseconds: Self.pollMilliseconds)
      }
    } catch {
      throw AuditStoreError(path, error)
    }
  }

  private func reopen(_ position: Position) throws(SystemError) -> LineReader? {
    guard let identity = position.identity else { return nil }
    guard let file = try files().first(where: { $0.identity == identity }) else { return nil }
    file.goOn(from: position.offset)
    return file
  }

  /// Reads on in the current file, and goes on to the newer ones when it was rotated; the file to go on with.
  private mutating func advance(_ file: LineReader, _ body: (LogLine) -> Void) throws(SystemError) -> LineReader {
    // Asked before reading: what was appended to a file before it was rotated is then read in full.
    let there = FileIdentity(path: path)
    if let size = FileIdentity(file.descriptor.raw)?.size, size < file.offset { file.goOn(from: 0) }
    try scan(file, body)
    guard let there, there != file.identity else { return file }
    let newer = try files().prefix { $0.identity != file.identity }
    for next in newer.reversed() { try scan(next, body) }
    return newer.first ?? file
  }
}

/// The last so many lines.
private struct LastLines {
  private let limit: Int
  private var lines: [LogLine] = []
  private var next = 0

  init(_ limit: Int) { self.limit = limit }

  var count: Int { lines.count }

  mutating func append(_ line: LogLine) {
    guard limit > 0 else { return }
    if lines.count < limit { return lines.append(line) }
    lines[next] = line
    next = (next + 1) % limit
  }

  var inOrder: [LogLine] { Array(lines[next...] + lines[..<next]) }
}
