import CLinux
import DNSWire
import Synchronization

/// The slots of one shard's answers, in one piece of memory: 128 octets each, the first line of the cache for what
/// decides, the second for name and records, if they fit. Most answers are thus two lines that lie side by side.
///
/// This is the only file of the target that holds pointers. Every access is checked against `count`; the octets that do
/// not fit are freed once, when their slot is cleared or filled anew.
@safe
struct CacheTable: ~Copyable {
  /// What is known of an answer besides its octets.
  struct Head: BitwiseCopyable {
    var hash: UInt64 = 0
    var head = CachedHead(
      responseCode: .NOERROR, answerCount: 0, authorityCount: 0, extendedError: nil, expires: 0, grantExpires: 0,
      epoch: 0)
    var hits: UInt32 = 0
    var type = RRType(rawValue: 0)
    fileprivate var sectionCount: UInt16 = 0
    fileprivate var ttlCount: UInt16 = 0
    /// 0 in an empty slot: a wire name has at least one octet.
    fileprivate var nameCount: UInt8 = 0

    init() {}

    init(hash: UInt64, type: RRType, _ response: CachedResponse) {
      self.hash = hash
      self.type = type
      head = response.head
    }

    fileprivate var octetCount: Int { 2 * Int(ttlCount) + Int(nameCount) + Int(sectionCount) }
  }

  private static var line: Int { 64 }
  private static var stride: Int { 2 * line }

  private let base: UnsafeMutableRawPointer
  /// A power of two, or 0.
  let count: Int

  /// An empty table; `count` must be a power of two. Without slots it takes no memory.
  init(count: Int) {
    precondition(MemoryLayout<Head>.size <= Self.line && count >= 0 && count & (count - 1) == 0)
    unsafe base = .allocate(byteCount: count * Self.stride, alignment: Self.line)
    self.count = count
    for index in 0..<count { unsafe (base + index * Self.stride).storeBytes(of: Head(), as: Head.self) }
  }

  deinit {
    for index in 0..<count { free(index) }
    unsafe base.deallocate()
  }

  /// Where to prefetch from: the address with the binary logarithm of `count` in its lowest bits; 0 without slots.
  var hint: UInt { count == 0 ? 0 : unsafe UInt(bitPattern: base) | UInt(count.trailingZeroBitCount) }

  /// Has the slot near in which the search for a hash begins; the table that gave the hint may be gone.
  static func prefetch(hint: UInt, hash: UInt64) {
    let count = 1 << (hint & UInt(line - 1))
    let slot = UInt(truncatingIfNeeded: hash) & UInt(count - 1)
    let address = (hint & ~UInt(line - 1)) &+ slot &* UInt(stride)
    unsafe sluice_prefetch(UnsafeRawPointer(bitPattern: address))
    unsafe sluice_prefetch(UnsafeRawPointer(bitPattern: address &+ UInt(line)))
  }

  func isEmpty(_ index: Int) -> Bool { self[index].nameCount == 0 }

  subscript(index: Int) -> Head {
    get {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe (base + index &* Self.stride).load(as: Head.self)  // index < count
    }
  }

  /// Changes the head of a slot that is taken.
  mutating func change(_ index: Int, _ body: (inout Head) -> Void) {
    var head = self[index]
    body(&head)
    unsafe (base + index &* Self.stride).storeBytes(of: head, as: Head.self)
  }

  /// Counts a hit.
  mutating func countHit(_ index: Int) {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
    unsafe (base + index &* Self.stride).assumingMemoryBound(to: Head.self).pointee.hits &+= 1  // index < count
  }

  /// Whether a slot can hold this.
  static func fits(_ name: [UInt8], _ response: CachedResponse) -> Bool {
    (1...255).contains(name.count) && response.ttlOffsets.count <= UInt16.max && response.sections.count <= UInt16.max
  }

  /// Fills a slot: an empty one, or one whose answer this replaces.
  mutating func set(_ index: Int, _ new: Head, _ name: [UInt8], _ response: CachedResponse) {
    let (ttls, sections) = (response.ttlOffsets, response.sections)
    precondition(Self.fits(name, response))
    free(index)
    var head = new
    head.ttlCount = UInt16(ttls.count)
    head.nameCount = UInt8(name.count)
    head.sectionCount = UInt16(sections.count)
    let slot = unsafe base + index * Self.stride
    unsafe slot.storeBytes(of: head, as: Head.self)
    var octets = unsafe slot + Self.line
    if head.octetCount > Self.line {
      let apart = UnsafeMutableRawPointer.allocate(byteCount: head.octetCount, alignment: 2)
      unsafe octets.storeBytes(of: apart, as: UnsafeMutableRawPointer.self)
      unsafe octets = apart
    }
    for (index, offset) in ttls.enumerated() {
      unsafe octets.storeBytes(of: offset, toByteOffset: 2 * index, as: UInt16.self)  // 2 * count octets are there
    }
    let nameAt = unsafe octets + 2 * ttls.count
    unsafe name.withUnsafeBytes { octets in
      if let start = octets.baseAddress { unsafe nameAt.copyMemory(from: start, byteCount: octets.count) }
    }
    unsafe sections.withUnsafeBytes { octets in
      guard let start = octets.baseAddress else { return }
      unsafe (nameAt + name.count).copyMemory(from: start, byteCount: octets.count)
    }
  }

