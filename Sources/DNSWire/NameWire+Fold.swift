extension NameWire {
  /// What was seen while a name was copied.
  struct FoldedName {
    /// Octets that are no letter, digit, hyphen or underscore; length octets are counted like any other.
    var foreignOctets: Int
  }

  /// Appends `range` of the message in ASCII lower case, eight octets at a time.
  ///
  /// A whole name may be given with its length octets: none of them is an upper-case letter (they are below 64).
  /// Appends nothing and returns nil where the range or the room does not suffice, or for more than 255 octets.
  static func appendFolded(
    _ message: Span<UInt8>, _ range: Range<Int>, into output: inout OutputSpan<UInt8>
  ) -> FoldedName? {
    guard range.lowerBound >= 0, range.upperBound <= message.count, range.count <= maxOctets,
      output.freeCapacity >= range.count
    else {
      return nil
    }
    let count = range.count
    var foreign = 0
    unsafe message.withUnsafeBytes { octets in
      unsafe output.withUnsafeMutableBufferPointer { buffer, initialized in
        // Checked above: `range` is inside the message, and `count` octets fit behind the initialized ones.
        let source = unsafe UnsafeRawBufferPointer(rebasing: octets[range])
        let free = UnsafeMutableRawBufferPointer(buffer)
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: free[initialized..<(initialized + count)])
        foreign = unsafe fold(source, into: target)
        initialized += count
      }
    }
    return FoldedName(foreignOctets: foreign)
  }

  /// Both buffers have the same count. Returns the number of foreign octets.
  private static func fold(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int {
    let count = min(source.count, target.count)
    // One counter in each octet of the word; 255 octets are at most 31 words, so none overflows.
    var familiar: UInt64 = 0
    var at = 0
    while at <= count - 8 {
      let word = lowercased(unsafe source.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      unsafe target.storeBytes(of: word, toByteOffset: at, as: UInt64.self)
      familiar &+= hostnameMarks(word) >> 7
      at += 8
    }
    var foreign = at - octetSum(familiar)
    if at < count, count >= 8 {
      // The last word once more, as far as it is new.
      let rest = count - at
      let word = lowercased(unsafe source.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self))
      unsafe target.storeBytes(of: word, toByteOffset: count - 8, as: UInt64.self)
      let new = (UInt64.max << UInt64(8 * (8 - rest)))
      return foreign + rest - octetSum((hostnameMarks(word) >> 7) & new)
    }
    while at < count {
      let octet = lowercased(unsafe source[at])
      unsafe target[at] = octet
      foreign += Name.isHostnameOctet(octet) ? 0 : 1
      at += 1
    }
    return foreign
  }

  private static let ones: UInt64 = 0x0101_0101_0101_0101
  private static let highs: UInt64 = 0x8080_8080_8080_8080

  /// The high bit of each octet that is in `range`, which is part of ASCII.
  private static func marks(_ word: UInt64, _ range: ClosedRange<UInt8>) -> UInt64 {
    let lower = word & ~highs
    // No carry leaves an octet: both sums stay below 256.
    let atLeast = lower &+ ones &* UInt64(128 - range.lowerBound)
    let above = lower &+ ones &* UInt64(127 - range.upperBound)
    return atLeast & ~above & ~word & highs
  }

  /// The sum of the eight octets. Octets of 31 or less: their sum fits one octet.
  private static func octetSum(_ word: UInt64) -> Int {
    Int(truncatingIfNeeded: (word &* ones) >> 56)
  }

  private static func lowercased(_ word: UInt64) -> UInt64 {
    word | marks(word, 65...90) >> 2
  }

  /// The high bit of each octet that is a lower-case letter, digit, hyphen or underscore.
  private static func hostnameMarks(_ word: UInt64) -> UInt64 {
    marks(word, 97...122) | marks(word, 48...57) | marks(word, 45...45) | marks(word, 95...95)
  }
}
