/// The open windows of one length, oldest first, in memory that outlives the process.
///
/// All windows of an area are equally long, so the oldest ends first and entries live in a queue of variable length:
///
///     0 head │ 8 tail │ 64 entries …
///
/// Positions only grow. An entry is there once `head` moved past it; it is freed by `tail` when its event was written.
/// In between it is `retired`: written or about to be, and no longer found.
struct CoalescerArea {
  static let overhead = 64
  static let maxSamples = 5
  /// Octets kept for each sample: one name at its longest, or 254 octets of text between their length and a zero.
  static let sampleRoom = 256
  static let samplesRoom = maxSamples * sampleRoom

  private static let headAt = 0
  private static let tailAt = 8
  private static let skip = UInt32.max

  enum Field {
    static let length = 0
    static let keyLength = 4
    static let sampleCount = 6
    static let transport = 7
    static let deadline = 8
    static let hash = 16
    static let older = 24
    static let count = 32
    static let first = 40
    static let last = 48
    static let payloadSize = 56
    static let responseCode = 60
    static let clientPort = 62
    static let distinct = 64
    static let type = 68
    /// Octets after the key: the samples of an aggregate, or the members of a name.
    static let extraOctets = 70
    static let key = 72
  }

  private let region: SharedRegion
  private let capacity: UInt64
  private let mask: UInt64
  private(set) var head: UInt64
  private(set) var tail: UInt64
  private(set) var retired: UInt64
  /// The newest entry of each bucket, as its position + 1; positions before `retired` are dead and end a chain.
  private var buckets: [UInt64]
  /// Windows that hold counts which no event told yet.
  var pending = 0

  /// Nil unless the room for entries is a power of two.
  init?(_ region: SharedRegion) {
    let capacity = region.count - Self.overhead
    guard capacity >= 65_536, capacity & (capacity - 1) == 0 else { return nil }
    self.region = region
    self.capacity = UInt64(capacity)
    mask = UInt64(capacity) - 1
    head = region.loadAcquiring(Self.headAt)
    tail = region.loadAcquiring(Self.tailAt)
    retired = tail
    // A power of two, as the capacity is.
    buckets = Array(repeating: 0, count: capacity / 128)
    if head &- tail > self.capacity || (head | tail) & 7 != 0 { forget() }
  }

  /// Drops what an earlier run left.
  mutating func forget() {
    head = 0
    tail = 0
    retired = 0
    for index in buckets.indices { buckets[index] = 0 }
    region.storeReleasing(0, Self.headAt)
    region.storeReleasing(0, Self.tailAt)
  }

  /// Whether no window is open.
  var isEmpty: Bool { retired == head }

  var room: UInt64 { capacity &- (head &- tail) }

  // MARK: - Entries

  func offset(of position: UInt64) -> Int { Self.overhead + Int(position & mask) }

  func load<Word: FixedWidthInteger & BitwiseCopyable>(_ entry: UInt64, _ field: Int) -> Word {
    region.load(offset(of: entry) + field)
  }

  func store<Word: FixedWidthInteger & BitwiseCopyable>(_ word: Word, _ entry: UInt64, _ field: Int) {
    region.store(word, offset(of: entry) + field)
  }

  /// The position of the open window with this key.
  func find(_ key: CoalescingKey) -> UInt64? {
    var next = buckets[bucket(of: key.hash)]
    while next > retired {
      let entry = next - 1
      if load(entry, Field.hash) == key.hash, Int(load(entry, Field.keyLength) as UInt16) == key.octets.count,
        region.equals(key.octets.span, offset(of: entry) + Field.key)
      {
        return entry
      }
      next = load(entry, Field.older)
    }
    return nil
  }

  /// Prefetches what `prefetchEntry` reads.
  func prefetchBucket(_ key: CoalescingKey) { buckets.prefetch(bucket(of: key.hash)) }

  /// Prefetches what `find` reads first.
  func prefetchEntry(_ key: CoalescingKey) {
    let newest = buckets[bucket(of: key.hash)]
    guard newest > retired else { return }
    region.prefetch(offset(of: newest - 1))
    region.prefetch(offset(of: newest - 1) + 64)
  }

  /// Opens a window with room for `extra` octets after its key; the caller made sure that there is so much.
  mutating func open(_ key: CoalescingKey, deadline: UInt64, extra: Int) -> UInt64 {
    let length = UInt64((Field.key + key.octets.count + extra + 7) & ~7)
    let untilEnd = capacity &- (head & mask)
    var entry = head
    if length > untilEnd {
      store(Self.skip, head, Field.length)
      entry = head &+ untilEnd
    }
    precondition(entry &+ length &- tail <= capacity)
    let bucket = bucket(of: key.hash)
    store(UInt32(length), entry, Field.length)
    store(UInt16(truncatingIfNeeded: key.octets.count), entry, Field.keyLength)
    store(0 as UInt16, entry, Field.sampleCount)
    store(deadline, entry, Field.deadline)
    store(key.hash, entry, Field.hash)
    store(buckets[bucket], entry, Field.older)
    for field in [Field.count, Field.first, Field.last, Field.payloadSize, Field.distinct] {
      store(0 as UInt64, entry, field)
    }
    region.store(key.octets.span, offset(of: entry) + Field.key)
    head = entry &+ length
    region.storeReleasing(head, Self.headAt)
    buckets[bucket] = entry &+ 1
    return entry
  }

