import AuditLog
import Glibc
import LinuxIO

/// The file beside the log that holds what is not written yet: mapped shared, so that it outlives a killed process.
///
///     0 header (magic, geometry, run) │ 4096 the coalescer's windows │ rings …
final class RingFile: Sendable {
  struct Geometry: Equatable {
    var rings: Int
    /// Room for records in each ring: a power of two.
    var ringOctets: Int
    /// Room for windows of 10 s: a power of two.
    var windowOctets: Int

    /// Made by a version whose windows all lasted 10 s.
    var isEarlier = false

    var ringSpan: Int { ringOctets + 4096 }
    /// Octets of all windows, with what is before them.
    var windowRegion: Int { isEarlier ? 64 + windowOctets : Coalescer.octets(windows: windowOctets) }
    var windowSpan: Int { isEarlier ? windowOctets + 4096 : (windowRegion + 4095) & ~4095 }
    var total: Int { 4096 + windowSpan + rings * ringSpan }

    var isValid: Bool {
      (1...1024).contains(rings) && Self.isPowerOfTwo(ringOctets, in: 4096...(1 << 28))
        && Self.isPowerOfTwo(windowOctets, in: 65_536...(1 << 28))
    }

    private static func isPowerOfTwo(_ value: Int, in range: ClosedRange<Int>) -> Bool {
      range.contains(value) && value & (value - 1) == 0
    }
  }

  private enum Word {
    /// The magic of earlier versions; 0 here, which they take for a file that was being made: who goes back to one begins
    /// anew instead of being refused.
    static let earlierMagic = 0
    static let rings = 8
    static let ringOctets = 16
    static let windowOctets = 24
    static let run = 32
    /// How the last run that began ended, and when it began.
    static let end = 128
    static let start = 136
    static let magic = 144
  }

  /// What stands in `Word.end`; 0 in files of earlier versions, and where no run began.
  private enum End {
    static let unknown: UInt64 = 0
    static let none: UInt64 = 0x52554E
    static let stopped: UInt64 = 0x53544F50
  }

  /// "sluiceA2"
  private static let magic: UInt64 = 0x736C_7569_6365_4132
  /// "sluiceA1"
  private static let earlierMagic: UInt64 = 0x736C_7569_6365_4131

  let geometry: Geometry
  private let mapping: Mapping
  private let region: SharedRegion

  /// Maps a file as an earlier run left it; nil when it holds nothing that a run of serve wrote.
  static func existing(_ file: borrowing FileDescriptor) throws(SystemError) -> RingFile? {
    var status = stat()
    guard unsafe fstat(file.raw, &status) == 0 else { throw SystemError(call: "fstat", errno: errno) }
    guard status.st_size >= 4096 else { return nil }
    let header = try Mapping(file, octets: 4096)
    let words = try header.region()
    let geometry = Geometry(
      rings: Int(truncatingIfNeeded: words.loadAcquiring(Word.rings)),
      ringOctets: Int(truncatingIfNeeded: words.loadAcquiring(Word.ringOctets)),
      windowOctets: Int(truncatingIfNeeded: words.loadAcquiring(Word.windowOctets)),
      isEarlier: words.loadAcquiring(Word.earlierMagic) == earlierMagic)
    let isOurs = words.loadAcquiring(Word.earlierMagic) == 0 && words.loadAcquiring(Word.magic) == magic
    guard geometry.isEarlier || isOurs, geometry.isValid,
      Int(status.st_size) >= geometry.total
    else {
      return nil
    }
    return try RingFile(file, geometry)
  }

  /// Whether a file is empty, was being made, or is a ring file: anything else belongs to another program, and is left
  /// alone.
  static func mayOverwrite(_ file: borrowing FileDescriptor, octets: Int) -> Bool {
    guard octets > 0 else { return true }
    var word: UInt64 = 0
    let read = unsafe withUnsafeMutableBytes(of: &word) { unsafe pread(file.raw, $0.baseAddress, $0.count, 0) }
    return read == 8 && (word == 0 || word == earlierMagic)
  }

