import AuditLog
import LinuxIO

/// Writes what a killed run left in the ring file into the log. The ring file stays as it is until all of it is
/// written, so a crash in here costs nothing but lines written twice.
struct Recovery: ~Copyable {
  private static let batchOctets = 128 << 10

  private let leftovers: RingFile
  private var coalescer: Coalescer
  private var output: [UInt8] = []
  private(set) var events: UInt64 = 0
  private(set) var corruptRings: UInt64 = 0

  /// Nil where the file's windows cannot be read.
  init?(_ leftovers: RingFile, run: UInt64) {
    guard let coalescer = leftovers.coalescer(run: run) else { return nil }
    self.leftovers = leftovers
    self.coalescer = coalescer
  }

  /// Throws when the log cannot be written: then nothing may be served, and the leftovers stay.
  mutating func run(into file: inout LogFile) throws(SystemError) {
    var isDone = false
    coalescer.wallClock = WallClock.nanoseconds()
    while !isDone {
      isDone = coalescer.retireEverything(into: &output, limit: Self.batchOctets)
      try write(to: &file)
    }
    var record = AuditRecord()
    for index in 0..<leftovers.geometry.rings {
      guard let ring = leftovers.ring(index) else { continue }
      let reader = AuditRingReader(ring)
      var step = reader.next(into: &record)
      while step == .record {
        coalescer.pass(record, into: &output)
        if output.count >= Self.batchOctets { try write(to: &file) }
        step = reader.next(into: &record)
      }
      if step == .corrupt { corruptRings += 1 }
    }
    try write(to: &file)
    events = coalescer.events
  }

  private mutating func write(to file: inout LogFile) throws(SystemError) {
    guard !output.isEmpty else { return }
    // Where it cannot be rotated it grows: nothing is lost, and the writer tries again and tells.
    if file.mustRotate(for: output.count) { try? file.rotate() }
    var done = 0
    while done < output.count {
      done += try file.write(output, from: done)
    }
    output.removeAll(keepingCapacity: true)
  }
}
