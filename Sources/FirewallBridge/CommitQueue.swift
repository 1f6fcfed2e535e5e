package import FirewallModel
package import GrantLedger
package import LinuxIO
import Sharing

/// What became of the grants of one answer.
package enum CommitOutcome: Hashable, Sendable {
  /// The kernel acknowledged every element.
  case committed
  case refused(BridgeRefusal)
  /// The deadline passed first; the kernel may have the elements all the same.
  case late
  /// The bridge is away, or holds another plan.
  case unavailable
}

/// Groups commits: one batch is under way, whatever arrives meanwhile joins the next. Performs nothing itself.
///
/// What waits is shared out among servers (see `Shares`), and they take turns in every batch, so that the answers of one
/// server, however many and large they are, do not make another's late. What an answer evicts waits and goes with it.
package struct CommitQueue: ~Copyable {
  /// How much may wait, and how much goes at once.
  package struct Limits: Sendable {
    /// Grants of all answers that may wait; far above what a deadline of 250 ms lets through a healthy bridge.
    package var waitingGrants = 32_768
    /// What an answer counts at least, so that no more than 4,096 wait.
    package var leastWeight = 8
    /// Grants in one batch: small enough that no unit waits long for another server's batch.
    package var batchGrants = 512

    package init() {}
  }

  /// A finished unit and what became of it.
  package struct Finished: Hashable, Sendable {
    package var unit: UInt32
    package var outcome: CommitOutcome

    package init(unit: UInt32, outcome: CommitOutcome) {
      self.unit = unit
      self.outcome = outcome
    }
  }

  /// A batch to be sent now.
  package struct Batch: Hashable, Sendable {
    package var identifier: UInt32
    package var plan: UInt64
    package var grants: [UnitGrant]
    /// What has to be closed before, so that there is room.
    package var evictions: [GrantElement] = []
  }

  private struct Unit {
    var identifier: UInt32
    var deadline: MonotonicTime
    var grants: [GrantCommit]
    var evictions: [GrantElement]
    /// The server whose grants these are; nil where they are of several.
    var server: UInt16?
    /// Its slot in `shares`, while it waits.
    var slot: Shares<UInt16?>.Slot

    /// How much work it is.
    var size: Int { grants.count + evictions.count }
  }

  private struct SentBatch {
    var identifier: UInt32
    var plan: UInt64
    var units: [Unit]
    /// Of its first unit, whether an answer still waits for it or not.
    var deadline: MonotonicTime
  }

  private let limits: Limits
  private var isUp = false
  private var plan: UInt64
  private var waiting: [Unit] = []
  private var waitingSize = 0
  /// Evictions of answers that went before them.
  private var leftEvictions: Set<GrantElement> = []
  private var shares: Shares<UInt16?>
  private var sent: SentBatch?
  /// Whose answers were in the last batch, where not all went with it.
  private var hadLastTurn: Set<UInt16?> = []
  private var nextUnit: UInt32 = 0
  private var nextBatch: UInt32 = 0

  package init(plan: UInt64, limits: Limits = Limits()) {
    self.plan = plan
    self.limits = limits
    // A unit has its deadline: a server that has its share waits for that, and none of its own gives way.
    shares = Shares(capacity: limits.waitingGrants, leastAge: .max)
  }

  /// Units that are in no batch yet.
  package var waitingCount: Int { waiting.count }

  package var unitCount: Int { waiting.count + (sent?.units.count ?? 0) }

  /// By when the bridge should have acknowledged what it holds; nil while it holds nothing.
  package var sentDeadline: MonotonicTime? { sent?.deadline }

  /// When the next unit becomes late.
  package var earliestDeadline: MonotonicTime? {
    let waiting = waiting.lazy.map(\.deadline).min()
    let flying = sent?.units.lazy.map(\.deadline).min()
    guard let waiting, let flying else { return waiting ?? flying }
    return min(waiting, flying)
  }

  /// Ends what has to go so that these grants may wait: the oldest units of the server that has most of them waiting.
  package mutating func makeRoom(for grants: [GrantCommit], evicting evictions: [GrantElement] = []) -> [Finished] {
    var displaced: [Finished] = []
    let (server, weight) = (Self.server(of: grants), weight(grants, evictions))
    while case .displacing(let slot) = shares.admission(of: server, weight: weight, now: 0) {
      displaced += remove(Self.overloaded) { $0.slot == slot }
    }
    return displaced
  }

  /// Takes the grants of one answer, or says at once why not.
  ///
  /// - Parameter evictions: elements that make room for them. They are closed in any case, whatever becomes of the grants.
  package mutating func submit(
    _ grants: [GrantCommit], evicting evictions: [GrantElement] = [], deadline: MonotonicTime
  ) -> Result<UInt32, CommitRefusal> {
    guard isUp else {
      leave(evictions)
      return .failure(CommitRefusal(outcome: .unavailable))
    }
    let (server, weight) = (Self.server(of: grants), weight(grants, evictions))
    guard grants.count <= BridgeMessage.maximumGrants,
      case .free = shares.admission(of: server, weight: weight, now: 0)
    else {
      leave(evictions)
      return .failure(CommitRefusal(outcome: Self.overloaded))
    }
    nextUnit &+= 1
    let slot = shares.enter(server, weight: weight, now: 0)
    // What is open again must not be closed on account of an earlier answer.
    if !leftEvictions.isEmpty { for grant in grants { leftEvictions.remove(grant.element) } }
    let unit = Unit(
      identifier: nextUnit, deadline: deadline, grants: grants, evictions: evictions, server: server, slot: slot)
    waiting.append(unit)
    waitingSize += unit.size
    return .success(nextUnit)
  }

  /// Takes evictions that no answer waits for.
  package mutating func leave(_ evictions: [GrantElement]) { leftEvictions.formUnion(evictions) }

  /// Evictions to be sent now, while nothing else is; as many as a batch has.
  package mutating func nextEvictions() -> [GrantElement] {
    guard isUp, sent == nil, waiting.isEmpty else { return [] }
    return takeLeft()
  }

  private mutating func takeLeft() -> [GrantElement] {
    let taken = Array(leftEvictions.prefix(limits.batchGrants))
    leftEvictions.subtract(taken)
    return taken
  }

  private static let overloaded = CommitOutcome.refused(BridgeRefusal(.overloaded))

  private func weight(_ grants: [GrantCommit], _ evictions: [GrantElement]) -> Int {
    max(grants.count + evictions.count, limits.leastWeight)
  }

  private static func server(of grants: [GrantCommit]) -> UInt16? {
    guard let server = grants.first?.element.server else { return nil }
    return grants.allSatisfy { $0.element.server == server } ? server : nil
  }

  /// The next batch, when nothing is under way and something waits.
  package mutating func nextBatch(now: MonotonicTime) -> Batch? {
    guard sent == nil, !waiting.isEmpty else { return nil }
    nextBatch &+= 1
    let units = take()
    let sent = SentBatch(
      identifier: nextBatch, plan: plan, units: units, deadline: units.map(\.deadline).min() ?? now)
    self.sent = sent
    var batch = Self.batch(sent)
    batch.evictions = takeLeft() + units.flatMap(\.evictions)
    return batch
  }

  /// Takes what goes with the next batch: the oldest unit of each server, then the next of each, as far as they fit.
  private mutating func take() -> [Unit] {
    var taken: [Unit] = []
    if waitingSize <= limits.batchGrants {
      hadLastTurn = []
      swap(&taken, &waiting)
    } else {
      var size = 0
      for index in order() {
        guard taken.isEmpty || size + waiting[index].size <= limits.batchGrants else { break }
        size += waiting[index].size
        taken.append(waiting[index])
      }
      hadLastTurn = Set(taken.map(\.server))
      let slots = Set(taken.map(\.slot))
      waiting.removeAll { slots.contains($0.slot) }
    }
    for unit in taken { left(unit) }
    return taken
  }

  /// The turns of what waits. Grants of several servers overtake nothing and are overtaken by nothing: they may be about
  /// the same elements as others that wait.
  private func order() -> [Int] {
    guard let first = waiting.first, first.server != nil else { return [0] }
    var turns = Turns<UInt16?, Int>()
    let own = waiting.indices.prefix(while: { waiting[$0].server != nil })
    // Where one answer fills a batch, the next one begins with the others.
    for hadTurn in [false, true] {
      for index in own where hadLastTurn.contains(waiting[index].server) == hadTurn {
        turns.append(index, of: waiting[index].server)
      }
    }
    var order: [Int] = []
    while let index = turns.next(), order.count < limits.batchGrants { order.append(index) }
    return order
  }

  /// A unit waits no more.
  private mutating func left(_ unit: Unit) {
    waitingSize -= unit.size
    shares.leave(unit.slot)
  }

  /// The bridge answered a batch.
  package mutating func answered(_ batch: UInt32, refused: [RefusedUnit]) -> [Finished] {
    guard let sent, sent.identifier == batch else { return [] }
    self.sent = nil
    guard !refused.isEmpty else {
      return sent.units.map { Finished(unit: $0.identifier, outcome: .committed) }
    }
    let refusals = Dictionary(refused.map { ($0.unit, $0.refusal) }, uniquingKeysWith: { first, _ in first })
    return sent.units.map { unit in
      guard let refusal = refusals[unit.identifier] else {
        return Finished(unit: unit.identifier, outcome: .committed)
      }
      let outcome: CommitOutcome = refusal.reason == .otherPlan ? .unavailable : .refused(refusal)
      return Finished(unit: unit.identifier, outcome: outcome)
    }
  }

  /// Time passed: units beyond their deadline are late, wherever they are.
  package mutating func expire(now: MonotonicTime) -> [Finished] {
    remove(.late) { $0.deadline <= now }
  }

  /// A worker greeted. The batch that its predecessor may have taken with it is sent again while its deadlines allow.
  package mutating func greeted(now: MonotonicTime) -> (finished: [Finished], resend: Batch?) {
    isUp = true
    let finished = expire(now: now)
    guard let sent, !sent.units.isEmpty else {
      self.sent = nil
      return (finished, nil)
    }
    nextBatch &+= 1
    let deadline = sent.units.map(\.deadline).min() ?? now
    let again = SentBatch(identifier: nextBatch, plan: sent.plan, units: sent.units, deadline: deadline)
    self.sent = again
    return (finished, Self.batch(again))
  }

  /// The bridge is gone.
  package mutating func down() -> [Finished] {
    isUp = false
    let finished = remove(.unavailable) { _ in true }
    sent = nil
    return finished
  }

  /// Another plan takes over: indices of the old one mean nothing to the units that still wait.
  ///
  /// - Returns: also the elements that were to be closed and have not been.
  package mutating func switchPlan(to plan: UInt64) -> (finished: [Finished], unclosed: [GrantElement]) {
    self.plan = plan
    let unclosed = Array(leftEvictions) + waiting.flatMap(\.evictions)
    leftEvictions = []
    let finished = waiting.map { Finished(unit: $0.identifier, outcome: .unavailable) }
    for unit in waiting { left(unit) }
    waiting.removeAll()
    return (finished, unclosed)
  }

  /// Elements were revoked: no unit that asked for one before may open it again.
  package mutating func revoke(_ elements: Set<GrantElement>) -> [Finished] {
    remove(.unavailable) { unit in unit.grants.contains { elements.contains($0.element) } }
  }

  private mutating func remove(_ outcome: CommitOutcome, where condition: (Unit) -> Bool) -> [Finished] {
    var finished: [Finished] = []
    var unclosed: [GrantElement] = []
    for unit in waiting where condition(unit) {
      left(unit)
      unclosed += unit.evictions
      finished.append(Finished(unit: unit.identifier, outcome: outcome))
    }
    if !finished.isEmpty { waiting.removeAll(where: condition) }
    if !unclosed.isEmpty {
      let asked = Set(waiting.flatMap { $0.grants.map(\.element) })
      leave(unclosed.filter { !asked.contains($0) })
    }
    sent?.units.removeAll { unit in
      guard condition(unit) else { return false }
      finished.append(Finished(unit: unit.identifier, outcome: outcome))
      return true
    }
    return finished
  }

  private static func batch(_ sent: SentBatch) -> Batch {
    let grants = sent.units.flatMap { unit in
      unit.grants.map { UnitGrant(unit: unit.identifier, commit: $0) }
    }
    return Batch(identifier: sent.identifier, plan: sent.plan, grants: grants)
  }
}

/// A commit that did not even begin to wait.
package struct CommitRefusal: Error, Hashable {
  package var outcome: CommitOutcome
}
