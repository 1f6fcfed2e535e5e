/// Marsaglia's xorshift (2003), begun at random: which of many samples stay. No secret hangs on it.
struct QuickRandom: RandomNumberGenerator {
  private var state = UInt64.random(in: 1 ... .max)

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}