  /// Makes the file anew, every page of it reserved, so that a full disk cannot end the process by SIGBUS.
  ///
  /// - Parameter former: what the file says until `markBegun`.
  static func empty(
    _ file: borrowing FileDescriptor, _ geometry: Geometry, run: UInt64, former: FormerRun
  ) throws(SystemError) -> RingFile {
    guard geometry.isValid else { throw SystemError(call: "lay out the ring file", errno: EINVAL) }
    guard ftruncate(file.raw, 0) == 0 else { throw SystemError(call: "ftruncate", errno: errno) }
    let result = posix_fallocate(file.raw, 0, off_t(geometry.total))
    guard result == 0 else { throw SystemError(call: "reserve the ring file", errno: result) }
    let made = try RingFile(file, geometry)
    made.region.storeReleasing(UInt64(geometry.rings), Word.rings)
    made.region.storeReleasing(UInt64(geometry.ringOctets), Word.ringOctets)
    made.region.storeReleasing(UInt64(geometry.windowOctets), Word.windowOctets)
    made.region.storeReleasing(run, Word.run)
    let (end, start): (UInt64, UInt64) =
      switch former {
      case .unknown: (End.unknown, 0)
      case .stopped: (End.stopped, 0)
      case .broken(let began): (End.none, began)
      }
    made.region.storeReleasing(end, Word.end)
    made.region.storeReleasing(start, Word.start)
    made.region.storeReleasing(magic, Word.magic)
    return made
  }

  private init(_ file: borrowing FileDescriptor, _ geometry: Geometry) throws(SystemError) {
    self.geometry = geometry
    mapping = try Mapping(file, octets: geometry.total)
    region = try mapping.region()
  }

  /// The number of the run that made the file: the next is greater.
  var run: UInt64 { region.loadAcquiring(Word.run) }

  /// The run that made the file begins to serve.
  func markBegun() {
    region.storeReleasing(WallClock.nanoseconds(), Word.start)
    region.storeReleasing(End.none, Word.end)
  }

  /// The run that made the file ends with everything told.
  func markStopped() { region.storeReleasing(End.stopped, Word.end) }

  /// How the run that made the file ended, or where it never began, the one before it.
  var former: FormerRun {
    switch region.loadAcquiring(Word.end) {
    case End.stopped: .stopped
    case End.none: .broken(began: region.loadAcquiring(Word.start))
    default: .unknown
    }
  }

  var windows: SharedRegion {
    region.part(4096..<(4096 + geometry.windowRegion))
  }

  /// Continues with the windows as an earlier run left them.
  ///
  /// - Parameter bounds: what the servers' octets are bounded by; nil for nothing.
  func coalescer(run: UInt64, bounds: LogBounds? = nil) -> Coalescer? {
    geometry.isEarlier ? Coalescer(earlier: windows, run: run) : Coalescer(windows, run: run, bounds: bounds)
  }

  func ring(_ index: Int) -> AuditRing? {
    let start = 4096 + geometry.windowSpan + index * geometry.ringSpan
    return AuditRing(region.part(start..<(start + AuditRing.overhead + geometry.ringOctets)))
  }
}

/// A shared mapping of the beginning of a file.
@safe
final class Mapping: Sendable {
  private nonisolated(unsafe) let base: UnsafeMutableRawPointer
  private let count: Int

  /// The file must be at least `octets` long.
  init(_ file: borrowing FileDescriptor, octets: Int) throws(SystemError) {
    let address = unsafe mmap(nil, octets, PROT_READ | PROT_WRITE, MAP_SHARED, file.raw, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw SystemError(call: "mmap", errno: errno)
    }
    unsafe base = address
    count = octets
  }

  deinit {
    unsafe munmap(base, count)
  }

  /// The mapped memory; keeps the mapping.
  func region() throws(SystemError) -> SharedRegion {
    let memory = unsafe UnsafeMutableRawBufferPointer(start: base, count: count)
    guard let region = unsafe SharedRegion(memory, keeping: self) else {
      throw SystemError(call: "mmap", errno: EINVAL)
    }
    return region
  }
}
