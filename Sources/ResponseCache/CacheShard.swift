import DNSWire

/// One shard of a cache: a hash table of bounded size with linear probing. Reached only under the shard's lock.
///
/// At most two thirds of its slots are taken, so that a search is short and ends.
struct CacheShard: ~Copyable {
  private static let firstCapacity = 4
  /// Answers among which the one that ends soonest must go.
  private static let candidates = 8

  private var table = CacheTable(count: 0)
  private(set) var count = 0
  private var hand = 0

  /// Where the table lies, for `CacheTable.prefetch`; 0 before there is one.
  var hint: UInt { table.hint }

  /// The slot of the answer to a question, or nil.
  @inline(__always)
  func find(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType) -> Int? {
    guard count > 0 else { return nil }
    var at = home(hash)
    while !table.isEmpty(at) {
      if table.answers(at, hash, name, type) { return at }
      at = next(at)
    }
    return nil
  }

  /// What the answer at `index` is.
  @inline(__always)
  func head(_ index: Int) -> CachedHead { table[index].head }

  /// Gives sections and TTL offsets of the answer at `index` to `body`, in place, and counts a hit.
  @inline(__always)
  mutating func withHit(_ index: Int, _ body: (CachedHead, Span<UInt8>, Span<UInt16>) -> Void) {
    table.countHit(index)
    table.read(index, body)
  }

  /// Gives the answer at `index` to `body`, in place.
  func read(_ index: Int, _ body: (CachedHead, Span<UInt8>, Span<UInt16>) -> Void) { table.read(index, body) }

  /// Stores a response, replacing the one of the same question. Where the cache is full, an answer of this shard goes:
  /// the one that ends soonest among the next eight. Returns by how many the shard grew.
  mutating func store(
    _ hash: UInt64, _ name: [UInt8], _ type: RRType, _ response: CachedResponse, isFull: Bool
  ) -> Int {
    if let index = find(hash, name.span, type) {
      var head = CacheTable.Head(hash: hash, type: type, response)
      head.hits = table[index].hits
      table.set(index, head, name, response)
      return 0
    }
    let evicts = isFull && count > 0
    if evicts { remove(at: victim()) }
    if (count + 1) * 3 > table.count * 2 { grow() }
    table.set(free(hash), CacheTable.Head(hash: hash, type: type, response), name, response)
    count += 1
    return evicts ? 0 : 1
  }

  /// Lets a re-committed answer be handed out again: changes only the grant's end and epoch.
  mutating func renew(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType, grantExpires: UInt64, epoch: UInt64) {
    guard let index = find(hash, name, type) else { return }
    table.change(index) {
      $0.head.grantExpires = grantExpires
      $0.head.epoch = epoch
    }
  }

  /// The answer at `index` is asked for anew: once is enough.
  mutating func clearLead(_ index: Int) { table.change(index) { $0.head.lead = 0 } }

  /// Lets every answer end so many nanoseconds sooner.
  mutating func age(by nanoseconds: UInt64) {
    for index in 0..<table.count where !table.isEmpty(index) {
      table.change(index) { $0.head.expires -= min(nanoseconds, $0.head.expires) }
    }
  }

  /// Removes the answer to a question; false if there is none.
  mutating func remove(_ hash: UInt64, _ name: Span<UInt8>, _ type: RRType) -> Bool {
    guard let index = find(hash, name, type) else { return false }
    remove(at: index)
    return true
  }

  /// Removes every answer; returns how many.
  mutating func removeAll() -> Int {
    let before = count
    table = CacheTable(count: 0)
    count = 0
    hand = 0
    return before
  }

  /// Removes every answer that `condition` selects; returns how many.
  mutating func removeAll(where condition: (_ name: [UInt8]) -> Bool) -> Int {
    let before = count
    var index = 0
    while index < table.count {
      // What moves into the slot that became free is looked at as well.
      if !table.isEmpty(index), condition(table.name(index)) { remove(at: index) } else { index += 1 }
    }
    return before - count
  }

  /// Visits the answers in `atMost` slots from `start` on, with their hits; the octets are copies.
  ///
  /// Returns the slot that comes next, or nil after the last.
  func forEach(
    from start: Int, atMost: Int,
    _ body: (_ name: [UInt8], _ type: RRType, _ hits: UInt32, _ response: CachedResponse) -> Void
  ) -> Int? {
    let end = min(start + atMost, table.count)
    for index in start..<max(start, end) where !table.isEmpty(index) {
      let head = table[index]
      table.read(index) { cached, sections, ttlOffsets in
        body(
          table.name(index), head.type, head.hits, CachedResponse(cached, sections: sections, ttlOffsets: ttlOffsets))
      }
    }
    return end < table.count ? end : nil
  }

  /// The questions of the answers in `atMost` slots from `start` on, and the slot that comes next.
  func questions(from start: Int, atMost: Int) -> (found: [(name: [UInt8], type: RRType)], next: Int?) {
    let end = min(start + atMost, table.count)
    let taken = (start..<max(start, end)).filter { !table.isEmpty($0) }
    return (taken.map { (table.name($0), table[$0].type) }, end < table.count ? end : nil)
  }

  private mutating func victim() -> Int {
    var (best, seen, at) = (-1, 0, hand & (table.count - 1))
    while seen < min(Self.candidates, count) {
      if !table.isEmpty(at) {
        seen += 1
        if best < 0 || table[at].head.expires < table[best].head.expires { best = at }
      }
      at = next(at)
    }
    hand = at
    return best
  }

  /// Removes an answer and moves those behind it, so that no search ends early.
  private mutating func remove(at index: Int) {
    table.clear(index)
    count -= 1
    var hole = index
    var at = next(index)
    while !table.isEmpty(at) {
      // It may move back only to a slot that its search comes by: its home lies not after the hole.
      let home = home(table[at].hash)
      if (at &- home) & (table.count - 1) >= (at &- hole) & (table.count - 1) {
        table.move(at, to: hole)
        hole = at
      }
      at = next(at)
    }
  }

  private mutating func grow() {
    var former = CacheTable(count: max(Self.firstCapacity, table.count * 2))
    swap(&former, &table)
    for index in 0..<former.count where !former.isEmpty(index) {
      table.move(index, of: &former, to: free(former[index].hash))
    }
  }

  private func free(_ hash: UInt64) -> Int {
    var at = home(hash)
    while !table.isEmpty(at) { at = next(at) }
    return at
  }

  @inline(__always)
  private func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (table.count &- 1) }

  @inline(__always)
  private func next(_ index: Int) -> Int { (index &+ 1) & (table.count &- 1) }
}
