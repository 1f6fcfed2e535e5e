/// How many questions may be asked of a second upstream early: one in ten, and some at once where there were few before. A slow
/// network must not double what is sent by it.
struct HedgeBudget {
  /// What each question adds and an early second message takes.
  private static let (gain, price, most) = (1, 10, 200)

  private var credit = Self.most

  var isLeft: Bool { credit >= Self.price }

  /// A question was asked.
  mutating func asked() { credit = min(credit + Self.gain, Self.most) }

  /// A second upstream was asked early.
  mutating func hedged() { credit -= Self.price }
}
