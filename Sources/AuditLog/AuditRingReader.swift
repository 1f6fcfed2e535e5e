/// The consumer's end of a ring: reads ahead, and frees what it read only when told that it is safe elsewhere.
package final class AuditRingReader {
  package enum Step: Sendable {
    case record
    case empty
    /// The rest of the ring was damaged and is given up.
    case corrupt
  }

  private let ring: AuditRing
  private var position: UInt64
  /// Where the record read last begins.
  private var before: UInt64

  /// For one thread at a time; starts at the oldest record that was not freed.
  package init(_ ring: AuditRing) {
    self.ring = ring
    position = ring.tail
    before = position
  }

  /// Reads the next record.
  package func next(into record: inout AuditRecord) -> Step {
    switch ring.read(at: position, into: &record) {
    case .record(let next):
      before = position
      position = next
      return .record
    case .empty:
      return .empty
    case .corrupt(let next):
      position = next
      return .corrupt
    }
  }

  /// Puts the record read last back, so that it is read again.
  package func unread() {
    position = before
  }

  /// Frees everything read so far.
  package func commit() {
    if ring.tail != position { ring.free(upTo: position) }
  }

  /// Asks for a wake-up by the next push; false when there is something to read already.
  package func declareAsleep() -> Bool { ring.declareAsleep(at: position) }

  package func declareAwake() { ring.declareAwake() }
}
