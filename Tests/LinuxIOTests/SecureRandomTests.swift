import LinuxIO
import Testing

@Suite("Random numbers")
struct SecureRandomTests {
  @Test("two generators never say the same, and neither repeats itself")
  func distinct() {
    var (first, second) = (SecureRandom(), SecureRandom())
    var seen = Set<UInt64>()
    for _ in 0..<10_000 {
      seen.insert(first.uint64())
      seen.insert(second.uint64())
      _ = first.uint16()
    }
    #expect(seen.count == 20_000)
  }

  @Test("16-bit numbers use every bit alike")
  func bits() {
    var random = SecureRandom()
    var ones = [Int](repeating: 0, count: 16)
    for _ in 0..<20_000 {
      let value = random.uint16()
      for bit in 0..<16 where value >> UInt16(bit) & 1 == 1 { ones[bit] += 1 }
    }
    // Seven standard deviations of a fair coin.
    for count in ones { #expect(abs(count - 10_000) < 500) }
  }
}
