package import DNSWire
import Synchronization

/// The answers of one server: positive, NODATA and NXDOMAIN (RFC 2308), and failures (RFC 9520).
///
/// Two servers never share a cache, so neither content nor timing passes between them. The cache is split into
/// shards with a lock each, so that two workers rarely meet; nothing is allocated on a lookup.
package final class ResponseCache: Sendable {
  /// What a lookup found.
  package enum LookupResult: Equatable, Sendable {
    /// Nothing that is still alive.
    case miss
    /// An answer that was handed to the reader.
    case hit
    /// The same, and it ends so soon that it is to be asked for anew; found once.
    case due
    /// An answer whose grant must be committed again before it may be handed out.
    case uncommitted
  }

  /// When an answer is looked for: on the monotonic clock in nanoseconds, and in an epoch of the firewall.
  package struct Moment {
    package let now: UInt64
    package let epoch: UInt64
    /// Whether an answer that is due then is told apart, and is due no more.
    package let findsDue: Bool

    @inline(__always)
    package init(now: UInt64, epoch: UInt64, findsDue: Bool = false) {
      self.now = now
      self.epoch = epoch
      self.findsDue = findsDue
    }
  }

  /// Looks into a cache without a reference of its own; the cache's owner must outlive it.
  package struct Reader: Sendable {
    fileprivate let shards: CacheShards

    /// Looks a question up, whose name's hash by `nameHash` is `hash`, and when its answer may be handed out at
    /// `moment`, lets `reader` read it in place.
    ///
    /// `reader` runs under the shard's lock: it copies octets and does nothing else.
    @inline(__always)
    package func find(
      _ name: Span<UInt8>, hash: UInt64, _ type: RRType, at moment: Moment,
      _ reader: (_ head: CachedHead, _ sections: Span<UInt8>, _ ttlOffsets: Span<UInt16>) -> Void
    ) -> LookupResult {
      let key = NameHash.of(hash, type)
      return shards.with(key) { shard in
        guard let index = shard.find(key, name, type) else { return .miss }
        let head = shard.head(index)
        guard head.expires > moment.now else { return .miss }
        guard head.isServable(at: moment.now, epoch: moment.epoch) else { return .uncommitted }
        shard.withHit(index, reader)
        guard moment.findsDue, head.isDue(at: moment.now) else { return .hit }
        shard.clearLead(index)
        return .due
      }
    }

    /// Prefetches what `prefetchEntry` reads.
    package func prefetchShard(hash: UInt64, _ type: RRType) { shards.prefetchShard(NameHash.of(hash, type)) }

    /// Prefetches what `find` will read.
    package func prefetchEntry(hash: UInt64, _ type: RRType) { shards.prefetchEntry(NameHash.of(hash, type)) }
  }

  /// Enough that two workers on one server seldom wait for each other, few enough that 10,000 servers stay small.
  package static let shardCount = 4

  /// How names are hashed here.
  package let nameHash: NameHash
  package let reader: Reader
  private let maxEntries: Int
  private let entries = Atomic<Int>(0)

  /// A cache of about `maxEntries` answers (two workers that store at once may exceed it by one each).
  package init(maxEntries: Int, hash: NameHash = .ofProcess) {
    nameHash = hash
    self.maxEntries = max(maxEntries, Self.shardCount)
    reader = Reader(shards: CacheShards(count: Self.shardCount))
  }

  deinit { reader.shards.free() }

  /// How many answers are held, expired ones included.
  package var count: Int { entries.load(ordering: .relaxed) }

  /// Looks a question up, as `Reader.find` does.
  package func find(
    _ name: Span<UInt8>, _ type: RRType, now: UInt64, epoch: UInt64,
    _ body: (_ head: CachedHead, _ sections: Span<UInt8>, _ ttlOffsets: Span<UInt16>) -> Void
  ) -> LookupResult {
    reader.find(name, hash: nameHash(name), type, at: Moment(now: now, epoch: epoch), body)
  }

  /// As `find`, with a copy of the answer.
  package func answer(
    _ name: Span<UInt8>, _ type: RRType, now: UInt64, epoch: UInt64
  ) -> (finding: LookupResult, response: CachedResponse?) {
    var response: CachedResponse?
    let finding = find(name, type, now: now, epoch: epoch) { head, sections, ttlOffsets in
      response = CachedResponse(head, sections: sections, ttlOffsets: ttlOffsets)
    }
    return (finding, response)
  }

  /// What the answer to a question is, whether it may be handed out at this moment or not; nil where none is alive.
  package func head(_ name: Span<UInt8>, _ type: RRType, now: UInt64) -> CachedHead? {
    let key = key(name, type)
    return reader.shards.with(key) { shard in
      guard let index = shard.find(key, name, type) else { return nil }
      let head = shard.head(index)
      return head.expires > now ? head : nil
    }
  }

  /// The answer that is held for a question, over or not, committed or not; nothing is counted.
  package func held(_ name: Span<UInt8>, _ type: RRType) -> CachedResponse? {
    let key = key(name, type)
    var response: CachedResponse?
    reader.shards.with(key) { shard in
      guard let index = shard.find(key, name, type) else { return }
      shard.read(index) { head, sections, ttlOffsets in
        response = CachedResponse(head, sections: sections, ttlOffsets: ttlOffsets)
      }
    }
    return response
  }

  /// Stores an answer; a full shard gives up another one, never the ledger's record of a grant. One that is larger than
  /// a message is not kept.
  package func store(_ name: [UInt8], _ type: RRType, _ response: CachedResponse) {
    guard CacheTable.fits(name, response) else { return remove(name.span, type) }
    let key = key(name.span, type)
    let isFull = entries.load(ordering: .relaxed) >= maxEntries
    let growth = reader.shards.change(key) { $0.store(key, name, type, response, isFull: isFull) }
    entries.wrappingAdd(growth, ordering: .relaxed)
  }

  /// Records that the grant behind an answer was committed again.
  package func renew(_ name: Span<UInt8>, _ type: RRType, grantExpires: UInt64, epoch: UInt64) {
    let key = key(name, type)
    reader.shards.with(key) { $0.renew(key, name, type, grantExpires: grantExpires, epoch: epoch) }
  }

  /// Time passed that the clock of the answers did not count, while the host slept: they end that much sooner.
  ///
  /// - Parameter nanoseconds: how much.
  package func age(by nanoseconds: UInt64) {
    for index in 0..<reader.shards.count { reader.shards.change(at: index) { $0.age(by: nanoseconds) } }
  }

  /// Forgets the answer to one question.
  package func remove(_ name: Span<UInt8>, _ type: RRType) {
    let key = key(name, type)
    let isRemoved = reader.shards.with(key) { $0.remove(key, name, type) }
    if isRemoved { entries.wrappingSubtract(1, ordering: .relaxed) }
  }

  /// An answer that is held, for people to look at.
  package struct Listed: Sendable {
    package var name: [UInt8]
    package var type: RRType
    /// Queries that it answered, modulo 2^32.
    package var hits: UInt32
    package var response: CachedResponse
  }

  /// Slots of a table that are looked at under one lock.
  private static let slice = 256

  /// Copies of every answer, or of those to one name, expired ones included. A shard is locked for a slice at a time: an
  /// answer that moves meanwhile may be missing, or be there twice.
  package func list(name: [UInt8]? = nil) -> [Listed] {
    var listed: [Listed] = []
    for index in 0..<reader.shards.count {
      var start: Int? = 0
      while let from = start {
        let (part, next) = reader.shards.change(at: index) { shard in
          var part: [Listed] = []
          let next = shard.forEach(from: from, atMost: Self.slice) { owner, type, hits, response in
            if name == nil || owner == name {
              part.append(Listed(name: owner, type: type, hits: hits, response: response))
            }
          }
          return (part, next)
        }
        listed += part
        start = next
      }
    }
    return listed
  }

  /// The questions of every answer that is held; as `list`, without the answers.
  package func questions() -> [(name: [UInt8], type: RRType)] {
    var found: [(name: [UInt8], type: RRType)] = []
    for index in 0..<reader.shards.count {
      var start: Int? = 0
      while let from = start {
        let (part, next) = reader.shards.change(at: index) { $0.questions(from: from, atMost: Self.slice) }
        found += part
        start = next
      }
    }
    return found
  }

  /// Forgets every answer, or those of one name; returns how many.
  @discardableResult
  package func flush(name: [UInt8]? = nil) -> Int {
    var removed = 0
    for index in 0..<reader.shards.count {
      removed += reader.shards.change(at: index) { shard in
        guard let name else { return shard.removeAll() }
        return shard.removeAll { $0 == name }
      }
    }
    entries.wrappingSubtract(removed, ordering: .relaxed)
    return removed
  }

  private func key(_ name: Span<UInt8>, _ type: RRType) -> UInt64 { NameHash.of(nameHash(name), type) }
}
