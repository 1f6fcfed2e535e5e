import Control
import EgressPolicy
import FirewallBridge
import FirewallModel
import Foundation
import LinuxIO
import Resolver
import Settings
import TLS
import Upstream

/// Puts policies in force: performs what `PolicyChanges` decides.
///
/// Files are read and policies are compiled on another thread; the reactor's thread swaps in what is ready.
final class PolicyController {
  /// Permits at a time.
  static let maxPermits = 1000
  /// After how many milliseconds without an echo a reload goes on without the bridge's reading.
  private static let bridgePatience: UInt64 = 1_000

  private var changes: PolicyChanges
  private let events = MachineEvents<PolicyChanges.Event>()
  /// Who waits for the end of a change.
  private var callers: [UInt64: (Activation, PolicyDifference?) -> Void] = [:]
  private var lastCaller: UInt64 = 0
  private var lastPermit: UInt64 = 0
  private let path: String
  private let service: ResolutionService
  private let factory: SnapshotFactory
  private let current: CurrentSnapshot
  private let mailbox: Mailbox<ResolverMessage>
  private let compiling: (@escaping @Sendable () -> Void) -> Void
  private var timer: TimerID?
  /// What the files that are to come into force believe of upstreams.
  private var trust: [UpstreamServer: TLSClient] = [:]
  /// By which rules and permits end.
  let clock: EndClock
  /// Hears of other files after a reload.
  var watcher: PolicyWatcher?

  /// - Parameter compiling: runs what reads files and compiles policies, at once or later, on any thread.
  init(
    inForce: PolicyChanges.InForce, path: String, factory: SnapshotFactory, current: CurrentSnapshot,
    service: ResolutionService, mailbox: Mailbox<ResolverMessage>, clock: EndClock,
    compiling: @escaping (@escaping @Sendable () -> Void) -> Void = PolicyController.onThread
  ) {
    changes = PolicyChanges(inForce)
    self.clock = clock
    self.path = path
    self.factory = factory
    self.current = current
    self.service = service
    self.mailbox = mailbox
    self.compiling = compiling
    service.onCompiled = { [unowned self] loaded, compiled, trust in
      self.trust = trust
      advance(.compiled(loaded, compiled))
    }
    service.onSets = { [unowned self] in ask(.sets($0)) }
    advance(.clockWasSet)
  }

  /// Runs it on a thread of its own.
  static func onThread(_ body: @escaping @Sendable () -> Void) {
    Thread.detachNewThread {
      Background.lower()
      body()
    }
  }

  // MARK: - What is asked for

  /// Reads the files again.
  ///
  /// - Parameter call: who asked for it by the control API.
  func reload(_ call: ReloadCall?) { ask(.files, by: call?.peer, call?.completion) }

  /// Allows what the permit says, once that is in the audit log.
  func permit(_ permit: Permit, _ completion: @escaping (Activation) -> Void) {
    ask(.permit(permit), by: permit.peer) { activation, _ in completion(activation) }
  }

  /// Ends permits before their time.
  func withdraw(_ ids: Set<UInt64>, by peer: ControlPeer, _ completion: @escaping (Activation) -> Void) {
    ask(.withdraw(ids), by: peer) { activation, _ in completion(activation) }
  }

  /// The wall clock was set: what has ended by it ends now.
  func clockWasSet() { advance(.clockWasSet) }

  /// Serve ends, and with it what it allowed for a time.
  func end() {
    for permit in changes.end() { service.record(ended: permit, by: nil) }
  }

  // MARK: - What is in force

  var permits: [Permit] { changes.inForce.permits }

  /// What the files had otherwise when they were read last, and only a restart takes.
  var needsRestart: [ChangedValue] { changes.inForce.needsRestart }

  var permitSettings: PermitSettings { changes.inForce.settings.permits }

  /// The permits that there are, and those that wait.
  var permitCount: Int { changes.permitCount }

  /// The ports that a permit for a server may open.
  func listedPorts(of server: ServerName) -> PortSet {
    permitSettings.ports(of: changes.inForce.policies.first { $0.name == server })
  }

  func nextID() -> UInt64 {
    lastPermit += 1
    return lastPermit
  }

  // MARK: - Performing

  private func ask(
    _ kind: PolicyChanges.Change.Kind, by peer: ControlPeer? = nil,
    _ completion: ((Activation, PolicyDifference?) -> Void)? = nil
  ) {
    var change = PolicyChanges.Change(kind: kind, peer: peer)
    if let completion {
      lastCaller += 1
      callers[lastCaller] = completion
      change.callers = [lastCaller]
    }
    advance(.asked(change))
  }

