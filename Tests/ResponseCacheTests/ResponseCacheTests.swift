import DNSWire
import Synchronization
import TestSupport
import Testing

@testable import ResponseCache

private let second: UInt64 = 1_000_000_000

private func wire(_ text: String) -> [UInt8] {
  text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
}

/// A response that can be told from others by its sections.
private func response(
  _ mark: Int, expires: UInt64 = 1000 * second, grantExpires: UInt64 = .max, epoch: UInt64 = CachedResponse.anyEpoch
) -> CachedResponse {
  CachedResponse(
    responseCode: .NOERROR, answerCount: 1,
    sections: [UInt8(mark >> 16 & 255), UInt8(mark >> 8 & 255), UInt8(mark & 255)],
    expires: expires, grantExpires: grantExpires, epoch: epoch)
}

extension ResponseCache {
  fileprivate func mark(_ name: String, _ type: RRType = .A, now: UInt64 = 0, epoch: UInt64 = 1) -> Int? {
    let (finding, response) = answer(wire(name).span, type, now: now, epoch: epoch)
    return finding == .hit ? response?.sections.reduce(0) { $0 << 8 | Int($1) } : nil
  }

  fileprivate func finding(_ name: String, now: UInt64 = 0, epoch: UInt64 = 1) -> LookupResult {
    find(wire(name).span, .A, now: now, epoch: epoch) { _, _, _ in }
  }
}

extension CacheShard {
  fileprivate mutating func mark(_ index: Int) -> Int {
    var mark = 0
    withHit(index) { _, sections, _ in
      for octet in sections.indices { mark = mark << 8 | Int(sections[octet]) }
    }
    return mark
  }
}

private final class Seen: Sendable {
  let hits = Atomic<Int>(0)
  let wrong = Atomic<Int>(0)
}

@Suite("The response cache")
struct ResponseCacheTests {
  @Test("an answer is found by name and type, and by nothing else")
  func find() {
    let cache = ResponseCache(maxEntries: 100, hash: NameHash(seed: 7))
    cache.store(wire("a.example"), .A, response(1))
    cache.store(wire("a.example"), .AAAA, response(2))
    cache.store(wire("b.example"), .A, response(3))
    #expect(cache.mark("a.example") == 1 && cache.mark("a.example", .AAAA) == 2 && cache.mark("b.example") == 3)
    #expect(cache.mark("a.example", .TXT) == nil && cache.mark("example") == nil && cache.mark("x.a.example") == nil)
    #expect(cache.count == 3)
  }

  @Test("a second answer to a question replaces the first")
  func replace() {
    let cache = ResponseCache(maxEntries: 100, hash: NameHash(seed: 7))
    cache.store(wire("a.example"), .A, response(1))
    cache.store(wire("a.example"), .A, response(2))
    #expect(cache.mark("a.example") == 2 && cache.count == 1)
  }

  @Test("an answer is a miss from the moment its TTL ends, uncommitted when only its grant or epoch did")
  func findings() {
    let cache = ResponseCache(maxEntries: 100, hash: NameHash(seed: 7))
    cache.store(wire("a.example"), .A, response(1, expires: 100, grantExpires: 50, epoch: 3))
    #expect(cache.finding("a.example", now: 49, epoch: 3) == .hit)
    #expect(cache.finding("a.example", now: 50, epoch: 3) == .uncommitted)
    #expect(cache.finding("a.example", now: 49, epoch: 2) == .uncommitted)
    #expect(cache.finding("a.example", now: 49, epoch: 4) == .uncommitted)
    #expect(cache.finding("a.example", now: 99, epoch: 3) == .uncommitted)
    #expect(cache.finding("a.example", now: 100, epoch: 3) == .miss)
    cache.store(wire("b.example"), .A, response(1, expires: 100))
    #expect(cache.finding("b.example", now: 99, epoch: 77) == .hit)
  }

