/// How repeats of a grant become one event with the addresses of all.
extension Coalescer {
  private static let addressesKey = AuditMembers.List.addresses.opening

  /// The window that a repeated grant is to be counted in, with the record's addresses among the window's own: this one,
  /// or where they do not fit a longer one in its place. Nil when there is no room for that, and nothing was done.
  ///
  /// Addresses that together are longer than `membersKept` are told by several events: the window stays as it is, and
  /// another is opened for the record. All other members stay those of the window's first.
  mutating func unite(_ record: borrowing AuditRecord, with window: Window, _ name: CoalescingKey) -> Window? {
    let length: UInt32 = load(window, Field.length)
    _ = areas[window.span].readExtra(of: window.entry, length: UInt64(length), into: &extraOctets)
    let members = record.octets.span.extracting(record.members)
    guard let kept = Self.addresses(extraOctets.span), let others = Self.addresses(members) else { return window }
    var united = extraOctets
    var end = kept.upperBound
    // Under the process's own seed: no client can choose an address that is taken for another.
    var known: Set<Int> = []
    Self.forEachAddress(extraOctets.span, kept) { known.insert(Self.hash($0)) }
    Self.forEachAddress(members, others) { address in
      guard known.insert(Self.hash(address)).inserted else { return }
      var octets: [UInt8] = kept.lowerBound == end ? [] : [UInt8(ascii: ",")]
      for index in address.indices { octets.append(address[index]) }
      united.insert(contentsOf: octets, at: end)
      end += octets.count
    }
    guard united.count > extraOctets.count else { return window }
    guard united.count > areas[window.span].extraRoom(of: window.entry) else {
      areas[window.span].setMembers(united.span, of: window.entry)
      return window
    }
    guard areas[window.span].room >= Self.roomPerRecord else { return nil }
    guard united.count <= Self.membersKept else {
      let isKept = members.count <= Self.membersKept
      let octets = isKept ? record.octets : EventEncoder.membersOmitted
      let kept = isKept ? record.members : octets.indices
      let another = reopen(window, name, extra: kept.count)
      areas[another.span].setMembers(octets.span.extracting(kept), of: another.entry)
      return another
    }
    let longer = reopen(window, name, extra: min(united.count * 2, Self.membersKept))
    areas[longer.span].setMembers(united.span, of: longer.entry)
    move(window, to: longer)
    return longer
  }

  /// Opens a window of the same name in front of another, which ends with it.
  private mutating func reopen(_ window: Window, _ name: CoalescingKey, extra: Int) -> Window {
    var another = window
    another.entry = areas[window.span].open(name, deadline: load(window, Field.deadline), extra: extra)
    return another
  }

  /// Has another window tell what this one counted. The other's count is stored before this one's is cleared: a crash in
  /// between tells it twice.
  private mutating func move(_ window: Window, to other: Window) {
    for field in [Field.first, Field.last] { store(load(window, field) as UInt64, other, field) }
    store(load(window, Field.payloadSize) as UInt32, other, Field.payloadSize)
    for field in [Field.responseCode, Field.clientPort, Field.type] {
      store(load(window, field) as UInt16, other, field)
    }
    store(load(window, Field.transport) as UInt8, other, Field.transport)
    store(load(window, Field.count) as UInt64, other, Field.count)
    store(0 as UInt64, window, Field.count)
  }

  /// What is between the brackets of the addresses, if these are members that have some.
  private static func addresses(_ members: Span<UInt8>) -> Range<Int>? {
    guard let start = find(addressesKey.span, in: members, 0..<members.count) else { return nil }
    let first = start + addressesKey.count
    var end = first
    while end < members.count, members[end] != UInt8(ascii: "]") { end += 1 }
    return end < members.count ? first..<end : nil
  }

  /// Calls `body` with each string of a list, in its quotes.
  private static func forEachAddress(_ octets: Span<UInt8>, _ list: Range<Int>, _ body: (Span<UInt8>) -> Void) {
    var start = list.lowerBound
    for at in list.lowerBound...list.upperBound where at == list.upperBound || octets[at] == UInt8(ascii: ",") {
      if at > start { body(octets.extracting(start..<at)) }
      start = at + 1
    }
  }

  private static func hash(_ address: Span<UInt8>) -> Int {
    var hasher = Hasher()
    unsafe address.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
    return hasher.finalize()
  }

  /// Where octets first stand in a range of others.
  static func find(_ wanted: Span<UInt8>, in octets: Span<UInt8>, _ range: Range<Int>) -> Int? {
    guard range.count >= wanted.count else { return nil }
    for start in range.lowerBound...(range.upperBound - wanted.count)
    where wanted.indices.allSatisfy({ octets[start + $0] == wanted[$0] }) {
      return start
    }
    return nil
  }
}
