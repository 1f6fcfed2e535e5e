import DNSWire

/// The names of all servers as hash tables in flat memory: one probe for the name and one for each depth with wildcards.
struct NameTable: ~Copyable, Sendable {
  /// Where one server's part lies, and at which depths (labels in the suffix) it has wildcards. One line of the cache.
  struct Part: BitwiseCopyable, Sendable {
    var firstSlot = 0
    var slotCount = 0
    var firstOctet = 0
    var oneLabelDepths: UInt128 = 0
    var anyLabelsDepths: UInt128 = 0

    var hasWildcards: Bool { oneLabelDepths | anyLabelsDepths != 0 }
  }

  /// What a probe needs, in 16 octets. Three fifths of a part at most are ever in use.
  struct RuleSlot: BitwiseCopyable, Sendable {
    /// The upper half of the hash.
    var tag: UInt32 = 0
    /// The rule + 1; 0 in an empty slot.
    var ruleAfter: UInt32 = 0
    var start: UInt32 = 0
    var length: UInt8 = 0
    var kind = NamePattern.Kind.exact
    /// `unpacked` where the number is too large for this.
    var profile: UInt16 = 0

    static let unpacked = UInt16.max

    var rule: Int { Int(ruleAfter) &- 1 }
  }

  /// A pair of rules with one pattern: the second one only adds to the first.
  struct Repeat: Hashable, Sendable {
    let first: Int
    let second: Int
  }

  private let hash: NameHash
  /// All ones; fewer where a test makes names collide.
  private let hashMask: UInt64
  private var parts: FlatArray<Part>
  private var slots: FlatArray<RuleSlot>
  private var octets: FlatArray<UInt8>
  /// By server, the rules whose pattern an earlier rule has already.
  let repeats: [[Repeat]]
  /// By server, the rules after each repeat was merged into the first of its pattern.
  let merged: [RuleList]

  init(_ lists: [RuleList], hash: NameHash, hashMask: UInt64 = .max) {
    self.hash = hash
    self.hashMask = hashMask
    let hashing = Hashing(names: hash, mask: hashMask)
    parts = FlatArray(repeating: Part(), count: lists.count)
    slots = FlatArray(repeating: RuleSlot(), count: lists.reduce(0) { $0 + Self.slotCount(for: $1.count) })
    octets = FlatArray(repeating: 0, count: lists.reduce(0) { $0 + $1.names.count })
    var repeats: [[Repeat]] = []
    var merged: [RuleList] = []
    var part = Part()
    for (server, list) in lists.enumerated() {
      part.slotCount = Self.slotCount(for: list.count)
      part.oneLabelDepths = 0
      part.anyLabelsDepths = 0
      octets.replace(at: part.firstOctet, with: list.names)
      let twins = Self.fill(&part, list, &slots, octets, hashing)
      parts[server] = part
      var rules = list
      for twin in twins {
        rules.merge(into: twin.first.rule, from: twin.second)
        slots[twin.slot].profile = Self.packed(rules.entries[twin.first.rule].profile)
      }
      repeats.append(twins.map { Repeat(first: $0.first.rule, second: $0.second) })
      merged.append(rules)
      part.firstSlot += part.slotCount
      part.firstOctet += list.names.count
    }
    self.repeats = repeats
    self.merged = merged
  }

  var serverCount: Int { parts.count }

  /// The most specific rule for the canonical wire `name`, whose `NameHash` is `whole`: exact, then the longest suffix,
  /// then `*` before `**`.
  func match(server: Int, name: Span<UInt8>, hash whole: UInt64) -> (rule: Int, profile: Int)? {
    let part = parts[server]
    var found = probe(part, whole, .exact, name, 0)
    if found == nil, part.hasWildcards { found = wildcard(part, name) }
    guard let found else { return nil }
    guard found.profile == RuleSlot.unpacked else { return (found.rule, Int(found.profile)) }
    return (found.rule, Int(merged[server].entries[found.rule].profile))
  }

  /// Prefetches what `prefetchSlot` reads.
  func prefetchPart(server: Int) {
    parts.prefetch(server)
  }

  /// Prefetches what the first probe for a name reads.
  func prefetchSlot(server: Int, hash whole: UInt64) {
    let part = parts[server]
    slots.prefetch(part.firstSlot &+ Self.home(whole & hashMask, part))
  }

  /// Prefetches the name that the first probe compares.
  func prefetchName(server: Int, hash whole: UInt64) {
    let part = parts[server]
    let hash = whole & hashMask
    let slot = slots[part.firstSlot &+ Self.home(hash, part)]
    if slot.tag == UInt32(truncatingIfNeeded: hash &>> 32) { octets.prefetch(part.firstOctet &+ Int(slot.start)) }
  }

  private func wildcard(_ part: Part, _ name: Span<UInt8>) -> RuleSlot? {
    var starts = InlineArray<128, UInt8>(repeating: 0)
    guard let depth = Self.labelStarts(of: name, into: &starts) else { return nil }
    var suffix = LabelHash(seed: hash.seed)
    var best: RuleSlot?
    var level = 1
    while level < depth {
      let start = Int(starts[depth &- level])
      suffix.add(name, (start &+ 1)..<(start &+ 1 &+ Int(name[start])))
      let bit: UInt128 = 1 &<< UInt128(truncatingIfNeeded: level)
      if part.anyLabelsDepths & bit != 0 {
        best = probe(part, suffix.value(for: .anyLabels), .anyLabels, name, start) ?? best
      }
      if level &+ 1 == depth, part.oneLabelDepths & bit != 0 {
        best = probe(part, suffix.value(for: .oneLabel), .oneLabel, name, start) ?? best
      }
      level &+= 1
    }
    return best
  }

