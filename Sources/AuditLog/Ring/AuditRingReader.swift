/// The consumer's end of a ring: reads ahead, and frees what it read only when told that it is safe elsewhere.
package final class AuditRingReader {
  /// What stands where the reader is.
  package enum Step: Sendable {
    case record
    case empty
    /// The rest of the ring was damaged and is given up.
    case corrupt
  }

  private let ring: AuditRing
  /// Where the next record begins.
  private(set) var position: UInt64

  /// For one thread at a time; starts at the oldest record that was not freed.
  package init(_ ring: AuditRing) {
    self.ring = ring
    position = ring.tail
  }

  /// Reads the next record.
  package func next(into record: inout AuditRecord) -> Step {
    switch ring.read(at: position, into: &record) {
    case .record(let next):
      position = next
      return .record
    case .empty:
      return .empty
    case .corrupt(let next):
      position = next
      return .corrupt
    }
  }

  /// Puts back what was read since `position` was `former`.
  func unread(to former: UInt64) {
    position = former
  }

  /// Frees everything read so far.
  package func commit() {
    if ring.tail != position { ring.free(upTo: position) }
  }

  /// Asks for a wake-up by the next push; false when there is something to read already.
  package func declareAsleep() -> Bool { ring.declareAsleep(at: position) }

  /// Takes back `declareAsleep`: no push asks for a wake-up any more.
  package func declareAwake() { ring.declareAwake() }
}
