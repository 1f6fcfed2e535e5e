import DNSWire

/// How the table is filled.
extension NameTable {
  /// A rule whose pattern an earlier one has.
  struct Twin {
    let first: Int
    /// The slot of the first; nil where it has several, or is of a run.
    let slot: Int?
    let second: Int
  }

  static func slotCount(for list: RuleList) -> Int {
    list.entries.reduce(0) { $0 + ($1.kind == .subtree ? 3 : 1) } * 5 / 3 + 2
  }

  static func packed(_ entry: RuleList.Entry) -> UInt16 {
    if entry.isDenial { return RuleSlot.denied }
    return entry.profile < UInt32(RuleSlot.denied) ? UInt16(entry.profile) : RuleSlot.unpacked
  }

  /// How patterns are hashed; the mask makes names collide where a test wants it.
  struct Hashing {
    let names: NameHash
    let mask: UInt64

    /// Of a suffix, or of the whole name where it is one.
    func callAsFunction(
      _ name: Span<UInt8>, _ starts: InlineArray<128, UInt8>, _ depth: Int, _ kind: SlotKind
    ) -> UInt64 {
      guard kind != .exact else { return names(name) & mask }
      var suffix = LabelHash(seed: names.seed)
      for level in 1...depth {
        let at = Int(starts[depth - level])
        suffix.add(name, (at + 1)..<(at + 1 + Int(name[at])))
      }
      return suffix.value(for: kind) & mask
    }
  }

  /// All patterns but those of `InnerPattern`.
  static func fill(
    _ part: inout Part, _ list: RuleList, _ slots: inout FlatArray<RuleSlot>, _ octets: borrowing FlatArray<UInt8>,
    _ hashing: Hashing
  ) -> [Twin] {
    var twins: [Twin] = []
    let names = list.names.span
    for (rule, entry) in list.entries.enumerated() where !entry.hasInnerWildcard {
      let start = Int(entry.nameStart)
      let name = names.extracting(start..<(start + Int(entry.nameLength)))
      var starts = InlineArray<128, UInt8>(repeating: 0)
      guard let depth = labelStarts(of: name, into: &starts), depth > 0 else { continue }
      let bit: UInt128 = 1 << UInt128(depth)
      if entry.kind != .exact, part.wildcards == .none { part.wildcards = .leading }
      if entry.kind == .oneLabel { part.oneLabelDepths |= bit }
      if entry.kind == .anyLabels || entry.kind == .subtree { part.anyLabelsDepths |= bit }
      for kind in SlotKind.all(of: entry.kind) {
        let hash = hashing(name, starts, depth, kind)
        let slot = RuleSlot(
          tag: UInt32(truncatingIfNeeded: hash >> 32), ruleAfter: UInt32(rule + 1), start: entry.nameStart,
          length: entry.nameLength, kind: kind, profile: packed(entry))
        if let twin = insert(slot, hash: hash, part, list, &slots, octets) { twins.append(twin) }
      }
    }
    return twins
  }

  /// One run of patterns below a suffix, in the order in which they decide.
  static func fill(
    _ part: inout Part, _ list: RuleList, _ run: [InnerPattern], _ firstInner: inout Int,
    _ inner: inout FlatArray<InnerPattern>, _ slots: inout FlatArray<RuleSlot>, _ octets: borrowing FlatArray<UInt8>,
    _ hashing: Hashing
  ) {
    guard let first = run.first, let count = UInt16(exactly: run.count) else { return }
    let names = list.names.span
    let end = Int(first.start) + Int(first.length)
    let name = names.extracting((end - Int(first.suffixLength))..<end)
    var starts = InlineArray<128, UInt8>(repeating: 0)
    guard let depth = labelStarts(of: name, into: &starts), depth > 0 else { return }
    part.wildcards = .inner
    part.innerDepths |= 1 << UInt128(depth)
    let hash = hashing(name, starts, depth, .inner)
    let slot = RuleSlot(
      tag: UInt32(truncatingIfNeeded: hash >> 32), ruleAfter: UInt32(firstInner + 1),
      start: UInt32(end - Int(first.suffixLength)), length: first.suffixLength, kind: .inner, profile: count)
    _ = insert(slot, hash: hash, part, list, &slots, octets)
    for pattern in run {
      inner[firstInner] = pattern
      firstInner += 1
    }
  }

  /// Puts a rule into a free slot, or returns the one that has the same pattern.
  static func insert(
    _ new: RuleSlot, hash: UInt64, _ part: Part, _ list: RuleList, _ slots: inout FlatArray<RuleSlot>,
    _ octets: borrowing FlatArray<UInt8>
  ) -> Twin? {
    var index = home(hash, part)
    while slots[Int(part.firstSlot) + index].ruleAfter != 0 {
      let place = Int(part.firstSlot) + index
      let slot = slots[place]
      if slot.tag == new.tag, slot.kind == new.kind, slot.length == new.length,
        octets.equals(
          at: Int(part.firstOctet) + Int(slot.start), and: Int(part.firstOctet) + Int(new.start),
          length: Int(new.length))
      {
        return meet(new, at: place, list, &slots)
      }
      index += 1
      if index == Int(part.slotCount) { index = 0 }
    }
    slots[Int(part.firstSlot) + index] = new
    return nil
  }

  /// Of two rules for one slot a denial takes it, else the one that says no more than it; two of one pattern are twins.
  static func meet(
    _ new: RuleSlot, at place: Int, _ list: RuleList, _ slots: inout FlatArray<RuleSlot>
  ) -> Twin? {
    let old = slots[place]
    // Denials stand behind all others (`RuleList.deny`).
    guard list.entries[old.rule].isDenial == list.entries[new.rule].isDenial else {
      if list.entries[new.rule].isDenial { slots[place] = new }
      return nil
    }
    switch (list.entries[old.rule].kind == .subtree, list.entries[new.rule].kind == .subtree) {
    case (false, false): return Twin(first: old.rule, slot: place, second: new.rule)
    case (true, true): return new.kind == .subtree ? Twin(first: old.rule, slot: nil, second: new.rule) : nil
    case (true, false): slots[place] = new
    case (false, true): break
    }
    return nil
  }

  /// Takes over what the rules of a part are after merging.
  static func refresh(_ part: Part, _ rules: RuleList, _ slots: inout FlatArray<RuleSlot>) {
    for place in Int(part.firstSlot)..<Int(part.firstSlot + part.slotCount) where slots[place].ruleAfter != 0 {
      guard slots[place].kind != .inner else { continue }
      slots[place].profile = packed(rules.entries[slots[place].rule])
    }
  }

  /// The offset of every label's length octet; nil when `name` is not one uncompressed name (RFC 1035 section 3.1).
  static func labelStarts(of name: Span<UInt8>, into starts: inout InlineArray<128, UInt8>) -> Int? {
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

extension NameTable.SlotKind {
  /// The slots of a pattern that holds `*` in front or nowhere.
  fileprivate static func all(of kind: NamePattern.Kind) -> [Self] {
    switch kind {
    case .exact: exactly
    case .oneLabel: oneLabels
    case .anyLabels: below
    case .subtree: subtrees
    // None is without `*` in it.
    case .labels: []
    }
  }

  private static let exactly: [Self] = [.exact]
  private static let oneLabels: [Self] = [.oneLabel]
  private static let below: [Self] = [.anyLabels]
  private static let subtrees: [Self] = [.subtree, .exact, .anyLabels]
}
