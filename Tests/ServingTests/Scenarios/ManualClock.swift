import LinuxIO
import Synchronization

/// Both clocks; they stand still until a scenario moves them.
final class ManualClock: Sendable {
  static let second: UInt64 = 1_000_000_000

  private let times = Mutex<(monotonic: UInt64, wall: UInt64)>((1_000 * second, 1_800_000_000 * second))

  /// Nanoseconds of the monotonic clock.
  var now: UInt64 { times.withLock { $0.monotonic } }

  /// For what reads clocks.
  var clocks: Clocks {
    Clocks(
      monotonic: { [self] in MonotonicTime(nanoseconds: now) }, wall: { [self] in times.withLock { $0.wall } })
  }

  func pass(nanoseconds: UInt64) {
    times.withLock {
      $0.monotonic += nanoseconds
      $0.wall += nanoseconds
    }
  }

  /// Sets the wall clock ahead, or back.
  func setWall(by seconds: Int64) {
    times.withLock { $0.wall = UInt64(Int64($0.wall) + seconds * Int64(Self.second)) }
  }
}
