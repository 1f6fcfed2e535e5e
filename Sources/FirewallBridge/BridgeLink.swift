package import FirewallModel
import Glibc
package import GrantLedger
package import LinuxIO

/// Serve's end of the bridge. Lives on the reactor's thread; nothing here ever waits for the bridge.
package final class BridgeLink {
  /// Learns what became of the grants of one answer; called once, on the reactor's thread.
  package typealias CommitCompletion = (CommitOutcome) -> Void

  private struct Request {
    var messages: [[UInt8]]
    var mayBeLate: Bool
    var elements: [ListedElement] = []
    var completion: (Result<RequestResult, BridgeRequestFailure>) -> Void
  }

  /// What a request came to.
  struct RequestResult {
    var elements: [ListedElement] = []
    var flows = 0
  }

  /// Far more than operators and policy reloads cause; a bound all the same.
  private static let maximumRequests = 1_024
  private static let maximumOutgoing = 4_096

  private var supervisorProcess: ChildProcess
  private let reactor: Reactor
  private let socket: FileDescriptor
  private let onEvent: (BridgeEvent) -> Void
  var queue: CommitQueue
  private var completions: [UInt32: CommitCompletion] = [:]
  private var requests: [UInt32: Request] = [:]
  var nextRequest: UInt32 = 0
  private var order = BridgeOrder()
  /// The kernel may still hold what was to be evicted.
  package var onEvictionFailure: (([GrantElement], BridgeRequestFailure) -> Void)?
  private var isEvicting = false
  private var isPumpDue = false
  /// Answers after which a batch leaves at once, so that the bridge does not stand idle in a long turn.
  private static let unitsAtOnce = 16
  private var outgoing = MessageOutbox()
  private var isOpen = true
  private var timer: (id: TimerID, at: MonotonicTime)?
  private var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
  package private(set) var plan: FirewallPlan?
  var fingerprint: UInt64
  private var incarnation: UInt64 = 0
  private var silence = BridgeSilence()
  private var silenceTimer: (id: TimerID, at: MonotonicTime)?
  /// The request number of probes, whose answer is not waited for.
  private static let probe: UInt32 = 0

  /// Takes over a bridge that was started with `plan`; `onEvent` is called on the reactor's thread.
  package init(
    reactor: Reactor, child: consuming BridgeChild, plan: FirewallPlan?, limits: CommitQueue.Limits = .init(),
    onEvent: @escaping (BridgeEvent) -> Void
  ) throws(SystemError) {
    self.reactor = reactor
    supervisorProcess = child.supervisor
    socket = child.socket
    self.onEvent = onEvent
    self.plan = plan
    fingerprint = plan?.fingerprint ?? 0
    queue = CommitQueue(plan: fingerprint, limits: limits)
    try reactor.register(socket.raw, readable: true, writable: false) { [weak self] events in
      self?.ready(events)
    }
  }

  /// The process id of the first supervisor.
  package var supervisor: Int32 { supervisorProcess.pid }

  deinit {
    if isOpen { reactor.unregister(socket.raw) }
    if let timer { reactor.cancel(timer.id) }
    if let silenceTimer { reactor.cancel(silenceTimer.id) }
  }

  /// Commits the grants of one answer; `completion` runs later on the reactor's thread, at the deadline at the latest.
  ///
  /// - Parameter evictions: elements that make room for them, closed before, and whatever becomes of the grants; where that
  ///   fails `onEvictionFailure` is called.
  package func commit(
    _ grants: [GrantCommit], evicting evictions: [GrantElement] = [], deadline: MonotonicTime,
    _ completion: @escaping CommitCompletion
  ) {
    // It would end late; so no request waits for it.
    guard !silence.isSilent else {
      queue.leave(evictions)
      return scheduleOnReactor { completion(.unavailable) }
    }
    complete(queue.makeRoom(for: grants, evicting: evictions))
    switch queue.submit(grants, evicting: evictions, deadline: deadline) {
    case .success(let unit):
      completions[unit] = completion
      if queue.waitingCount >= Self.unitsAtOnce { pump() } else { pumpSoon() }
      armTimer(deadline)
    case .failure(let refusal):
      scheduleOnReactor { completion(refusal.outcome) }
    }
  }

  /// Replaces the plan. Server indices of later calls are those of `plan`; commits that still wait end `unavailable`.
  package func install(_ plan: FirewallPlan, _ completion: @escaping (BridgeRequestFailure?) -> Void) {
    let former = self.plan
    self.plan = plan
    switchPlan(to: plan.fingerprint)
    nextRequest &+= 1
    request(nextRequest, Self.parts(plan.encoded(), request: nextRequest)) { [weak self] result in
      if case .failure = result, let self, let former {
        // The bridge keeps feeding the plan it has, so that is the one that is meant.
        self.plan = former
        self.switchPlan(to: former.fingerprint)
      }
      completion(result.failure)
    }
  }

  private func switchPlan(to fingerprint: UInt64) {
    self.fingerprint = fingerprint
    let switched = queue.switchPlan(to: fingerprint)
    complete(switched.finished)
    guard !switched.unclosed.isEmpty else { return }
    scheduleOnReactor { [weak self] in
      self?.onEvictionFailure?(switched.unclosed, BridgeRequestFailure(refusal: nil, text: "the policy changed first"))
    }
  }

  private static func parts(_ octets: [UInt8], request: UInt32) -> [BridgeMessage] {
    let size = BridgeMessage.maximumPartOctets
    let count = (octets.count + size - 1) / size
    return (0..<count).map { index in
      let part = octets[(index * size)..<min((index + 1) * size, octets.count)]
      return .planPart(
        request: request, index: UInt16(clamping: index), count: UInt16(clamping: count), octets: Array(part))
    }
  }

  func request(
    _ id: UInt32, _ messages: [BridgeMessage],
    _ completion: @escaping (Result<RequestResult, BridgeRequestFailure>) -> Void
  ) {
    guard isOpen, requests.count < Self.maximumRequests, outgoing.count < Self.maximumOutgoing else {
      scheduleOnReactor { completion(.failure(BridgeRequestFailure(refusal: nil, text: ""))) }
      return
    }
    let mayBeLate = messages.contains(where: \.mayBeDoneLate)
    let request = Request(messages: messages.map { $0.encoded() }, mayBeLate: mayBeLate, completion: completion)
    requests[id] = request
    send(request, id)
  }

  // MARK: Sending

  /// What is asked for in one turn of the reactor goes together: a transaction of the kernel's costs as much as some twenty
  /// elements in it. It leaves before the reactor sleeps again.
  private func pumpSoon() {
    guard !isPumpDue else { return }
    isPumpDue = true
    scheduleOnReactor { [weak self] in
      self?.isPumpDue = false
      self?.pump()
    }
  }

  func pump() {
    guard outgoing.isEmpty else { return }
    if let batch = queue.nextBatch(now: reactor.now) {
      send(batch)
      armSilence()
    } else if !isEvicting, case let left = queue.nextEvictions(), !left.isEmpty {
      isEvicting = true
      evictNow(left) { [weak self] in
        self?.isEvicting = false
        self?.pump()
      }
    }
  }

  private func send(_ request: Request, _ id: UInt32) {
    order.send(.request(id), mayBeLate: request.mayBeLate)
    request.messages.forEach(send)
  }

  private func send(_ batch: CommitQueue.Batch) {
    evictNow(batch.evictions)
    order.send(.batch(batch.identifier))
    send(BridgeMessage.grants(batch: batch.identifier, plan: batch.plan, grants: batch.grants).encoded())
  }

  private func send(_ octets: [UInt8]) {
    guard isOpen else { return }
    perform(outgoing.send(octets, to: socket.raw))
  }

  private func perform(_ outcome: MessageOutbox.Outcome) {
    switch outcome {
    case .unchanged: break
    case .closed: close()
    case .awaitsRoom(let awaits): reactor.modify(socket.raw, readable: true, writable: awaits)
    }
  }

  // MARK: Receiving

  private func ready(_ events: ReadyEvents) {
    if !outgoing.isEmpty {
      perform(outgoing.sendWaiting(to: socket.raw))
      if outgoing.isEmpty, isOpen { pump() }
    }
    receive()
  }

  /// Handles what the bridge has said.
  private func receive() {
    while isOpen {
      switch MessageSocket.receive(socket.raw, into: &buffer) {
      case .nothing: return
      case .closed: close()
      case .octets(let octets):
        // Both ends are one executable and have one codec.
        do throws(BridgeFormatError) {
          handle(try BridgeMessage(decoding: octets))
        } catch {
          onEvent(.notice("a message of the bridge cannot be read (\(error)): \(octets.count) octets"))
        }
      }
    }
  }

  private func handle(_ message: BridgeMessage) {
    // Whatever the bridge's loop says shows that it runs; alarms come from a thread of their own, which runs where the loop
    // hangs.
    if message != .alarm { heard() }
    switch message {
    case .outcome(let batch, let refused):
      check(.batch(batch))
      complete(queue.answered(batch, refused: refused))
      pump()
    case .hello(let greeting): greeted(greeting)
    case .foreignChange(let change, let servers): onEvent(.foreignChange(change, servers: servers))
    case .volumes(let volumes): onEvent(.volumes(volumes))
    case .prefixVolumes(let volumes): onEvent(.prefixVolumes(volumes))
    case .refusals(let refusals): onEvent(.refusals(refusals))
    case .books(let books): onEvent(.books(books))
    case .refusalsRead(let isRead): onEvent(.refusalsRead(isRead))
    case .notice(let text): onEvent(.notice(text))
    case .enclosure(let report): onEvent(.enclosure(report))
    case .alarm: onEvent(.alarm)
    case .broken(_, let text): onEvent(.broken(text))
    case .page(let id, let last, let elements):
      requests[id]?.elements += elements
      if last, let request = requests.removeValue(forKey: id) {
        check(.request(id))
        request.completion(.success(RequestResult(elements: request.elements)))
      }
    case .done(let id, let refusal, let flows, let text): done(id, refusal, Int(flows), text)
    case .planPart, .grants, .revoke, .listServer, .removeTable, .ping, .inUse, .readAgain, .closeBooks,
      .unreachable, .alive:
      break
    }
  }

  /// Told before anything comes of the acknowledgement: no answer may leave on the strength of it (P2).
  private func check(_ work: BridgeOrder.Work) {
    if !order.acknowledged(work) { onEvent(.disordered) }
  }

  private func heard() {
    if silence.heard(reactor.now) { onEvent(.heard) }
    armSilence()
  }

  private func done(_ id: UInt32, _ refusal: BridgeRefusal?, _ flows: Int, _ text: String) {
    guard let request = requests.removeValue(forKey: id) else { return }
    check(.request(id))
    if let refusal {
      request.completion(.failure(BridgeRequestFailure(refusal: refusal, text: text)))
    } else {
      request.completion(.success(RequestResult(elements: request.elements, flows: flows)))
    }
  }

  private func greeted(_ greeting: BridgeGreeting) {
    guard greeting.incarnation != incarnation else {
      // The same worker, with another plan.
      onEvent(.up(greeting))
      return
    }
    reap()
    let isFirst = greeting.incarnation == 1
    incarnation = greeting.incarnation
    order.restarted()
    let again = queue.greeted(now: reactor.now)
    if !isFirst {
      // What the predecessor may have taken with it is asked for again; doing it twice does no harm.
      for id in requests.keys.sorted() {
        requests[id]?.elements.removeAll()
        if let request = requests[id] { send(request, id) }
      }
    }
    if let batch = again.resend { send(batch) }
    onEvent(.up(greeting))
    complete(again.finished)
    pump()
  }

  private func close() {
    guard isOpen else { return }
    isOpen = false
    silence.ended()
    reactor.unregister(socket.raw)
    reap()
    outgoing.removeAll()
    complete(queue.down())
    let pending = requests
    requests.removeAll()
    onEvent(.down)
    for request in pending.values {
      request.completion(.failure(BridgeRequestFailure(refusal: nil, text: "")))
    }
  }

  /// The supervisor is serve's child: when it was killed no other process takes its exit status.
  private func reap() { _ = supervisorProcess.hasEnded() }

  func complete(_ finished: [CommitQueue.Finished]) {
    for unit in finished {
      completions.removeValue(forKey: unit.unit)?(unit.outcome)
    }
  }

  // MARK: Time

  private func armTimer(_ deadline: MonotonicTime) {
    if let timer {
      guard deadline < timer.at else { return }
      reactor.cancel(timer.id)
    }
    let id = reactor.schedule(at: deadline) { [weak self] in
      guard let self else { return }
      self.timer = nil
      self.complete(self.queue.expire(now: self.reactor.now))
      if let next = self.queue.earliestDeadline {
        self.armTimer(next)
      }
    }
    timer = (id, deadline)
  }

  /// Wakes when the bridge has been silent for too long, or is to be probed.
  private func armSilence() {
    guard let wake = silence.nextWake(batchDeadline: queue.sentDeadline) else { return }
    if let silenceTimer {
      guard wake < silenceTimer.at else { return }
      reactor.cancel(silenceTimer.id)
    }
    let id = reactor.schedule(at: wake) { [weak self] in
      guard let self else { return }
      self.silenceTimer = nil
      self.watchSilence()
    }
    silenceTimer = (id, wake)
  }

  /// Of a bridge that has ended nothing is due.
  private func watchSilence() {
    // An echo may be there that this thread has not come to read.
    receive()
    switch silence.due(reactor.now, batchDeadline: queue.sentDeadline) {
    case .probe: send(BridgeMessage.ping(request: Self.probe).encoded())
    case .silent: onEvent(.silent)
    case .gone: return close()
    case nil: break
    }
    armSilence()
  }

  func scheduleOnReactor(_ work: @escaping () -> Void) {
    _ = reactor.schedule(at: reactor.now, work)
  }
}
