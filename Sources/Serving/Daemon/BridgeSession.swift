package import FirewallModel
package import BridgeProcesses
import FirewallBridge
package import LinuxIO
import Glibc
import GrantLedger

/// A bridge and a reactor until the bridge has said whether its plan is in force.
package final class BridgeSession {
  /// A bridge that is not at work by then has a reason that it cannot tell: a hung nft, a stopped process.
  private static let patience: UInt64 = 10_000

  let reactor: Reactor
  private(set) var link: BridgeLink?
  /// See `BridgeChild`.
  let alarms: SharedCounter
  /// Gets every event after the start.
  var onEvent: ((BridgeEvent) -> Void)?
  private var outcome: Result<Void, StartError>?
  /// Whether the next word of the bridge that matters is its answer, and not that it is there.
  private var awaitsAnswer = false
  private(set) var greeting: BridgeGreeting?
  /// What the bridge told of interfaces before its events had a taker.
  private(set) var enclosure: EnclosureReport?
  /// What it told of refusals before there was a log to record it.
  private(set) var early: [BridgeEvent] = []
  private static let maximumEarly = 64

  /// Starts a bridge. With a plan, this returns when the plan is installed.
  ///
  /// - Throws: `StartError` when there is no bridge at work in time, or it refuses the plan.
  /// - Parameter bounds: see `BridgeChild.spawn`.
  /// - Parameter state: the path of the state folder, which is made where it is missing.
  package init(
    _ plan: FirewallPlan?, bounds: (envelope: Envelope, source: BridgeSource)? = nil, state: String,
    reactor: Reactor? = nil
  ) throws(StartError) {
    // Where rules are the user's, no network is held.
    var folder: Int32?
    do throws(StateFolder.FolderError) {
      if plan?.mode != .sets { folder = try StateFolder.open(state).release() }
    } catch {
      throw StartError(error.description)
    }
    defer { if let folder { close(folder) } }
    do throws(SystemError) {
      let loop = if let reactor { reactor } else { try Reactor() }
      self.reactor = loop
      let child = try BridgeChild.spawn(plan, bounds: bounds, state: folder)
      alarms = child.alarms
      link = try BridgeLink(reactor: loop, child: child, plan: plan) { [unowned self] in handle($0) }
    } catch {
      throw StartError("the firewall bridge cannot be started: \(error)")
    }
    if plan != nil {
      try wait("the firewall bridge did not start within 10 s")
    }
  }

  /// Deletes the table of a plan.
  ///
  /// - Throws: `StartError` when the bridge cannot, or does not answer in time.
  package func remove(_ table: String) throws(StartError) {
    awaitsAnswer = true
    link?.removeTable(table) { [unowned self] failure in
      finish(failure.map { .failure(StartError("the table cannot be removed: \($0)")) } ?? .success(()))
    }
    try wait("the firewall bridge did not answer within 10 s")
  }

  private func handle(_ event: BridgeEvent) {
    if let onEvent { return onEvent(event) }
    switch event {
    case .up(let greeting):
      self.greeting = greeting
      if !awaitsAnswer { finish(.success(())) }
    case .broken(let text):
      finish(.failure(StartError("the firewall cannot be set up: \(text)")))
    case .down:
      finish(.failure(StartError("the firewall bridge ended at once: serve needs root or CAP_NET_ADMIN")))
    case .notice(let text): StandardError.write("sluice: \(text)")
    case .enclosure(let report): enclosure = report
    case .refusals, .books, .refusalsRead: if early.count < Self.maximumEarly { early.append(event) }
    case .foreignChange, .volumes, .prefixVolumes, .alarm, .silent, .heard, .disordered: break
    }
  }

  /// What comes first counts.
  private func finish(_ result: Result<Void, StartError>) {
    outcome = outcome ?? result
    reactor.stop()
  }

  /// As `Reactor.run(within:_:until:)`, for as long as a bridge may take.
  func runReactor(_ late: String, until condition: () -> Bool) throws(StartError) {
    try reactor.run(within: Self.patience, late, until: condition)
  }

  private func wait(_ late: String) throws(StartError) {
    outcome = nil
    let timer = reactor.schedule(at: MonotonicTime.now().adding(milliseconds: Self.patience)) { [unowned self] in
      finish(.failure(StartError(late)))
    }
    reactor.run()
    reactor.cancel(timer)
    try outcome?.get()
  }
}

extension Reactor {
  /// Runs again and again until it was stopped and `condition` holds, for so many milliseconds at most.
  ///
  /// - Throws: `StartError` with the text `late` where it does not hold by then.
  func run(within milliseconds: UInt64, _ late: String, until condition: () -> Bool) throws(StartError) {
    var isLate = false
    let timer = schedule(at: time.adding(milliseconds: milliseconds)) { [self] in
      isLate = true
      stop()
    }
    while !condition() && !isLate { run() }
    cancel(timer)
    guard condition() else { throw StartError(late) }
  }
}
