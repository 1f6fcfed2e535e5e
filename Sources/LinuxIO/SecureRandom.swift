import CLinux

/// Random numbers from the kernel's generator, fetched 256 octets at a time. One value per thread.
package struct SecureRandom {
  private var pool = [UInt8](repeating: 0, count: 256)
  private var used = 256

  package init() {}

  /// The next 16 random bits.
  package mutating func uint16() -> UInt16 {
    UInt16(truncatingIfNeeded: take(2))
  }

  /// The next 64 random bits.
  package mutating func uint64() -> UInt64 {
    take(8)
  }

  private mutating func take(_ count: Int) -> UInt64 {
    if used + count > pool.count { refill() }
    var value: UInt64 = 0
    for index in used..<(used + count) {
      value = value << 8 | UInt64(pool[index])
      pool[index] = 0
    }
    used += count
    return value
  }

  private mutating func refill() {
    used = 0
    let count = Int32(pool.count)
    let failure = unsafe pool.withUnsafeMutableBufferPointer { unsafe sluice_random($0.baseAddress, count) }
    precondition(failure == 0, "the kernel gives no random numbers")
  }
}
