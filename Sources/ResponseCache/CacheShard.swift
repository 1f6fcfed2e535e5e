import DNSWire

/// One shard of a cache: a chained hash table of bounded size. Reached only under the shard's lock.
struct CacheShard: ~Copyable {
  /// Plain values, so that nothing is counted on the way to an answer.
  private struct Entry: BitwiseCopyable {
    var hash: UInt64
    var next: Int32
    var hits: UInt32
    var type: RRType
    var head: CachedHead
    var octets: EntryOctets
  }

  private var buckets = [Int32](repeating: -1, count: 8)
  private var entries: [Entry] = []
  private var hand = 0

  deinit {
    for entry in entries { entry.octets.free() }
  }

  var count: Int { entries.count }

  /// The index of the entry for a question, or nil.
  func find(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType) -> Int? {
    var at = Int(buckets[Int(truncatingIfNeeded: hash) & (buckets.count - 1)])
    while at >= 0 {
      if entries[at].hash == hash && entries[at].type == type && entries[at].octets.hasName(name) { return at }
      at = Int(entries[at].next)
    }
    return nil
  }

  /// What the entry at `index` is.
  func head(_ index: Int) -> CachedHead { entries[index].head }

  /// Gives sections and TTL offsets of the entry at `index` to `body`, in place, and counts a hit.
  mutating func withHit(_ index: Int, _ body: (CachedHead, Span<UInt8>, Span<UInt16>) -> Void) {
    entries[index].hits &+= 1
    let head = entries[index].head
    entries[index].octets.read { sections, ttlOffsets in body(head, sections, ttlOffsets) }
  }

  /// Stores a response, replacing the one of the same question. Where the cache is full, an entry of this shard goes:
  /// the one that ends soonest among the next eight. Returns by how many the shard grew.
  mutating func store(
    _ hash: UInt64, _ name: [UInt8], _ type: RRType, _ response: CachedResponse, isFull: Bool
  ) -> Int {
    if let index = find(hash, name.span, type) {
      entries[index].octets.free()
      entries[index].octets = EntryOctets(name, response)
      entries[index].head = response.head
      return 0
    }
    let evicts = isFull && !entries.isEmpty
    if evicts { remove(at: victim()) }
    if entries.count >= buckets.count {
      grow()
    }
    let bucket = Int(truncatingIfNeeded: hash) & (buckets.count - 1)
    entries.append(
      Entry(
        hash: hash, next: buckets[bucket], hits: 0, type: type, head: response.head,
        octets: EntryOctets(name, response)))
    buckets[bucket] = Int32(truncatingIfNeeded: entries.count - 1)
    return evicts ? 0 : 1
  }

  /// Lets a re-committed answer be handed out again: changes only the grant's end and epoch.
  mutating func renew(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType, grantExpires: UInt64, epoch: UInt64) {
    guard let index = find(hash, name, type) else { return }
    entries[index].head.grantExpires = grantExpires
    entries[index].head.epoch = epoch
  }

  /// Removes the answer to a question; false if there is none.
  mutating func remove(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType) -> Bool {
    guard let index = find(hash, name, type) else { return false }
    remove(at: index)
    return true
  }

  /// Removes every entry that `condition` selects; returns how many.
  mutating func removeAll(where condition: (_ name: [UInt8]) -> Bool) -> Int {
    var removed = 0
    var index = entries.count - 1
    while index >= 0 {
      if condition(entries[index].octets.name) {
        remove(at: index)
        removed += 1
      }
      index -= 1
    }
    return removed
  }

  private mutating func victim() -> Int {
    var best = hand % entries.count
    for step in 1..<8 {
      let candidate = (hand + step) % entries.count
      if entries[candidate].head.expires < entries[best].head.expires {
        best = candidate
      }
    }
    hand = (hand + 8) % max(entries.count, 1)
    return best
  }

  /// Removes an entry and moves the last one into its place.
  private mutating func remove(at index: Int) {
    unlink(index)
    let last = entries.count - 1
    if index != last {
      relink(from: last, to: index)
      entries.swapAt(index, last)
    }
    entries.removeLast().octets.free()
  }

  private mutating func unlink(_ index: Int) {
    relink(from: index, to: Int(entries[index].next))
  }

  /// Makes whatever points at entry `from` point at `to`.
  private mutating func relink(from: Int, to: Int) {
    let bucket = Int(truncatingIfNeeded: entries[from].hash) & (buckets.count - 1)
    let target = Int32(truncatingIfNeeded: to)
    if Int(buckets[bucket]) == from {
      buckets[bucket] = target
      return
    }
    var at = Int(buckets[bucket])
    while at >= 0 {
      if Int(entries[at].next) == from {
        entries[at].next = target
        return
      }
      at = Int(entries[at].next)
    }
  }

  private mutating func grow() {
    buckets = [Int32](repeating: -1, count: buckets.count * 2)
    for index in entries.indices {
      let bucket = Int(truncatingIfNeeded: entries[index].hash) & (buckets.count - 1)
      entries[index].next = buckets[bucket]
      buckets[bucket] = Int32(truncatingIfNeeded: index)
    }
  }
}
