import Glibc
import LinuxIO

/// Reads what is appended to a log, whatever happens to its files.
struct LogFollower: ~Copyable {
  private let files: LogFiles
  private var file: LogSourceFile?
  private var offset: Int
  /// How the files began that were there already: by this they are known again, whatever their name and form.
  private var known: Set<[UInt8]> = []
  private var scanner: BlockScanner

  /// - Parameters:
  ///   - file: the newest when reading stopped; nil when there was none.
  ///   - offset: where reading stopped in it.
  init(_ files: LogFiles, _ file: LogSourceFile?, offset: Int, _ filter: CompiledFilter) throws(SystemError) {
    self.files = files
    self.file = file
    self.offset = offset
    scanner = BlockScanner(filter)
    guard let file else { return }
    // What is older than the file is known, what is newer is not.
    let beginning = try file.firstLine()
    let all = try files.open()
    for other in all.reversed() {
      let first = try other.firstLine()
      if other.identity == file.identity || first != nil && first == beginning { break }
      if let first { known.insert(first) }
    }
  }

  mutating func takeBadLines() -> Int {
    let count = badLines
    badLines = 0
    return count
  }

  private var badLines = 0

  /// Reads on in the current file, and goes on to the newer ones when it was rotated.
  mutating func advance(_ body: (LogLine) -> Void) throws(SystemError) {
    guard let current = file else {
      file = try LogSourceFile(path: files.path)
      offset = 0
      if let file { try read(file, body) }
      return
    }
    // Asked before reading: what was appended to a file before it was rotated is then read in full.
    let there = FileIdentity(path: files.path)
    if current.form == .plain, current.size < offset { offset = 0 }
    try read(current, body)
    guard let there, there != current.identity else { return }
    try goOn(from: current, body)
  }

  private mutating func goOn(from current: LogSourceFile, _ body: (LogLine) -> Void) throws(SystemError) {
    if let beginning = try current.firstLine() { known.insert(beginning) }
    var newer: [LogSourceFile] = []
    var beginnings: Set<[UInt8]> = []
    for next in try files.open() {
      let beginning = try next.firstLine()
      if let beginning { beginnings.insert(beginning) }
      if next.identity == current.identity { continue }
      if let beginning, known.contains(beginning) { continue }
      newer.append(next)
    }
    for next in newer.reversed() {
      file = next
      offset = 0
      try read(next, body)
    }
    // The newest one's beginning may come yet, and what is gone cannot come back.
    known.formIntersection(beginnings)
    for next in newer.dropFirst() {
      if let beginning = try next.firstLine() { known.insert(beginning) }
    }
  }

  private mutating func read(_ file: LogSourceFile, _ body: (LogLine) -> Void) throws(SystemError) {
    // What is compressed is whole.
    guard file.form == .plain || offset == 0 else { return }
    do throws(SystemError) {
      var source = try LogPieceReader(file, from: offset)
      scanner.goOn(at: offset)
      let before = scanner.badLines
      while try scanner.scanBlock(of: &source, { body($0) }) {}
      badLines += scanner.badLines - before
      offset = scanner.offset
    } catch {
      // What is left of a damaged file is what can be read.
      guard error.errno == EBADMSG else { throw error }
      offset = .max
    }
  }
}
