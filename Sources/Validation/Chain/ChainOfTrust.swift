package import DNSWire

/// Finds the keys of an answer's zones, from a trust anchor down, and has the answer judged by them (RFC 4035 section 5).
///
///     begin ──► ask DS or DNSKEY ──► answered ──► judge ──► judged ──► … ──► judge the answer ──► judged ──► finish
///        │                             │                       │
///        └── finish: no zone signs     └── finish: no keys     └── finish: bogus
///
/// A state machine without I/O on one thread: what is found is kept for the server that asked, so that no server sees by the time
/// of an answer what another one asks for. Questions that are in flight already are joined.
package struct ChainOfTrust {
  /// The server for which something is found, by the firewall's index.
  package typealias Owner = UInt16
  /// An answer that is to be judged, as its owner names it.
  package typealias Ticket = UInt64
  /// A judgement that is waited for.
  package typealias Case = UInt64

  /// What is asked upstream: DS or DNSKEY of a zone above an answer's names (P1, P5).
  package struct Step: Hashable, Sendable {
    package let owner: Owner
    package let name: Name
    package let type: RRType
  }

  /// What came of an answer.
  package enum Outcome: Equatable, Sendable {
    /// Seconds for which it is shown.
    case secure(ttl: UInt32)
    case unsigned
    case failed(ValidationFault)
  }

  /// What is to be done.
  package enum Action: Sendable {
    case ask(Step)
    case judge(Case, Judgement, owner: Owner)
    case finish(Ticket, Outcome)
  }

  /// Questions for one answer, those included that were in flight for others: a chain through five zones of three labels has as
  /// many.
  package static let maxQuestions = 16
  /// Nanoseconds from an answer's coming on after which no further question is asked for it: who asked has given up by then.
  private static let patience: UInt64 = 8_000_000_000
  /// Seconds that what was found is kept at most.
  private static let maxTTL: UInt32 = 3600
  /// Seconds for which it is not tried again what failed.
  private static let failureTTL: UInt32 = 5

  /// An answer of upstream, and to which question of which server.
  package struct Answer {
    package var owner: Owner
    package var name: Name
    package var type: RRType
    package var message: [UInt8]

    package init(to name: Name, _ type: RRType, of owner: Owner, message: [UInt8]) {
      (self.owner, self.name, self.type, self.message) = (owner, name, type, message)
    }
  }

  private struct Walk {
    let answer: Answer
    let parts: [AnswerParts.Part]
    let since: UInt64
    var facts: [Step: Fact] = [:]
    var questions = 0
  }

  /// A question that was asked, or its answer that is judged.
  private struct Search {
    let question: Judgement.Question
    var waiting: [Ticket]
  }

  private enum Matter {
    case step(Step)
    case answer(Ticket)
  }

  private let anchors: [Name: [DelegationSigner]]
  private var memory: FactMemory
  private var walks: [Ticket: Walk] = [:]
  private var searches: [Step: Search] = [:]
  private var cases: [Case: Matter] = [:]
  private var nextCase: Case = 1

  /// - Parameter anchors: what the operator trusts, by zone.
  package init(anchors: [Name: [DelegationSigner]]) {
    self.anchors = anchors
    memory = FactMemory()
  }

  /// Answers that wait.
  package var count: Int { walks.count }

  /// An answer came. Each ticket is finished once, now or later.
  ///
  /// - Parameters:
  ///   - now: nanoseconds of a clock that is never set.
  ///   - wall: seconds since 1970.
  package mutating func begin(_ ticket: Ticket, _ answer: Answer, now: UInt64, wall: UInt32) -> [Action] {
    do throws(ValidationFault) {
      let parts = try AnswerParts(answer.message.span, name: answer.name, type: answer.type).parts
      walks[ticket] = Walk(answer: answer, parts: parts, since: now)
    } catch {
      return [.finish(ticket, .failed(error))]
    }
    return advance(ticket, now: now, wall: wall)
  }

  /// Upstream answered a step; nil: it did not.
  package mutating func answered(_ step: Step, _ message: [UInt8]?, now: UInt64, wall: UInt32) -> [Action] {
    guard let search = searches[step] else { return [] }
    guard let message else { return found(.failed(.unanswered), step, ttl: Self.failureTTL, now: now, wall: wall) }
    return [judge(search.question, message, .step(step), for: step.owner, wall: wall)]
  }

  /// The validator answered; or did not, and the verdict is why.
  package mutating func judged(_ number: Case, _ verdict: Verdict, now: UInt64, wall: UInt32) -> [Action] {
    switch cases.removeValue(forKey: number) {
    case nil: return []
    case .answer(let ticket):
      walks[ticket] = nil
      switch verdict {
      case .secure(let ttl): return [.finish(ticket, .secure(ttl: ttl))]
      case .unsigned: return [.finish(ticket, .unsigned)]
      case .bogus(let fault): return [.finish(ticket, .failed(fault))]
      case .keys, .delegated, .noCut: return [.finish(ticket, .failed(.malformed))]
      }
    case .step(let step):
      switch verdict {
      case .keys(let records, let ttl):
        return found(.keys(ZoneKeys(zone: step.name, records: records)), step, ttl: ttl, now: now, wall: wall)
      case .delegated(let signers, let ttl): return found(.delegated(signers), step, ttl: ttl, now: now, wall: wall)
      case .noCut(let ttl): return found(.noCut, step, ttl: ttl, now: now, wall: wall)
      case .unsigned(let ttl): return found(.unsigned, step, ttl: ttl, now: now, wall: wall)
      case .bogus(let fault): return found(.failed(fault), step, ttl: Self.failureTTL, now: now, wall: wall)
      case .secure: return found(.failed(.malformed), step, ttl: Self.failureTTL, now: now, wall: wall)
      }
    }
  }

  /// Forgets what was found: another clock, or another upstream.
  package mutating func forget() { memory = FactMemory() }

  private mutating func judge(
    _ question: Judgement.Question, _ message: [UInt8], _ matter: Matter, for owner: Owner, wall: UInt32
  ) -> Action {
    let number = nextCase
    nextCase += 1
    cases[number] = matter
    return .judge(number, Judgement(question, message: message, now: wall), owner: owner)
  }

  private mutating func found(_ fact: Fact, _ step: Step, ttl: UInt32, now: UInt64, wall: UInt32) -> [Action] {
    let waiting = searches.removeValue(forKey: step)?.waiting ?? []
    // What failed for want of the validator is no finding about the zone.
    let isFinding = if case .failed(let fault) = fact { fault != .validatorDown && fault != .overloaded } else { true }
    if isFinding { memory.keep(fact, of: step, seconds: min(ttl, Self.maxTTL), now: now) }
    var actions: [Action] = []
    for ticket in waiting {
      walks[ticket]?.facts[step] = fact
      actions += advance(ticket, now: now, wall: wall)
    }
    return actions
  }

  // MARK: - One answer

  private mutating func advance(_ ticket: Ticket, now: UInt64, wall: UInt32) -> [Action] {
    guard let walk = walks[ticket] else { return [] }
    var (zones, unsigned): ([ZoneKeys], [Name]) = ([], [])
    for part in walk.parts {
      // Who signs above an anchor has no say below it.
      if let signer = part.signer, let anchor = anchor(of: part.name), !signer.isSubdomain(of: anchor) {
        return finish(ticket, .failed(.wrongSigner))
      }
      switch reach(part.signer ?? part.name, walk, now: now) {
      case .missing where now - walk.since > Self.patience: return finish(ticket, .failed(.unanswered))
      case .missing(let step, let question): return need(step, question, for: ticket)
      case .unsigned(let name): if !unsigned.contains(name) { unsigned.append(name) }
      case .failed(let fault): return finish(ticket, .failed(fault))
      case .zone(let keys) where part.signer == keys.zone:
        if !zones.contains(where: { $0.zone == keys.zone }) { zones.append(keys) }
      case .zone: return finish(ticket, .failed(part.signer == nil ? .unsigned : .wrongSigner))
      }
    }
    guard !zones.isEmpty else { return finish(ticket, .unsigned) }
    let question = Judgement.Question.answer(
      name: walk.answer.name, type: walk.answer.type, zones: zones, unsigned: unsigned)
    return [judge(question, walk.answer.message, .answer(ticket), for: walk.answer.owner, wall: wall)]
  }

  private mutating func finish(_ ticket: Ticket, _ outcome: Outcome) -> [Action] {
    walks[ticket] = nil
    return [.finish(ticket, outcome)]
  }

  private mutating func need(_ step: Step, _ question: Judgement.Question, for ticket: Ticket) -> [Action] {
    walks[ticket]?.questions += 1
    guard let count = walks[ticket]?.questions, count <= Self.maxQuestions else {
      return finish(ticket, .failed(.tooManyQuestions))
    }
    if searches[step] != nil {
      searches[step]?.waiting.append(ticket)
      return []
    }
    searches[step] = Search(question: question, waiting: [ticket])
    return [.ask(step)]
  }

  private enum Reached {
    case missing(Step, Judgement.Question)
    /// The zone in which the goal lies; it is the goal where a signed zone begins there.
    case zone(ZoneKeys)
    /// From this name on nothing is signed.
    case unsigned(Name)
    case failed(ValidationFault)
  }

  /// The closest anchor at or above a name.
  private func anchor(of name: Name) -> Name? {
    anchors.keys.filter(name.isSubdomain(of:)).max { $0.labelCount < $1.labelCount }
  }

  /// Goes down from the closest anchor to `goal`, as far as it is known.
  private func reach(_ goal: Name, _ walk: Walk, now: UInt64) -> Reached {
    guard let anchor = anchor(of: goal) else { return .unsigned(.root) }
    var (zone, signers, at) = (anchor, anchors[anchor] ?? [], anchor)
    while true {
      let step = Step(owner: walk.answer.owner, name: zone, type: .DNSKEY)
      guard let fact = walk.facts[step] ?? memory.fact(of: step, now: now) else {
        return .missing(step, .keys(zone: zone, signers: signers))
      }
      switch fact {
      case .unsigned: return .unsigned(zone)
      case .failed(let fault): return .failed(fault)
      case .noCut, .delegated: return .failed(.malformed)
      case .keys(let keys):
        switch descend(from: &at, to: goal, keys, walk, now: now) {
        case .next(let delegated): (zone, signers) = (at, delegated)
        case .ends(let reached): return reached
        }
      }
    }
  }

  private enum Descent {
    case next([DelegationSigner])
    case ends(Reached)
  }

  /// Goes down in one zone, to its next cut.
  private func descend(
    from at: inout Name, to goal: Name, _ keys: ZoneKeys, _ walk: Walk, now: UInt64
  ) -> Descent {
    while at != goal {
      guard let next = goal.suffix(labels: at.labelCount + 1) else { break }
      let step = Step(owner: walk.answer.owner, name: next, type: .DS)
      guard let fact = walk.facts[step] ?? memory.fact(of: step, now: now) else {
        return .ends(.missing(step, .delegation(of: next, parent: keys)))
      }
      at = next
      switch fact {
      case .noCut: continue
      case .delegated(let signers): return .next(signers)
      case .unsigned: return .ends(.unsigned(next))
      case .failed(let fault): return .ends(.failed(fault))
      case .keys: return .ends(.failed(.malformed))
      }
    }
    return .ends(.zone(keys))
  }
}
