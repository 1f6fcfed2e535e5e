package import AuditLog
package import DNSWire
package import EgressPolicy
package import GrantLedger
package import IPNetwork
package import ResponseCache
import Sharing
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
  /// Names a question in flight between two events of the engine.
  package typealias Ticket = UInt64

  /// A client that waits.
  package struct WaitingClient {
    package var question: PendingQuery
    package var path: any ReplyPath
  }

  /// What the audit log gets when a question is finished.
  package struct Event {
    package var code: AuditCode
    /// Rule, chain, addresses…
    package var members: AuditMembers
    /// True for what happened to the question as a whole; false for what each client must be recorded for.
    package var once: Bool
    /// What is recorded of the clients whom `once` leaves out; nil for nothing.
    package var further: AuditCode?

    init(code: AuditCode, members: AuditMembers, once: Bool, further: AuditCode? = nil) {
      (self.code, self.members, self.once, self.further) = (code, members, once, further)
    }

    init(_ interruption: Interruption) {
      self.init(code: .interrupted, members: interruption.members, once: false)
    }
  }

  /// The answer to a question, for all who wait for it.
  package struct Finished {
    package var waiting: [WaitingClient]
    package var response: CachedResponse
    package var event: Event?
    /// What is recorded of the first who waited beside its own event.
    package var remark: Event?
    /// What the answer promises without a commit, since others had opened it.
    package var promised: Planned?
    /// What is told of the upstream that answered.
    package var interception: InterceptionWatch.Finding?
  }

  /// What an answer holds, or will: for the grants' journal.
  package struct Planned {
    package var key: GrantLedger.Key
    package var elements: [GrantElement]
  }

  /// The one thing that is to be done after an event.
  package enum Action {
    /// Joined a question in flight.
    case wait
    case ask(Ticket, name: [UInt8], type: RRType)
    /// Hold the upstream's message against its signatures.
    case validate(Ticket, name: [UInt8], type: RRType, message: [UInt8])
    /// `evicting`: what has to be closed first, to make room.
    case commit(Ticket, [GrantCommit], evicting: [GrantElement])
    case finish(Finished)
  }

  /// What came of asking upstream.
  package enum UpstreamResult {
    case answer([UInt8], server: String)
    case failure(ExtendedErrorCode)
    /// There was an answer, with a code that is a failure of the upstream's own.
    case refused(ResponseCode, server: String)
    /// What it said by HTTP is no answer.
    case refusedByHTTP(cause: String, server: String)
    /// TLS with no upstream could be used, and the cause is that of one of them.
    case untrusted(cause: String, server: String)
    /// Not asked, or not to the end: others had a right to the slot. That says nothing of the name.
    case overloaded
  }

  /// What came of asking the firewall.
  package enum CommitResult: Sendable {
    case committed
    case setFull
    /// Late, refused, or no bridge.
    case unavailable
  }

  /// The question that a ticket stands for.
  package func question(of ticket: Ticket) -> GrantLedger.Key? { resolutions[ticket]?.key }

  /// What a ticket's answer will hold.
  package func planned(by ticket: Ticket) -> Planned? {
    guard let resolution = resolutions[ticket] else { return nil }
    return Self.planned(resolution)
  }

  /// What was asked of the firewall and has not become a promise yet.
  package func forEachPending(_ body: (Planned) -> Void) {
    for resolution in resolutions.values { if let planned = Self.planned(resolution) { body(planned) } }
  }

  private static func planned(_ resolution: Resolution) -> Planned? {
    resolution.plan.map { Planned(key: resolution.key, elements: $0.elements) }
  }

  final class Resolution {
    let key: GrantLedger.Key
    let slot: Shares<UInt16>.Slot
    /// The rule that decided; nil where none did.
    let rule: EgressRule?
    var waiting: [WaitingClient]
    var answer: ScrubbedAnswer?
    var plan: GrantLedger.Plan?
    var upstream = ""
    var askedAt: UInt64 = 0
    var epoch: UInt64 = 0
    /// When it was committed for the first time.
    var committing: UInt64?
    /// True until upstream answered: an upstream is heard once.
    var isAsking = false
    /// True while its answer is held against signatures: a verdict is heard once.
    var isValidating = false
    /// Why the question, allowed when it came, is not answered any more.
    var revocation: Revocation?
    /// True while an answer that is in the cache is committed again.
    var isRenewal = false

    /// Whether no client waits for it.
    var isRefreshAlone: Bool { waiting.allSatisfy(\.question.isRefresh) }

    init(_ key: GrantLedger.Key, _ slot: Shares<UInt16>.Slot, _ first: WaitingClient) {
      self.key = key
      self.slot = slot
      rule = first.question.egressRule
      waiting = [first]
    }
  }

  /// Questions in flight over all servers; each holds a socket and some kilobytes.
  package static var maxResolutions: Int { 8192 }
  /// As `UpstreamLimits.leastAge`: nanoseconds that a question is sure of against its own server's next one.
  private static var leastAge: UInt64 { 200_000_000 }
  /// How long an answer is committed again and again when the firewall's epoch keeps moving, in nanoseconds from its first
  /// commit: another program may change the table a hundred times a second, and each round lasts as long as the kernel
  /// takes for it.
  private static var commitTime: UInt64 { 1_000_000_000 }
  /// How long a failure is remembered (RFC 9520 section 3.2 asks for at least 1 s and at most 5 minutes).
  static var failureTTL: UInt64 { 5_000_000_000 }
  /// How much longer than its rule a grant may live, so that what is still open then is closed and not only forgotten.
  private static var takeBackTime: UInt64 { 3_000_000_000 }
  private static var second: UInt64 { 1_000_000_000 }

  package var ledger: GrantLedger
  /// What no answer may hold from now on.
  package var forbidden = ForbiddenAddresses()
  var resolutions: [Ticket: Resolution] = [:]
  private var inFlight: [GrantLedger.Key: Ticket] = [:]
  /// Of resolutions, by the server's index.
  private var shares = Shares<UInt16>(capacity: Self.maxResolutions, leastAge: Self.leastAge)
  private var holders: [Shares<UInt16>.Slot: Ticket] = [:]
  private var nextTicket: Ticket = 1
  private var seen = SeenNames()
  /// Names of which it was told that their families differ.
  private var differing = SeenNames()
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
    let key = Self.key(of: question)
    guard inFlight[key] == nil,
      case .displacing(let slot) = shares.admission(of: key.server, now: now), let ticket = holders[slot]
    else { return nil }
    return fail(ticket, .overloaded, now: now)
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
    guard let resolution = resolutions[ticket], resolution.isAsking, let first = resolution.waiting.first else {
      return nil
    }
    if let revocation = resolution.revocation { return .finish(ended(ticket, by: revocation, now: now)) }
    resolution.isAsking = false
    switch result {
    case .failure(let code):
      let failure = Failure(
        .upstreamUnreachable, code, members: Self.upstreams(of: first.question), storedFor: Self.failureTTL)
      return .finish(failOrGiveStale(ticket, failure, now: now, epoch: epoch))
    case .refused(let code, let server):
      let members = AuditMembers(.upstream, server).with(.upstreamCode, code.description)
      let failure = Failure(
        .upstreamRefused, .noReachableAuthority, members: members, storedFor: Self.failureTTL)
      return .finish(failOrGiveStale(ticket, failure, now: now, epoch: epoch))
    case .refusedByHTTP(let cause, let server):
      let members = AuditMembers(.upstream, server).with(.cause, cause)
      let failure = Failure(
        .upstreamRefused, .noReachableAuthority, members: members, storedFor: Self.failureTTL)
      return .finish(failOrGiveStale(ticket, failure, now: now, epoch: epoch))
    case .untrusted(let cause, let server):
      let members = AuditMembers(.upstream, server).with(.cause, cause)
      let failure = Failure(
        .upstreamUntrusted, .noReachableAuthority, members: members, storedFor: Self.failureTTL)
      return .finish(failOrGiveStale(ticket, failure, now: now, epoch: epoch))
    case .overloaded:
      return .finish(fail(ticket, .overloaded, now: now))
    case .answer(let message, let server):
      resolution.upstream = server
      do throws(ScrubError) {
        let scrubber = Self.scrubber(for: first.question, resolution.rule, forbidden)
        resolution.answer = try scrubber.scrub(message.span, name: first.question.name, type: first.question.type)
      } catch {
        var finished = fail(ticket, failure(error, first.question, upstream: server), now: now)
        finished.interception = interception(error, first.question, upstream: server, now: now)
        return .finish(finished)
      }
      if resolution.answer?.addresses.isEmpty == false { interceptions.answered(by: server) }
      if resolution.rule?.dnssec ?? .off != .off {
        guard let answer = resolution.answer, isCovered(answer, message.span, first.question) else {
          return .finish(bogus(ticket, .malformed, now: now))
        }
        resolution.isValidating = true
        return .validate(ticket, name: first.question.name, type: first.question.type, message: message)
      }
      return grant(ticket, now: now, epoch: epoch)
    }
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

  /// What ended before its time.
  package struct Closing {
    /// To be closed now.
    package var closed: [GrantElement]
    /// What others still need, but not for as long.
    package var shortened: [GrantCommit]
    /// What each question held of it.
    package var released: [(key: GrantLedger.Key, element: GrantElement)] = []
  }

  /// Why something ends before its time: what is recorded of questions in flight, and for the record of what was open.
  package struct Revocation {
    /// Nil where a later question gets no such answer either: `answer-not-public`.
    var interruption: Interruption?
    var ending: GrantLedger.Ending

    package static var policy: Revocation { Revocation(interruption: .policy, ending: .policy) }
    package static var answerNotPublic: Revocation { Revocation(interruption: nil, ending: .policy) }
    package static var `operator`: Revocation { Revocation(interruption: .operator, ending: .operator) }
  }

  /// Ends what policy no longer allows: grants, and questions in flight, which open nothing any more.
  ///
  /// - Parameters:
  ///   - servers: the servers to look at; all of them when nil.
  ///   - revocation: why.
  ///   - keeping: what of such a question stays open all the same.
  package mutating func end(
    now: UInt64, servers: Set<UInt16>? = nil, as revocation: Revocation = .policy,
    where condition: (GrantLedger.Key) -> Bool,
    keeping: (GrantLedger.Key, GrantElement) -> Bool = { _, _ in false }
  ) -> Closing {
    for (ticket, resolution) in resolutions
    where servers?.contains(resolution.key.server) ?? true && condition(resolution.key) {
      resolutions[ticket]?.revocation = revocation
      // A question that comes after this was decided by the policy in force now.
      inFlight[resolution.key] = nil
    }
    let ended = ledger.end(now: now, servers: servers, as: revocation.ending, where: condition, keeping: keeping)
    return Closing(closed: ended.closed, shortened: ended.shortened, released: ended.released)
  }

  /// The questions of answers that hold an address which `condition` selects: given, or on their way to the client.
  package func questions(
    now: UInt64, where condition: (GrantLedger.Key, IPAddress) -> Bool
  ) -> Set<GrantLedger.Key> {
    var found: Set<GrantLedger.Key> = []
    ledger.forEachHolding(now: now) { key, element, _, _ in
      if !found.contains(key), condition(key, element.address) { found.insert(key) }
    }
    for resolution in resolutions.values where !found.contains(resolution.key) {
      let planned = resolution.plan?.elements.map(\.address) ?? resolution.answer?.addresses ?? []
      if planned.contains(where: { condition(resolution.key, $0) }) { found.insert(resolution.key) }
    }
    return found
  }

  /// Whether nothing is left of a server: no question in flight, nothing open.
  package mutating func isUnused(server: UInt16, now: UInt64) -> Bool {
    resolutions.values.allSatisfy { $0.key.server != server } && ledger.isEmpty(server: server, now: now)
  }

  // MARK: - Steps

  private mutating func resolve(_ waiting: WaitingClient, now: UInt64, epoch: UInt64) -> Action {
    let question = waiting.question
    let key = Self.key(of: question)
    if let ticket = inFlight[key] {
      resolutions[ticket]?.waiting.append(waiting)
      return .wait
    }
    let (finding, cached) = question.state.cache.answer(key.name.wire.span, question.type, now: now, epoch: epoch)
    if finding == .hit, let cached {
      // A failure is recorded for each client that gets it, from whichever thread (P6).
      let event =
        AuditCode(cause: cached.cause).map { Event(code: $0, members: AuditMembers(), once: false) }
        ?? Self.eventOfEveryAnswer(to: question)
      return .finish(Finished(waiting: [waiting], response: cached, event: event))
    }
    guard let ticket = open(key, waiting, now: now) else { return .finish(refuse(waiting, .overloaded, now: now)) }
    if finding == .uncommitted, let elements = ledger.elements(of: key, now: now) {
      return renew(ticket, elements, now: now, epoch: epoch)
    }
    resolutions[ticket]?.isAsking = true
    return .ask(ticket, name: question.name, type: question.type)
  }

  /// Asks for an answer that ends soon. Where it is in flight already, or the server has its share, that is all.
  private mutating func refresh(_ waiting: WaitingClient, now: UInt64) -> Action {
    let key = Self.key(of: waiting.question)
    guard inFlight[key] == nil, let ticket = open(key, waiting, now: now) else {
      return .finish(Finished(waiting: [waiting], response: Self.servfail(now: now), event: nil))
    }
    resolutions[ticket]?.isAsking = true
    return .ask(ticket, name: waiting.question.name, type: waiting.question.type)
  }

  private mutating func local(_ waiting: WaitingClient, now: UInt64, epoch: UInt64) -> Action {
    let question = waiting.question
    let key = Self.key(of: question)
    if let ticket = inFlight[key] {
      resolutions[ticket]?.waiting.append(waiting)
      return .wait
    }
    guard let answer = question.snapshot.zones.answer(name: key.name.wire.span, type: question.type),
      let ticket = open(key, waiting, now: now)
    else { return .finish(refuse(waiting, .overloaded, now: now)) }
    resolutions[ticket]?.answer = ScrubbedAnswer(local: answer, name: question.name)
    resolutions[ticket]?.upstream = "local zone"
    return grant(ticket, now: now, epoch: epoch)
  }

  /// Nil where the server has its share.
  private mutating func open(_ key: GrantLedger.Key, _ waiting: WaitingClient, now: UInt64) -> Ticket? {
    guard case .free = shares.admission(of: key.server, now: now) else { return nil }
    let ticket = nextTicket
    nextTicket += 1
    let slot = shares.enter(key.server, now: now)
    holders[slot] = ticket
    resolutions[ticket] = Resolution(key, slot, waiting)
    inFlight[key] = ticket
    return ticket
  }

  /// Plans what the firewall must hold before the answer may leave (P2).
  mutating func grant(_ ticket: Ticket, now: UInt64, epoch: UInt64) -> Action {
    guard let resolution = resolutions[ticket], let answer = resolution.answer, let first = resolution.waiting.first
    else {
      return .wait
    }
    guard !answer.addresses.isEmpty, first.question.snapshot.rules.opensFirewall else {
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
          targets: first.question.state.targets(of: rule.ports, family: answer.addresses.first?.family ?? .v4),
          caps: rule.capBits(in: first.question.state.byteCaps),
          portCaps: rule.check.map { (NameCheck.capBit, $0.ports) } ?? (0, []), ttl: UInt64(answer.ttl) * Self.second,
          notAfter: notAfter),
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
    let isTold = resolution.waiting.first?.question.state.checksNames ?? false
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

  private mutating func close(_ ticket: Ticket) -> Resolution? {
    guard let resolution = resolutions.removeValue(forKey: ticket) else { return nil }
    holders[resolution.slot] = nil
    shares.leave(resolution.slot)
    if inFlight[resolution.key] == ticket {
      inFlight[resolution.key] = nil
    }
    return resolution
  }

  private mutating func interrupted(_ ticket: Ticket, _ interruption: Interruption, now: UInt64) -> Finished {
    Finished(
      waiting: close(ticket)?.waiting ?? [], response: Self.servfail(now: now), event: Event(interruption))
  }

  mutating func ended(_ ticket: Ticket, by revocation: Revocation, now: UInt64) -> Finished {
    if let interruption = revocation.interruption { return interrupted(ticket, interruption, now: now) }
    // Refused as it would have been if it had come a moment later.
    let resolution = close(ticket)
    let response = resolution?.waiting.first.map { Self.sinkhole(.NOERROR, $0.question, now: now) }
    return Finished(
      waiting: resolution?.waiting ?? [], response: response ?? Self.servfail(now: now),
      event: Event(code: .answerNotPublic, members: AuditMembers(), once: false))
  }

  private mutating func finishResolution(_ ticket: Ticket, grantExpires: UInt64, epoch: UInt64, now: UInt64) -> Finished
  {
    guard let resolution = close(ticket), let question = resolution.waiting.first?.question else {
      return Finished(waiting: [], response: Self.servfail(now: now), event: nil)
    }
    let cache = question.state.cache
    let name = resolution.key.name.wire
    if resolution.isRenewal {
      cache.renew(name.span, question.type, grantExpires: grantExpires, epoch: epoch)
      let cached = cache.answer(name.span, question.type, now: now, epoch: epoch).response
      return Finished(
        waiting: resolution.waiting, response: cached ?? Self.servfail(now: now),
        event: cached == nil ? Event(.cache) : Self.eventOfEveryAnswer(to: question))
    }
    guard let answer = resolution.answer else {
      return Finished(waiting: resolution.waiting, response: Self.servfail(now: now), event: nil)
    }
    let response = CachedResponse(
      responseCode: answer.responseCode, answerCount: answer.answerCount, authorityCount: answer.authorityCount,
      sections: answer.sections, ttlOffsets: answer.ttlOffsets,
      expires: now + UInt64(answer.ttl) * Self.second, grantExpires: grantExpires, epoch: epoch,
      lead: Self.lead(of: answer, question))
    if answer.ttl > 0 {
      cache.store(name, question.type, response)
    } else {
      // The promise is this answer's now: an older one must not be renewed on the strength of it (P2).
      cache.remove(name.span, question.type)
    }
    let isCommitted = resolution.plan?.commits.isEmpty ?? false
    return Finished(
      waiting: resolution.waiting, response: response, event: event(of: resolution, answer, now: now),
      remark: difference(of: resolution, answer, now: now), promised: isCommitted ? Self.planned(resolution) : nil)
  }

  /// For how long before its end an answer is asked for anew: a tenth of its time, and not less than a second.
  private static func lead(of answer: ScrubbedAnswer, _ question: PendingQuery) -> UInt32 {
    if case .local = question.kind { return 0 }
    guard question.snapshot.rules.prefetches, answer.ttl >= 10, answer.responseCode == .NOERROR, answer.answerCount > 0
    else { return 0 }
    return UInt32(clamping: (UInt64(answer.ttl) * second / 10) >> CachedHead.leadShift)
  }

  /// Told once of a name of which upstream has addresses of one family, and says of the other that there is no such name:
  /// where a client asks for both, one of the answers may cost it the other (musl does so).
  private mutating func difference(of resolution: Resolution, _ answer: ScrubbedAnswer, now: UInt64) -> Event? {
    let name = resolution.key.name.wire
    guard let question = resolution.waiting.first?.question, let rule = resolution.rule,
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

  private mutating func event(of resolution: Resolution, _ answer: ScrubbedAnswer, now: UInt64) -> Event? {
    guard let question = resolution.waiting.first?.question else { return nil }
    let opened = resolution.plan.map { !$0.commits.isEmpty } ?? false
    guard let rule = resolution.rule else { return Self.eventOfEveryAnswer(to: question) }
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

  /// The event of an answer found no room in the ring, and the answer was not given: its name is as new as before.
  package mutating func wasNotRecorded(_ question: PendingQuery) {
    guard let rule = question.egressRule, rule.pattern.kind != .exact else { return }
    seen.forget(question.name, server: question.state.name, pattern: rule.pattern)
  }

  /// What is recorded of an answer that is no news, where every answer is recorded.
  private static func eventOfEveryAnswer(to question: PendingQuery) -> Event? {
    question.snapshot.rules.allowedEvents == .all ? Event(code: .answered, members: AuditMembers(), once: false) : nil
  }

  /// Why a question has no answer: for the audit log, for the client, and for how long it is remembered.
  struct Failure {
    var code: AuditCode
    var error: ExtendedErrorCode
    var members: AuditMembers
    /// Nanoseconds.
    var storedFor: UInt64

    init(
      _ code: AuditCode, _ error: ExtendedErrorCode = .otherError, members: AuditMembers = AuditMembers(),
      storedFor: UInt64 = 0
    ) {
      self.code = code
      self.error = error
      self.members = members
      self.storedFor = storedFor
    }

    static var overloaded: Failure { Failure(.overloaded) }
    static var setFull: Failure { Failure(.setFull) }
    static var firewallUnavailable: Failure { Failure(.firewallUnavailable) }
  }

  /// Why an answer cannot be used.
  private func failure(_ error: ScrubError, _ question: PendingQuery, upstream: String) -> Failure {
    switch error {
    case .invalid:
      return Failure(
        .answerInvalid, .invalidData, members: AuditMembers(.upstream, upstream), storedFor: Self.failureTTL)
    case .chainTooLong:
      return Failure(
        .chainTooLong, .invalidData, members: AuditMembers(.upstream, upstream), storedFor: Self.failureTTL)
    case .chainRefused(let chain):
      return Failure(
        .chainRefused, .blocked, members: EventMembers.refused(chain: chain, question.egressRule, upstream: upstream),
        storedFor: Self.failureTTL)
    case .notPublic(let refused, let others):
      let isBlocked = !refused.isEmpty && refused.allSatisfy(\.isUnspecified)
      let members = EventMembers.refused(refused, others: others, upstream: upstream) { [forbidden] address, prefixes in
        forbidden.refusal(
          of: address, private: (question.egressRule?.privatePrefixes ?? []) + prefixes,
          server: question.state.firewallIndex)
      }
      return Failure(
        isBlocked ? .upstreamBlocked : .answerNotPublic, .blocked,
        members: isBlocked ? AuditMembers(.upstream, upstream).with(.addresses, refused.map(\.description)) : members,
        storedFor: Self.failureTTL)
    }
  }

  /// Whether an answer that is refused makes its upstream one that answers every name from one network.
  private mutating func interception(
    _ error: ScrubError, _ question: PendingQuery, upstream: String, now: UInt64
  ) -> InterceptionWatch.Finding? {
    guard case .notPublic(let refused, let others) = error, others.isEmpty else { return nil }
    let found = interceptions.refused(
      refused, of: question.name, by: upstream, own: forbidden.onLink, now: now)
    guard var found else { return nil }
    let network = [found.network]
    found.isAdmissible =
      found.isAdmissible
      && refused.allSatisfy { forbidden.admits($0, private: network, server: question.state.firewallIndex) }
    return found
  }

  /// No upstream has an answer: what it said before is given once more, where policy wants that and the grant behind it stands.
  private mutating func failOrGiveStale(
    _ ticket: Ticket, _ failure: Failure, now: UInt64, epoch: UInt64
  ) -> Finished {
    // What is signed is not given for longer than it is signed.
    guard let resolution = resolutions[ticket], let question = resolution.waiting.first?.question,
      let most = question.snapshot.rules.maxStale, !resolution.isRefreshAlone, resolution.rule?.dnssec ?? .off == .off
    else { return fail(ticket, failure, now: now) }
    let name = question.name
    guard let held = question.state.cache.held(name.span, question.type),
      let stale = StaleAnswer.of(
        held, code: AuditCode.answeredStale.rawValue, most: UInt64(most) * Self.second, now: now, epoch: epoch)
    else { return fail(ticket, failure, now: now) }
    question.state.cache.store(question.name, question.type, stale)
    var members = failure.members
    if failure.code != .upstreamUntrusted { members.append(.cause, failure.code.token.description) }
    return Finished(
      waiting: close(ticket)?.waiting ?? [], response: stale,
      event: Event(code: .answeredStale, members: members, once: false))
  }

  mutating func fail(_ ticket: Ticket, _ failure: Failure, now: UInt64) -> Finished {
    let resolution = close(ticket)
    let question = resolution?.waiting.first?.question
    // The answer in the cache holds until its end, and then a client's question fails.
    if let resolution, resolution.isRefreshAlone {
      return Finished(waiting: resolution.waiting, response: Self.servfail(now: now), event: nil)
    }
    var response = CachedResponse(
      responseCode: .SERVFAIL, expires: now + failure.storedFor, extendedError: failure.error,
      cause: failure.code.rawValue)
    // Refused addresses are no failure of the name, whose other family may be in use: some clients take SERVFAIL for both.
    if failure.code.decision == .block, let question {
      response = Self.sinkhole(.NOERROR, question, now: now, cause: failure.code)
    }
    if failure.storedFor > 0, let question {
      question.state.cache.store(question.name, question.type, response)
    }
    return Finished(
      waiting: resolution?.waiting ?? [], response: response,
      event: Event(code: failure.code, members: failure.members, once: false))
  }

  private func refuse(_ waiting: WaitingClient, _ code: AuditCode, now: UInt64) -> Finished {
    Finished(
      waiting: [waiting], response: Self.servfail(now: now),
      event: Event(code: code, members: AuditMembers(), once: false))
  }

  /// A PTR of an open address is answered with the name it was opened for; every other PTR is denied.
  private func reverse(_ address: IPAddress, _ waiting: WaitingClient, now: UInt64) -> Finished {
    let question = waiting.question
    let name = question.name
    let zones = question.snapshot.zones
    if let open = ledger.name(of: address, server: question.state.firewallIndex, now: now) {
      var writer = SectionWriter(question: question.name)
      writer.append(.PTR, ttl: 0, rdata: open.name.wire)
      let response = CachedResponse(
        responseCode: .NOERROR, answerCount: 1, sections: writer.octets, ttlOffsets: writer.ttlOffsets,
        expires: open.until)
      return Finished(waiting: [waiting], response: response, event: Self.eventOfEveryAnswer(to: question))
    }
    if let local = Decision.ofUnopened(name.span, zones: zones) {
      return Finished(
        waiting: [waiting], response: CachedResponse(local: local, question, now: now),
        event: Event(code: .special, members: AuditMembers(), once: false))
    }
    return Finished(
      waiting: [waiting], response: Self.sinkhole(.NXDOMAIN, question, now: now),
      event: Event(code: .notListed, members: AuditMembers(), once: false))
  }

  /// NXDOMAIN or NODATA with the SOA of denials, and the extended error *Blocked*.
  ///
  /// - Parameter cause: why, where it is remembered.
  private static func sinkhole(
    _ code: ResponseCode, _ question: PendingQuery, now: UInt64, cause: AuditCode? = nil
  ) -> CachedResponse {
    let soa = question.snapshot.zones.sinkholeSOA
    var writer = SectionWriter(question: question.name)
    writer.append(owner: [0], .SOA, ttl: soa.ttl, rdata: soa.rdata)
    let ttl = UInt64(min(question.snapshot.rules.sinkholeTTL, soa.ttl))
    return CachedResponse(
      responseCode: code, authorityCount: 1, sections: writer.octets, ttlOffsets: writer.ttlOffsets,
      expires: now + ttl * second, extendedError: .blocked, cause: cause?.rawValue ?? 0)
  }

  private static func servfail(now: UInt64) -> CachedResponse {
    CachedResponse(responseCode: .SERVFAIL, expires: now, extendedError: .otherError)
  }

  /// Those of a forwarded name, who alone could have answered; nothing where any upstream could.
  private static func upstreams(of question: PendingQuery) -> AuditMembers {
    let zone = question.snapshot.forwards.zone(of: question.name)
    return zone.map { AuditMembers(.upstream, $0.upstreams.joined(separator: " ")) } ?? AuditMembers()
  }

  private static func key(of question: PendingQuery) -> GrantLedger.Key {
    GrantLedger.Key(
      server: question.state.firewallIndex, name: Name(canonical: question.name), type: question.type)
  }

  private static func scrubber(
    for question: PendingQuery, _ rule: EgressRule?, _ forbidden: ForbiddenAddresses
  ) -> Scrubber {
    let snapshot = question.snapshot
    let server = question.server
    let prefixes = rule?.privatePrefixes ?? []
    let isListed = { (name: [UInt8]) -> Bool in
      if case .allowed = snapshot.policy.decide(server: server, name: name.span, type: .A) { true } else { false }
    }
    return Scrubber(
      maxTTL: snapshot.rules.maxTTL, maxNegativeTTL: snapshot.rules.maxNegativeTTL,
      admitsAddress: { [index = question.state.firewallIndex] address, chain in
        let forwards = snapshot.forwards
        let zones = forwards.zones.isEmpty ? [] : forwards.privatePrefixes(of: [question.name] + chain)
        return forbidden.admits(address, private: zones.isEmpty ? prefixes : prefixes + zones, server: index)
      },
      admitsTarget: { snapshot.zones.answer(name: $0.span, type: .A) == nil || isListed($0) },
      lists: isListed, chains: rule?.cname ?? .follow,
      service: ServiceRules(ports: rule?.ports ?? .any, hintFamilies: question.hintFamilies(of: rule)))
  }
}
