import AuditLog
import EgressPolicy
import ResponseCache

/// Answers that are given beyond their end (RFC 8767), because upstream has none, or none yet.
extension ResolutionEngine {
  /// Whether something could be given while upstream is asked: then `outwaited` is worth its time.
  package func hasStale(_ ticket: Ticket, now: UInt64, epoch: UInt64) -> Bool {
    resolutions[ticket].map { stale(for: $0, now: now, epoch: epoch) != nil } ?? false
  }

  /// Upstream takes as long as a client may be kept waiting for what was said before (section 5): those who wait are given that.
  /// What upstream says in the end is for those who ask next.
  package mutating func outwaited(_ ticket: Ticket, now: UInt64, epoch: UInt64) -> Finished? {
    guard let resolution = resolutions[ticket], resolution.isAsking, resolution.revocation == nil,
      let first = resolution.waiting.first, stale(for: resolution, now: now, epoch: epoch) != nil,
      // The place of the question that goes on; the clients give theirs back.
      first.question.state.enter(), let stale = keepStale(ticket, now: now, epoch: epoch)
    else { return nil }
    let waiting = resolution.waiting
    resolution.isOutwaited = true
    resolution.waiting = [WaitingClient(question: first.question.refreshing, path: first.path)]
    return Finished(
      waiting: waiting, response: stale,
      event: Event(code: .answeredStale, members: AuditMembers(.cause, "late"), once: false))
  }

  /// Puts what was said before into the cache once more, and returns it; nil where there is nothing that may be given.
  mutating func keepStale(_ ticket: Ticket, now: UInt64, epoch: UInt64) -> CachedResponse? {
    guard let resolution = resolutions[ticket], let question = resolution.waiting.first?.question,
      let stale = stale(for: resolution, now: now, epoch: epoch)
    else { return nil }
    question.state.cache.store(question.name, question.type, stale)
    return stale
  }

  /// What is signed is not given beyond its end at all: how long it is signed is not kept (P3).
  private func stale(for resolution: Resolution, now: UInt64, epoch: UInt64) -> CachedResponse? {
    guard let question = resolution.waiting.first?.question, let most = question.snapshot.rules.maxStale,
      !resolution.isRefreshAlone, resolution.rule?.dnssec ?? .off == .off
    else { return nil }
    let name = question.name
    guard let held = question.state.cache.held(name.span, question.type) else { return nil }
    return StaleAnswer.of(
      held, code: AuditCode.answeredStale.rawValue, most: UInt64(most) * 1_000_000_000, now: now, epoch: epoch)
  }
}
