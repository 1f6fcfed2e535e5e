package import GrantLedger
package import LinuxIO

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

/// Groups commits: one batch is in flight, whatever arrives meanwhile joins the next. Performs nothing itself.
package struct CommitQueue: ~Copyable {
  package struct Limits: Sendable {
    /// Answers that may wait; far above what a deadline of 250 ms lets through a healthy bridge.
    package var waitingUnits = 4_096
    package var waitingGrants = 32_768
    /// Grants in one batch: small enough that nobody waits long for a stranger's batch.
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
  }

  private struct Unit {
    var identifier: UInt32
    var deadline: MonotonicTime
    var grants: [GrantCommit]
  }

  private struct Flight {
    var identifier: UInt32
    var plan: UInt64
    var units: [Unit]
    /// Of its first unit, whether somebody still waits for it or not.
    var deadline: MonotonicTime
  }

  private let limits: Limits
  private var isUp = false
  private var plan: UInt64
  private var waiting: [Unit] = []
  private var waitingGrants = 0
  private var flight: Flight?
  private var nextUnit: UInt32 = 0
  private var nextBatch: UInt32 = 0

  package init(plan: UInt64, limits: Limits = Limits()) {
    self.plan = plan
    self.limits = limits
  }

  package var unitCount: Int { waiting.count + (flight?.units.count ?? 0) }

  /// By when the bridge should have acknowledged what it holds; nil while it holds nothing.
  package var flightDeadline: MonotonicTime? { flight?.deadline }

  /// When the next unit becomes late.
  package var earliestDeadline: MonotonicTime? {
    let waiting = waiting.lazy.map(\.deadline).min()
    let flying = flight?.units.lazy.map(\.deadline).min()
    guard let waiting, let flying else { return waiting ?? flying }
    return min(waiting, flying)
  }

  /// Takes the grants of one answer, or says at once why not.
  package mutating func submit(
    _ grants: [GrantCommit], deadline: MonotonicTime
  ) -> Result<UInt32, CommitRefusal> {
    guard isUp else { return .failure(CommitRefusal(outcome: .unavailable)) }
    guard grants.count <= BridgeMessage.maximumGrants, waiting.count < limits.waitingUnits,
      waitingGrants + grants.count <= limits.waitingGrants
    else { return .failure(CommitRefusal(outcome: .refused(BridgeRefusal(.overloaded)))) }
    nextUnit &+= 1
    waiting.append(Unit(identifier: nextUnit, deadline: deadline, grants: grants))
    waitingGrants += grants.count
    return .success(nextUnit)
  }

  /// The next batch, when nothing is in flight and something waits.
  package mutating func next(now: MonotonicTime) -> Batch? {
    guard isUp, flight == nil, !waiting.isEmpty else { return nil }
    var taken = 0
    var grants = 0
    for unit in waiting {
      guard taken == 0 || grants + unit.grants.count <= limits.batchGrants else { break }
      taken += 1
      grants += unit.grants.count
    }
    nextBatch &+= 1
    waitingGrants -= grants
    let units = Array(waiting[..<taken])
    let flight = Flight(
      identifier: nextBatch, plan: plan, units: units, deadline: units.map(\.deadline).min() ?? now)
    waiting.removeFirst(taken)
    self.flight = flight
    return Self.batch(flight)
  }

  /// The bridge answered a batch.
  package mutating func answered(_ batch: UInt32, refused: [RefusedUnit]) -> [Finished] {
    guard let flight, flight.identifier == batch else { return [] }
    self.flight = nil
    guard !refused.isEmpty else {
      return flight.units.map { Finished(unit: $0.identifier, outcome: .committed) }
    }
    let refusals = Dictionary(refused.map { ($0.unit, $0.refusal) }, uniquingKeysWith: { first, _ in first })
    return flight.units.map { unit in
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

  /// A feeder greeted. The batch that its predecessor may have taken with it is sent again while its deadlines allow.
  package mutating func greeted(now: MonotonicTime) -> (finished: [Finished], resend: Batch?) {
    isUp = true
    let finished = expire(now: now)
    guard let flight, !flight.units.isEmpty else {
      self.flight = nil
      return (finished, nil)
    }
    nextBatch &+= 1
    let deadline = flight.units.map(\.deadline).min() ?? now
    let again = Flight(identifier: nextBatch, plan: flight.plan, units: flight.units, deadline: deadline)
    self.flight = again
    return (finished, Self.batch(again))
  }

  /// The bridge is gone.
  package mutating func down() -> [Finished] {
    isUp = false
    let finished = remove(.unavailable) { _ in true }
    flight = nil
    return finished
  }

  /// Another plan takes over: indices of the old one mean nothing to whoever still waits.
  package mutating func adopt(plan: UInt64) -> [Finished] {
    self.plan = plan
    let finished = waiting.map { Finished(unit: $0.identifier, outcome: .unavailable) }
    waiting.removeAll()
    waitingGrants = 0
    return finished
  }

  /// Elements were revoked: no unit that asked for one before may open it again.
  package mutating func revoke(_ elements: Set<GrantElement>) -> [Finished] {
    remove(.unavailable) { unit in unit.grants.contains { elements.contains($0.element) } }
  }

  private mutating func remove(_ outcome: CommitOutcome, where condition: (Unit) -> Bool) -> [Finished] {
    var finished: [Finished] = []
    waiting.removeAll { unit in
      guard condition(unit) else { return false }
      waitingGrants -= unit.grants.count
      finished.append(Finished(unit: unit.identifier, outcome: outcome))
      return true
    }
    flight?.units.removeAll { unit in
      guard condition(unit) else { return false }
      finished.append(Finished(unit: unit.identifier, outcome: outcome))
      return true
    }
    return finished
  }

  private static func batch(_ flight: Flight) -> Batch {
    let grants = flight.units.flatMap { unit in
      unit.grants.map { UnitGrant(unit: unit.identifier, commit: $0) }
    }
    return Batch(identifier: flight.identifier, plan: flight.plan, grants: grants)
  }
}

/// A commit that did not even begin to wait.
package struct CommitRefusal: Error, Hashable {
  package var outcome: CommitOutcome
}
