import AuditLog
import AuditStore
import DNSWire
import EgressPolicy
import FirewallBridge
import GrantLedger
import LinuxIO
import Resolver
import ResponseCache
import Settings
import Transport
import Upstream

/// What other threads tell the resolver's thread.
enum ResolverMessage: Sendable {
  case question(PendingQuestion, any ReplyPath)
  /// The configuration was read again.
  case reloaded(LoadedSettings)
  case stop
}

/// Carries out what `ResolutionEngine` decides: asks upstream, commits to the firewall, sends replies.
///
/// Lives on one thread, that of its reactor.
final class ResolutionService {
  private let reactor: Reactor
  private let upstream: UpstreamPool
  private let bridge: BridgeLink?
  private let shared: SharedState
  private let ring: AuditRing
  private let commitDeadline: UInt64
  private var engine: ResolutionEngine<any ReplyPath>
  /// The policy in force, as this thread knows it.
  private var snapshot: ResolverSnapshot
  private var isStopping = false
  /// Called on the reactor's thread when the configuration was read again.
  var onReload: ((LoadedSettings) -> Void)?

  init(
    reactor: Reactor, upstream: UpstreamPool, bridge: BridgeLink?, shared: SharedState, ring: AuditRing,
    ledger: consuming GrantLedger, commitDeadlineMilliseconds: Int
  ) {
    self.reactor = reactor
    self.upstream = upstream
    self.bridge = bridge
    self.shared = shared
    self.ring = ring
    commitDeadline = UInt64(commitDeadlineMilliseconds)
    engine = ResolutionEngine(ledger: ledger)
    snapshot = shared.current.load()
  }

