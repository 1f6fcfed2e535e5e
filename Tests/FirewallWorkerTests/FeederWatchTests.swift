import LinuxIO
import TestSupport
import Testing

@testable import FirewallWorker

@Suite struct FeederWatchTests {
  private static func at(_ milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: 0).adding(milliseconds: milliseconds)
  }

  @Test("the first restart is immediate, later ones wait longer and never more than two seconds")
  func backoff() {
    var watch = FeederWatch(now: Self.at(0))
    #expect(watch.due(Self.at(0)) == .start)
    #expect(watch.due(Self.at(0)) == nil)
    var now: UInt64 = 0
    for delay: UInt64 in [0, 50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
      watch.ended(Self.at(now))
      #expect(watch.nextWake == Self.at(now + delay))
      now += delay
      #expect(watch.due(Self.at(now)) == .start)
    }
    watch.ended(Self.at(now + 10_000))
    #expect(watch.nextWake == Self.at(now + 10_000))
  }

  @Test("a feeder that stands still for a second is killed, one that goes on is not")
  func stopped() {
    var watch = FeederWatch(now: Self.at(0))
    _ = watch.due(Self.at(0))
    watch.stopped(Self.at(100))
    #expect(watch.due(Self.at(1_099)) != .kill)
    watch.continued()
    #expect(watch.due(Self.at(2_000)) != .kill)
    watch.stopped(Self.at(3_000))
    #expect(watch.due(Self.at(4_000)) == .kill)
    #expect(watch.due(Self.at(4_001)) != .kill)
  }

  @Test("a feeder that gives no echo is killed, each time after twice as long; one that echoes is not")
  func noEcho() {
    var watch = FeederWatch(now: Self.at(0))
    _ = watch.due(Self.at(0))
    for second: UInt64 in 1...20 {
      #expect(watch.nextWake == Self.at(second * 1_000))
      #expect(watch.due(Self.at(second * 1_000)) == .probe)
      watch.heard()
    }
    #expect(watch.due(Self.at(21_000)) == .probe)
    for second: UInt64 in 22...25 { #expect(watch.due(Self.at(second * 1_000)) == .probe) }
    #expect(watch.due(Self.at(26_000)) == .kill)
    watch.ended(Self.at(26_000))
    #expect(watch.due(Self.at(26_000)) == .start)
    #expect(watch.due(Self.at(27_000)) == .probe)
    for second: UInt64 in 28...36 { #expect(watch.due(Self.at(second * 1_000)) == .probe) }
    #expect(watch.due(Self.at(37_000)) == .kill)
  }
}
