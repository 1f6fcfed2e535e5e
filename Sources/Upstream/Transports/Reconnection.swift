/// When a server is connected to again after connections that came to nothing. Times are nanoseconds and come in.
///
/// The first time soon, since a server that restarts is gone for a moment; then after twice as long each time.
struct Reconnection {
  /// Milliseconds.
  static let shortest: UInt64 = 200
  static let longest: UInt64 = 10_000

  private var failures: UInt64 = 0
  /// From when on it may be connected to.
  private(set) var earliest: UInt64 = 0

  /// A connection failed, or ended before it brought an answer.
  mutating func failed(now: UInt64) {
    earliest = now + min(Self.shortest << min(failures, 8), Self.longest) * 1_000_000
    failures += 1
  }

  /// A connection brought an answer.
  mutating func succeeded() { self = Reconnection() }
}
