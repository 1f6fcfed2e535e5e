/// Holds what the bridge acknowledges against the order in which it was asked.
///
/// The bridge does one thing after the other, and says so in that order: what is opened after a revocation stays open, what
/// is revoked after an opening stays closed, and room is made before it is used. P2 and P3 rest on it. Performs nothing.
package struct BridgeOrder {
  /// What is acknowledged: a batch of grants, or a request, each by its number.
  package enum Work: Hashable, Sendable {
    case batch(UInt32)
    case request(UInt32)
  }

  private struct Sent {
    var work: Work
    /// It is begun in its turn, and what comes after it may be done first.
    var mayBeLate: Bool
    /// A worker that is gone may have taken it along, or have done it without saying so.
    var mayBeLost = false
  }

  /// Oldest first; what has no acknowledgement yet.
  private var sent: [Sent] = []
  /// The newest batch that was held for lost. What takes its own time may be acknowledged after later work, so that the
  /// successor's acknowledgement is taken for a first one, and a batch of the predecessor still comes.
  private var newestLostBatch: UInt32?

  package init() {}

  package var count: Int { sent.count }

  /// It was handed to the bridge.
  ///
  /// - Parameter mayBeLate: something of it takes its own time; never is it done before what the bridge was asked before it.
  package mutating func send(_ work: Work, mayBeLate: Bool = false) {
    sent.append(Sent(work: work, mayBeLate: mayBeLate))
  }

  /// A new worker is at work: of what its predecessor was asked nothing has to come, and all of it may.
  package mutating func restarted() {
    for index in sent.indices { sent[index].mayBeLost = true }
  }

  /// The bridge has done it, or refused it; false where something that it was asked before is not done yet, or where it was
  /// not asked.
  package mutating func acknowledged(_ work: Work) -> Bool {
    guard let index = sent.firstIndex(where: { $0.work == work }) else { return wasLost(work) }
    let isNext = sent[..<index].allSatisfy { $0.mayBeLost || $0.mayBeLate }
    let mayBeLost = sent.remove(at: index).mayBeLost
    // What a predecessor was asked comes before everything that this one was asked, or not at all.
    if isNext {
      let lost = ..<(sent[..<index].firstIndex { !$0.mayBeLost } ?? index)
      for case .batch(let batch) in sent[lost].map(\.work) { newestLostBatch = max(newestLostBatch ?? 0, batch) }
      sent.removeSubrange(lost)
    }
    // Which of those that are alike it was for is not known: the others may come, and need not.
    if mayBeLost { for again in sent.indices where sent[again].work == work { sent[again].mayBeLost = true } }
    return isNext
  }

  /// Whether it is a batch that a predecessor was asked: it was sent again under another number, and nothing comes of this
  /// acknowledgement.
  private func wasLost(_ work: Work) -> Bool {
    guard case .batch(let batch) = work, let newestLostBatch else { return false }
    return batch <= newestLostBatch
  }
}
