/// SplitMix64: the same numbers for the same seed, so that a failing test can be run again.
package struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) {
    state = seed
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  /// A number from 0 to below `bound`.
  package mutating func below(_ bound: Int) -> Int {
    Int(next() % UInt64(Swift.max(bound, 1)))
  }

  package mutating func octet() -> UInt8 {
    UInt8(truncatingIfNeeded: next())
  }

  package mutating func octets(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in octet() }
  }

  /// One of `choices`, which is not empty.
  package mutating func pick<Choice>(_ choices: [Choice]) -> Choice {
    choices[below(choices.count)]
  }
}
