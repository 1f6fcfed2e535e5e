import Synchronization

/// The snapshot in force. Workers look at the generation once per batch and fetch the snapshot only when it moved.
package final class CurrentSnapshot: Sendable {
  private let value: Mutex<ResolverSnapshot>
  private let count = Atomic<UInt64>(1)

  package init(_ snapshot: ResolverSnapshot) {
    value = Mutex(snapshot)
  }

  package var generation: UInt64 { count.load(ordering: .acquiring) }

  /// The snapshot in force now.
  package func load() -> ResolverSnapshot {
    value.withLock { $0 }
  }

  /// Puts another snapshot in force.
  package func replace(_ snapshot: ResolverSnapshot) {
    value.withLock { $0 = snapshot }
    count.wrappingAdd(1, ordering: .releasing)
  }
}
