import Glibc
import LinuxIO

/// The whole lines of a source, block by block, in bounded memory.
struct LineBlocks: ~Copyable {
  /// A line of the log is at most some 40 kB; a longer one is damage.
  static let maxLine = 1 << 20
  /// Octets behind the last that may be read, whatever they are.
  static let slack = 8
  /// Half of a processor's second cache: what was read is still there when it is looked at.
  private static let blockOctets = 256 << 10

  private(set) var octets: [UInt8]
  /// Whole lines, each with its newline.
  private(set) var lines = 0..<0
  /// Lines that were too long.
  private(set) var overlong = 0
  /// Where `octets` begins in the source.
  private var base = 0
  private var filled = 0
  private var isSkipping = false

  init() { octets = [UInt8](repeating: 0, count: Self.blockOctets + Self.slack) }

  /// Begins a source at `offset`. Unless that is known as the start of a line, what ends there is passed over.
  mutating func begin(at offset: Int, isStartOfLine: Bool) {
    base = offset
    filled = 0
    lines = 0..<0
    isSkipping = !isStartOfLine
    overlong = 0
  }

  /// Where the first line begins that was not given yet.
  var offset: Int { base + lines.upperBound }

  /// Where an index of `octets` stands in the source.
  func offset(of index: Int) -> Int { base + index }

  /// Reads on; false when no further whole line is there now.
  mutating func fill(from source: inout LogPieceReader) throws(SystemError) -> Bool {
    while true {
      let rest = filled - lines.upperBound
      if lines.upperBound > 0 {
        moveToFront(lines.upperBound..<filled)
        base += lines.upperBound
        lines = 0..<0
        filled = rest
      }
      if octets.count < filled + Self.blockOctets / 2 + Self.slack {
        octets.append(contentsOf: repeatElement(0, count: Self.blockOctets))
      }
      let room = octets.count - Self.slack - filled
      let read = try source.read(into: &octets, at: filled, atMost: room)
      guard read > 0 else { return false }
      filled += read
      var start = 0
      if isSkipping {
        guard let newline = newline(in: (filled - read)..<filled) else {
          base += filled
          filled = 0
          continue
        }
        isSkipping = false
        start = newline + 1
      }
      if let last = lastNewline(in: start..<filled) {
        lines = start..<(last + 1)
        return true
      }
      lines = start..<start
      if filled - start > Self.maxLine {
        overlong += 1
        isSkipping = true
        base += filled
        filled = 0
        lines = 0..<0
      }
    }
  }

  mutating func countOverlong() { overlong += 1 }

  private mutating func moveToFront(_ range: Range<Int>) {
    let count = range.count
    guard count > 0 else { return }
    unsafe octets.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      unsafe memmove(base, base + range.lowerBound, count)  // range lies in octets
    }
  }

  /// The first newline of a range of `octets`.
  func newline(in range: Range<Int>) -> Int? {
    unsafe octets.withUnsafeBytes { bytes in
      guard !range.isEmpty, range.upperBound <= bytes.count, let base = bytes.baseAddress else { return nil }
      guard let found = unsafe memchr(base + range.lowerBound, 10, range.count) else { return nil }
      return unsafe UnsafeRawPointer(found) - base
    }
  }

  private func lastNewline(in range: Range<Int>) -> Int? {
    var index = range.upperBound
    while index > range.lowerBound {
      index -= 1
      if octets[index] == 10 { return index }
    }
    return nil
  }
}