  private func probe(
    _ part: Part, _ hash: UInt64, _ kind: NamePattern.Kind, _ name: Span<UInt8>, _ offset: Int
  ) -> RuleSlot? {
    let hash = hash & hashMask
    let tag = UInt32(truncatingIfNeeded: hash &>> 32)
    var index = Self.home(hash, part)
    while true {
      let slot = slots[part.firstSlot &+ index]
      if slot.ruleAfter == 0 { return nil }
      if slot.tag == tag, slot.kind == kind, Int(slot.length) == name.count &- offset,
        octets.equals(name, from: offset, at: part.firstOctet &+ Int(slot.start), length: Int(slot.length))
      {
        return slot
      }
      index &+= 1
      if index == part.slotCount { index = 0 }
    }
  }

  /// The slot where a search begins, by the lower half of the hash.
  static func home(_ hash: UInt64, _ part: Part) -> Int {
    Int(truncatingIfNeeded: ((hash & 0xFFFF_FFFF) &* UInt64(truncatingIfNeeded: part.slotCount)) &>> 32)
  }
}

// MARK: - Building

extension NameTable {
  private struct Twin {
    let first: RuleSlot
    let slot: Int
    let second: Int
  }

  private static func slotCount(for entries: Int) -> Int { entries * 5 / 3 + 2 }

  private static func packed(_ profile: UInt32) -> UInt16 {
    profile < UInt32(RuleSlot.unpacked) ? UInt16(profile) : RuleSlot.unpacked
  }

  /// How patterns are hashed; the mask makes names collide where a test wants it.
  private struct Hashing {
    let names: NameHash
    let mask: UInt64
  }

  private static func fill(
    _ part: inout Part, _ list: RuleList, _ slots: inout FlatArray<RuleSlot>, _ octets: borrowing FlatArray<UInt8>,
    _ hashing: Hashing
  ) -> [Twin] {
    var twins: [Twin] = []
    let names = list.names.span
    for (rule, entry) in list.entries.enumerated() {
      let start = Int(entry.nameStart)
      let name = names.extracting(start..<(start + Int(entry.nameLength)))
      var starts = InlineArray<128, UInt8>(repeating: 0)
      guard let depth = labelStarts(of: name, into: &starts), depth > 0 else { continue }
      let bit: UInt128 = 1 << UInt128(depth)
      if entry.kind == .oneLabel { part.oneLabelDepths |= bit }
      if entry.kind == .anyLabels { part.anyLabelsDepths |= bit }
      var whole = hashing.names(name)
      if entry.kind != .exact {
        var suffix = LabelHash(seed: hashing.names.seed)
        for level in 1...depth {
          let at = Int(starts[depth - level])
          suffix.add(name, (at + 1)..<(at + 1 + Int(name[at])))
        }
        whole = suffix.value(for: entry.kind)
      }
      let slot = RuleSlot(
        tag: UInt32(truncatingIfNeeded: (whole & hashing.mask) >> 32), ruleAfter: UInt32(rule + 1),
        start: entry.nameStart,
        length: entry.nameLength, kind: entry.kind, profile: packed(entry.profile))
      if let twin = insert(slot, hash: whole & hashing.mask, part, &slots, octets) { twins.append(twin) }
    }
    return twins
  }

  /// Puts a rule into a free slot, or returns the one that has the same pattern.
  private static func insert(
    _ new: RuleSlot, hash: UInt64, _ part: Part, _ slots: inout FlatArray<RuleSlot>,
    _ octets: borrowing FlatArray<UInt8>
  ) -> Twin? {
    var index = home(hash, part)
    while slots[part.firstSlot + index].ruleAfter != 0 {
      let slot = slots[part.firstSlot + index]
      if slot.tag == new.tag, slot.kind == new.kind, slot.length == new.length,
        octets.equals(
          at: part.firstOctet + Int(slot.start), and: part.firstOctet + Int(new.start), length: Int(new.length))
      {
        return Twin(first: slot, slot: part.firstSlot + index, second: new.rule)
      }
      index += 1
      if index == part.slotCount { index = 0 }
    }
    slots[part.firstSlot + index] = new
    return nil
  }

  /// The offset of every label's length octet; nil when `name` is not one uncompressed name (RFC 1035 section 3.1).
  private static func labelStarts(of name: Span<UInt8>, into starts: inout InlineArray<128, UInt8>) -> Int? {
    guard name.count <= 255 else { return nil }
    var depth = 0
    var offset = 0
    while offset < name.count {
      let length = Int(name[offset])
      if length == 0 { return offset &+ 1 == name.count ? depth : nil }
      guard length <= 63, depth < 127 else { return nil }
      starts[depth] = UInt8(truncatingIfNeeded: offset)
      depth &+= 1
      offset &+= length &+ 1
    }
    return nil
  }
}
