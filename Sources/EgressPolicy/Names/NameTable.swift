import DNSWire

/// The names of all servers as hash tables in flat memory: one probe for the name and one for each depth with wildcards.
struct NameTable: ~Copyable, Sendable {
  /// Where one server's part lies, and at which depths (labels in the suffix) it has wildcards. One line of the cache.
  struct Part: BitwiseCopyable, Sendable {
    var firstSlot: UInt32 = 0
    var slotCount: UInt32 = 0
    var firstOctet: UInt32 = 0
    var wildcards = Wildcards.none
    var oneLabelDepths: UInt128 = 0
    var anyLabelsDepths: UInt128 = 0
    /// Depths of what follows the last `*` of patterns that hold one elsewhere than in front.
    var innerDepths: UInt128 = 0
  }

  /// What a name that is not listed itself is looked up by.
  enum Wildcards: UInt32, BitwiseCopyable, Sendable {
    case none
    case leading
    /// Some patterns hold `*` elsewhere than in front.
    case inner
  }

  /// What a slot stands for.
  enum SlotKind: UInt8, BitwiseCopyable, Sendable {
    case exact
    case oneLabel
    case anyLabels
    /// A name and all below it, by which its repeats are found; names are looked up by its other two slots.
    case subtree
    /// A run of `inner`, below one suffix.
    case inner
  }

  /// What a probe needs, in 16 octets. Three fifths of a part at most are ever in use.
  struct RuleSlot: BitwiseCopyable, Sendable {
    /// The upper half of the hash.
    var tag: UInt32 = 0
    /// The rule + 1, or the first of its run + 1; 0 in an empty slot.
    var ruleAfter: UInt32 = 0
    var start: UInt32 = 0
    var length: UInt8 = 0
    var kind = SlotKind.exact
    /// `unpacked` where the number is too large for this; of a denial `denied`, and of a run how long it is.
    var profile: UInt16 = 0

    static let unpacked = UInt16.max
    /// Of a denial: whatever else matches the name, it is denied.
    static let denied = UInt16.max - 1

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
  private var inner: FlatArray<InnerPattern>
  /// By server, the rules whose pattern an earlier rule has already.
  let repeats: [[Repeat]]
  /// By server, the rules after each repeat was merged into the first of its pattern.
  let merged: [RuleList]

  init(_ lists: [RuleList], hash: NameHash, hashMask: UInt64 = .max) {
    self.hash = hash
    self.hashMask = hashMask
    let hashing = Hashing(names: hash, mask: hashMask)
    parts = FlatArray(repeating: Part(), count: lists.count)
    slots = FlatArray(repeating: RuleSlot(), count: lists.reduce(0) { $0 + Self.slotCount(for: $1) })
    octets = FlatArray(repeating: 0, count: lists.reduce(0) { $0 + $1.names.count })
    inner = FlatArray(repeating: InnerPattern(), count: lists.reduce(0) { $0 + $1.innerWildcards.count })
    var repeats: [[Repeat]] = []
    var merged: [RuleList] = []
    var firstInner = 0
    var part = Part()
    for (server, list) in lists.enumerated() {
      part.slotCount = UInt32(Self.slotCount(for: list))
      (part.wildcards, part.oneLabelDepths, part.anyLabelsDepths, part.innerDepths) = (.none, 0, 0, 0)
      octets.replace(at: Int(part.firstOctet), with: list.names)
      var twins = Self.fill(&part, list, &slots, octets, hashing)
      let runs = InnerPattern.runs(of: list)
      for run in runs.runs { Self.fill(&part, list, run, &firstInner, &inner, &slots, octets, hashing) }
      twins += runs.repeats.map { Twin(first: $0.first, slot: nil, second: $0.second) }
      parts[server] = part
      var rules = list
      for twin in twins {
        rules.merge(into: twin.first, from: twin.second)
        // A denial may have taken the slot since.
        if let slot = twin.slot, slots[slot].rule == twin.first {
          slots[slot].profile = Self.packed(rules.entries[twin.first])
        }
      }
      if twins.contains(where: { $0.slot == nil }) { Self.refresh(part, rules, &slots) }
      repeats.append(twins.map { Repeat(first: $0.first, second: $0.second) })
      merged.append(rules)
      part.firstSlot += part.slotCount
      part.firstOctet += UInt32(list.names.count)
    }
    self.repeats = repeats
    self.merged = merged
    for (server, list) in merged.enumerated() where list.entries.last?.isDenial == true { closeDenied(server: server) }
  }

  /// A name that is listed by itself and that a pattern denies is looked up once, like every other: its slot says it.
  private mutating func closeDenied(server: Int) {
    let part = parts[server]
    // A denied name takes the slot of a listed one as it is.
    let denials = merged[server].entries.reversed().prefix(while: \.isDenial)
    guard denials.contains(where: { $0.kind != .exact }) else { return }
    // One for all names: there may be a million.
    var name: [UInt8] = []
    for place in Int(part.firstSlot)..<Int(part.firstSlot + part.slotCount) {
      let slot = slots[place]
      guard slot.ruleAfter != 0, slot.kind == .exact, slot.profile != RuleSlot.denied else { continue }
      let start = Int(part.firstOctet) + Int(slot.start)
      name.removeAll(keepingCapacity: true)
      for octet in start..<(start + Int(slot.length)) { name.append(octets[octet]) }
      guard let (rule, _) = wildcardRule(part, server, name.span), merged[server].entries[rule].isDenial else {
        continue
      }
      slots[place].ruleAfter = UInt32(rule + 1)
      slots[place].profile = RuleSlot.denied
    }
  }

