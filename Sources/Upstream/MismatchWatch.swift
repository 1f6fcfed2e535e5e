/// Counts answers that were not what was asked, over all exchanges with one upstream: a forger who guesses ids and ports
/// gets no further with a new name for each guess (RFC 5452 section 9.3).
///
/// Beyond a bound in a window everything goes by TCP for a while. A pure state machine: times are nanoseconds and come in.
struct MismatchWatch {
  private var windowEnd: UInt64 = 0
  private var streamUntil: UInt64 = 0
  /// In the window that is open.
  private(set) var count = 0

  /// Whether the server is asked by TCP only.
  func asksByStream(now: UInt64) -> Bool { now < streamUntil }

  /// Wrong answers came, one or more; whether they are those beyond the bound.
  mutating func wrong(_ answers: Int, now: UInt64, _ limits: UpstreamLimits) -> Bool {
    if now >= windowEnd {
      windowEnd = now + limits.mismatchWindow * 1_000_000
      count = 0
    }
    count += answers
    guard count > limits.mismatches, !asksByStream(now: now) else { return false }
    streamUntil = now + limits.byStream * 1_000_000
    return true
  }
}
