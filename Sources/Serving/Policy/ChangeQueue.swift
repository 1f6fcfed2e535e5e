import FirewallModel

/// The changes that wait for their turn, in the order in which they came, each as often as it makes a difference.
struct ChangeQueue {
  typealias Change = PolicyChanges.Change

  private var waiting: [Change] = []
  /// The sets that the bridge told of last.
  private var reportedSets: [ServerSets]?

  /// - Parameter sets: those that are in force.
  init(sets: [ServerSets]?) { reportedSets = sets }

  /// The permits among them.
  var permitCount: Int { waiting.count(where: \.isPermit) }

  mutating func next() -> Change? { waiting.isEmpty ? nil : waiting.removeFirst() }

  /// - Returns: whether it makes a difference; else one that waits, or that was told before, says the same.
  mutating func add(_ change: Change) -> Bool {
    switch change.kind {
    case .files:
      // A reload that waits serves this caller as well; one that runs may have read what was there before.
      guard let index = waiting.firstIndex(where: { if case .files = $0.kind { true } else { false } }) else { break }
      waiting[index].callers += change.callers
      waiting[index].peer = waiting[index].peer ?? change.peer
      return false
    case .time:
      // One look at the clock, when its turn comes, serves all.
      if waiting.contains(where: { if case .time = $0.kind { true } else { false } }) { return false }
    case .remains:
      if waiting.contains(where: { if case .remains = $0.kind { true } else { false } }) { return false }
    case .sets(let sets):
      guard reportedSets != sets else { return false }
      reportedSets = sets
    case .permit, .withdraw: break
    }
    waiting.append(change)
    return true
  }
}
