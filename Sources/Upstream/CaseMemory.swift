/// Whether one upstream answers in the letters in which it is asked ("0x20"), as far as is known.
///
/// One that answers in others is found out by its answers. One that gives no answer at all to mixed letters, as filters on the
/// way do, is found out by questions of our own alone: a name of which the answer does not come may be a client's choice, and
/// the silence after it anybody's. What is believed of such an upstream holds for an hour. Times are nanoseconds and come in.
struct CaseMemory {
  /// Questions of our own, one after the other, that were answered in lower case only.
  static let silences = 3

  private var foldsUntil: UInt64 = 0
  private var keptAt: UInt64 = 0
  private var probedAt: UInt64 = 0
  private var silentProbes = 0

  /// Whether it is asked in letters of chance.
  func keepsCase(now: UInt64) -> Bool { now >= foldsUntil }

  /// It answered in the letters in which it was asked.
  mutating func kept(now: UInt64) { (keptAt, silentProbes, foldsUntil) = (now, 0, 0) }

  /// It answered in others.
  mutating func folded(now: UInt64, _ limits: UpstreamLimits) { foldsUntil = now + limits.withoutProof * 1_000_000 }

  /// The upstream lives, and answered nothing in mixed letters since then; whether a question of our own is to decide.
  mutating func isDoubted(since sent: UInt64, now: UInt64, _ limits: UpstreamLimits) -> Bool {
    guard keepsCase(now: now), keptAt < sent, now >= probedAt + limits.unhealthy * 1_000_000 || probedAt == 0 else {
      return false
    }
    probedAt = now
    return true
  }

  /// A question of our own was answered in lower case only. Whether that is believed now; else another one is to
  /// decide.
  mutating func silent(now: UInt64, _ limits: UpstreamLimits) -> Bool {
    silentProbes += 1
    guard silentProbes >= Self.silences else { return false }
    folded(now: now, limits)
    return true
  }
}
