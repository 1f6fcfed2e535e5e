/// The names of all servers as hash tables in flat memory: one probe for the name and one for each depth with wildcards.
struct NameTable: ~Copyable, Sendable {
  /// Where one server's part lies, and at which depths (labels in the suffix) it has wildcards.
  struct Part: BitwiseCopyable, Sendable {
    var firstSlot = 0
    var slotMask = 0
    var firstEntry = 0
    var firstOctet = 0
    var oneLabelDepths: UInt128 = 0
    var anyLabelsDepths: UInt128 = 0
  }

  struct Entry: BitwiseCopyable, Sendable {
    var start: UInt32 = 0
    var profile: UInt32 = 0
    var length: UInt8 = 0
    var kind = NamePattern.Kind.exact
  }

  /// A pair of rules with one pattern: the second one only adds to the first.
  struct Repeat: Hashable, Sendable {
    let first: Int
    let second: Int
  }

  private let seed: UInt64
  /// All ones; fewer where a test makes names collide.
  private let hashMask: UInt64
  private var parts: FlatArray<Part>
  /// Upper half: tag from the hash; lower half: entry + 1; 0 is empty. Less than 3/4 of a part are ever in use.
  private var slots: FlatArray<UInt64>
  private var entries: FlatArray<Entry>
  private var octets: FlatArray<UInt8>
  /// By server, the rules whose pattern an earlier rule has already.
  let repeats: [[Repeat]]
  /// By server, the rules after each repeat was merged into the first of its pattern.
  let merged: [RuleList]

  init(_ lists: [RuleList], seed: UInt64, hashMask: UInt64 = .max) {
    self.seed = seed
    self.hashMask = hashMask
    parts = FlatArray(repeating: Part(), count: lists.count)
    slots = FlatArray(repeating: 0, count: lists.reduce(0) { $0 + Self.slotCount(for: $1.count) })
    entries = FlatArray(repeating: Entry(), count: lists.reduce(0) { $0 + $1.count })
    octets = FlatArray(repeating: 0, count: lists.reduce(0) { $0 + $1.names.count })
    var repeats: [[Repeat]] = []
    var merged: [RuleList] = []
    var part = Part()
    for (server, list) in lists.enumerated() {
      part.slotMask = Self.slotCount(for: list.count) - 1
      part.oneLabelDepths = 0
      part.anyLabelsDepths = 0
      octets.replace(at: part.firstOctet, with: list.names)
      let twins = Self.fill(&part, list, &slots, &entries, octets, (seed, hashMask))
      parts[server] = part
      var rules = list
      for twin in twins {
        rules.merge(into: twin.first, from: twin.second)
        entries[part.firstEntry + twin.first].profile = rules.entries[twin.first].profile
      }
      repeats.append(twins)
      merged.append(rules)
      part.firstSlot += part.slotMask + 1
      part.firstEntry += list.count
      part.firstOctet += list.names.count
    }
    self.repeats = repeats
    self.merged = merged
  }

  var serverCount: Int { parts.count }

  /// The most specific rule for the canonical wire `name`: exact, then the longest suffix, then `*` before `**`.
  func match(server: Int, name: Span<UInt8>) -> (rule: Int, profile: Int)? {
    let part = parts[server]
    var starts = InlineArray<128, UInt8>(repeating: 0)
    guard let depth = Self.labelStarts(of: name, into: &starts), depth > 0 else { return nil }
    var hash = LabelHash(seed: seed)
    var best: Int?
    var level = 1
    while true {
      let start = Int(starts[depth &- level])
      hash.add(name, (start &+ 1)..<(start &+ 1 &+ Int(name[start])))
      if level == depth { break }
      let bit: UInt128 = 1 &<< UInt128(truncatingIfNeeded: level)
      if part.anyLabelsDepths & bit != 0 {
        best = probe(part, hash.value(for: .anyLabels), .anyLabels, name, start) ?? best
      }
      if level &+ 1 == depth, part.oneLabelDepths & bit != 0 {
        best = probe(part, hash.value(for: .oneLabel), .oneLabel, name, start) ?? best
      }
      level &+= 1
    }
    guard let rule = probe(part, hash.value(for: .exact), .exact, name, 0) ?? best else { return nil }
    return (rule, Int(entries[part.firstEntry &+ rule].profile))
  }

