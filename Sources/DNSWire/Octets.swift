extension Span<UInt8> {
  /// The 16-bit number at `offset`; nil beyond the end.
  package func read16(_ offset: Int) -> UInt16? {
    guard offset >= 0, offset <= count - 2 else { return nil }
    return UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
  }

  /// The 32-bit number at `offset`; nil beyond the end.
  package func read32(_ offset: Int) -> UInt32? {
    guard let high = read16(offset), let low = read16(offset + 2) else { return nil }
    return UInt32(high) << 16 | UInt32(low)
  }
}

extension OutputSpan<UInt8> {
  /// Appends a 16-bit number, if there is room for it; says whether there was.
  @discardableResult
  package mutating func append(bigEndian value: UInt16) -> Bool {
    guard freeCapacity >= 2 else { return false }
    append(UInt8(truncatingIfNeeded: value >> 8))
    append(UInt8(truncatingIfNeeded: value))
    return true
  }

  /// Appends a 32-bit number, if there is room for it; says whether there was.
  @discardableResult
  package mutating func append(bigEndian value: UInt32) -> Bool {
    guard freeCapacity >= 4 else { return false }
    append(bigEndian: UInt16(truncatingIfNeeded: value >> 16))
    return append(bigEndian: UInt16(truncatingIfNeeded: value))
  }

  /// Appends octets, if there is room for all of them; says whether there was.
  @discardableResult
  package mutating func append(contentsOf octets: Span<UInt8>) -> Bool {
    guard freeCapacity >= octets.count else { return false }
    for index in octets.indices {
      append(octets[index])
    }
    return true
  }
}
