import Glibc
import LinuxIO
import Testing

struct EndClockTests {
  private static let second: UInt64 = 1_000_000_000
  private let clock = EndClock(wall: 1_000 * second, monotonic: MonotonicTime(nanoseconds: 50 * second))

  /// Seconds that the clock shows when the wall shows `wall`, so many seconds after the start.
  private func shows(_ wall: UInt64, after seconds: UInt64) -> UInt64 {
    clock.nanoseconds(
      wall: wall * Self.second, monotonic: MonotonicTime(nanoseconds: (50 + seconds) * Self.second)) / Self.second
  }

  @Test func `a clock that runs is followed, one that jumps ahead at once`() {
    #expect(shows(1_000, after: 0) == 1_000)
    #expect(shows(1_010, after: 10) == 1_010)
    #expect(shows(9_000, after: 11) == 9_000)
  }

  @Test func `a clock that is set back prolongs nothing`() {
    #expect(shows(0, after: 10) == 1_010)
    #expect(shows(500, after: 600) == 1_600)
    #expect(shows(1_300, after: 200) == 1_300)
  }
}

struct SleepClockTests {
  private final class Slept: @unchecked Sendable { var nanoseconds: UInt64 = 5_000_000_000 }

  @Test func `what the host slept is told once, and how the clocks are read is no sleep`() {
    let slept = Slept()
    var clock = SleepClock { slept.nanoseconds }
    #expect(clock.take() == 0)
    slept.nanoseconds += 999_999_999
    #expect(clock.take() == 0)
    slept.nanoseconds += 2_000_000_001
    #expect(clock.take() == 3_000_000_000)
    #expect(clock.take() == 0)
    slept.nanoseconds = 0
    #expect(clock.take() == 0)
  }

  @Test func `the kernel's clocks differ by what the host slept, and no more than they did a moment ago`() {
    var clock = SleepClock()
    #expect(clock.take() == 0)
  }
}

struct ClockWatcherTests {
  @Test func `a clock that is set is told, once; one that runs is not`() throws {
    let watcher = try ClockWatcher()
    #expect(!watcher.take())
    // To what it shows already.
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    guard unsafe clock_settime(CLOCK_REALTIME, &now) == 0 else { return }
    var wanted = pollfd(fd: watcher.readiness, events: Int16(POLLIN), revents: 0)
    #expect(unsafe poll(&wanted, 1, 2_000) == 1)
    #expect(watcher.take())
    #expect(!watcher.take())
  }
}
