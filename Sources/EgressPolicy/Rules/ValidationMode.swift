/// What is asked of the signatures (DNSSEC) of a name's answers; the later, the stricter.
package enum ValidationMode: String, Comparable, CaseIterable, Sendable {
  case off
  /// What is signed must be signed rightly; what is shown to be unsigned is answered.
  case verify
  /// It must be signed, and rightly.
  case require

  package static func < (left: Self, right: Self) -> Bool { left.strictness < right.strictness }

  private var strictness: Int {
    switch self {
    case .off: 0
    case .verify: 1
    case .require: 2
    }
  }
}
