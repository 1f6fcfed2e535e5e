import DNSWire

/// One shard of a cache: a chained hash table of bounded size. Reached only under the shard's lock.
struct CacheShard: ~Copyable {
  /// What a lookup reads before it knows that an entry is the one: plain numbers, so that nothing is counted.
  private struct Key {
    var hash: UInt64
    var next: Int32
    var type: RRType
    var hits: UInt32
  }

  private var buckets = [Int32](repeating: -1, count: 8)
  // One entry stands at the same index of all three.
  private var keys: [Key] = []
  private var names: [[UInt8]] = []
  private var responses: [CachedResponse] = []
  private var hand = 0

  var count: Int { keys.count }

  /// The index of the entry for a question, or nil.
  func find(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType) -> Int? {
    var at = Int(buckets[Int(truncatingIfNeeded: hash) & (buckets.count - 1)])
    while at >= 0 {
      let key = keys[at]
      if key.hash == hash && key.type == type && holds(at, name) { return at }
      at = Int(key.next)
    }
    return nil
  }

  private func holds(_ index: Int, _ name: Span<UInt8>) -> Bool {
    let own = names[index]
    guard own.count == name.count else { return false }
    for octet in own.indices where own[octet] != name[octet] {
      return false
    }
    return true
  }

  /// Reads the entry at `index` in place and counts a hit.
  mutating func withHit<Result>(_ index: Int, _ body: (borrowing CachedResponse) -> Result) -> Result {
    keys[index].hits &+= 1
    return body(responses[index])
  }

  /// Stores a response, replacing the one of the same question. Where the cache is full, an entry of this shard goes:
  /// the one that ends soonest among the next eight. Returns by how many the shard grew.
  mutating func store(
    _ hash: UInt64, _ name: [UInt8], _ type: RRType, _ response: CachedResponse, isFull: Bool
  ) -> Int {
    if let index = find(hash, name.span, type) {
      responses[index] = response
      return 0
    }
    let evicts = isFull && !keys.isEmpty
    if evicts { remove(at: victim()) }
    if keys.count >= buckets.count {
      grow()
    }
    let bucket = Int(truncatingIfNeeded: hash) & (buckets.count - 1)
    keys.append(Key(hash: hash, next: buckets[bucket], type: type, hits: 0))
    names.append(name)
    responses.append(response)
    buckets[bucket] = Int32(truncatingIfNeeded: keys.count - 1)
    return evicts ? 0 : 1
  }

  /// Lets a re-committed answer be handed out again: changes only the grant's end and epoch.
  mutating func renew(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType, grantExpires: UInt64, epoch: UInt64) {
    guard let index = find(hash, name, type) else { return }
    responses[index].grantExpires = grantExpires
    responses[index].epoch = epoch
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
    var index = keys.count - 1
    while index >= 0 {
      if condition(names[index]) {
        remove(at: index)
        removed += 1
      }
      index -= 1
    }
    return removed
  }

  private mutating func victim() -> Int {
    var best = hand % keys.count
    for step in 1..<8 {
      let candidate = (hand + step) % keys.count
      if responses[candidate].expires < responses[best].expires {
        best = candidate
      }
    }
    hand = (hand + 8) % max(keys.count, 1)
    return best
  }

  /// Removes an entry and moves the last one into its place.
  private mutating func remove(at index: Int) {
    unlink(index)
    let last = keys.count - 1
    if index != last {
      relink(from: last, to: index)
      keys.swapAt(index, last)
      names.swapAt(index, last)
      responses.swapAt(index, last)
    }
    keys.removeLast()
    names.removeLast()
    responses.removeLast()
  }

  private mutating func unlink(_ index: Int) {
    relink(from: index, to: Int(keys[index].next))
  }

  /// Makes whatever points at entry `from` point at `to`.
  private mutating func relink(from: Int, to: Int) {
    let bucket = Int(truncatingIfNeeded: keys[from].hash) & (buckets.count - 1)
    let target = Int32(truncatingIfNeeded: to)
    if Int(buckets[bucket]) == from {
      buckets[bucket] = target
      return
    }
    var at = Int(buckets[bucket])
    while at >= 0 {
      if Int(keys[at].next) == from {
        keys[at].next = target
        return
      }
      at = Int(keys[at].next)
    }
  }

  private mutating func grow() {
    buckets = [Int32](repeating: -1, count: buckets.count * 2)
    for index in keys.indices {
      let bucket = Int(truncatingIfNeeded: keys[index].hash) & (buckets.count - 1)
      keys[index].next = buckets[bucket]
      buckets[bucket] = Int32(truncatingIfNeeded: index)
    }
  }
}
