import FirewallModel
package import LinuxIO

/// Decides when a bridge that says nothing counts as one that does not run. Performs nothing itself.
///
/// The bridge is probed once a second, and at once when a batch that it holds is beyond its deadline; whatever its
/// feeding loop says is an echo. Without one for half a second beside such a batch, or for a second else, what the kernel
/// holds is not known any more.
package struct BridgeSilence {
  /// What is to be done about a silence.
  package enum Action: Hashable, Sendable {
    /// Ask for an echo.
    case probe
    /// There was none.
    case silent
    /// There was none for so long that no supervisor will bring the bridge back.
    case gone
  }

  // Milliseconds.
  private static let beat: UInt64 = 1_000
  private static let patience: UInt64 = 1_000
  private static let patienceWithBatch: UInt64 = 500
  /// Between two losses.
  private static let pause: UInt64 = 1_000
  /// The supervisor replaces a worker that hangs; where the supervisor hangs as well, serve itself has to be started anew.
  private static let lost: UInt64 = 15_000

  private var isWatching = false
  /// When the probe was sent that has no echo yet.
  private var probed: MonotonicTime?
  private var nextProbe = MonotonicTime(nanoseconds: 0)
  private var nextLoss = MonotonicTime(nanoseconds: 0)
  private var isGone = false
  /// From `silent` until the bridge is heard again.
  package private(set) var isSilent = false

  package init() {}

  /// The bridge said something. Returns whether it had been silent.
  package mutating func heard(_ now: MonotonicTime) -> Bool {
    isWatching = true
    probed = nil
    nextProbe = now.adding(milliseconds: Self.beat)
    defer { isSilent = false }
    return isSilent
  }

  /// The bridge ended in another way.
  package mutating func ended() {
    isWatching = false
  }

  /// What is to be done now; each action is returned once. The caller has looked before whether an echo is there.
  ///
  /// - Parameter batchDeadline: of the batch that the bridge holds.
  package mutating func due(_ now: MonotonicTime, batchDeadline: MonotonicTime?) -> Action? {
    guard let wake = nextWake(batchDeadline: batchDeadline), wake <= now else { return nil }
    guard probed != nil else {
      probed = now
      return .probe
    }
    guard isSilent else {
      isSilent = true
      nextLoss = now.adding(milliseconds: Self.pause)
      return .silent
    }
    isGone = true
    return .gone
  }

  /// When `due` will have something to say.
  package func nextWake(batchDeadline: MonotonicTime?) -> MonotonicTime? {
    guard isWatching, !isGone else { return nil }
    guard let probed else { return min(nextProbe, batchDeadline ?? nextProbe) }
    guard !isSilent else { return probed.adding(milliseconds: Self.lost) }
    var end = probed.adding(milliseconds: Self.patience)
    if let batchDeadline {
      // Both: the batch is late, and there was no echo for as long.
      end = min(end, max(probed.adding(milliseconds: Self.patienceWithBatch), batchDeadline))
    }
    return max(end, nextLoss)
  }
}
