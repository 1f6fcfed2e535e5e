package import LinuxIO

/// Decides when the keeper starts a feeder and when it gives one up. Performs nothing itself.
package struct FeederWatch: ~Copyable {
  package enum Action: Hashable, Sendable {
    case start
    case kill
    /// Ask the feeder for an echo.
    case probe
  }

  // A feeder that stands still this long is replaced; it may only have been stopped by a debugger.
  private static let patience: UInt64 = 1_000
  // The first restart is immediate; one that keeps failing costs no more than this rhythm.
  private static let firstDelay: UInt64 = 50
  private static let longestDelay: UInt64 = 2_000
  // A feeder that lived this long was healthy.
  private static let healthy: UInt64 = 10_000
  private static let beat: UInt64 = 1_000
  // A feeder that gives no echo for so long does not run, whatever state the kernel tells of it. One that is only slow
  // must come to an end some time: each time it is given twice as long.
  private static let tolerance: UInt64 = 5_000
  private static let longestTolerance: UInt64 = 60_000

  private var delay: UInt64 = 0
  private var startAt: MonotonicTime?
  private var killAt: MonotonicTime?
  private var startedAt: MonotonicTime?
  private var probeAt: MonotonicTime?
  private var silentAt: MonotonicTime?
  private var tolerance = FeederWatch.tolerance

  package init(now: MonotonicTime) {
    startAt = now
  }

  /// When `due` will have something to say.
  package var nextWake: MonotonicTime? { startAt ?? [killAt, probeAt, silentAt].compactMap(\.self).min() }

  /// What is to be done now; each action is returned once.
  package mutating func due(_ now: MonotonicTime) -> Action? {
    if let start = startAt, start <= now {
      startAt = nil
      startedAt = now
      probeAt = now.adding(milliseconds: Self.beat)
      return .start
    }
    if let kill = killAt, kill <= now {
      killAt = nil
      return .kill
    }
    if let silent = silentAt, silent <= now {
      (silentAt, probeAt) = (nil, nil)
      tolerance = min(tolerance * 2, Self.longestTolerance)
      return .kill
    }
    if let probe = probeAt, probe <= now {
      probeAt = now.adding(milliseconds: Self.beat)
      silentAt = silentAt ?? now.adding(milliseconds: tolerance)
      return .probe
    }
    return nil
  }

  /// The feeder gave an echo.
  package mutating func heard() {
    silentAt = nil
  }

  /// The feeder ended, or could not be started.
  package mutating func ended(_ now: MonotonicTime) {
    if let started = startedAt, now >= started.adding(milliseconds: Self.healthy) {
      delay = 0
    }
    startedAt = nil
    killAt = nil
    probeAt = nil
    silentAt = nil
    startAt = now.adding(milliseconds: delay)
    delay = delay == 0 ? Self.firstDelay : min(delay * 2, Self.longestDelay)
  }

  package mutating func stopped(_ now: MonotonicTime) {
    killAt = killAt ?? now.adding(milliseconds: Self.patience)
  }

  package mutating func continued() {
    killAt = nil
  }
}
