import ControlAPI
import Enforcement

extension PromiseViolations {
  mutating func count(_ cause: EnforcementIncident.Cause) {
    switch cause {
    case .elementsAdded: strangers += 1
    case .elementsRemoved, .rulesChanged, .setRemoved, .tableRemoved: missing += 1
    // Nothing was seen to be missing.
    case .notificationsLost, .bridgeRestarted, .bridgeBroken, .bridgeGone, .bridgeSilent, .bridgeDisordered,
      .notShortened:
      break
    }
  }
}
