package import DNSWire

/// A keyed 64-bit hash of a question. The key is drawn at start, so that a client can't aim names at one bucket.
package struct QuestionHash: Sendable {
  private let seed: UInt64

  package init(seed: UInt64) {
    self.seed = seed
  }

  /// Hashes a canonical wire name and a type: one multiplication for every eight octets.
  package func callAsFunction(_ name: Span<UInt8>, _ type: RRType) -> UInt64 {
    var state = seed ^ UInt64(type.rawValue) &* 0x9E37_79B9_7F4A_7C15
    var index = 0
    while index &+ 8 <= name.count {
      state = Self.mix(state ^ name.word(at: index, count: 8))
      index &+= 8
    }
    let tail = name.word(at: index, count: name.count &- index)
    return Self.mix(state ^ tail ^ UInt64(truncatingIfNeeded: name.count) << 56)
  }

  /// Folds the 128-bit product of a word and an odd constant into 64 bits.
  private static func mix(_ word: UInt64) -> UInt64 {
    let product = (word ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
    return product.high ^ product.low
  }
}
