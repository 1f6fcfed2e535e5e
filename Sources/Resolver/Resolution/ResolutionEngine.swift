import AuditLog
import DNSWire
package import EgressPolicy
package import GrantLedger
import IPNetwork
import ResponseCache
import Validation
import Zones

/// Finishes the questions that the query path could not: ask upstream, scrub, grant, store, reply.
///
///     submit ──► ask ──► answered ──► commit ──► committed ──► finish
///        │                  │                       │
///        └── finish         └── finish (negative)   └── commit again, when the firewall's epoch moved meanwhile
///
/// A sans-IO state machine on one thread: every event returns the one thing to do next. A reply's path is only carried.
/// Identical questions of a server in flight are one.
package struct ResolutionEngine: ~Copyable {
  /// The question that a ticket stands for.
  package func question(of ticket: Ticket) -> GrantLedger.Key? { resolutions[ticket]?.key }

  /// What a ticket's answer will hold.
  package func planned(by ticket: Ticket) -> Planned? { resolutions[ticket]?.planned }

  /// What was asked of the firewall and has not become a promise yet.
  package func forEachPending(_ body: (Planned) -> Void) {
    for resolution in resolutions.values { if let planned = resolution.planned { body(planned) } }
  }

  /// Questions in flight over all servers; each holds a socket and some kilobytes.
  package static var maxResolutions: Int { QuestionsInFlight.capacity }
  /// How long an answer is committed again and again when the firewall's epoch keeps moving, in nanoseconds from its first
  /// commit: another program may change the table a hundred times a second, and each round lasts as long as the kernel
  /// takes for it.
  private static var commitTime: UInt64 { 1_000_000_000 }
  /// How much longer than its rule a grant may live, so that what is still open then is closed and not only forgotten.
  private static var takeBackTime: UInt64 { 3_000_000_000 }
  private static var second: UInt64 { 1_000_000_000 }

  package var ledger: GrantLedger
  /// What no answer may hold from now on.
  package var forbidden = ForbiddenAddresses()
  var resolutions = QuestionsInFlight()
  private var news = AnswerNews()
  /// Upstreams that answer every name from one network.
  package private(set) var interceptions = InterceptionWatch()
  private let wallSeconds: () -> UInt64

  /// - Parameter wallSeconds: seconds since 1970, for rules whose time ends.
  package init(ledger: consuming GrantLedger, wallSeconds: @escaping () -> UInt64) {
    self.ledger = ledger
    self.wallSeconds = wallSeconds
  }

  /// How many questions are in flight.
  package var resolutionCount: Int { resolutions.count }

  /// Ends the question that has to go so that this one gets a slot: the oldest of the server that has most of them. Nil
  /// where there is room, or where the question's own server has its share; then `submit` turns it away.
  package mutating func makeRoom(for question: PendingQuery, now: UInt64) -> Finished? {
    switch question.kind {
    // Nobody's slot is taken for an answer that its client has.
    case .reverse, .refresh: return nil
    case .resolve, .local: break
    }
    return resolutions.displaced(by: question.state.firewallIndex, now: now) { Self.key(of: question) }
      .map { fail($0, .overloaded, now: now) }
  }

  /// A question that policy allowed arrives.
  package mutating func submit(
    _ question: PendingQuery, _ path: any ReplyPath, now: UInt64, epoch: UInt64
  ) -> Action {
    let waiting = WaitingClient(question: question, path: path)
    switch question.kind {
    case .reverse(let address):
      return .finish(reverse(address, waiting, now: now))
    case .local:
      return local(waiting, now: now, epoch: epoch)
    case .refresh:
      return refresh(waiting, now: now)
    case .resolve:
      return resolve(waiting, now: now, epoch: epoch)
    }
  }

  /// Upstream answered, or will not.
  package mutating func answered(
    _ ticket: Ticket, _ result: UpstreamResult, now: UInt64, epoch: UInt64
  ) -> Action? {
    guard let resolution = resolutions[ticket], resolution.isAsking else { return nil }
    let question = resolution.question
    if let revocation = resolution.revocation { return .finish(ended(ticket, by: revocation, now: now)) }
    resolution.isAsking = false
    let failure: Failure
    switch result {
    case .answer(let message, let server):
      resolution.upstream = server
      return scrub(message, of: ticket, resolution, now: now, epoch: epoch)
    case .overloaded: return .finish(fail(ticket, .overloaded, now: now))
    case .failure(let code): failure = .unreachable(code, question)
    case .refused(let code, let server):
      failure = .byUpstream(.upstreamRefused, server, .upstreamCode, code.description)
    case .refusedByHTTP(let cause, let server): failure = .byUpstream(.upstreamRefused, server, .cause, cause)
    case .untrusted(let cause, let server): failure = .byUpstream(.upstreamUntrusted, server, .cause, cause)
    }
    return .finish(failOrGiveStale(ticket, failure, now: now, epoch: epoch))
  }

  private mutating func scrub(
    _ message: [UInt8], of ticket: Ticket, _ resolution: Resolution, now: UInt64, epoch: UInt64
  ) -> Action {
    let (question, server) = (resolution.question, resolution.upstream)
    do throws(ScrubError) {
      resolution.answer = try Scrubber(question, resolution.rule, forbidden)
        .scrub(message.span, name: question.name, type: question.type)
    } catch {
      var finished = fail(ticket, Failure(error, question, upstream: server, forbidden), now: now)
      finished.interception = interceptions.refused(error, question, by: server, forbidden, now: now)
      return .finish(finished)
    }
    if resolution.answer?.addresses.isEmpty == false { interceptions.answered(by: server) }
    if resolution.rule?.dnssec ?? .off != .off {
      guard let answer = resolution.answer, isCovered(answer, message.span, question) else {
        return .finish(bogus(ticket, .malformed, now: now))
      }
      resolution.isValidating = true
      return .validate(ticket, name: question.name, type: question.type, message: message)
    }
    return grant(ticket, now: now, epoch: epoch)
  }

  /// The firewall acknowledged, or did not.
  package mutating func committed(_ ticket: Ticket, _ result: CommitResult, now: UInt64, epoch: UInt64) -> Action? {
    guard let resolution = resolutions[ticket], let plan = resolution.plan else { return nil }
    if let revocation = resolution.revocation { return .finish(ended(ticket, by: revocation, now: now)) }
    switch result {
    case .setFull:
      return .finish(fail(ticket, .setFull, now: now))
    case .unavailable:
      return .finish(fail(ticket, .firewallUnavailable, now: now))
    case .committed:
      ledger.committed(plan.commits, askedAt: resolution.askedAt, epoch: resolution.epoch)
      return promise(ticket, now: now, epoch: epoch)
    }
  }

  // MARK: - Steps

  private mutating func resolve(_ waiting: WaitingClient, now: UInt64, epoch: UInt64) -> Action {
    let question = waiting.question
    let key = Self.key(of: question)
    if resolutions.join(key, waiting) { return .wait }
    let (finding, cached) = question.state.cache.answer(key.name.wire.span, question.type, now: now, epoch: epoch)
    if finding == .hit, let cached {
      // A failure is recorded for each client that gets it, from whichever thread (P6).
      let event =
        AuditCode(cause: cached.cause).map { Event(code: $0, members: AuditMembers(), once: false) }
        ?? AnswerNews.ofEveryAnswer(to: question)
      return .finish(Finished(waiting: [waiting], response: cached, event: event))
    }
    guard let ticket = resolutions.open(key, waiting, now: now) else {
      return .finish(refuse(waiting, .overloaded, now: now))
    }
    if finding == .uncommitted, let elements = ledger.elements(of: key, now: now) {
      return renew(ticket, elements, now: now, epoch: epoch)
    }
    resolutions[ticket]?.isAsking = true
    return .ask(ticket, name: question.name, type: question.type)
  }

  /// Asks for an answer that ends soon. Where it is in flight already, or the server has its share, that is all.
  private mutating func refresh(_ waiting: WaitingClient, now: UInt64) -> Action {
    let key = Self.key(of: waiting.question)
    guard !resolutions.isInFlight(key), let ticket = resolutions.open(key, waiting, now: now) else {
      return .finish(Finished(waiting: [waiting], response: .servfail(now: now), event: nil))
    }
    resolutions[ticket]?.isAsking = true
    return .ask(ticket, name: waiting.question.name, type: waiting.question.type)
  }

  private mutating func local(_ waiting: WaitingClient, now: UInt64, epoch: UInt64) -> Action {
    let question = waiting.question
    let key = Self.key(of: question)
    if resolutions.join(key, waiting) { return .wait }
    guard let answer = question.snapshot.zones.answer(name: key.name.wire.span, type: question.type),
      let ticket = resolutions.open(key, waiting, now: now)
    else { return .finish(refuse(waiting, .overloaded, now: now)) }
    let found = ScrubbedAnswer(local: answer, name: question.name)
    if let place = found.addresses.lazy.compactMap({ question.denial(of: $0) }).first {
      // What local zones say is the operator's own word; so is what is denied, and that wins.
      return .finish(fail(ticket, .denied(found.addresses, by: place, upstream: "local zone"), now: now))
    }
    resolutions[ticket]?.answer = found
    resolutions[ticket]?.upstream = "local zone"
    return grant(ticket, now: now, epoch: epoch)
  }

  /// Plans what the firewall must hold before the answer may leave (P2).
  mutating func grant(_ ticket: Ticket, now: UInt64, epoch: UInt64) -> Action {
    guard let resolution = resolutions[ticket], let answer = resolution.answer else { return .wait }
    let question = resolution.question
    guard !answer.addresses.isEmpty, question.snapshot.rules.opensFirewall else {
      return .finish(finishResolution(ticket, grantExpires: .max, epoch: CachedResponse.anyEpoch, now: now))
    }
    guard let rule = resolution.rule else { return .finish(interrupted(ticket, .policy, now: now)) }
    var notAfter = UInt64.max
    if let until = rule.firstEnd {
      // The process that takes it back at that time, and cuts its connections, may not live to do so: then the kernel ends it.
      let left = until - min(wallSeconds(), until)
      if left == 0, rule.until == until { return .finish(interrupted(ticket, .time, now: now)) }
      if left <= UInt32.max { notAfter = now + left * Self.second + Self.takeBackTime }
      resolution.answer?.ttl = min(answer.ttl, UInt32(clamping: left))
    }
    do throws(GrantLedger.CapacityError) {
      resolution.plan = try ledger.plan(
        GrantLedger.Answer(
          key: resolution.key, addresses: answer.addresses,
          targets: question.state.targets(of: rule.ports, family: answer.addresses.first?.family ?? .v4),
          caps: rule.capBits(in: question.state.byteCaps),
          portCaps: rule.check.map { (NameCheck.capBit, $0.ports) } ?? (0, []), ttl: UInt64(answer.ttl) * Self.second,
          notAfter: notAfter, terms: terms(of: resolution, rule)),
        now: now, epoch: epoch)
    } catch {
      return .finish(fail(ticket, .setFull, now: now))
    }
    return commit(ticket, resolution, now: now, epoch: epoch)
  }

  /// The answer is cached, but the firewall may have forgotten its addresses.
  private mutating func renew(_ ticket: Ticket, _ elements: [GrantElement], now: UInt64, epoch: UInt64) -> Action {
    guard let resolution = resolutions[ticket] else { return .wait }
    resolution.isRenewal = true
    resolution.plan = GrantLedger.Plan(
      elements: elements, commits: ledger.renewal(of: elements, now: now, epoch: epoch))
    return commit(ticket, resolution, now: now, epoch: epoch)
  }

  private mutating func commit(_ ticket: Ticket, _ resolution: Resolution, now: UInt64, epoch: UInt64) -> Action {
    resolution.askedAt = now
    resolution.epoch = epoch
    resolution.committing = resolution.committing ?? now
    let commits = resolution.plan?.commits ?? []
    let evictions = resolution.plan?.evictions ?? []
    resolution.plan?.evictions = []
    // Who else holds the addresses says nothing of whether the gate knows this name.
    let isTold = resolution.question.state.checksNames
    guard commits.isEmpty, evictions.isEmpty, !isTold else { return .commit(ticket, commits, evicting: evictions) }
    return promise(ticket, now: now, epoch: epoch)
  }

  /// Everything asked for is committed: promise it, unless the epoch moved on while the ack was on its way.
  private mutating func promise(_ ticket: Ticket, now: UInt64, epoch: UInt64) -> Action {
    guard let resolution = resolutions[ticket], let plan = resolution.plan else { return .wait }
    let answerUntil = resolution.answer.map { now + UInt64($0.ttl) * Self.second } ?? .max
    let until = ledger.promise(
      resolution.key, elements: plan.elements, answerUntil: answerUntil, now: now, epoch: epoch)
    if let until {
      return .finish(finishResolution(ticket, grantExpires: until, epoch: epoch, now: now))
    }
    guard now - (resolution.committing ?? now) < Self.commitTime else {
      return .finish(fail(ticket, .firewallUnavailable, now: now))
    }
    return resolution.isRenewal
      ? renew(ticket, plan.elements, now: now, epoch: epoch) : grant(ticket, now: now, epoch: epoch)
  }

  // MARK: - Ends

  private mutating func interrupted(_ ticket: Ticket, _ interruption: Interruption, now: UInt64) -> Finished {
    Finished(
      waiting: resolutions.close(ticket)?.waiting ?? [], response: .servfail(now: now), event: Event(interruption))
  }

  mutating func ended(_ ticket: Ticket, by revocation: Revocation, now: UInt64) -> Finished {
    if let interruption = revocation.interruption { return interrupted(ticket, interruption, now: now) }
    // Refused as it would have been if it had come a moment later.
    let resolution = resolutions.close(ticket)
    let response = resolution.map { CachedResponse.sinkhole(.NOERROR, $0.question, now: now) }
    return Finished(
      waiting: resolution?.waiting ?? [], response: response ?? .servfail(now: now),
      event: Event(code: .answerNotPublic, members: AuditMembers(), once: false))
  }

  private mutating func finishResolution(_ ticket: Ticket, grantExpires: UInt64, epoch: UInt64, now: UInt64) -> Finished
  {
    guard let resolution = resolutions.close(ticket) else {
      return Finished(waiting: [], response: .servfail(now: now), event: nil)
    }
    let question = resolution.question
    let cache = question.state.cache
    let name = resolution.key.name.wire
    if resolution.isRenewal {
      cache.renew(name.span, question.type, grantExpires: grantExpires, epoch: epoch)
      let cached = cache.answer(name.span, question.type, now: now, epoch: epoch).response
      return Finished(
        waiting: resolution.waiting, response: cached ?? .servfail(now: now),
        event: cached == nil ? Event(.cache) : AnswerNews.ofEveryAnswer(to: question))
    }
    guard let answer = resolution.answer else {
      return Finished(waiting: resolution.waiting, response: .servfail(now: now), event: nil)
    }
    let response = CachedResponse(answer, to: question, grantExpires: grantExpires, epoch: epoch, now: now)
    if answer.ttl > 0 {
      cache.store(name, question.type, response)
    } else {
      // The promise is this answer's now: an older one must not be renewed on the strength of it (P2).
      cache.remove(name.span, question.type)
    }
    let isCommitted = resolution.plan?.commits.isEmpty ?? false
    return Finished(
      waiting: resolution.waiting, response: response, event: news.event(of: resolution, answer, now: now),
      remark: news.difference(of: resolution, answer, now: now), promised: isCommitted ? resolution.planned : nil)
  }

  /// The event of an answer found no room in the ring, and the answer was not given: its name is as new as before.
  package mutating func wasNotRecorded(_ question: PendingQuery) { news.wasNotRecorded(question) }

  /// No upstream has an answer: what it said before is given once more, where policy wants that and the grant behind it stands.
  private mutating func failOrGiveStale(
    _ ticket: Ticket, _ failure: Failure, now: UInt64, epoch: UInt64
  ) -> Finished {
    guard let stale = keepStale(ticket, now: now, epoch: epoch) else { return fail(ticket, failure, now: now) }
    var members = failure.members
    if failure.code != .upstreamUntrusted { members.append(.cause, failure.code.token.description) }
    return Finished(
      waiting: resolutions.close(ticket)?.waiting ?? [], response: stale,
      event: Event(code: .answeredStale, members: members, once: false))
  }

  mutating func fail(_ ticket: Ticket, _ failure: Failure, now: UInt64) -> Finished {
    let resolution = resolutions.close(ticket)
    let question = resolution?.question
    // What was said before must not be given on where upstream now says what cannot be answered: that is told, and remembered.
    let isTold = failure.isOfAnswer && resolution?.isOutwaited ?? false
    // The answer in the cache holds until its end, and then a client's question fails.
    if let resolution, resolution.isRefreshAlone, !isTold {
      return Finished(waiting: resolution.waiting, response: .servfail(now: now), event: nil)
    }
    var response = CachedResponse(
      responseCode: .SERVFAIL, expires: now + failure.storedFor, extendedError: failure.error,
      cause: failure.code.rawValue)
    // Refused addresses are no failure of the name, whose other family may be in use: some clients take SERVFAIL for both.
    if failure.code.decision == .block, let question {
      response = .sinkhole(.NOERROR, question, now: now, cause: failure.code)
    }
    if failure.storedFor > 0, let question {
      question.state.cache.store(question.name, question.type, response)
    }
    return Finished(
      waiting: resolution?.waiting ?? [], response: response,
      event: Event(code: failure.code, members: failure.members, once: isTold))
  }

  private func refuse(_ waiting: WaitingClient, _ code: AuditCode, now: UInt64) -> Finished {
    Finished(
      waiting: [waiting], response: .servfail(now: now),
      event: Event(code: code, members: AuditMembers(), once: false))
  }

  /// A PTR of an open address is answered with the name it was opened for; every other PTR is denied.
  private func reverse(_ address: IPAddress, _ waiting: WaitingClient, now: UInt64) -> Finished {
    let question = waiting.question
    let name = question.name
    let zones = question.snapshot.zones
    if let open = ledger.name(of: address, server: question.state.firewallIndex, now: now) {
      return Finished(
        waiting: [waiting], response: .pointer(to: open.name.wire, question, until: open.until),
        event: AnswerNews.ofEveryAnswer(to: question))
    }
    if let local = Decision.ofUnopened(name.span, zones: zones) {
      return Finished(
        waiting: [waiting], response: CachedResponse(local: local, question, now: now),
        event: Event(code: .special, members: AuditMembers(), once: false))
    }
    return Finished(
      waiting: [waiting], response: .sinkhole(.NXDOMAIN, question, now: now),
      event: Event(code: .notListed, members: AuditMembers(), once: false))
  }

  private static func key(of question: PendingQuery) -> GrantLedger.Key {
    GrantLedger.Key(
      server: question.state.firewallIndex, name: Name(canonical: question.name), type: question.type)
  }
}