  /// Empties a slot.
  mutating func clear(_ index: Int) {
    free(index)
    unsafe (base + index * Self.stride).storeBytes(of: Head(), as: Head.self)
  }

  /// Moves an answer to an empty slot, of this table or of another one.
  mutating func move(_ index: Int, of other: inout CacheTable, to target: Int) {
    precondition(isEmpty(target) && index >= 0 && index < other.count)
    unsafe copy(other.base + index * Self.stride, to: target)
    unsafe (other.base + index * Self.stride).storeBytes(of: Head(), as: Head.self)  // its octets are this table's now
  }

  /// Moves an answer to an empty slot.
  mutating func move(_ index: Int, to target: Int) {
    precondition(isEmpty(target) && index >= 0 && index < count)
    unsafe copy(base + index * Self.stride, to: target)
    unsafe (base + index * Self.stride).storeBytes(of: Head(), as: Head.self)
  }

  private func copy(_ source: UnsafeMutableRawPointer, to target: Int) {
    unsafe (base + target * Self.stride).copyMemory(from: source, byteCount: Self.stride)
  }

  private func free(_ index: Int) {
    let head = self[index]
    guard head.octetCount > Self.line else { return }
    unsafe octets(index, head).deallocate()
  }

  @inline(__always)
  private func octets(_ index: Int, _ head: Head) -> UnsafeMutableRawPointer {
    let own = unsafe base + (index &* Self.stride &+ Self.line)
    return unsafe head.octetCount > Self.line ? own.load(as: UnsafeMutableRawPointer.self) : own
  }

  /// Whether the slot is taken by the answer to this question.
  func answers(_ index: Int, _ hash: UInt64, _ name: Span<UInt8>, _ type: RRType) -> Bool {
    let head = self[index]
    guard head.hash == hash, head.type == type, name.count == Int(head.nameCount) else { return false }
    // The name's octets stand behind the offsets of the TTLs.
    let start = unsafe octets(index, head) + 2 * Int(head.ttlCount)
    let own = unsafe UnsafeBufferPointer(
      start: start.assumingMemoryBound(to: UInt8.self), count: Int(head.nameCount))
    return unsafe own.span.equals(name)
  }

  func name(_ index: Int) -> [UInt8] {
    let head = self[index]
    return unsafe [UInt8](
      UnsafeRawBufferPointer(start: octets(index, head) + 2 * Int(head.ttlCount), count: Int(head.nameCount)))
  }

  /// Gives sections and TTL offsets to `body`, in place.
  @inline(__always)
  func read(_ index: Int, _ body: (CachedHead, Span<UInt8>, Span<UInt16>) -> Void) {
    let head = self[index]
    let octets = unsafe octets(index, head)
    let ttls = unsafe UnsafeBufferPointer(start: octets.assumingMemoryBound(to: UInt16.self), count: Int(head.ttlCount))
    let start = unsafe octets + 2 * Int(head.ttlCount) + Int(head.nameCount)
    let sections = unsafe UnsafeBufferPointer(
      start: start.assumingMemoryBound(to: UInt8.self), count: Int(head.sectionCount))
    unsafe body(head.head, sections.span, ttls.span)
  }
}

// Reached only by the one who holds the lock of the shard.
extension CacheTable: @unchecked Sendable {}

/// The shards of a cache behind one pointer, so that looking into them counts no reference.
@safe
struct CacheShards: @unchecked Sendable {
  /// A shard and where its table lies, which is told without the lock.
  struct Shard: ~Copyable {
    let state = Mutex(CacheShard())
    let hint = Atomic<UInt>(0)
  }

  private let base: UnsafeMutablePointer<Shard>
  let count: Int

  /// `count` must be a power of two. `free` ends what this begins.
  init(count: Int) {
    precondition(count > 0 && count & (count - 1) == 0)
    unsafe base = .allocate(capacity: count)
    for index in 0..<count { unsafe (base + index).initialize(to: Shard()) }
    self.count = count
  }

  func free() {
    unsafe base.deinitialize(count: count)
    unsafe base.deallocate()
  }

  @inline(__always)
  private func index(_ key: UInt64) -> Int { Int(truncatingIfNeeded: key &>> 56) & (count &- 1) }

  /// Lends the shard of a key, locked.
  @inline(__always)
  func with<Result>(_ key: UInt64, _ body: (inout CacheShard) -> sending Result) -> sending Result {
    unsafe base[index(key)].state.withLock { body(&$0) }  // index < count
  }

  /// Lends a shard, locked, to one who may move its table.
  func change<Result>(at index: Int, _ body: (inout CacheShard) -> sending Result) -> sending Result {
    precondition(index >= 0 && index < count)
    return unsafe base[index].state.withLock { shard in
      let result = body(&shard)
      unsafe base[index].hint.store(shard.hint, ordering: .relaxed)
      return result
    }
  }

  func change<Result>(_ key: UInt64, _ body: (inout CacheShard) -> sending Result) -> sending Result {
    change(at: index(key), body)
  }

  func prefetchShard(_ key: UInt64) { unsafe sluice_prefetch(base + index(key)) }

  func prefetchEntry(_ key: UInt64) {
    let hint = unsafe base[index(key)].hint.load(ordering: .relaxed)
    if hint != 0 { CacheTable.prefetch(hint: hint, hash: key) }
  }
}
