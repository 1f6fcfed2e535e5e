import FirewallModel
import FirewallBridge
import AuditLog
import AuditStore
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import Enforcement
import GrantLedger
import HTTP2
import HostNetwork
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache
import Settings
import Sharing
import TLS
import Upstream
import Validation

/// What other threads tell the resolver's thread.
enum ResolverMessage: Sendable {
  case question(PendingQuery, any ReplyPath)
  /// A policy is compiled; the configuration it is of and what is believed of upstreams, where those were read again.
  case compiled(LoadedSettings?, CompiledPolicy?, trust: [UpstreamServer: TLSClient])
  /// A call of the control API.
  case control(ControlRequest, @Sendable (ControlResponse) -> Void)
  /// A call by the socket for findings.
  case finding(ControlRequest, @Sendable (ControlResponse) -> Void)
  /// The host's network changed, or could not be read.
  case host(Result<HostNetwork, SystemError>)
  /// The reply to a question that an operator asked, by its number.
  case answered(UInt64, [UInt8])
  case stop
}

/// Carries out what `ResolutionEngine` decides: asks upstream, commits to the firewall, sends replies.
///
/// Lives on one thread, that of its reactor.
final class ResolutionService {
  let reactor: Reactor
  let upstream: UpstreamPool
  let bridge: BridgeLink?
  let shared: SharedState
  let ring: AuditRing
  let shard: Int
  let options: FirewallOptions
  let journal: GrantJournal?
  /// Through which connections go that have to say a name; nil where none have to.
  var gate: GateLink?
  var gateCounts = GateCounts()
  var inspection = Inspection()
  /// The newest replay of all that the gate has to know.
  var gateReplay: UInt64 = 0
  var engine: ResolutionEngine
  /// Nil where the configuration names no key to begin with: then nothing can be validated.
  var validation: AnswerValidation?
  /// The policy in force, as this thread knows it.
  var snapshot: ResolverSnapshot
  /// The host's network, as far as answers may not lead there.
  var host = HostNetwork()
  let listeners: Set<IPAddress>
  /// Decides what is done to keep the kernel in agreement with what answers promised.
  private(set) var enforcement: Enforcement
  private let enforcementEvents = MachineEvents<Enforcement.Event>()
  /// What is left of the replay that is under way.
  var replaying = ReplayInParts()
  /// Lines of the journal wait to be written.
  var isRecordDue = false
  // What `/metrics` tells.
  var resolutionTimes = DurationHistogram()
  var commitTimes = DurationHistogram()
  var commitResults = CommitResults()
  var incidentCount: UInt64 = 0
  var violations = PromiseViolations()
  var reloads: (inForce: UInt64, refused: UInt64) = (0, 0)
  /// Nanoseconds since 1970 when the policy in force came into force.
  var policySince: UInt64
  var volumes = VolumeTotals()
  var refusalCounts = RefusalCounts()
  var lost = LostCounts()
  /// The bridge can be told by the kernel what the table refuses.
  var isRefusalLogRead = true
  var enclosure = EnclosureState()
  private(set) var isStopping = false
  /// The end waits for what the bridge has to tell of refused packets.
  private var areBooksOpen = false
  /// Closings of which it is not known yet what they came to: their records wait for that.
  var openReports = 0
  /// What the query paths could not answer, by the server's index.
  private var questions = Turns<UInt16, (PendingQuery, any ReplyPath)>()
  /// What holds replies that leave when this turn of the reactor's is over.
  var held: [any HeldReplies] = []
  var heldSince: UInt64 = 0
  /// Called once when nothing more can be opened, with the reason.
  var onFailure: ((String) -> Void)?
  /// Called when the bridge has looked at the sets again.
  var onSets: (([ServerSets]) -> Void)?
  /// Called on the reactor's thread when a policy is compiled.
  var onCompiled: ((LoadedSettings?, CompiledPolicy?, [UpstreamServer: TLSClient]) -> Void)?
  /// Called with the reply to an operator's query, by its number.
  var onAnswered: ((UInt64, [UInt8]) -> Void)?
  /// Called when the host's network changed, or could not be read.
  var onHost: ((Result<HostNetwork, SystemError>) -> Void)?
  /// Answers calls of the control API, and those by the socket for findings.
  var onControl: ((ControlRequest, @escaping @Sendable (ControlResponse) -> Void) -> Void)?
  var onFinding: ((ControlRequest, @escaping @Sendable (ControlResponse) -> Void) -> Void)?

  /// However fast a server answers from its cache, that says nothing of a cold recursion: two tries get 2.1 s.
  static let upstreamLimits = {
    var limits = UpstreamLimits()
    limits.firstTry = 700
    limits.shortestTry = 700
    return limits
  }()

