import LinuxIO
import Testing

@Suite struct SupervisorTests {
  private static func at(_ milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: 0).adding(milliseconds: milliseconds)
  }

  @Test("the first restart is immediate, later ones wait longer and never more than two seconds")
  func backoff() {
    var supervisor = Supervisor(now: Self.at(0))
    #expect(supervisor.due(Self.at(0)) == .start)
    #expect(supervisor.due(Self.at(0)) == nil)
    var now: UInt64 = 0
    for delay: UInt64 in [0, 50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
      supervisor.ended(Self.at(now))
      #expect(supervisor.nextWake == Self.at(now + delay))
      now += delay
      #expect(supervisor.due(Self.at(now)) == .start)
    }
    supervisor.ended(Self.at(now + 10_000))
    #expect(supervisor.nextWake == Self.at(now + 10_000))
  }

  @Test("a helper that stands still for a second is killed, one that goes on is not")
  func stopped() {
    var supervisor = Supervisor(now: Self.at(0))
    _ = supervisor.due(Self.at(0))
    supervisor.stopped(Self.at(100))
    #expect(supervisor.due(Self.at(1_099)) != .kill)
    supervisor.continued()
    #expect(supervisor.due(Self.at(2_000)) != .kill)
    supervisor.stopped(Self.at(3_000))
    #expect(supervisor.due(Self.at(4_000)) == .kill)
    #expect(supervisor.due(Self.at(4_001)) != .kill)
  }

  @Test("a helper that gives no echo is killed, each time after twice as long; one that echoes is not")
  func noEcho() {
    var supervisor = Supervisor(now: Self.at(0))
    _ = supervisor.due(Self.at(0))
    for second: UInt64 in 1...20 {
      #expect(supervisor.nextWake == Self.at(second * 1_000))
      #expect(supervisor.due(Self.at(second * 1_000)) == .probe)
      supervisor.heard()
    }
    #expect(supervisor.due(Self.at(21_000)) == .probe)
    for second: UInt64 in 22...25 { #expect(supervisor.due(Self.at(second * 1_000)) == .probe) }
    #expect(supervisor.due(Self.at(26_000)) == .kill)
    supervisor.ended(Self.at(26_000))
    #expect(supervisor.due(Self.at(26_000)) == .start)
    #expect(supervisor.due(Self.at(27_000)) == .probe)
    for second: UInt64 in 28...36 { #expect(supervisor.due(Self.at(second * 1_000)) == .probe) }
    #expect(supervisor.due(Self.at(37_000)) == .kill)
  }

  @Test("without an owner none is started, and one that runs is left alone once it has shown that it does")
  func leaves() {
    var waiting = Supervisor(now: Self.at(0))
    waiting.leave(Self.at(0))
    #expect(waiting.due(Self.at(1)) == nil)
    let (isDone, wake) = (waiting.hasLeft, waiting.nextWake)
    #expect(isDone && wake == nil)
    var ending = Supervisor(now: Self.at(0))
    _ = ending.due(Self.at(0))
    ending.leave(Self.at(10))
    ending.ended(Self.at(20))
    #expect(ending.due(Self.at(10_000)) == nil)
    let hasEnded = ending.hasLeft
    #expect(hasEnded)
    var running = Supervisor(now: Self.at(0))
    _ = running.due(Self.at(0))
    #expect(running.due(Self.at(1_000)) == .probe)
    running.leave(Self.at(1_500))
    running.heard()
    let leftTooEarly = running.hasLeft
    #expect(!leftTooEarly, "what was asked before says nothing of now")
    #expect(running.due(Self.at(1_500)) == .probe)
    running.heard()
    let hasLeft = running.hasLeft
    #expect(hasLeft)
  }

  @Test("without an owner one that stands still, or gives no echo, is killed")
  func killsBeforeItLeaves() {
    var stopped = Supervisor(now: Self.at(0))
    _ = stopped.due(Self.at(0))
    stopped.stopped(Self.at(100))
    stopped.leave(Self.at(200))
    #expect(stopped.due(Self.at(200)) == .probe)
    #expect(stopped.due(Self.at(1_100)) == .kill)
    stopped.ended(Self.at(1_101))
    let hasLeft = stopped.hasLeft
    #expect(hasLeft)
    var silent = Supervisor(now: Self.at(0))
    _ = silent.due(Self.at(0))
    silent.leave(Self.at(0))
    for second: UInt64 in 0...4 { #expect(silent.due(Self.at(second * 1_000)) == .probe) }
    let isLeft = silent.hasLeft
    #expect(!isLeft)
    #expect(silent.due(Self.at(5_000)) == .kill)
  }
}
