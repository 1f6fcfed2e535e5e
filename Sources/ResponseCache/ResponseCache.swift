package import DNSWire
import Synchronization

/// The answers of one server: positive, NODATA and NXDOMAIN (RFC 2308), and failures (RFC 9520).
///
/// Two servers never share a cache, so neither content nor timing passes between them. The cache is split into
/// shards with a lock each, so that two workers rarely meet; nothing is allocated on a lookup.
package final class ResponseCache: Sendable {
  /// What a lookup found.
  package enum Finding: Equatable, Sendable {
    /// Nothing that is still alive.
    case miss
    /// An answer that was handed to the reader.
    case hit
    /// An answer whose grant must be committed again before it may be handed out.
    case uncommitted
  }

  /// Enough that two workers on one server seldom wait for each other, few enough that 10,000 servers stay small.
  private static let shardCount = 8

  private final class Shard: Sendable {
    let state = Mutex(CacheShard())
  }

  private let shards: [Shard]
  private let hash: QuestionHash
  private let maxEntries: Int
  private let entries = Atomic<Int>(0)

  /// A cache of about `maxEntries` answers (two workers that store at once may exceed it by one each); `seed` keys its hash.
  package init(maxEntries: Int, seed: UInt64) {
    hash = QuestionHash(seed: seed)
    self.maxEntries = max(maxEntries, Self.shardCount)
    shards = (0..<Self.shardCount).map { _ in Shard() }
  }

  /// How many answers are held, expired ones included.
  package var count: Int { entries.load(ordering: .relaxed) }

  /// Looks a question up and, when its answer may be handed out at `now` in `epoch`, lets `reader` read it in place.
  ///
  /// `reader` runs under the shard's lock: it copies octets and does nothing else.
  package func find(
    _ name: Span<UInt8>, _ type: RRType, now: UInt64, epoch: UInt64,
    _ reader: (_ head: CachedHead, _ sections: Span<UInt8>, _ ttlOffsets: Span<UInt16>) -> Void
  ) -> Finding {
    let key = hash(name, type)
    return shard(key).state.withLock { shard in
      guard let index = shard.find(key, name, type) else { return .miss }
      let head = shard.head(index)
      guard head.expires > now else { return .miss }
      guard head.isServable(at: now, epoch: epoch) else { return .uncommitted }
      shard.withHit(index, reader)
      return .hit
    }
  }

  /// As `find`, with a copy of the answer.
  package func answer(
    _ name: Span<UInt8>, _ type: RRType, now: UInt64, epoch: UInt64
  ) -> (finding: Finding, response: CachedResponse?) {
    var response: CachedResponse?
    let finding = find(name, type, now: now, epoch: epoch) { head, sections, ttlOffsets in
      response = CachedResponse(head, sections: sections, ttlOffsets: ttlOffsets)
    }
    return (finding, response)
  }

  /// Stores an answer; a full shard gives up another one, never the ledger's record of a grant.
  package func store(_ name: [UInt8], _ type: RRType, _ response: CachedResponse) {
    let key = hash(name.span, type)
    let isFull = entries.load(ordering: .relaxed) >= maxEntries
    let growth = shard(key).state.withLock { $0.store(key, name, type, response, isFull: isFull) }
    entries.wrappingAdd(growth, ordering: .relaxed)
  }

  /// Records that the grant behind an answer was committed again.
  package func renew(_ name: Span<UInt8>, _ type: RRType, grantExpires: UInt64, epoch: UInt64) {
    let key = hash(name, type)
    shard(key).state.withLock { $0.renew(key, name, type, grantExpires: grantExpires, epoch: epoch) }
  }

  /// Forgets the answer to one question.
  package func remove(_ name: Span<UInt8>, _ type: RRType) {
    let key = hash(name, type)
    let isRemoved = shard(key).state.withLock { $0.remove(key, name, type) }
    if isRemoved { entries.wrappingSubtract(1, ordering: .relaxed) }
  }

  /// Forgets every answer, or those of one name; returns how many.
  @discardableResult
  package func flush(name: [UInt8]? = nil) -> Int {
    let removed = shards.reduce(0) { sum, shard in
      sum + shard.state.withLock { $0.removeAll { name == nil || $0 == name } }
    }
    entries.wrappingSubtract(removed, ordering: .relaxed)
    return removed
  }

  private func shard(_ key: UInt64) -> Shard {
    shards[Int(truncatingIfNeeded: key >> 56) & (Self.shardCount - 1)]
  }
}