  init(
    reactor: Reactor, upstream: UpstreamPool, bridge: BridgeLink?, shared: SharedState, ring: AuditRing, shard: Int,
    ledger: consuming GrantLedger, options: FirewallOptions, journal: GrantJournal?, listeners: Set<IPAddress> = [],
    clock: EndClock = EndClock(), incarnation: UInt64 = 0
  ) {
    self.reactor = reactor
    self.upstream = upstream
    self.bridge = bridge
    self.shared = shared
    self.ring = ring
    self.shard = shard
    self.options = options
    self.journal = journal
    self.listeners = listeners
    enforcement = Enforcement(isManaged: options.isManaged, incarnation: incarnation)
    engine = ResolutionEngine(ledger: ledger, wallSeconds: { clock.seconds() })
    snapshot = shared.current.load()
    policySince = shared.clock().wall
    reactor.work = { [unowned self] in
      // Answers before questions; and what is answered at once leaves before this thread sleeps.
      sendHeld()
      defer { sendHeld() }
      return takeQuestions()
    }
    bridge?.onEvictionFailure = { [unowned self] in evictionFailed($0, $1) }
  }

  /// Tells the enforcement what happened, and does what comes of it; what happens meanwhile is told when that is done.
  func advanceEnforcement(_ event: Enforcement.Event) {
    enforcementEvents.add(event) { next in
      for action in enforcement.handle(next, now: now, epoch: shared.epoch.current) { perform(action) }
    }
  }

