/// Decides when a helper process is started, asked whether it runs, and given up. Performs nothing itself.
///
///     waits ── time ─► runs ── asked, no echo within the tolerance ─► killed ─┐
///       ▲               │ └─── stopped for longer than a standstill ─► killed │
///       └── ended, after the delay of a row of short lives ◄──────────────────┘
///
/// Once its owner is gone none is started any more, and one that runs is left alone when it has shown that it does: one that
/// stands still would never see that its owner is gone.
package struct Supervisor: ~Copyable {
  /// What is to be done about the helper.
  package enum Action: Hashable, Sendable {
    case start
    case kill
    /// Ask the helper for an echo.
    case probe
  }

  /// Milliseconds.
  package struct Limits: Sendable {
    /// A helper that was stopped for so long is replaced; a debugger may only have stopped it for a moment.
    package var standstill: UInt64 = 1_000
    /// The first restart is immediate, the second waits for this, each further one twice as long as the one before.
    package var firstDelay: UInt64 = 50
    /// A helper that keeps failing costs no more than this rhythm.
    package var longestDelay: UInt64 = 2_000
    /// A helper that lived for so long was healthy: its successor starts at once.
    package var healthy: UInt64 = 10_000
    /// Between two questions.
    package var beat: UInt64 = 1_000
    /// A helper that gives no echo for so long does not run, whatever state the kernel tells of it.
    package var tolerance: UInt64 = 5_000
    /// One that is only slow must come to an end some time: each time it is given twice as long, up to this.
    package var longestTolerance: UInt64 = 60_000

    package init() {}
  }

  private struct Run {
    let startedAt: MonotonicTime
    /// nil once it was given up.
    var probeAt: MonotonicTime?
    /// While a question has no echo.
    var silentAt: MonotonicTime?
    /// While it stands still.
    var killAt: MonotonicTime?
    /// Whether it was asked since its owner is gone.
    var isAskedToLeave = false
  }

  private enum State {
    case waits(until: MonotonicTime)
    case runs(Run)
    /// Nothing is to be done any more.
    case left
  }

  private let limits: Limits
  private var state: State
  private var delay: UInt64 = 0
  private var tolerance: UInt64
  private var isLeaving = false

  /// - Parameter now: when the first one is started.
  package init(_ limits: Limits = Limits(), now: MonotonicTime) {
    self.limits = limits
    state = .waits(until: now)
    tolerance = limits.tolerance
  }

  /// When `due` will have something to say.
  package var nextWake: MonotonicTime? {
    switch state {
    case .waits(let start): start
    case .runs(let run): [run.killAt, run.probeAt, run.silentAt].compactMap(\.self).min()
    case .left: nil
    }
  }

  /// Whether nothing is to be done any more.
  package var hasLeft: Bool {
    if case .left = state { true } else { false }
  }

  /// Its owner is gone: what it keeps is left alone once it has shown that it runs.
  package mutating func leave(_ now: MonotonicTime) {
    guard !isLeaving else { return }
    isLeaving = true
    // An echo of what was asked before says nothing of now.
    if case .waits = state { state = .left }
    change { ($0.probeAt, $0.silentAt) = (now, nil) }
  }

  /// What is to be done now; each action is returned once.
  package mutating func due(_ now: MonotonicTime) -> Action? {
    switch state {
    case .waits(let start):
      guard start <= now else { return nil }
      state = .runs(Run(startedAt: now, probeAt: now.adding(milliseconds: limits.beat)))
      return .start
    case .runs(var run):
      defer { state = .runs(run) }
      return due(&run, now)
    case .left: return nil
    }
  }

  private mutating func due(_ run: inout Run, _ now: MonotonicTime) -> Action? {
    if let kill = run.killAt, kill <= now {
      run.killAt = nil
      return .kill
    }
    if let silent = run.silentAt, silent <= now {
      (run.silentAt, run.probeAt) = (nil, nil)
      tolerance = min(tolerance * 2, limits.longestTolerance)
      return .kill
    }
    if let probe = run.probeAt, probe <= now {
      run.probeAt = now.adding(milliseconds: limits.beat)
      run.silentAt = run.silentAt ?? now.adding(milliseconds: tolerance)
      run.isAskedToLeave = isLeaving
      return .probe
    }
    return nil
  }

  /// The helper gave an echo.
  package mutating func heard() {
    if case .runs(let run) = state, run.isAskedToLeave, run.killAt == nil { state = .left }
    change { $0.silentAt = nil }
  }

  /// The helper ended, or could not be started.
  package mutating func ended(_ now: MonotonicTime) {
    if case .runs(let run) = state, now >= run.startedAt.adding(milliseconds: limits.healthy) { delay = 0 }
    guard !isLeaving else { return state = .left }
    state = .waits(until: now.adding(milliseconds: delay))
    delay = delay == 0 ? limits.firstDelay : min(delay * 2, limits.longestDelay)
  }

  /// The helper was stopped by a signal: it is given up when it is not continued within a standstill.
  package mutating func stopped(_ now: MonotonicTime) {
    let end = now.adding(milliseconds: limits.standstill)
    change { $0.killAt = $0.killAt ?? end }
  }

  /// The helper was continued by a signal.
  package mutating func continued() {
    change { $0.killAt = nil }
  }

  private mutating func change(_ body: (inout Run) -> Void) {
    guard case .runs(var run) = state else { return }
    body(&run)
    state = .runs(run)
  }
}
