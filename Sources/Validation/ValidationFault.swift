/// Why an answer proves nothing, or less than it has to: `cause` of the events `bogus` and `unvalidated`.
package enum ValidationFault: UInt8, Error, Sendable, CaseIterable {
  // Of signatures.
  case unsigned = 1
  case expired
  case notYetValid
  case noKey
  case forged
  case wrongSigner
  case unsupported
  // Of what they sign.
  case malformed
  case notDenied
  case tooManyIterations
  case tooMuchWork
  // Of asking and judging.
  case unanswered
  case tooManyQuestions
  case validatorDown
  case overloaded

  /// The word for it in events.
  package var word: String {
    switch self {
    case .unsigned: "unsigned"
    case .expired: "expired"
    case .notYetValid: "not-yet-valid"
    case .noKey: "no-key"
    case .forged: "forged"
    case .wrongSigner: "wrong-signer"
    case .unsupported: "unsupported"
    case .malformed: "malformed"
    case .notDenied: "not-denied"
    case .tooManyIterations: "too-many-iterations"
    case .tooMuchWork: "too-much-work"
    case .unanswered: "keys-unanswered"
    case .tooManyQuestions: "too-many-questions"
    case .validatorDown: "validator-down"
    case .overloaded: "overloaded"
    }
  }

  /// Whether nothing was shown to be false: the answer could not be judged.
  package var isUndecided: Bool {
    switch self {
    case .unanswered, .tooManyQuestions, .validatorDown, .overloaded: true
    default: false
    }
  }
}