  private func probe(
    _ part: Part, _ hash: UInt64, _ kind: NamePattern.Kind, _ name: Span<UInt8>, _ offset: Int
  ) -> Int? {
    let hash = hash & hashMask
    var index = Int(truncatingIfNeeded: hash) & part.slotMask
    while true {
      let slot = slots[part.firstSlot &+ index]
      if slot == 0 { return nil }
      if slot &>> 32 == hash &>> 32 {
        let rule = Int(slot & 0xFFFF_FFFF) &- 1
        let entry = entries[part.firstEntry &+ rule]
        if entry.kind == kind, Int(entry.length) == name.count &- offset,
          octets.equals(name, from: offset, at: part.firstOctet &+ Int(entry.start), length: Int(entry.length))
        {
          return rule
        }
      }
      index = (index &+ 1) & part.slotMask
    }
  }
}

// MARK: - Building

extension NameTable {
  private static func slotCount(for entries: Int) -> Int {
    var count = 2
    while count * 3 / 4 <= entries { count *= 2 }
    return count
  }

  private static func fill(
    _ part: inout Part, _ list: RuleList, _ slots: inout FlatArray<UInt64>, _ entries: inout FlatArray<Entry>,
    _ octets: borrowing FlatArray<UInt8>, _ hashing: (seed: UInt64, mask: UInt64)
  ) -> [Repeat] {
    var repeats: [Repeat] = []
    let names = list.names.span
    for (rule, entry) in list.entries.enumerated() {
      let start = Int(entry.nameStart)
      let name = names.extracting(start..<(start + Int(entry.nameLength)))
      var starts = InlineArray<128, UInt8>(repeating: 0)
      guard let depth = labelStarts(of: name, into: &starts), depth > 0 else { continue }
      entries[part.firstEntry + rule] = Entry(
        start: entry.nameStart, profile: entry.profile, length: entry.nameLength, kind: entry.kind)
      let bit: UInt128 = 1 << UInt128(depth)
      if entry.kind == .oneLabel { part.oneLabelDepths |= bit }
      if entry.kind == .anyLabels { part.anyLabelsDepths |= bit }
      var hash = LabelHash(seed: hashing.seed)
      for level in 1...depth {
        let at = Int(starts[depth - level])
        hash.add(name, (at + 1)..<(at + 1 + Int(name[at])))
      }
      if let first = insert(rule, hash.value(for: entry.kind) & hashing.mask, name, part, &slots, entries, octets) {
        repeats.append(Repeat(first: first, second: rule))
      }
    }
    return repeats
  }

  /// Puts `rule` into a free slot, or returns the rule that has the same pattern.
  private static func insert(
    _ rule: Int, _ hash: UInt64, _ name: Span<UInt8>, _ part: Part, _ slots: inout FlatArray<UInt64>,
    _ entries: borrowing FlatArray<Entry>, _ octets: borrowing FlatArray<UInt8>
  ) -> Int? {
    let kind = entries[part.firstEntry + rule].kind
    var index = Int(truncatingIfNeeded: hash) & part.slotMask
    while slots[part.firstSlot + index] != 0 {
      let slot = slots[part.firstSlot + index]
      let other = Int(slot & 0xFFFF_FFFF) - 1
      let entry = entries[part.firstEntry + other]
      if slot >> 32 == hash >> 32, entry.kind == kind, Int(entry.length) == name.count,
        octets.equals(name, from: 0, at: part.firstOctet + Int(entry.start), length: name.count)
      {
        return other
      }
      index = (index + 1) & part.slotMask
    }
    slots[part.firstSlot + index] = (hash >> 32) << 32 | UInt64(rule + 1)
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