  private func bucket(of hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & (buckets.count - 1) }

  // MARK: - The oldest window

  enum Oldest {
    case entry(UInt64, length: UInt64)
    case none
    case corrupt
  }

  /// The oldest window that is not retired. Lengths are checked: the memory may be a damaged file.
  mutating func oldest() -> Oldest {
    guard retired != head else { return .none }
    if load(retired, Field.length) == Self.skip {
      retired &+= capacity &- (retired & mask)
      guard head &- retired < capacity else { return .corrupt }
      guard retired != head else { return .none }
    }
    let length = UInt64(load(retired, Field.length) as UInt32)
    guard length >= UInt64(Field.key), length <= head &- retired, length <= capacity &- (retired & mask),
      length & 7 == 0, Field.key + Int(load(retired, Field.keyLength) as UInt16) <= Int(length)
    else { return .corrupt }
    return .entry(retired, length: length)
  }

  mutating func retire(_ length: UInt64) { retired &+= length }

  mutating func retireEverything() { retired = head }

  /// Frees what is retired: its events were written.
  mutating func free() {
    guard tail != retired else { return }
    tail = retired
    region.storeReleasing(tail, Self.tailAt)
  }

  // MARK: - Keys and samples

  func readKey(of entry: UInt64, into octets: inout [UInt8]) {
    octets.removeAll(keepingCapacity: true)
    region.read(offset(of: entry) + Field.key, Int(load(entry, Field.keyLength) as UInt16), into: &octets)
  }

  /// Reads the members of a name, or the samples, one wire name (or text in its form) after the other; how many.
  func readExtra(of entry: UInt64, length: UInt64, into octets: inout [UInt8]) -> Int {
    octets.removeAll(keepingCapacity: true)
    let start = Field.key + Int(load(entry, Field.keyLength) as UInt16)
    let size = Int(load(entry, Field.extraOctets) as UInt16)
    guard start + size <= Int(length) else { return 0 }
    region.read(offset(of: entry) + start, size, into: &octets)
    return Int(load(entry, Field.sampleCount) as UInt8)
  }

  /// Octets after the key that the window was opened with.
  func extraRoom(of entry: UInt64) -> Int {
    Int(load(entry, Field.length) as UInt32) - Field.key - Int(load(entry, Field.keyLength) as UInt16)
  }

  /// Where the octets after the key begin in the entry: a field like the others.
  func extraField(of entry: UInt64) -> Int { Field.key + Int(load(entry, Field.keyLength) as UInt16) }

  /// Keeps the members of a name; the window was opened with room for them.
  func setMembers(_ members: Span<UInt8>, of entry: UInt64) {
    let start = Field.key + Int(load(entry, Field.keyLength) as UInt16)
    let length = Int(load(entry, Field.length) as UInt32)
    guard members.count <= length - start else { return }
    region.store(members, offset(of: entry) + start)
    store(UInt16(truncatingIfNeeded: members.count), entry, Field.extraOctets)
  }

  /// Keeps a name as a sample in place of the one with this number, or behind them; not where it is one already.
  func setSample(_ index: Int, _ name: Span<UInt8>, of entry: UInt64) {
    let kept: UInt8 = load(entry, Field.sampleCount)
    guard index < Self.maxSamples, name.count <= Self.sampleRoom, !name.isEmpty else { return }
    let start = offset(of: entry) + extraField(of: entry)
    let size = Int(load(entry, Field.extraOctets) as UInt16)
    var at = 0
    var replaced = size..<size
    for number in 0..<Int(kept) {
      let first = at
      if at + name.count <= size, region.equals(name, start + at) { return }
      while at < size, region.load(start + at, as: UInt8.self) != 0 {
        at += Int(region.load(start + at, as: UInt8.self)) + 1
      }
      at = min(at + 1, size)
      if number == index { replaced = first..<at }
    }
    var rest: [UInt8] = []
    region.read(start + replaced.upperBound, size - replaced.upperBound, into: &rest)
    region.store(rest.span, start + replaced.lowerBound)
    region.store(name, start + replaced.lowerBound + rest.count)
    store(UInt16(truncatingIfNeeded: size - replaced.count + name.count), entry, Field.extraOctets)
    store(UInt8(min(Int(kept) + 1, Self.maxSamples)), entry, Field.sampleCount)
  }
}
