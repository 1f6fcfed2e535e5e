extension Exchange {
  /// A message that was sent, and what an answer to it must have.
  struct Attempt {
    var number: Int
    var candidate: Int
    var kind: TransportKind
    var id: UInt16
    /// In the case in which it was asked.
    var name: [UInt8]
    var isSpelled: Bool
    var cookie: [UInt8]
    var wrongAnswers = 0
  }

  /// What a message is to an attempt.
  enum Trust {
    case wrong
    /// All of it is right but the case, or a cookie is missing: what is asked again by another way will show.
    case unsure
    case answer
  }
}
