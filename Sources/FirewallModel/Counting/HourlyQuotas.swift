/// When each destination's hour began: its quota lasts until the hour is over, however often the grant is renewed.
package struct HourlyQuotas {
  /// What is to be done about an element when its grant is committed.
  package struct Step: Equatable {
    package var lifetimeMilliseconds: UInt64
    /// The hour is over: the quota begins again.
    package var startsAnew: Bool
  }

  private static let hour: UInt64 = 3_600_000_000_000
  private static let millisecond: UInt64 = 1_000_000

  private var windows: [SetReference: (start: UInt64, end: UInt64)] = [:]
  private var nextSweep: UInt64 = 0

  package init() {}

  /// What a commit for `lifetime` milliseconds takes; nil when the element stands as it should.
  package func step(_ reference: SetReference, lifetime: UInt64, now: UInt64) -> Step? {
    // The element outlives its hour and its grant by far: a connection that it bounds may live on without a grant.
    let whole = 24 * Self.hour / Self.millisecond &+ lifetime
    guard let window = windows[reference], window.end > now else {
      return Step(lifetimeMilliseconds: whole, startsAnew: false)
    }
    guard now < window.start &+ Self.hour else { return Step(lifetimeMilliseconds: whole, startsAnew: true) }
    guard window.end < now &+ lifetime &* Self.millisecond else { return nil }
    return Step(lifetimeMilliseconds: whole, startsAnew: false)
  }

  /// The kernel took the element; nanoseconds.
  package mutating func opened(_ reference: SetReference, until end: UInt64, anew: Bool, now: UInt64) {
    if !anew, let window = windows[reference], window.end > now {
      windows[reference] = (window.start, max(window.end, end))
    } else {
      windows[reference] = (now, end)
    }
    guard now >= nextSweep else { return }
    // Once an hour: what has ended is forgotten.
    nextSweep = now &+ Self.hour
    windows = windows.filter { $0.value.end > now }
  }
}
