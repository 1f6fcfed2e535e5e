extension Span<UInt8> {
  /// The 16-bit number at `offset`; nil beyond the end.
  @inlinable package func read16(_ offset: Int) -> UInt16? {
    guard offset >= 0, offset <= count - 2 else { return nil }
    return UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
  }

  /// The `count` octets from `offset` on as one number, little-endian; octets beyond `count` are 0.
  ///
  /// - Precondition: `count` is at most 8, and the octets are inside.
  @inlinable package func word(at offset: Int, count: Int) -> UInt64 {
    if offset &+ 8 <= self.count {
      let word = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)  // checks its bounds
      return count >= 8 ? word : word & ((1 &<< (UInt64(truncatingIfNeeded: count) &* 8)) &- 1)
    }
    var word: UInt64 = 0
    var index = 0
    while index < count {
      word |= UInt64(self[offset &+ index]) &<< (UInt64(truncatingIfNeeded: index) &* 8)
      index &+= 1
    }
    return word
  }

  /// Whether both hold the same octets, eight at a time.
  @inlinable package func equals(_ other: Span<UInt8>) -> Bool {
    guard count == other.count else { return false }
    // Octets have no padding.
    let left = unsafe bytes
    let right = unsafe other.bytes
    var index = 0
    while index &+ 8 <= count {
      // index + 8 <= count, and both have count octets (guard above)
      let word = unsafe left.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self)
      if unsafe word != right.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self) { return false }
      index &+= 8
    }
    while index < count {
      if unsafe self[unchecked: index] != other[unchecked: index] { return false }  // index < count of both
      index &+= 1
    }
    return true
  }

  /// The 32-bit number at `offset`; nil beyond the end.
  @inlinable package func read32(_ offset: Int) -> UInt32? {
    guard let high = read16(offset), let low = read16(offset + 2) else { return nil }
    return UInt32(high) << 16 | UInt32(low)
  }
}

extension OutputSpan<UInt8> {
  /// Appends a 16-bit number, if there is room for it; says whether there was.
  @discardableResult
  @inlinable @inline(__always) package mutating func append(bigEndian value: UInt16) -> Bool {
    guard freeCapacity >= 2 else { return false }
    append(UInt8(truncatingIfNeeded: value >> 8))
    append(UInt8(truncatingIfNeeded: value))
    return true
  }

  /// Appends a 32-bit number, if there is room for it; says whether there was.
  @discardableResult
  @inlinable @inline(__always) package mutating func append(bigEndian value: UInt32) -> Bool {
    guard freeCapacity >= 4 else { return false }
    append(bigEndian: UInt16(truncatingIfNeeded: value >> 16))
    return append(bigEndian: UInt16(truncatingIfNeeded: value))
  }

  /// Appends octets, if there is room for all of them; says whether there was.
  @discardableResult
  @inlinable package mutating func append(contentsOf octets: Span<UInt8>) -> Bool {
    guard freeCapacity >= octets.count else { return false }
    unsafe withUnsafeMutableBufferPointer { buffer, count in
      // There is room for all of them, checked above.
      unsafe octets.withUnsafeBufferPointer { source in
        unsafe buffer.baseAddress.map { base in
          unsafe source.baseAddress.map { unsafe (base + count).update(from: $0, count: source.count) }
        }
      }
      count += octets.count
    }
    return true
  }
}

extension [UInt8] {
  /// A copy.
  @inlinable package init(_ octets: Span<UInt8>) {
    self = unsafe octets.withUnsafeBufferPointer { unsafe [UInt8]($0) }
  }

  /// What `body` appends, `most` octets at the most, and no room beyond. The octets are made on the stack: the standard
  /// library's `init(capacity:)` looks the array's type up at run time, which costs as much as all the rest.
  @inlinable package init(upTo most: Int, _ body: (inout OutputSpan<UInt8>) -> Void) {
    self = unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: most) { buffer in
      var out = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
      body(&out)
      let count = unsafe out.finalize(for: buffer)
      return unsafe [UInt8](UnsafeBufferPointer(rebasing: buffer[..<count]))
    }
  }
}
