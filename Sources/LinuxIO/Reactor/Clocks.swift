import Glibc

/// A moment of CLOCK_MONOTONIC, which neither jumps nor goes back.
package struct MonotonicTime: Comparable, Hashable, Sendable {
  package var nanoseconds: UInt64

  package init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  /// The moment of the call.
  package static func now() -> MonotonicTime {
    MonotonicTime(nanoseconds: read(CLOCK_MONOTONIC))
  }

  /// The moment that many milliseconds later.
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

/// How long the host slept: what CLOCK_BOOTTIME counts and CLOCK_MONOTONIC does not.
package struct SleepClock: Sendable {
  private var slept: UInt64
  private let read: @Sendable () -> UInt64

  /// - Parameter read: nanoseconds since the host started that it slept.
  package init(_ read: @escaping @Sendable () -> UInt64 = { SleepClock.kernel() }) {
    self.read = read
    slept = read()
  }

  /// Nanoseconds that it slept since this was asked last. Less than a second is how the two clocks are read.
  package mutating func take() -> UInt64 {
    let now = read()
    guard now > slept, now - slept >= 1_000_000_000 else { return 0 }
    defer { slept = now }
    return now - slept
  }

  /// Nanoseconds since the host started that it slept, as the kernel counts them.
  package static func kernel() -> UInt64 {
    let monotonic = MonotonicTime.read(CLOCK_MONOTONIC)
    let boot = MonotonicTime.read(CLOCK_BOOTTIME)
    return boot - min(monotonic, boot)
  }
}

/// Both clocks, as they are read: the kernel's, or those of a test.
package struct Clocks: Sendable {
  package let monotonic: @Sendable () -> MonotonicTime
  /// Nanoseconds since 1970, UTC.
  package let wall: @Sendable () -> UInt64

  package init(monotonic: @escaping @Sendable () -> MonotonicTime, wall: @escaping @Sendable () -> UInt64) {
    self.monotonic = monotonic
    self.wall = wall
  }

  package static let kernel = Clocks(monotonic: { .now() }, wall: { WallClock.nanoseconds() })
}

/// The clock by which what is allowed until a time ends: the wall clock, and where that is set back, as many seconds after
/// the start as passed. No setting of a clock prolongs anything; one that is put right after it was ahead at the start
/// does so only for the next start.
package struct EndClock: Sendable {
  private let wall: UInt64
  private let monotonic: MonotonicTime
  private let clocks: Clocks

  /// Starts now.
  package init(_ clocks: Clocks = .kernel) {
    self.init(wall: clocks.wall(), monotonic: clocks.monotonic(), clocks)
  }

  /// - Parameter wall: nanoseconds since 1970 at `monotonic`.
  package init(wall: UInt64, monotonic: MonotonicTime, _ clocks: Clocks = .kernel) {
    self.wall = wall
    self.monotonic = monotonic
    self.clocks = clocks
  }

  /// Nanoseconds since 1970.
  package func nanoseconds() -> UInt64 { nanoseconds(wall: clocks.wall(), monotonic: clocks.monotonic()) }

  /// Nanoseconds since 1970, where the clocks are at these times.
  package func nanoseconds(wall now: UInt64, monotonic: MonotonicTime) -> UInt64 {
    max(now, wall + (monotonic.nanoseconds - min(monotonic.nanoseconds, self.monotonic.nanoseconds)))
  }

  /// Whole seconds since 1970.
  package func seconds() -> UInt64 { nanoseconds() / 1_000_000_000 }
}