  func handle(_ message: ResolverMessage) {
    switch message {
    case .question(let question, let path):
      guard !isStopping, question.snapshot === snapshot || isStillAllowed(question) else {
        return finish(engine.turnAway(question, path, now: now))
      }
      perform(engine.submit(question, path, now: now, epoch: shared.epoch.current))
    case .reloaded(let loaded):
      onReload?(loaded)
    case .stop:
      isStopping = true
      // What is in flight ends by its own deadlines; nothing holds the process longer than this.
      _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.drainMilliseconds)) { [unowned self] in
        reactor.stop()
      }
      stopIfIdle()
    }
  }

  /// A question that a worker decided just before a reload is decided again; a PTR opens nothing.
  private func isStillAllowed(_ question: PendingQuestion) -> Bool {
    if case .pointer = question.kind { return true }
    return snapshot.grantsAsBefore(
      question.snapshot, server: question.state.firewallIndex, name: question.name, type: question.type)
  }

  private var now: UInt64 { MonotonicTime.now().nanoseconds }

  private func perform(_ action: ResolutionEngine<any ReplyPath>.Action?) {
    switch action {
    case nil, .wait: break
    case .ask(let ticket, let name, let type):
      upstream.ask(name: name.span, type: type) { [unowned self] result in
        perform(engine.answered(ticket, Self.result(result), now: now, epoch: shared.epoch.current))
      }
    case .commit(let ticket, let commits):
      commit(commits) { [unowned self] result in
        perform(engine.committed(ticket, result, now: now, epoch: shared.epoch.current))
      }
    case .finish(let finished):
      finish(finished)
      stopIfIdle()
    }
  }

  private func commit(
    _ commits: [GrantCommit], _ completion: @escaping (ResolutionEngine<any ReplyPath>.CommitResult) -> Void
  ) {
    guard let bridge else { return completion(.unavailable) }
    let deadline = reactor.now.adding(milliseconds: commitDeadline)
    bridge.commit(commits, deadline: deadline) { outcome in
      switch outcome {
      case .committed: completion(.committed)
      case .refused(let refusal) where refusal.reason == .setFull: completion(.setFull)
      case .refused, .late, .unavailable: completion(.unavailable)
      }
    }
  }

  private static func result(
    _ result: Result<UpstreamAnswer, UpstreamFailure>
  ) -> ResolutionEngine<any ReplyPath>.UpstreamResult {
    switch result {
    case .success(let answer): .answer(answer.message, server: answer.server.description)
    case .failure(let failure): .failure(failure.extendedError)
    }
  }

  /// Records what must be recorded, then answers everyone who waited.
  private func finish(_ finished: ResolutionEngine<any ReplyPath>.Finished) {
    let clock = shared.clock()
    var mustRecord = true
    for waiting in finished.waiting {
      let question = waiting.question
      var isRecorded = true
      if let event = finished.event, mustRecord {
        isRecorded = record(event, finished.response, question, clock)
        mustRecord = !(event.once && isRecorded)
        // What was not recorded is not handed out from the cache either.
        if !isRecorded { question.state.cache.remove(question.name.span, question.type) }
      }
      send(finished.response, finished.event, isRecorded, waiting, clock)
      question.state.leave()
    }
  }

  private func record(
    _ event: ResolutionEngine<any ReplyPath>.Event, _ response: CachedResponse, _ question: PendingQuestion,
    _ clock: QueryClock
  ) -> Bool {
    guard !shared.audit.isBlocked else { return false }
    let header = AuditRecordHeader(
      code: event.code, transport: question.source.transport, type: question.type,
      responseCode: response.responseCode, payloadSize: UInt32(truncatingIfNeeded: question.message.count),
      client: question.source.client, clientPort: question.source.port, wallClock: clock.wall)
    let (server, name, members) = (question.state.name, question.name, event.members)
    switch ring.push(header, server: server.span, name: name.span, extra: members.span) {
    case .stored: return true
    case .storedWakeConsumer:
      shared.audit.wake()
      return true
    case .full: return false
    }
  }

  private func send(
    _ response: CachedResponse, _ event: ResolutionEngine<any ReplyPath>.Event?, _ isRecorded: Bool,
    _ waiting: ResolutionEngine<any ReplyPath>.Waiting, _ clock: QueryClock
  ) {
    let question = waiting.question
    let path = waiting.waiter
    var answer = response
    var token = event?.code.token
    if !isRecorded {
      answer = CachedResponse(responseCode: .SERVFAIL, expires: clock.monotonic, extendedError: .otherError)
      token = "audit-blocked"
    }
    let text = token.map { (server: question.state.name, token: $0) }
    let octets = [UInt8](capacity: path.isDatagram ? ReplyWriter.maxDatagram : ReplyWriter.maxStream) { out in
      ReplyWriter.answer(
        question.query, question.message.span, answer, now: clock.monotonic, isDatagram: path.isDatagram,
        errorText: answer.extendedError == nil ? nil : text, into: &out)
    }
    path.send(octets)
  }

  // MARK: - The firewall

  /// The kernel may have forgotten what was committed: nothing leaves from a cache until it is committed again (P2).
  func bridgeChanged(_ event: BridgeEvent) {
    shared.epoch.advance()
    switch event {
    case .down:
      StandardError.write(
        "sluice: both processes of the firewall bridge are gone; allowed names get SERVFAIL until sluice is restarted")
    case .broken(let text):
      StandardError.write("sluice: the firewall bridge cannot feed the kernel: \(text)")
    case .foreignChange(let change):
      StandardError.write("sluice: somebody else changed our nftables table (\(change.rawValue)); committing again")
      replay()
    case .up:
      replay()
    }
  }

  /// Commits again everything that live answers promised, in units that fit one message.
  private func replay() {
    let epoch = shared.epoch.current
    let askedAt = now
    let commits = engine.ledger.replay(now: askedAt)
    replay(commits[...], askedAt: askedAt, epoch: epoch)
  }

  /// One unit after the other, so that neither the queue's bounds nor the commits of new answers suffer.
  private func replay(_ commits: ArraySlice<GrantCommit>, askedAt: UInt64, epoch: UInt64) {
    guard !commits.isEmpty, shared.epoch.current == epoch else { return }
    let unit = Array(commits.prefix(Self.replayUnit))
    commit(unit) { [unowned self] result in
      if case .committed = result {
        engine.ledger.committed(unit, askedAt: askedAt, epoch: epoch)
      }
      replay(commits.dropFirst(unit.count), askedAt: askedAt, epoch: epoch)
    }
  }

  private static let replayUnit = 256
  /// Longer than the longest exchange and commit together.
  private static let drainMilliseconds: UInt64 = 5000

  /// Puts another policy in force: its sets first, then its decisions, then the end of what it no longer admits.
  func adopt(_ snapshot: ResolverSnapshot, plan: FirewallPlan, _ completion: @escaping (String) -> Void) {
    guard let bridge, bridge.plan != plan else { return finishAdopting(snapshot, completion) }
    bridge.install(plan) { [unowned self] failure in
      if let failure { return completion("reload refused; the firewall cannot take the new policy: \(failure)") }
      finishAdopting(snapshot, completion)
    }
  }

  private func finishAdopting(_ snapshot: ResolverSnapshot, _ completion: (String) -> Void) {
    shared.current.replace(snapshot)
    let former = self.snapshot
    self.snapshot = snapshot
    revokeUnlisted(since: former)
    completion(
      "policy \(snapshot.policy.fingerprint) is in force: \(snapshot.servers.count) servers; other keys need a restart")
  }

  /// After a reload: ends the grants of names that policy no longer lists, or lists with other ports or prefixes.
  private func revokeUnlisted(since former: ResolverSnapshot) {
    let closed = engine.end(now: now) { [snapshot] key in
      !snapshot.grantsAsBefore(former, server: key.server, name: key.name.wire, type: key.type)
    }
    guard !closed.isEmpty else { return }
    bridge?.revoke(closed) { failure in
      guard let failure else { return }
      StandardError.write("sluice: \(closed.count) addresses could not be closed and end by themselves: \(failure)")
    }
  }

  private func stopIfIdle() {
    guard isStopping, engine.flightCount == 0 else { return }
    reactor.stop()
  }
}
