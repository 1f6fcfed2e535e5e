/// What could not be told or done, since the start: all of them stay 0 while all is well.
package struct LostCounts: Sendable, Codable {
  /// Refused connections and other events that found no room in the ring to the log's writer.
  package var connections: UInt64 = 0
  package var events: UInt64 = 0
  /// Addresses that the kernel did not close when others needed the room.
  package var evictions: UInt64 = 0
  /// Addresses that the kernel did not close when they were revoked; it is asked again until it does.
  package var revocations: UInt64 = 0

  package init() {}

  /// Each with its name.
  package var kinds: [(kind: String, count: UInt64)] {
    [("connections", connections), ("events", events), ("evictions", evictions), ("revocations", revocations)]
  }

  /// Counts an event that found no room in the ring, under connections where it is of a refused one.
  package mutating func countUnrecorded(isConnection: Bool) {
    if isConnection { connections += 1 } else { events += 1 }
  }
}