  @Test("an answer is found due once, within its lead, by whom looks for that; a failure and one without a lead never")
  func due() {
    let cache = ResponseCache(maxEntries: 100, hash: NameHash(seed: 7))
    func finds(_ name: String, at now: UInt64, due: Bool = true) -> ResponseCache.LookupResult {
      cache.reader.find(
        wire(name).span, hash: cache.nameHash(wire(name).span), .A, at: .init(now: now, epoch: 1, findsDue: due)
      ) { _, _, _ in }
    }
    let lead = UInt32(10 * second >> CachedHead.leadShift)
    for (name, cause, own) in [("a.example", 0, lead), ("b.example", 7, lead), ("c.example", 0, 0)]
      as [(String, UInt8, UInt32)]
    {
      cache.store(
        wire(name), .A,
        CachedResponse(responseCode: .NOERROR, answerCount: 1, expires: 100 * second, cause: cause, lead: own))
    }
    #expect(finds("a.example", at: 89 * second) == .hit)
    #expect(finds("a.example", at: 91 * second, due: false) == .hit)
    #expect(finds("a.example", at: 91 * second) == .due)
    #expect(finds("a.example", at: 91 * second) == .hit, "asked for anew once")
    #expect(finds("b.example", at: 99 * second) == .hit && finds("c.example", at: 99 * second) == .hit)
    #expect(finds("a.example", at: 100 * second) == .miss)
  }

