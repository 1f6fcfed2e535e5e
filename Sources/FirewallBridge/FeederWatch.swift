package import LinuxIO

/// Decides when the keeper starts a feeder and when it gives one up. Performs nothing itself.
package struct FeederWatch: ~Copyable {
  package enum Action: Hashable, Sendable {
    case start
    case kill
  }

  // A feeder that stands still this long is replaced; it may only have been looked at by somebody.
  private static let patience: UInt64 = 1_000
  // The first restart is immediate; one that keeps failing costs no more than this rhythm.
  private static let firstDelay: UInt64 = 50
  private static let longestDelay: UInt64 = 2_000
  // Whoever lived this long was healthy.
  private static let healthy: UInt64 = 10_000

  private var delay: UInt64 = 0
  private var startAt: MonotonicTime?
  private var killAt: MonotonicTime?
  private var startedAt: MonotonicTime?

  package init(now: MonotonicTime) {
    startAt = now
  }

  /// When `due` will have something to say.
  package var nextWake: MonotonicTime? { startAt ?? killAt }

  /// What is to be done now; each action is returned once.
  package mutating func due(_ now: MonotonicTime) -> Action? {
    if let start = startAt, start <= now {
      startAt = nil
      startedAt = now
      return .start
    }
    if let kill = killAt, kill <= now {
      killAt = nil
      return .kill
    }
    return nil
  }

  /// The feeder ended, or could not be started.
  package mutating func ended(_ now: MonotonicTime) {
    if let started = startedAt, now >= started.adding(milliseconds: Self.healthy) {
      delay = 0
    }
    startedAt = nil
    killAt = nil
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