  /// Tells what happened, and does what comes of it; what happens meanwhile is told when that is done.
  private func advance(_ event: PolicyChanges.Event) {
    events.add(event) { next in
      let moment = PolicyChanges.Moment(wall: clock.nanoseconds(), monotonic: service.now)
      for action in changes.handle(next, at: moment) { perform(action) }
    }
  }

  private func perform(_ action: PolicyChanges.Action) {
    switch action {
    case .record(let permit): advance(.recorded(service.record(permit: permit)))
    case .announce: announce()
    case .awaitBridge: awaitBridge()
    case .compile(let compilation): compile(compilation)
    case .watch(let folders): watcher?.watch(folders)
    case .activate(let proposal): activate(proposal)
    case .recordRefused(let errors, let members): service.recordRefusedPolicy(errors: errors, members: members)
    case .recordEnd(let permit, let peer): service.record(ended: permit, by: peer)
    case .tell(let text): StandardError.write(text)
    case .finish(let change, let activation, let difference):
      for caller in change.callers { callers.removeValue(forKey: caller)?(activation, difference) }
    case .wake(let milliseconds): wake(in: milliseconds)
    }
  }

  /// The bridge takes no more than it has read in the files itself.
  private func announce() {
    guard let bridge = service.bridge else { return advance(.bridgeRead(nil)) }
    bridge.readAgain { [unowned self] failure in advance(.bridgeRead(failure.map { "\($0)" })) }
  }

  private func awaitBridge() {
    guard let bridge = service.bridge else { return }
    var isHeard = false
    bridge.ping { isHeard = $0 == nil }
    _ = service.reactor.schedule(at: service.reactor.time.adding(milliseconds: Self.bridgePatience)) { [unowned self] in
      advance(.bridgeWaited(isHeard: isHeard))
    }
  }

  private func compile(_ compilation: PolicyChanges.Compilation) {
    let (path, former) = (path, service.snapshot.policy)
    let asked = changes.inForce.settings.upstreams
    compiling { [mailbox, clock] in
      var loaded = compilation.readsFiles ? SettingsLoader.load(path: path) : nil
      var trust: [UpstreamServer: TLSClient] = [:]
      if let read = loaded?.settings {
        do throws(FileErrors) {
          trust = try UpstreamTrust.load(read, asked: asked)
        } catch {
          loaded = loaded?.refused(for: error.findings)
        }
      }
      let base = compilation.readsFiles ? loaded?.settings?.policies : compilation.policies
      // What the files do not allow any more would make the bridge refuse the whole policy.
      let permits =
        loaded?.settings.map { read in compilation.permits.filter { $0.isAllowed(by: read) } } ?? compilation.permits
      let compiled = base.map {
        CompiledPolicy($0, permits, at: clock.seconds(), former: former, compares: compilation.readsFiles)
      }
      mailbox.post(.compiled(loaded, compiled, trust: trust))
    }
  }

  private func activate(_ proposal: PolicyChanges.Proposal) {
    let policies = proposal.compiled?.policies ?? service.snapshot.policy.servers
    // What is refused has given no server a number.
    var indexes = changes.inForce.indexes
    let renumbered = indexes.assign(policies) { [service] in service.engine.isUnused(server: $0, now: service.now) }
    factory.forwards = proposal.settings.forwardZones
    let snapshot = factory.snapshot(
      of: policies, indexes: indexes, sets: proposal.sets,
      since: SnapshotFactory.Former(snapshot: current.load(), renumbered: renumbered),
      compiled: proposal.compiled?.snapshot ?? service.snapshot.policy)
    let plan = proposal.changesRules ? indexes.plan(for: policies, proposal.settings) : nil
    let proposed = ResolutionService.Proposed(
      snapshot: snapshot, forwards: UpstreamForward.all(of: proposal.settings), trust: trust, plan: plan,
      renumbered: renumbered)
    trust = [:]
    service.activate(proposed, members: proposal.members) { [unowned self] activation in
      advance(.activated(activation, indexes: indexes, renumbers: !renumbered.isEmpty))
    }
  }

  private func wake(in milliseconds: UInt64?) {
    if let timer { service.reactor.cancel(timer) }
    timer = milliseconds.map { milliseconds in
      service.reactor.schedule(at: service.reactor.time.adding(milliseconds: milliseconds)) { [unowned self] in
        timer = nil
        advance(.woken)
      }
    }
  }
}

/// A reload that was asked for by the control API.
struct ReloadCall {
  var peer: ControlPeer
  /// What came of it, and what differs.
  var completion: (Activation, PolicyDifference?) -> Void
}
