import AuditLog
import AuditStore
import Resolver

extension AuditStore: AuditGate {
  /// - Precondition: the thread is one of those that the store was made for.
  func ring(of thread: Int) -> AuditRing {
    guard let ring = ring(thread) else { preconditionFailure("the audit store has a ring for each thread") }
    return ring
  }
}

/// The number of each thread that answers queries: of its audit ring and of its shard in every `QueryCounts`. The workers
/// come first.
struct ThreadIndexes {
  let workers: Int

  var stream: Int { workers }
  var resolver: Int { workers + 1 }
  var flood: Int { workers + 2 }
  var count: Int { workers + 3 }
}
