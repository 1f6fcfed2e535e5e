/// A stretch of time in which the kernel may not have held what answers promised, or held more than that.
///
/// It begins with the first thing that went wrong and ends when the table is whole and everything promised is
/// committed again; whatever happens between belongs to it. Performs nothing; times are nanoseconds, passed in.
package struct EnforcementIncident: Sendable {
  /// What went wrong, as the audit event's `cause` says it.
  package enum Cause: String, Sendable {
    case elementsAdded = "elements-added"
    case elementsRemoved = "elements-removed"
    case rulesChanged = "rules-changed"
    case setRemoved = "set-removed"
    case tableRemoved = "table-removed"
    case notificationsLost = "notifications-lost"
    case bridgeRestarted = "bridge-restarted"
    case bridgeBroken = "bridge-broken"
    case bridgeGone = "bridge-gone"
    case bridgeSilent = "bridge-silent"
    /// It acknowledged what it was asked in another order.
    case bridgeDisordered = "bridge-disordered"
    /// What should end sooner is open for longer.
    case notShortened = "not-shortened"
  }

  /// An incident that is over.
  package struct Ended: Equatable, Sendable {
    package var cause: Cause
    package var milliseconds: UInt64
    /// How many times something went wrong.
    package var disturbances: Int
  }

  private var began: UInt64?
  private var cause = Cause.elementsRemoved
  private var disturbances = 0
  private var isWhole = true
  private var isCommitted = true
  /// Searches for elements without a promise, under way.
  private var searches = 0

  package init() {}

  package var isOpen: Bool { began != nil }

  /// Something went wrong; returns whether it begins an incident.
  ///
  /// - Parameter breaksTable: the table itself has to be put right, which `madeWhole` tells.
  package mutating func disturbed(_ cause: Cause, breaksTable: Bool, now: UInt64) -> Bool {
    disturbances += 1
    isCommitted = false
    if breaksTable { isWhole = false }
    guard began == nil else { return false }
    began = now
    self.cause = cause
    return true
  }

  /// The table is as it should be.
  package mutating func madeWhole() {
    isWhole = true
  }

  /// Everything that is promised was committed after the last disturbance.
  package mutating func recommitted() {
    isCommitted = true
  }

  /// Elements without a promise may be in the kernel: looked for until `removedForeignElements`.
  package mutating func foundForeignElements() {
    searches += 1
  }

  /// One search of those that `foundForeignElements` asked for has ended.
  package mutating func removedForeignElements() {
    searches -= 1
  }

  /// The end of the incident, once.
  package mutating func settle(now: UInt64) -> Ended? {
    guard let began, isWhole, isCommitted, searches == 0 else { return nil }
    let ended = Ended(
      cause: cause, milliseconds: (now &- min(began, now)) / 1_000_000, disturbances: disturbances)
    self.began = nil
    disturbances = 0
    return ended
  }
}
