import AuditLog
import DNSWire
import EgressPolicy
package import Validation

extension ResolutionEngine {
  /// Whether the answer to a question in flight has to come with its signatures.
  package func wantsSignatures(_ ticket: Ticket) -> Bool { resolutions[ticket]?.rule?.dnssec ?? .off != .off }

  /// What the signatures of an answer show. Without a verdict that its rule asks for nothing is opened, and nothing answered.
  package mutating func validated(
    _ ticket: Ticket, _ outcome: ChainOfTrust.Outcome, now: UInt64, epoch: UInt64
  ) -> Action? {
    guard let resolution = resolutions[ticket], resolution.isValidating else { return nil }
    resolution.isValidating = false
    if let revocation = resolution.revocation { return .finish(ended(ticket, by: revocation, now: now)) }
    let members = AuditMembers(.upstream, resolution.upstream)
    switch outcome {
    case .secure(let ttl):
      // What is promised is not promised for longer than it is signed.
      let answered = resolution.answer?.ttl ?? 0
      resolution.isSecure = true
      resolution.answer?.ttl = min(answered, ttl)
      return grant(ticket, now: now, epoch: epoch)
    case .unsigned where resolution.rule?.dnssec == .verify:
      return grant(ticket, now: now, epoch: epoch)
    case .unsigned:
      let failure = Failure(.insecure, .rrsigsMissing, members: members, storedFor: Failure.rememberedFor)
      return .finish(fail(ticket, failure, now: now))
    case .failed(let fault) where fault.isUndecided:
      // The validator may be there again in a moment.
      let isOurs = fault == .validatorDown || fault == .overloaded
      let failure = Failure(
        .unvalidated, .dnssecIndeterminate, members: members.with(.cause, fault.word),
        storedFor: isOurs ? 0 : Failure.rememberedFor)
      return .finish(fail(ticket, failure, now: now))
    case .failed(let fault): return .finish(bogus(ticket, fault, now: now))
    }
  }

  /// Ends a question whose answer is not what its zone signed.
  mutating func bogus(_ ticket: Ticket, _ fault: ValidationFault, now: UInt64) -> Finished {
    let members = AuditMembers(.upstream, resolutions[ticket]?.upstream ?? "").with(.cause, fault.word)
    return fail(ticket, Failure(.bogus, .dnssecBogus, members: members, storedFor: Failure.rememberedFor), now: now)
  }

  /// Whether a verdict on a message is one on what was taken of it: over the same links, and with records at their end or
  /// without. What else the message holds no one signs for, a DNAME without its CNAME among it.
  func isCovered(_ answer: ScrubbedAnswer, _ message: Span<UInt8>, _ question: PendingQuery) -> Bool {
    do throws(ValidationFault) {
      let parts = try AnswerParts(message, name: Name(canonical: question.name), type: question.type)
      return parts.isPositive == answer.isPositive && parts.targets.map(\.wire) == answer.chain
    } catch {
      return false
    }
  }
}
