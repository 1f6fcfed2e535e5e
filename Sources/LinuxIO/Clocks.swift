import Glibc

/// A moment of CLOCK_MONOTONIC, which neither jumps nor goes back.
package struct MonotonicTime: Comparable, Hashable, Sendable {
  package var nanoseconds: UInt64

  package init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  package static func now() -> MonotonicTime {
    MonotonicTime(nanoseconds: read(CLOCK_MONOTONIC))
  }

  package func adding(milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: nanoseconds + milliseconds * 1_000_000)
  }

  package static func < (left: MonotonicTime, right: MonotonicTime) -> Bool {
    left.nanoseconds < right.nanoseconds
  }

  static func read(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}

/// The clock on the wall, for records that people read.
package enum WallClock {
  /// Nanoseconds since 1970, UTC.
  package static func nanoseconds() -> UInt64 {
    MonotonicTime.read(CLOCK_REALTIME)
  }

  /// Whole seconds since 1970, UTC.
  package static func seconds() -> UInt64 { nanoseconds() / 1_000_000_000 }
}
