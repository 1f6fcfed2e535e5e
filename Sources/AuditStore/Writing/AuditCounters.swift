import Synchronization

/// What the audit log has seen.
package struct AuditCounters: Equatable, Sendable {
  /// Records taken off the rings.
  package var records: UInt64 = 0
  /// Events written.
  package var written: UInt64 = 0
  /// Records that another record's event counts.
  package var suppressed: UInt64 = 0
  /// Records and windows of an earlier run that were written at start, as events.
  package var recovered: UInt64 = 0
  /// Rings found damaged.
  package var corrupt: UInt64 = 0
  package var rotations: UInt64 = 0
  /// Rotations and reopenings that failed; writing went on in the file that was open.
  package var rotationFailures: UInt64 = 0
  /// How often the file at the log's path was found to be another one, or none: a new one was begun.
  package var replacements: UInt64 = 0
  /// Why the file cannot be rotated, as errno; nil while it can. It grows beyond `max-size` then.
  package var rotationFault: Int32?
  /// Rotated files that were compressed.
  package var compressions: UInt64 = 0
  /// Attempts to compress a file that left it as it was.
  package var compressionFailures: UInt64 = 0
  /// Nanoseconds since 1970 when writing began to fail; nil while it works.
  package var blockedSince: UInt64?
  /// Why writing fails, as errno; nil while it works.
  package var blockedFault: Int32?
}

/// The counters as the writer updates them and others read them.
final class LiveCounters: Sendable {
  let records = Atomic<UInt64>(0)
  let written = Atomic<UInt64>(0)
  let suppressed = Atomic<UInt64>(0)
  let recovered = Atomic<UInt64>(0)
  let corrupt = Atomic<UInt64>(0)
  let rotations = Atomic<UInt64>(0)
  let rotationFailures = Atomic<UInt64>(0)
  let replacements = Atomic<UInt64>(0)
  /// 0 while files can be rotated.
  let rotationFault = Atomic<Int32>(0)
  /// 0 while writing works.
  let blockedSince = Atomic<UInt64>(0)
  /// As well.
  let blockedFault = Atomic<Int32>(0)

  var copy: AuditCounters {
    let blocked = blockedSince.load(ordering: .relaxed)
    let fault = rotationFault.load(ordering: .relaxed)
    let reason = blockedFault.load(ordering: .relaxed)
    return AuditCounters(
      records: records.load(ordering: .relaxed), written: written.load(ordering: .relaxed),
      suppressed: suppressed.load(ordering: .relaxed), recovered: recovered.load(ordering: .relaxed),
      corrupt: corrupt.load(ordering: .relaxed), rotations: rotations.load(ordering: .relaxed),
      rotationFailures: rotationFailures.load(ordering: .relaxed),
      replacements: replacements.load(ordering: .relaxed), rotationFault: fault == 0 ? nil : fault,
      blockedSince: blocked == 0 ? nil : blocked, blockedFault: reason == 0 ? nil : reason)
  }
}
