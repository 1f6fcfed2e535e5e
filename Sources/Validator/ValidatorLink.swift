package import LinuxIO
import Sharing
package import Validation

/// Serve's end of the validator. Lives on the reactor's thread; nothing here ever waits for the validator.
///
/// One judgement is with it at a time, so that its end costs that one: what waits goes to the next worker.
package final class ValidatorLink {
  /// Learns the verdict, or that there is none: `validatorDown` or `overloaded`. Called once, on the reactor's thread.
  package typealias Completion = (Verdict) -> Void
  /// The server for which is judged, by the firewall's index.
  package typealias Owner = UInt16

  /// What came by, for `status` and metrics.
  package struct Statistics: Sendable {
    package var judgements: UInt64 = 0
    package var bogus: UInt64 = 0
    /// Judgements that had no verdict.
    package var failures: UInt64 = 0
    /// Workers that came after the first.
    package var restarts: UInt64 = 0
  }

  private enum State {
    /// The first worker has not said yet that it is there; what comes waits.
    case starting
    case up
    /// It does not answer; what comes is turned away.
    case down
    /// Both processes are gone.
    case gone
  }

  private struct Request {
    let id: UInt64
    let octets: [UInt8]
    let completion: Completion
  }

  /// Far more than one judgement costs (`WorkBudget`), on a machine that is busy.
  package static let patience: UInt64 = 1_000
  /// Milliseconds that the first worker has to begin.
  private static let startPatience: UInt64 = 5_000
  /// Judgements that wait, shared out among the servers (P8); each holds an answer of up to 64 KiB.
  static let maxWaiting = 1_024

  private let reactor: Reactor
  private let socket: FileDescriptor
  private var supervisorProcess: ChildProcess
  private var state = State.starting
  /// The order of what waits, in which what was turned away since is passed over.
  private var turns = Turns<Owner, Shares<Owner>.Slot>()
  private var waiting: [Shares<Owner>.Slot: Request] = [:]
  /// A judgement is soon done or given up: none is given up for a later one of the same server.
  private var shares = Shares<Owner>(capacity: maxWaiting, leastAge: .max)
  private var current: Request?
  private var timer: TimerID?
  private var nextID: UInt64 = 1
  private var buffer = [UInt8](repeating: 0, count: ValidatorMessage.maxOctets)
  package private(set) var statistics = Statistics()
  /// Told when it begins to answer, and when it does not any more.
  package var onChange: ((Bool) -> Void)?
  /// Told once when there is nothing left that could start it.
  package var onGone: (() -> Void)?

  /// Takes over a validator that was started.
  package init(reactor: Reactor, child: consuming ValidatorChild) throws(SystemError) {
    self.reactor = reactor
    supervisorProcess = child.supervisor
    socket = child.socket
    try reactor.register(socket.raw, readable: true, writable: false) { [weak self] _ in self?.ready() }
    arm(Self.startPatience)
  }

  deinit {
    reactor.unregister(socket.raw)
    if let timer { reactor.cancel(timer) }
  }

  /// The process id of the supervisor.
  package var supervisor: Int32 { supervisorProcess.pid }

  /// Whether judgements have verdicts, for all that is known.
  package var isUp: Bool {
    switch state {
    case .up: true
    case .starting, .down, .gone: false
    }
  }

  /// Has something judged, the servers in turn.
  package func judge(_ judgement: Judgement, for owner: Owner, _ completion: @escaping Completion) {
    statistics.judgements += 1
    let id = nextID
    nextID += 1
    switch state {
    case .down, .gone: return refuse(completion, .validatorDown)
    case .starting, .up: break
    }
    guard let octets = ValidatorMessage.encode(id, judgement) else { return refuse(completion, .tooMuchWork) }
    guard makeRoom(for: owner) else { return refuse(completion, .overloaded) }
    let slot = shares.enter(owner, now: reactor.time.nanoseconds)
    waiting[slot] = Request(id: id, octets: octets, completion: completion)
    turns.append(slot, of: owner)
    pump()
  }

  /// Turns away the oldest of the server that has most of them, where one has less than its share.
  private func makeRoom(for owner: Owner) -> Bool {
    switch shares.admission(of: owner, now: reactor.time.nanoseconds) {
    case .free: return true
    case .refused: return false
    case .displacing(let slot):
      shares.leave(slot)
      guard let displaced = waiting.removeValue(forKey: slot) else { return false }
      refuse(displaced.completion, .overloaded)
      return true
    }
  }

  private func takeNext() -> Request? {
    while let slot = turns.next() {
      guard let request = waiting.removeValue(forKey: slot) else { continue }
      shares.leave(slot)
      return request
    }
    return nil
  }

  /// Never from within `judge`: who asks is not done with asking.
  private func refuse(_ completion: @escaping Completion, _ fault: ValidationFault) {
    statistics.failures += 1
    _ = reactor.schedule(at: reactor.now) { completion(.bogus(fault)) }
  }

  private func pump() {
    guard case .up = state, current == nil, let request = takeNext() else { return }
    current = request
    switch MessageSocket.send(request.octets, socket.raw, waiting: false) {
    case .sent: arm(Self.patience)
    // Its buffer is empty, for one message is in it at a time: this one is too large for it.
    case .wouldBlock: end(.bogus(.tooMuchWork))
    case .closed: lost(.gone)
    }
  }

  private func end(_ verdict: Verdict) {
    guard let request = current else { return }
    current = nil
    disarm()
    switch verdict {
    case .bogus(.validatorDown): statistics.failures += 1
    case .bogus: statistics.bogus += 1
    default: break
    }
    request.completion(verdict)
    pump()
  }

  private func ready() {
    while true {
      switch MessageSocket.receive(socket.raw, into: &buffer) {
      case .nothing: return
      case .closed: return lost(.gone)
      case .octets(ValidatorMessage.greeting): greeted()
      case .octets(let octets):
        // Of one that was given up, it says that the worker runs all the same.
        guard let (id, verdict) = ValidatorMessage.verdict(octets) else { continue }
        if id == current?.id { end(verdict) }
        resume()
      }
    }
  }

  /// A worker is there; what its predecessor was at is lost.
  private func greeted() {
    if case .starting = state { disarm() } else { statistics.restarts += 1 }
    let lost = current
    current = nil
    if lost != nil { disarm() }
    resume()
    if let lost {
      statistics.failures += 1
      lost.completion(.bogus(.validatorDown))
    }
    pump()
  }

  private func resume() {
    guard !isUp else { return }
    state = .up
    onChange?(true)
    pump()
  }

  /// Whatever waits has no verdict.
  private func lost(_ next: State) {
    if case .gone = state { return }
    let wasUp = isUp
    state = next
    disarm()
    var ended = current.map { [$0] } ?? []
    current = nil
    while let request = takeNext() { ended.append(request) }
    statistics.failures += UInt64(ended.count)
    for request in ended { request.completion(.bogus(.validatorDown)) }
    if wasUp { onChange?(false) }
    guard case .gone = next else { return }
    reactor.unregister(socket.raw)
    onGone?()
  }

  private func arm(_ milliseconds: UInt64) {
    disarm()
    timer = reactor.schedule(at: reactor.time.adding(milliseconds: milliseconds)) { [weak self] in
      guard let self else { return }
      timer = nil
      lost(.down)
    }
  }

  private func disarm() {
    if let timer { reactor.cancel(timer) }
    timer = nil
  }
}