  @Test("answers that grow older all at once end sooner, and none wraps around")
  func age() {
    let cache = ResponseCache(maxEntries: 100, hash: NameHash(seed: 7))
    for index in 0..<20 { cache.store(wire("n\(index).example"), .A, response(index, expires: UInt64(index) * second)) }
    cache.age(by: 10 * second)
    for index in 0..<20 { #expect((cache.mark("n\(index).example", now: 1) != nil) == (index > 10)) }
    #expect(cache.mark("n19.example", now: 9 * second - 1) == 19 && cache.mark("n19.example", now: 9 * second) == nil)
    #expect(cache.held(wire("n3.example").span, .A)?.expires == 0)
  }

  @Test("a renewal changes grant and epoch, never TTL or content")
  func renew() {
    let cache = ResponseCache(maxEntries: 100, hash: NameHash(seed: 7))
    cache.store(wire("a.example"), .A, response(1, expires: 100, grantExpires: 50, epoch: 3))
    cache.renew(wire("a.example").span, .A, grantExpires: 500, epoch: 4)
    #expect(cache.mark("a.example", now: 60, epoch: 4) == 1)
    #expect(cache.finding("a.example", now: 60, epoch: 3) == .uncommitted)
    #expect(cache.finding("a.example", now: 100, epoch: 4) == .miss)
    cache.renew(wire("b.example").span, .A, grantExpires: 500, epoch: 4)
    cache.renew(wire("a.example").span, .AAAA, grantExpires: 1, epoch: 9)
    #expect(cache.count == 1 && cache.mark("a.example", now: 60, epoch: 4) == 1)
  }

  @Test("flushing a name takes all its types and nothing else; flushing takes everything")
  func flush() {
    let cache = ResponseCache(maxEntries: 1000, hash: NameHash(seed: 7))
    for index in 0..<200 {
      cache.store(wire("n\(index).example"), .A, response(index))
      cache.store(wire("n\(index).example"), .AAAA, response(index))
    }
    #expect(cache.flush(name: wire("n7.example")) == 2 && cache.flush(name: wire("n7.example")) == 0)
    #expect(cache.mark("n7.example") == nil && cache.mark("n7.example", .AAAA) == nil && cache.count == 398)
    for index in 0..<200 where index != 7 {
      #expect(cache.mark("n\(index).example") == index && cache.mark("n\(index).example", .AAAA) == index)
    }
    #expect(cache.flush() == 398 && cache.count == 0 && cache.mark("n8.example") == nil)
    cache.store(wire("n8.example"), .A, response(5))
    #expect(cache.mark("n8.example") == 5)
  }

  @Test("one question can be forgotten, once")
  func remove() {
    let cache = ResponseCache(maxEntries: 100, hash: NameHash(seed: 7))
    cache.store(wire("a.example"), .A, response(1))
    cache.store(wire("a.example"), .AAAA, response(2))
    cache.remove(wire("a.example").span, .A)
    cache.remove(wire("a.example").span, .A)
    cache.remove(wire("b.example").span, .A)
    #expect(cache.mark("a.example") == nil && cache.mark("a.example", .AAAA) == 2 && cache.count == 1)
  }

  @Test("a cache never holds more than its bound, and always the answer stored last", arguments: [8, 9, 50, 1000])
  func bound(maxEntries: Int) {
    let cache = ResponseCache(maxEntries: maxEntries, hash: NameHash(seed: 7))
    for index in 0..<5000 {
      cache.store(wire("n\(index).example"), .A, response(index))
      #expect(cache.mark("n\(index).example") == index)
      // A shard that is empty while the cache is full takes its first entry: at most one for each of the eight.
      #expect(cache.count <= maxEntries + 7)
    }
    let held = (0..<5000).count { cache.mark("n\($0).example") != nil }
    #expect(held == cache.count && held >= min(maxEntries, 1000) - 8)
  }

  @Test("what ends soonest goes first")
  func eviction() {
    let cache = ResponseCache(maxEntries: 400, hash: NameHash(seed: 7))
    for index in 0..<4000 {
      let isLong = index % 10 == 0
      cache.store(wire("n\(index).example"), .A, response(index, expires: isLong ? 1000 * second : second))
    }
    let held = (0..<4000).filter { cache.mark("n\($0).example") != nil }
    let long = held.count { $0 % 10 == 0 }
    // By chance it would be a tenth.
    #expect(long * 2 > held.count, "\(long) of \(held.count)")
  }

  @Test("the TTL handed out is the answer's, each begun second counted, and never beyond the grant")
  func remaining() {
    for (expires, grant, expected): (UInt64, UInt64, UInt32) in [
      (10 * second, .max, 10), (10 * second - 1, .max, 10), (9 * second + 1, .max, 10), (9 * second, .max, 9),
      (10 * second, 5 * second, 5), (10 * second, 5 * second - 1, 4), (10 * second, second - 1, 0), (10 * second, 0, 0),
      (0, .max, 0), (.max, .max, UInt32(Int32.max)),
    ] {
      #expect(response(1, expires: expires, grantExpires: grant).remainingTTL(at: 0) == expected)
    }
    #expect(response(1, expires: 5, grantExpires: 5).remainingTTL(at: 6) == 0)
    #expect(response(1, expires: 7, grantExpires: 5).remainingTTL(at: 6) == 0)
  }

  @Test("several threads may store, find, renew and flush at once; a reader only ever sees a whole answer")
  func concurrent() async {
    let cache = ResponseCache(maxEntries: 64, hash: NameHash(seed: 7))
    let seen = Seen()
    await withTaskGroup(of: Void.self) { group in
      for worker in 0..<6 {
        group.addTask { @Sendable in
          for round in 0..<4000 {
            let index = (round &* 31 &+ worker &* 17) % 200
            switch (round + worker) % 8 {
            case 0, 1: cache.store(wire("n\(index).example"), .A, response(index))
            case 2: cache.renew(wire("n\(index).example").span, .A, grantExpires: .max, epoch: CachedResponse.anyEpoch)
            case 3 where round % 256 == 3: cache.flush(name: wire("n\(index).example"))
            default:
              guard let mark = cache.mark("n\(index).example") else { continue }
              seen.hits.wrappingAdd(1, ordering: .relaxed)
              if mark != index { seen.wrong.wrappingAdd(1, ordering: .relaxed) }
            }
          }
        }
      }
    }
    #expect(seen.wrong.load(ordering: .relaxed) == 0 && seen.hits.load(ordering: .relaxed) > 0)
    #expect(cache.count <= 64 + 8 + 6)
    let counted = cache.count
    #expect(cache.flush() == counted && cache.count == 0)
  }

  @Test("an answer that fits no slot of its own is found again, replaced, moved and forgotten like any other")
  func sizes() {
    let cache = ResponseCache(maxEntries: 10_000, hash: NameHash(seed: 7))
    func sized(_ index: Int) -> CachedResponse {
      let size = index * index
      return CachedResponse(
        responseCode: .NOERROR, answerCount: 1, sections: (0..<size).map { UInt8(truncatingIfNeeded: $0 ^ index) },
        ttlOffsets: (0..<index).map { UInt16($0) }, expires: 100)
    }
    for round in 0..<2 {
      for index in 0..<250 { cache.store(wire("n\(index).example"), .A, sized(round == 0 ? 249 - index : index)) }
    }
    #expect(cache.count == 250)
    for index in 0..<250 {
      let (finding, response) = cache.answer(wire("n\(index).example").span, .A, now: 0, epoch: 1)
      #expect(finding == .hit && response?.sections == sized(index).sections)
      #expect(response?.ttlOffsets == sized(index).ttlOffsets)
    }
    // Larger than any message: not kept, and what was there before is no answer any more.
    cache.store(
      wire("n9.example"), .A,
      CachedResponse(
        responseCode: .NOERROR, sections: [UInt8](repeating: 0, count: 70_000), expires: 100))
    #expect(cache.count == 249 && cache.finding("n9.example") == .miss)
    let listed = cache.list()
    #expect(listed.count == 249 && Set(listed.map(\.name)).count == 249)
    #expect(
      listed.allSatisfy {
        $0.type == .A && $0.response.sections.count == $0.response.ttlOffsets.count * $0.response.ttlOffsets.count
      })
    #expect(cache.list(name: wire("n8.example")).map(\.hits) == [1] && cache.list(name: wire("n9.example")).isEmpty)
    #expect(cache.flush(name: wire("n8.example")) == 1 && cache.flush() == 248 && cache.list().isEmpty)
  }
}

