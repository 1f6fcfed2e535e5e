/// How long the worker's loop may wait where nothing comes.
struct LoopPause {
  private static let retryMilliseconds: Int32 = 1_000

  /// What was counted waits for its turn, or for room.
  var tells = false
  /// Something failed, and is tried again.
  var retries = false
  /// When something else is to be done, nanoseconds of the monotonic clock; the highest number where nothing is.
  var due = UInt64.max

  /// As poll(2) takes it: -1 for ever. It is not over before anything is due.
  func milliseconds(now: UInt64) -> Int32 {
    if tells { return 1 }
    if retries { return Self.retryMilliseconds }
    guard due != .max else { return -1 }
    let (end, begin) = (due / 1_000_000 + 1, now / 1_000_000)
    return end <= begin ? 0 : Int32(clamping: end - begin)
  }
}
