package import AuditLog

/// What one thread answers queries with: what all of them share, and what is its own.
package struct QueryThread: Sendable {
  package let shared: SharedState
  /// Only this thread writes into it.
  let ring: AuditRing
  /// Its shard in every `QueryCounts`.
  let index: Int

  package init(_ shared: SharedState, ring: AuditRing, index: Int = 0) {
    self.shared = shared
    self.ring = ring
    self.index = index
  }
}
