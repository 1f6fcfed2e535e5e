import LinuxIO
import Testing

@testable import FirewallBridge

@Suite struct BridgeSilenceTests {
  private static func at(_ milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: 0).adding(milliseconds: milliseconds)
  }

  @Test("a bridge is probed once a second, and one that echoes is never silent")
  func echoes() {
    var silence = BridgeSilence()
    #expect(silence.due(Self.at(9_000), batchDeadline: nil) == nil)
    #expect(silence.nextWake(batchDeadline: Self.at(0)) == nil)
    for second: UInt64 in 0..<10 {
      #expect(silence.heard(Self.at(second * 1_000)) == false)
      #expect(silence.due(Self.at(second * 1_000 + 999), batchDeadline: nil) == nil)
      #expect(silence.due(Self.at(second * 1_000 + 1_000), batchDeadline: nil) == .probe)
      #expect(silence.due(Self.at(second * 1_000 + 1_000), batchDeadline: nil) == nil)
    }
    #expect(!silence.isSilent)
  }

  @Test("a late batch has the bridge probed at once, and lost after half a second without an echo")
  func lateBatch() {
    var silence = BridgeSilence()
    _ = silence.heard(Self.at(0))
    #expect(silence.due(Self.at(249), batchDeadline: Self.at(250)) == nil)
    #expect(silence.due(Self.at(250), batchDeadline: Self.at(250)) == .probe)
    #expect(silence.due(Self.at(749), batchDeadline: Self.at(250)) == nil)
    #expect(silence.due(Self.at(750), batchDeadline: Self.at(250)) == .silent)
    #expect(silence.isSilent)
    #expect(silence.due(Self.at(1_200), batchDeadline: Self.at(250)) == nil)
    #expect(silence.heard(Self.at(1_300)) == true)
    #expect(!silence.isSilent)
    #expect(silence.heard(Self.at(1_301)) == false)
  }

  @Test("a batch that is late while the bridge echoes is late and no more")
  func slowBatch() {
    var silence = BridgeSilence()
    _ = silence.heard(Self.at(0))
    for round: UInt64 in 1...20 {
      #expect(silence.due(Self.at(round * 300), batchDeadline: Self.at(250)) == .probe)
      #expect(silence.heard(Self.at(round * 300 + 200)) == false)
    }
  }

  @Test("without a batch the bridge is lost a second after a probe, and gone when it does not come back")
  func idle() {
    var silence = BridgeSilence()
    _ = silence.heard(Self.at(0))
    #expect(silence.due(Self.at(1_000), batchDeadline: nil) == .probe)
    #expect(silence.nextWake(batchDeadline: nil) == Self.at(2_000))
    #expect(silence.due(Self.at(2_000), batchDeadline: nil) == .silent)
    #expect(silence.due(Self.at(15_999), batchDeadline: nil) == nil)
    #expect(silence.due(Self.at(16_000), batchDeadline: nil) == .gone)
    #expect(silence.nextWake(batchDeadline: nil) == nil)
  }

  @Test("however often a bridge stops and goes on, it is lost once a second at most")
  func flapping() {
    var silence = BridgeSilence()
    var losses: [UInt64] = []
    var heard: UInt64 = 0
    _ = silence.heard(Self.at(0))
    for now: UInt64 in 0..<20_000 {
      if silence.due(Self.at(now), batchDeadline: Self.at(0)) == .silent { losses.append(now) }
      if silence.isSilent, now > heard + 10 {
        heard = now
        _ = silence.heard(Self.at(now))
      }
    }
    #expect(losses.count > 5)
    #expect(zip(losses, losses.dropFirst()).allSatisfy { $1 - $0 >= 1_000 })
  }
}
