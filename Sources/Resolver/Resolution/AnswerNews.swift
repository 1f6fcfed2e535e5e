import AuditLog
import DNSWire
import EgressPolicy
import GrantLedger
import ResponseCache

/// What the audit log is told of answers, and what it was told before (P6): a name that is new under a pattern is told whatever
/// policy leaves out, and that a name's families differ is told once.
struct AnswerNews {
  typealias Event = ResolutionEngine.Event
  typealias Resolution = ResolutionEngine.Resolution

  private var seen = SeenNames()
  /// Names of which it was told that their families differ.
  private var differing = SeenNames()

  /// What is recorded of an answer that is no news, where every answer is recorded.
  static func ofEveryAnswer(to question: PendingQuery) -> Event? {
    question.snapshot.rules.allowedEvents == .all ? Event(code: .answered, members: AuditMembers(), once: false) : nil
  }

  /// What is recorded of an answer that upstream has just given.
  mutating func event(of resolution: Resolution, _ answer: ScrubbedAnswer, now: UInt64) -> Event? {
    let question = resolution.question
    let opened = resolution.plan.map { !$0.commits.isEmpty } ?? false
    guard let rule = resolution.rule else { return Self.ofEveryAnswer(to: question) }
    // A name under a pattern carries what the server chose to put into it.
    let isNew =
      rule.pattern.kind != .exact
      && seen.isNew(question.name, server: question.state.name, pattern: rule.pattern, now: now)
    switch question.snapshot.rules.allowedEvents {
    case .none where !isNew: return nil
    case .grants where !opened && !isNew: return nil
    case .none, .grants, .all: break
    }
    let lifetime = resolution.plan?.commits.map(\.lifetimeMilliseconds).max() ?? 0
    let members = EventMembers.allowed(answer, rule: rule, lifetime: lifetime / 1000, upstream: resolution.upstream)
    return Event(
      code: opened ? .granted : .answered, members: members, once: opened,
      further: opened && question.snapshot.rules.allowedEvents == .all ? .answered : nil)
  }

  /// Told once of a name of which upstream has addresses of one family, and says of the other that there is no such name:
  /// where a client asks for both, one of the answers may cost it the other (musl does so).
  mutating func difference(of resolution: Resolution, _ answer: ScrubbedAnswer, now: UInt64) -> Event? {
    let (name, question) = (resolution.key.name.wire, resolution.question)
    guard let rule = resolution.rule,
      let type = question.type.otherFamily, answer.responseCode == .NXDOMAIN || !answer.addresses.isEmpty,
      let other = question.state.cache.head(name.span, type, now: now), other.cause == 0
    else { return nil }
    // An answer with an SOA has no addresses, but at most a chain.
    let isDifferent =
      answer.responseCode == .NXDOMAIN
      ? other.responseCode == .NOERROR && other.answerCount > 0 && other.authorityCount == 0
      : other.responseCode == .NXDOMAIN
    guard isDifferent,
      differing.isNew(question.name, server: question.state.name, pattern: rule.pattern, now: now)
    else { return nil }
    return Event(
      code: .familiesDiffer,
      members: AuditMembers(.otherType, type.description).with(.upstream, resolution.upstream), once: true)
  }

  /// The event of an answer found no room in the ring, and the answer was not given: its name is as new as before.
  mutating func wasNotRecorded(_ question: PendingQuery) {
    guard let rule = question.egressRule, rule.pattern.kind != .exact else { return }
    seen.forget(question.name, server: question.state.name, pattern: rule.pattern)
  }
}