  var serverCount: Int { parts.count }

  /// The most specific rule for the canonical wire `name`, whose `NameHash` is `whole` (`PatternShape.isMoreSpecific`).
  func match(server: Int, name: Span<UInt8>, hash whole: UInt64) -> (rule: Int, profile: Int)? {
    let part = parts[server]
    if let found = probe(part, whole, .exact, name, 0) { return decided(found, server) }
    return part.wildcards == .none ? nil : wildcardRule(part, server, name)
  }

  /// The same of a name that is not listed by itself, or as if it were not.
  private func wildcardRule(_ part: Part, _ server: Int, _ name: Span<UInt8>) -> (rule: Int, profile: Int)? {
    let found = wildcard(part, name)
    // Below one suffix `*` in a part of a label comes before `*` alone, and more labels of it before `**`.
    if part.wildcards == .inner, found?.profile != RuleSlot.denied, let (run, rule) = innerRule(part, name) {
      let entry = merged[server].entries[rule]
      if entry.isDenial || run.length >= found?.length ?? 0 { return (rule, Int(entry.profile)) }
    }
    guard let found else { return nil }
    return decided(found, server)
  }

  @inline(__always)
  private func decided(_ found: RuleSlot, _ server: Int) -> (rule: Int, profile: Int) {
    guard found.profile >= RuleSlot.denied else { return (found.rule, Int(found.profile)) }
    return (found.rule, Int(merged[server].entries[found.rule].profile))
  }

  /// Prefetches what `prefetchSlot` reads.
  func prefetchPart(server: Int) {
    parts.prefetch(server)
  }

  /// Prefetches what the first probe for a name reads.
  func prefetchSlot(server: Int, hash whole: UInt64) {
    let part = parts[server]
    slots.prefetch(Int(part.firstSlot) &+ Self.home(whole & hashMask, part))
  }

  /// Prefetches the name that the first probe compares.
  func prefetchName(server: Int, hash whole: UInt64) {
    let part = parts[server]
    let hash = whole & hashMask
    let slot = slots[Int(part.firstSlot) &+ Self.home(hash, part)]
    if slot.tag == UInt32(truncatingIfNeeded: hash &>> 32) { octets.prefetch(Int(part.firstOctet) &+ Int(slot.start)) }
  }

  /// The most specific of the patterns that hold `*` in front; a denial comes before all others.
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
      if part.anyLabelsDepths & bit != 0,
        let found = probe(part, suffix.value(for: .anyLabels), .anyLabels, name, start)
      {
        if found.profile == RuleSlot.denied { return found }
        best = found
      }
      if level &+ 1 == depth, part.oneLabelDepths & bit != 0,
        let found = probe(part, suffix.value(for: .oneLabel), .oneLabel, name, start)
      {
        best = found
      }
      level &+= 1
    }
    return best
  }

  /// The most specific of the patterns that hold `*` elsewhere than in front, and the run that it stands in; a denial comes
  /// before all others.
  ///
  /// At most 64 comparisons (`PolicyLinter.maximumInnerWildcards`) of at most 255 octets at each depth at which there are some.
  private func innerRule(_ part: Part, _ name: Span<UInt8>) -> (run: RuleSlot, rule: Int)? {
    var starts = InlineArray<128, UInt8>(repeating: 0)
    guard let depth = Self.labelStarts(of: name, into: &starts) else { return nil }
    var suffix = LabelHash(seed: hash.seed)
    var best: (run: RuleSlot, rule: Int)?
    var level = 1
    while level < depth {
      let start = Int(starts[depth &- level])
      suffix.add(name, (start &+ 1)..<(start &+ 1 &+ Int(name[start])))
      let bit: UInt128 = 1 &<< UInt128(truncatingIfNeeded: level)
      if part.innerDepths & bit != 0, let run = probe(part, suffix.value(for: .inner), .inner, name, start) {
        for index in run.rule..<(run.rule &+ Int(run.profile)) {
          let pattern = inner[index]
          guard pattern.takes(depth) else { continue }
          let from = Int(starts[depth &- Int(pattern.labels)])
          if pattern.matches(name, from: from, to: start, octets, at: Int(part.firstOctet)) {
            if pattern.isDenial { return (run, Int(pattern.rule)) }
            best = (run, Int(pattern.rule))
            break
          }
        }
      }
      level &+= 1
    }
    return best
  }

  private func probe(
    _ part: Part, _ hash: UInt64, _ kind: SlotKind, _ name: Span<UInt8>, _ offset: Int
  ) -> RuleSlot? {
    let hash = hash & hashMask
    let tag = UInt32(truncatingIfNeeded: hash &>> 32)
    var index = Self.home(hash, part)
    while true {
      let slot = slots[Int(part.firstSlot) &+ index]
      if slot.ruleAfter == 0 { return nil }
      if slot.tag == tag, slot.kind == kind, Int(slot.length) == name.count &- offset,
        octets.equals(name, from: offset, at: Int(part.firstOctet) &+ Int(slot.start), length: Int(slot.length))
      {
        return slot
      }
      index &+= 1
      if index == Int(part.slotCount) { index = 0 }
    }
  }

  /// The slot where a search begins, by the lower half of the hash.
  static func home(_ hash: UInt64, _ part: Part) -> Int {
    Int(truncatingIfNeeded: ((hash & 0xFFFF_FFFF) &* UInt64(truncatingIfNeeded: part.slotCount)) &>> 32)
  }
}