  func handle(_ message: ResolverMessage) {
    if case .question(let question, let path) = message {
      return questions.append((question, path), of: question.state.firewallIndex)
    }
    // What is ended or closed by it was answered before.
    sendHeld()
    switch message {
    case .question: break
    case .compiled(let loaded, let compiled, let trust):
      onCompiled?(loaded, compiled, trust)
    case .host(let outcome):
      onHost?(outcome)
    case .answered(let id, let reply):
      onAnswered?(id, reply)
    case .control(let request, let completion):
      guard let onControl, !isStopping else { return completion(.error(503, "sluice is starting or stopping")) }
      onControl(request, completion)
    case .finding(let request, let completion):
      guard let onFinding else { return completion(.error(503, "sluice is starting")) }
      onFinding(request, completion)
    case .stop:
      isStopping = true
      // What is in flight ends by its own deadlines; nothing holds the process longer than this.
      _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.drainMilliseconds)) { [unowned self] in
        reactor.stop()
      }
      closeBooks()
      stopIfIdle()
    }
  }

  /// What was refused since the books were closed would never be told: the next run begins books of its own.
  private func closeBooks() {
    guard let bridge, options.recordsRefusals else { return }
    areBooksOpen = true
    let end: () -> Void = { [unowned self] in
      areBooksOpen = false
      stopIfIdle()
    }
    bridge.closeBooks { _ in end() }
    _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.booksMilliseconds), end)
  }

  /// Questions taken before the reactor looks at sockets again: about a quarter of a millisecond.
  private static let questionsAtOnce = 8

  /// Takes some of the questions that came, the servers in turn: a thousand of one server do not go before another's.
  private func takeQuestions() -> Bool {
    for _ in 0..<Self.questionsAtOnce {
      guard let (question, path) = questions.next() else { break }
      take(question, path)
    }
    stopIfIdle()
    return !questions.isEmpty
  }

  private func take(_ question: PendingQuery, _ path: any ReplyPath) {
    guard !isStopping, question.snapshot === snapshot || isStillAllowed(question) else {
      return answerWaiting(engine.refuse(question, path, isStopping ? .stopping : .policy, now: now))
    }
    while let displaced = engine.makeRoom(for: question, now: now) { answerWaiting(displaced) }
    perform(engine.submit(question, path, now: now, epoch: shared.epoch.current))
  }

  /// A question that a worker decided just before a reload is decided again; a PTR opens nothing.
  private func isStillAllowed(_ question: PendingQuery) -> Bool {
    if case .reverse = question.kind { return true }
    return snapshot.judgesAsBefore(question.snapshot, server: question.state.firewallIndex)
      && snapshot.grantsAsBefore(
        question.snapshot, server: question.state.firewallIndex, name: question.name, type: question.type)
  }

  var now: UInt64 { reactor.time.nanoseconds }

  private func perform(_ action: ResolutionEngine.Action?) {
    switch action {
    case nil, .wait: break
    case .ask(let ticket, let name, let type):
      guard let owner = engine.question(of: ticket)?.server else { break }
      let manner = UpstreamPool.Manner(by: snapshot.forwards.place(of: name), isSigned: engine.wantsSignatures(ticket))
      upstream.ask(name: name.span, type: type, for: owner, as: manner) { [unowned self] in answered(ticket, $0) }
      giveStaleLater(ticket)
    case .validate(let ticket, let name, let type, let message):
      validate(message, of: ticket, (Name(canonical: name.span), type))
    case .commit(let ticket, let commits, let evictions):
      let planned = engine.planned(by: ticket)
      // Then the answer leaves at once.
      if commits.isEmpty, let planned { keepRecord(of: planned) }
      if !evictions.isEmpty { sendHeld() }
      gate?.evict(evictions)
      commit(commits, evicting: evictions) { [unowned self] in acknowledged(ticket, planned, $0) }
      if !commits.isEmpty, let planned { keepRecord(of: planned) }
    case .finish(let finished):
      if let promised = finished.promised {
        keepRecord(of: promised)
        writeRecords()
      }
      answerWaiting(finished)
      stopIfIdle()
    }
  }

  /// Gives who waits for a question what was said before, where upstream takes long and policy wants that.
  private func giveStaleLater(_ ticket: ResolutionEngine.Ticket) {
    guard snapshot.rules.maxStale != nil, engine.hasStale(ticket, now: now, epoch: shared.epoch.current) else { return }
    _ = reactor.schedule(at: reactor.time.adding(milliseconds: StaleAnswer.patience)) { [unowned self] in
      guard let finished = engine.outwaited(ticket, now: now, epoch: shared.epoch.current) else { return }
      answerWaiting(finished)
    }
  }

  private func answered(
    _ ticket: ResolutionEngine.Ticket, _ result: Result<UpstreamAnswer, UpstreamFailure>
  ) {
    let now = now
    sendOverdue(now)
    perform(engine.answered(ticket, self.result(result), now: now, epoch: shared.epoch.current))
  }

  /// The kernel has what was asked for, or will not have it; the gate is to know the name as well, where there is one.
  private func acknowledged(
    _ ticket: ResolutionEngine.Ticket, _ planned: ResolutionEngine.Planned?, _ result: ResolutionEngine.CommitResult
  ) {
    writeRecords()
    guard case .committed = result, let planned, checksNames(planned.key.server) else {
      return committed(ticket, result)
    }
    openGate(for: planned) { [unowned self] in committed(ticket, $0 ? .committed : .unavailable) }
  }

  private func committed(_ ticket: ResolutionEngine.Ticket, _ result: ResolutionEngine.CommitResult) {
    let now = now
    sendOverdue(now)
    perform(engine.committed(ticket, result, now: now, epoch: shared.epoch.current))
  }

  private func validate(
    _ message: [UInt8], of ticket: ResolutionEngine.Ticket, _ question: (name: Name, type: RRType)
  ) {
    let decided: AnswerValidation.Completion = { [unowned self] outcome in
      perform(engine.validated(ticket, outcome, now: now, epoch: shared.epoch.current))
    }
    guard let validation, let owner = engine.question(of: ticket)?.server else {
      return decided(.failed(.validatorDown))
    }
    validation.validate(message, to: question, for: owner, decided)
  }

  func commit(
    _ commits: [GrantCommit], evicting evictions: [GrantElement] = [],
    _ completion: @escaping (ResolutionEngine.CommitResult) -> Void
  ) {
    guard !commits.isEmpty else {
      bridge?.evict(evictions)
      return completion(.committed)
    }
    guard let bridge else { return completion(.unavailable) }
    let deadline = reactor.now.adding(milliseconds: options.commitDeadline)
    let asked = now
    bridge.commit(commits, evicting: evictions, deadline: deadline) { [unowned self] outcome in
      count(outcome, since: asked)
      switch outcome {
      case .committed: completion(.committed)
      case .refused(let refusal) where refusal.reason == .setFull: completion(.setFull)
      case .refused, .late, .unavailable: completion(.unavailable)
      }
    }
  }

  private func count(_ outcome: CommitOutcome, since asked: UInt64) {
    commitTimes.observe(nanoseconds: now - asked)
    switch outcome {
    case .committed: commitResults.committed += 1
    case .late: commitResults.late += 1
    case .refused(let refusal) where refusal.reason == .outside: commitResults.outside += 1
    case .refused, .unavailable: commitResults.refused += 1
    }
  }

  private func result(
    _ result: Result<UpstreamAnswer, UpstreamFailure>
  ) -> ResolutionEngine.UpstreamResult {
    switch result {
    case .success(let answer): .answer(answer.message, server: answer.serverText)
    case .failure(.overloaded): .overloaded
    case .failure(.refused(let code, let server)): .refused(code, server: upstream.text(of: server))
    case .failure(.http(let fault, let server)):
      .refusedByHTTP(cause: fault.token, server: upstream.text(of: server))
    case .failure(.untrusted(let fault, let server)):
      .untrusted(cause: fault.rawValue, server: upstream.text(of: server))
    case .failure(let failure): .failure(failure.extendedError)
    }
  }

  /// The host slept: cached answers grew older meanwhile, though the monotonic clock stood still. So did the kernel's for the
  /// elements of sets, so that what is open ends with its grant.
  func slept(nanoseconds: UInt64) {
    for state in snapshot.servers { state.cache.age(by: nanoseconds) }
  }

  /// Longer than the longest exchange and commit together.
  private static let drainMilliseconds: UInt64 = 5000
  /// Several times what the bridge waits for the kernel's log.
  private static let booksMilliseconds: UInt64 = 1000

  func stopIfIdle() {
    guard isStopping, !areBooksOpen, openReports == 0, engine.resolutionCount == 0, questions.isEmpty else { return }
    reactor.stop()
  }
}

/// What became of the grants that the bridge was handed, by unit.
struct CommitResults {
  var committed: UInt64 = 0
  var refused: UInt64 = 0
  var late: UInt64 = 0
  /// Refused, because the configuration's files do not allow it.
  var outside: UInt64 = 0
}
