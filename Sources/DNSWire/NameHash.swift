/// A keyed 64-bit hash of a canonical wire name: one multiplication for every eight octets. The key is drawn at random,
/// so that no client can aim names at one place of a table.
@usableFromInline
package struct NameHash: Equatable, Sendable {
  /// The key of this process: tables that share it can be searched with one hash.
  package static let ofProcess = NameHash(seed: .random(in: .min ... .max))

  @usableFromInline package let seed: UInt64

  @inlinable
  package init(seed: UInt64) {
    self.seed = seed
  }

  /// The hash of a name: its wire octets, lower case and uncompressed.
  package func callAsFunction(_ name: Span<UInt8>) -> UInt64 {
    var state = seed ^ 0x9E37_79B9_7F4A_7C15
    var index = 0
    while index &+ 8 <= name.count {
      state = Self.mix(state ^ name.word(at: index, count: 8))
      index &+= 8
    }
    let tail = name.word(at: index, count: name.count &- index)
    return Self.mix(state ^ tail ^ UInt64(truncatingIfNeeded: name.count) << 56)
  }

  /// The hash of a question: of a name that was hashed, and a type.
  @inlinable @inline(__always) package static func of(_ hash: UInt64, _ type: RRType) -> UInt64 {
    mix(hash ^ UInt64(type.rawValue) &* 0x9E37_79B9_7F4A_7C15)
  }

  /// Folds the 128-bit product of a word and an odd constant into 64 bits.
  @inlinable @inline(__always) package static func mix(_ word: UInt64) -> UInt64 {
    let product = (word ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
    return product.high ^ product.low
  }
}
