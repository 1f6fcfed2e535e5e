/// Longest-prefix match over IPv4 and IPv6: prefixes are flattened into ranges that do not overlap, and a lookup is one
/// binary search. Immutable; a lookup allocates nothing.
package struct PrefixTable: Sendable {
  private static let none = UInt32.max

  private var starts4: [UInt32] = []
  private var values4: [UInt32] = []
  private var highs6: [UInt64] = []
  private var lows6: [UInt64] = []
  private var values6: [UInt32] = []

  /// When the same prefix comes twice, the later entry counts. `UInt32.max` is not a value.
  package init(_ entries: [(IPPrefix, UInt32)]) {
    for (start, value) in Self.flatten(entries, .v4) {
      starts4.append(UInt32(truncatingIfNeeded: start.low))
      values4.append(value)
    }
    for (start, value) in Self.flatten(entries, .v6) {
      highs6.append(start.high)
      lows6.append(start.low)
      values6.append(value)
    }
  }

  /// The value of the longest prefix that holds `address`.
  package func lookup(_ address: IPAddress) -> UInt32? {
    let value = address.family == .v4 ? find4(UInt32(truncatingIfNeeded: address.low)) : find6(address)
    return value == Self.none ? nil : value
  }

  private func find4(_ key: UInt32) -> UInt32 {
    let starts = starts4.span
    // The last start that is not above the key is among the `count` from `first` on, if there is one.
    var first = 0
    var count = starts.count
    while count > 1 {
      let half = count &>> 1
      let middle = unsafe starts[unchecked: first &+ half]  // first + count <= starts.count all the way
      first = middle <= key ? first &+ half : first
      count &-= half
    }
    return count == 0 || starts[first] > key ? Self.none : values4[first]
  }

  private func find6(_ key: IPAddress) -> UInt32 {
    var low = 0
    var high = highs6.count
    while low < high {
      let middle = (low + high) / 2
      if highs6[middle] < key.high || (highs6[middle] == key.high && lows6[middle] <= key.low) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low == 0 ? Self.none : values6[low - 1]
  }

  /// Range starts in ascending order, each with the value that holds from there on.
  private static func flatten(_ entries: [(IPPrefix, UInt32)], _ family: IPAddress.Family) -> [(IPAddress, UInt32)] {
    var unique: [IPPrefix: UInt32] = [:]
    for (prefix, value) in entries { unique[prefix] = value }
    var result: [(IPAddress, UInt32)] = []
    var free: UInt128?
    for range in DisjointRanges(unique.map { ($0.key, Int($0.value)) }, family: family).ranges {
      if let free, free < range.first {
        result.append((IPAddress(family: family, value: free), none))
      }
      let first = IPAddress(family: family, value: range.first)
      result.append((first, UInt32(truncatingIfNeeded: range.owner)))
      free = IPAddress(family: family, value: range.last).next?.value
    }
    if let free { result.append((IPAddress(family: family, value: free), none)) }
    return result
  }
}
