/// A run of addresses of one family that belongs to one owner.
package struct OwnedRange: Equatable {
  package var family: IPAddress.Family
  package var first: UInt128
  package var last: UInt128
  package var owner: Int
}

/// Turns nested prefixes into ranges that do not overlap, where the longest prefix owns an address.
///
/// Prefixes are nested or apart, never half over each other, so a stack of the open ones is all it takes.
package struct DisjointRanges {
  package private(set) var ranges: [OwnedRange] = []
  private var open: [OwnedRange] = []
  private var cursor: UInt128 = 0

  /// - Parameter entries: no prefix twice; those of another family are left out.
  package init(_ entries: [(prefix: IPPrefix, owner: Int)], family: IPAddress.Family) {
    let sorted = entries.filter { $0.prefix.address.family == family }
      .map { OwnedRange(family: family, first: $0.prefix.firstValue, last: $0.prefix.lastValue, owner: $0.owner) }
      .sorted { ($0.first, $1.last) < ($1.first, $0.last) }
    for entry in sorted {
      closeEnding(before: entry.first)
      if let outer = open.last, cursor < entry.first {
        emit(upTo: entry.first - 1, owner: outer.owner, family: family)
      }
      open.append(entry)
      cursor = entry.first
    }
    while let outer = open.popLast() {
      close(outer)
    }
  }

  private mutating func closeEnding(before limit: UInt128) {
    while let outer = open.last, outer.last < limit {
      open.removeLast()
      close(outer)
    }
  }

  private mutating func close(_ range: OwnedRange) {
    guard cursor <= range.last else { return }
    emit(upTo: range.last, owner: range.owner, family: range.family)
    // Past the last address of all there is nothing left to own.
    cursor = range.last == .max ? .max : range.last + 1
    if range.last == .max {
      open.removeAll()
    }
  }

  private mutating func emit(upTo last: UInt128, owner: Int, family: IPAddress.Family) {
    if let previous = ranges.last, previous.owner == owner, previous.last != .max, previous.last + 1 == cursor {
      ranges[ranges.count - 1].last = last
    } else {
      ranges.append(OwnedRange(family: family, first: cursor, last: last, owner: owner))
    }
  }
}

extension IPAddress {
  /// The address as one number; of IPv4 at most 32 bits.
  package var value: UInt128 { UInt128(high) << 64 | UInt128(low) }

  /// - Parameter value: of IPv4 the lower 32 bits count.
  package init(family: Family, value: UInt128) {
    switch family {
    case .v4: self.init(v4: UInt32(truncatingIfNeeded: value))
    case .v6: self.init(high: UInt64(truncatingIfNeeded: value >> 64), low: UInt64(truncatingIfNeeded: value))
    }
  }
}

extension IPPrefix {
  package var firstValue: UInt128 { address.value }

  package var lastValue: UInt128 { last.value }
}
