import DNSWire

/// The running hash of a name's labels, taken from the right, so that every suffix has its hash on the way.
///
/// Multiply-and-fold over 8 octets at a time; the seed keeps collisions from being prepared in advance.
struct LabelHash {
  private(set) var state: UInt64

  init(seed: UInt64) {
    state = seed ^ 0x9E37_79B9_7F4A_7C15
  }

  /// Adds the label whose octets are `range` of `name`, which the caller has checked to lie inside it.
  mutating func add(_ name: Span<UInt8>, _ range: Range<Int>) {
    var index = range.lowerBound
    while index &+ 8 <= range.upperBound {
      fold(name.word(at: index, count: 8), 0xA076_1D64_78BD_642F)
      index &+= 8
    }
    // The length closes the label, so that `ab.c` and `a.bc` differ.
    let tail = name.word(at: index, count: range.upperBound &- index)
    fold(tail ^ (UInt64(truncatingIfNeeded: range.count) &<< 56), 0xE703_7ED1_A0B4_28DB)
  }

  /// The hash of the suffix so far, told apart by what would stand in the table for it.
  func value(for kind: NameTable.SlotKind) -> UInt64 {
    Self.multiply(state ^ UInt64(kind.rawValue &+ 1), 0x8EBC_6AF0_9C88_C6E3)
  }

  private mutating func fold(_ word: UInt64, _ key: UInt64) {
    state = Self.multiply(state ^ word, key)
  }

  private static func multiply(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (high, low) = (left ^ 0x5897_89E6_C93E_1A2B).multipliedFullWidth(by: right)
    return high ^ low
  }
}