@Suite("A shard of the cache under collisions")
struct CacheShardTests {
  @Test("names with the same hash are told apart, and survive the removal of each other")
  func collisions() {
    var shard = CacheShard()
    for index in 0..<40 {
      #expect(shard.store(42, wire("n\(index)"), .A, response(index), isFull: false) == 1)
    }
    #expect(shard.store(42, wire("n7"), .A, response(700), isFull: false) == 0)
    let removed = shard.removeAll { $0 == wire("n0") || $0 == wire("n20") || $0 == wire("n39") }
    #expect(removed == 3 && shard.count == 37)
    for index in 0..<40 {
      let found = shard.find(42, wire("n\(index)").span, .A)
      #expect((found == nil) == [0, 20, 39].contains(index))
      guard let found else { continue }
      let mark = shard.mark(found)
      #expect(mark == (index == 7 ? 700 : index))
    }
    #expect(shard.find(43, wire("n1").span, .A) == nil && shard.find(42, wire("n1").span, .AAAA) == nil)
  }

  @Test("a shard agrees with a dictionary over random stores, evictions and removals", arguments: 0..<20)
  func oracle(seed: UInt64) {
    var generator = SeededRandom(seed: seed)
    func random(_ bound: Int) -> Int { generator.below(bound) }
    func keyed(_ name: Int) -> UInt64 { [0, 1, 2, 0xFFFF_FFFF, 0xFFFF_FFFE][name % 5] }
    var shard = CacheShard()
    var known: [Int: Int] = [:]
    for step in 0..<2000 {
      let name = random(60)
      // Few hash values, some of them at the end of the table: long runs that go round.
      let hash = keyed(name)
      if random(30) == 0 {
        let removed = shard.removeAll { $0 == wire("n\(name)") }
        #expect(removed == (known.removeValue(forKey: name) == nil ? 0 : 1))
      } else {
        let isFull = shard.count >= 40
        let growth = shard.store(hash, wire("n\(name)"), .A, response(step), isFull: isFull)
        #expect(growth == (known[name] == nil && !isFull ? 1 : 0))
        known[name] = step
      }
      var held: [Int: Int] = [:]
      for name in 0..<60 {
        guard let index = shard.find(keyed(name), wire("n\(name)").span, .A) else { continue }
        held[name] = shard.mark(index)
      }
      #expect(held.count == shard.count && shard.count <= 40)
      #expect(held.allSatisfy { known[$0.key] == $0.value })
      known = held
    }
  }
}
