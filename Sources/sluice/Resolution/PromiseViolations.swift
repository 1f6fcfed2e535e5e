import Resolver

/// How often it was seen that a promise did not hold, since the start: all of them stay 0 while all is well.
struct PromiseViolations: Sendable, Codable {
  /// P2: what was committed was not in the kernel any more: elements, sets, rules or the table were taken away.
  var missing: UInt64 = 0
  /// P2, P3: the kernel refused a connection to what was open by then.
  var refused: UInt64 = 0
  /// P4: elements were in the kernel that nobody was granted.
  var strangers: UInt64 = 0
  /// P6: damaged stretches of the audit rings.
  var unrecorded: UInt64 = 0

  /// With the promise that each is about.
  var kinds: [(promise: String, kind: String, count: UInt64)] {
    [
      ("P2", "missing", missing), ("P3", "refused", refused), ("P4", "strangers", strangers),
      ("P6", "unrecorded", unrecorded),
    ]
  }

  mutating func count(_ cause: EnforcementIncident.Cause) {
    switch cause {
    case .elementsAdded: strangers += 1
    case .elementsRemoved, .rulesChanged, .setRemoved, .tableRemoved: missing += 1
    // Nothing was seen to be missing.
    case .notificationsLost, .bridgeRestarted, .bridgeBroken, .bridgeGone, .bridgeSilent, .notShortened: break
    }
  }
}
