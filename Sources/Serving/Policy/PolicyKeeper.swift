import FirewallModel
import FirewallBridge
import AuditLog
import Control
import EgressPolicy
import Foundation
import LinuxIO
import Resolver
import Settings
import Transport

/// Puts policies in force, one change after the other: what the files say, what an operator allowed for a time, and what
/// of both holds by the clock.
///
/// Files are read and policies are compiled on another thread; the reactor's thread swaps in what is ready.
final class PolicyKeeper {
  private enum Change {
    /// The files may say something else; everybody who asked for it.
    case files([ReloadCall])
    /// The bridge found other sets.
    case sets([ServerSets])
    /// A rule or a permit is over.
    case time
    case permit(Permit, (Adoption) -> Void)
    case withdraw(Set<UInt64>, ControlPeer, (Adoption) -> Void)
  }

  /// Permits at a time.
  static let maxPermits = 1000
  /// So often, in seconds, what ends later is looked at again.
  private static let longestSleep: UInt64 = 60
  /// After how many seconds what should have ended is tried again.
  private static let retry: UInt64 = 5
  /// After how many milliseconds without an echo a reload goes on without the bridge's reading.
  private static let bridgePatience: UInt64 = 1_000

  private var settings: Settings
  private let path: String
  private let service: ResolutionService
  private let factory: SnapshotFactory
  private let current: CurrentSnapshot
  private let mailbox: Mailbox<ResolverMessage>
  private var indexes: FirewallIndexes
  /// As they were read last; some of their rules may not be in force any more.
  private var policies: [ServerPolicy]
  /// What is allowed for a time, oldest first.
  private(set) var permits: [Permit] = []
  private var lastID: UInt64 = 0
  /// The second, by `clock`, at which what is in force was compiled: an end after it is still to come into force.
  private var compiledAt: UInt64
  /// What should have ended could not: tried again, but not at once.
  private var endIsRefused = false
  /// What ended is in force, and the firewall's rules are still those from before.
  private var planIsLate = false
  /// The sets that the bridge told of last.
  private var reportedSets: [ServerSets]?
  private var running: Change?
  /// How often the bridge reads the files again, at the same time as they are read here.
  private var readings = 0
  /// Whether what is read here waits for that.
  private var awaitsBridge = false
  private var readingFailure: BridgeRequestFailure?
  /// What waits for that.
  private var afterReading: (() -> Void)?
  private var waiting: [Change] = []
  private var timer: TimerID?
  /// By which rules and permits end.
  let clock: EndClock
  /// Hears of other files after a reload.
  var watcher: PolicyWatcher?

  init(
    settings: Settings, path: String, compiledAt: UInt64, indexes: FirewallIndexes, factory: SnapshotFactory,
    current: CurrentSnapshot, service: ResolutionService, mailbox: Mailbox<ResolverMessage>, clock: EndClock
  ) {
    self.clock = clock
    self.settings = settings
    self.path = path
    self.indexes = indexes
    self.factory = factory
    self.current = current
    self.service = service
    self.mailbox = mailbox
    self.compiledAt = compiledAt
    policies = settings.policies
    reportedSets = factory.sets
    service.onCompiled = { [unowned self] in compiled($0, $1) }
    service.onSets = { [unowned self] sets in
      guard reportedSets != sets else { return }
      reportedSets = sets
      submit(.sets(sets))
    }
    schedule()
  }

  // MARK: - What is asked for

  /// Reads the files again.
  ///
  /// - Parameter call: who asked for it by the control API. A reload that waits already serves him as well; one that runs
  ///   may have read what was there before.
  func reload(_ call: ReloadCall?) {
    let calls = call.map { [$0] } ?? []
    if let place = waiting.firstIndex(where: { if case .files = $0 { true } else { false } }),
      case .files(let others) = waiting[place]
    {
      waiting[place] = .files(others + calls)
    } else {
      submit(.files(calls))
    }
  }

  var permitSettings: PermitSettings { settings.permits }

  /// The ports that a permit for a server may open.
  func listedPorts(of server: ServerName) -> PortSet {
    settings.permits.ports(of: policies.first { $0.name == server })
  }

  /// The permits that there are, and those that wait.
  var permitCount: Int {
    permits.count + ([running].compactMap(\.self) + waiting).count { if case .permit = $0 { true } else { false } }
  }

  /// Serve ends, and with it what it allowed for a time.
  func end() {
    for permit in permits { service.record(ended: permit, by: nil) }
    permits = []
  }

  func nextID() -> UInt64 {
    lastID += 1
    return lastID
  }

  /// Allows what the permit says, once that is in the audit log.
  func permit(_ permit: Permit, _ completion: @escaping (Adoption) -> Void) { submit(.permit(permit, completion)) }

  /// Ends permits before their time.
  func withdraw(_ ids: Set<UInt64>, by peer: ControlPeer, _ completion: @escaping (Adoption) -> Void) {
    submit(.withdraw(ids, peer, completion))
  }

  private func submit(_ change: Change) {
    // One look at the clock, when its turn comes, serves all.
    if case .time = change, waiting.contains(where: { if case .time = $0 { true } else { false } }) { return }
    waiting.append(change)
    next()
  }

  // MARK: - One change

  private func next() {
    guard running == nil, !waiting.isEmpty else { return }
    let change = waiting.removeFirst()
    running = change
    switch change {
    case .files:
      announceReload()
      compile(readsFiles: true)
    case .time, .withdraw: compile()
    case .permit(let permit, let completion):
      guard service.record(permit: permit) else {
        running = nil
        completion(.refused("the audit log cannot take it"))
        return next()
      }
      compile()
    case .sets(let sets):
      factory.sets = sets
      let policy = service.snapshot.policy
      adopt(policy.servers, policy, cause) { [unowned self] in finish($0) }
    }
  }

  /// The permits as they are when the change that runs is in force.
  private var proposed: [Permit] {
    let now = (wall: clock.seconds(), monotonic: service.now)
    var permits = permits
    switch running {
    case .permit(let permit, _): permits.append(permit)
    case .withdraw(let ids, _, _): permits.removeAll { ids.contains($0.id) }
    case .files, .sets, .time, nil: break
    }
    return permits.filter { !$0.isOver(wall: now.wall, monotonic: now.monotonic) }
  }

  private func compile(readsFiles: Bool = false) {
    let (path, policies, permits, former) = (path, policies, proposed, service.snapshot.policy)
    Thread.detachNewThread { [mailbox, clock] in
      Background.lower()
      let loaded = readsFiles ? SettingsLoader.load(path: path) : nil
      let base = readsFiles ? loaded?.settings?.policies : policies
      // What the files do not allow any more would make the bridge refuse the whole policy.
      let permits = loaded?.settings.map { read in permits.filter { $0.isAllowed(by: read) } } ?? permits
      let compiled = base.map {
        CompiledPolicy($0, permits, at: clock.seconds(), former: former, compares: readsFiles)
      }
      mailbox.post(.compiled(loaded, compiled))
    }
  }

  /// The bridge takes no more than it has read in the files itself.
  private func announceReload() {
    guard let bridge = service.bridge else { return }
    readings += 1
    awaitsBridge = true
    bridge.readAgain { [unowned self] failure in
      readings -= 1
      readingFailure = failure
      if readings == 0 { goOn() }
    }
    awaitReading(bridge)
  }

  /// Goes on without the bridge's reading where the bridge does not run: what a change takes away must not wait for it, and
  /// what it adds the bridge refuses.
  private func awaitReading(_ bridge: BridgeLink) {
    var isHeard = false
    bridge.ping { isHeard = $0 == nil }
    _ = service.reactor.schedule(at: MonotonicTime.now().adding(milliseconds: Self.bridgePatience)) { [unowned self] in
      guard readings > 0 else { return }
      isHeard ? awaitReading(bridge) : goOn()
    }
  }

  private func goOn() {
    awaitsBridge = false
    let next = afterReading
    afterReading = nil
    next?()
  }

  private func compiled(_ loaded: LoadedSettings?, _ compiled: CompiledPolicy?) {
    guard loaded == nil || !awaitsBridge else {
      afterReading = { [unowned self] in self.compiled(loaded, compiled) }
      return
    }
    // Also of a broken file: the one that mends it may lie in a folder that only it names.
    if let loaded { watcher?.watch(loaded.folders) }
    if let loaded, !isUsable(loaded) { return }
    if let failure = readingFailure, loaded != nil {
      StandardError.write("sluice: the firewall bridge stays within what the files said before: \(failure)")
    }
    guard let compiled else { return finish(.refused("no policy")) }
    let files = loaded?.settings?.policies ?? policies
    if let read = loaded?.settings { (settings.released, settings.permits) = (read.released, read.permits) }
    var members = ""
    if let difference = compiled.difference {
      members = ",\"names_added\":\(difference.addedCount),\"names_removed\":\(difference.removedCount)"
    }
    adopt(compiled.policies, compiled.snapshot, cause + members) { [unowned self] adoption in
      if case .inForce = adoption {
        policies = files
        compiledAt = compiled.seconds
        keep(compiled.permits)
        if case .permit(let permit, _) = running, !compiled.permits.contains(where: { $0.id == permit.id }) {
          return finish(.refused("its server is gone, or its time was over before it came into force"))
        }
      }
      finish(adoption, compiled.difference)
    }
  }

  /// A broken configuration changes nothing (P7).
  private func isUsable(_ loaded: LoadedSettings) -> Bool {
    for diagnostic in loaded.diagnostics { StandardError.write(diagnostic.description) }
    // A file that is being written may be empty for a moment: no policy at all is never what a reload means.
    if let settings = loaded.settings, !settings.policies.isEmpty { return true }
    StandardError.write("sluice: reload refused; the policy in force stays")
    let errors = loaded.diagnostics.filter { $0.severity == .error }
    service.recordRefusedPolicy(errors: errors.count, members: cause)
    finish(.unusable(errors.isEmpty ? ["no policy at all"] : errors.map(\.description)))
    return false
  }

  /// Why the policy changes and who wanted it, as members of the event.
  private var cause: String {
    let (cause, peer): (String, ControlPeer?) =
      switch running {
      case .files(let calls): ("files", calls.first?.peer)
      case .permit(let permit, _): ("permit", permit.peer)
      case .withdraw(_, let peer, _): ("permit-withdrawn", peer)
      case .sets: ("sets", nil)
      case .time, nil: ("time", nil)
      }
    return (peer?.members ?? "") + ",\"cause\":\"\(cause)\""
  }

  private func adopt(
    _ policies: [ServerPolicy], _ compiled: PolicySnapshot, _ members: String,
    _ completion: @escaping (Adoption) -> Void
  ) {
    // What is refused has given nobody a number.
    var proposed = indexes
    let renumbered = proposed.assign(policies) { [service] in service.engine.isUnused(server: $0, now: service.now) }
    let snapshot = factory.snapshot(
      of: policies, indexes: proposed, renumbered: renumbered, former: current.load(), compiled: compiled)
    let plan = proposed.plan(for: policies, settings)
    service.adopt(snapshot, plan: plan, renumbered: renumbered, members: members) { [unowned self] adoption in
      switch adoption {
      case .inForce:
        indexes = proposed
        planIsLate = false
      case .refused(let reason) where isNarrowing && renumbered.isEmpty:
        // What ends must end: the former rules and sets open no more than what is in them (P7).
        if !planIsLate {
          StandardError.write("sluice: the rules stay as they were until the firewall takes others: \(reason)")
        }
        planIsLate = true
        return service.adopt(snapshot, plan: nil, renumbered: renumbered, members: members, completion)
      case .refused, .unusable: break
      }
      completion(adoption)
    }
  }

  /// Whether the change that runs takes away only.
  private var isNarrowing: Bool {
    switch running {
    case .time, .withdraw: true
    case .files, .sets, .permit, nil: false
    }
  }

  /// What is in force now; what is not any more has ended.
  private func keep(_ kept: [Permit]) {
    let ids = Set(kept.map(\.id))
    for permit in permits where !ids.contains(permit.id) {
      var peer: ControlPeer?
      if case .withdraw(_, let withdrawer, _) = running { peer = withdrawer }
      service.record(ended: permit, by: peer)
    }
    permits = kept
  }

  private func finish(_ adoption: Adoption, _ difference: PolicyDifference? = nil) {
    let change = running
    running = nil
    switch change {
    case .files(let calls):
      if case .unusable = adoption {} else { StandardError.write("sluice: \(adoption.text)") }
      for call in calls { call.completion(adoption, difference) }
    case .permit(let permit, let completion):
      if case .inForce = adoption {} else { service.record(ended: permit, by: nil) }
      completion(adoption)
    case .withdraw(_, _, let completion): completion(adoption)
    case .time:
      StandardError.write("sluice: a rule's time is over: \(adoption.text)")
    case .sets, nil: break
    }
    if case .time = change {
      endIsRefused = if case .inForce = adoption { false } else { true }
    }
    schedule()
    next()
  }

  // MARK: - Time

  /// The wall clock was set: what has ended by it ends now.
  func clockWasSet() { schedule() }

  /// Wakes when the next rule or permit is over; at least once a minute while there is one, since clocks are slewed.
  private func schedule() {
    let (wall, monotonic) = (clock.nanoseconds(), service.now)
    let now = wall / 1_000_000_000
    let ends = policies.compactMap { $0.nextEnd(after: compiledAt) } + permits.map(\.until)
    guard !planIsLate else { return wake(in: Self.retry * 1_000) { [unowned self] in submit(.time) } }
    guard let end = ends.min() else { return wake(in: nil) {} }
    let isOver = end <= now || permits.contains { $0.isOver(wall: now, monotonic: monotonic) }
    guard !isOver else {
      return wake(in: endIsRefused ? Self.retry * 1_000 : 0) { [unowned self] in submit(.time) }
    }
    // A clock that is set back leaves permits their deadline.
    let deadline = permits.map { ($0.deadline - min(monotonic, $0.deadline)) / 1_000_000 + 1 }.min() ?? .max
    let rest = min(end - now, Self.longestSleep) * 1_000 - wall % 1_000_000_000 / 1_000_000
    wake(in: min(rest, deadline)) { [unowned self] in schedule() }
  }

  private func wake(in milliseconds: UInt64?, _ body: @escaping () -> Void) {
    if let timer { service.reactor.cancel(timer) }
    timer = milliseconds.map { milliseconds in
      service.reactor.schedule(at: MonotonicTime.now().adding(milliseconds: milliseconds)) { [unowned self] in
        timer = nil
        body()
      }
    }
  }
}

/// A reload that somebody asked for by the control API.
struct ReloadCall {
  var peer: ControlPeer
  /// What came of it, and what differs.
  var completion: (Adoption, PolicyDifference?) -> Void
}

/// What of the policies is in force at a time, compiled: a million names are not the resolver's thread to compile.
struct CompiledPolicy: Sendable {
  var policies: [ServerPolicy]
  var snapshot: PolicySnapshot
  /// The permits that are in it: those of servers that the policies have.
  var permits: [Permit]
  /// What differs from the policy in force when the change began, where that was asked for.
  var difference: PolicyDifference?
  /// Since 1970.
  var seconds: UInt64

  /// - Parameters:
  ///   - seconds: since 1970.
  ///   - compares: of a million names it takes a second.
  init(
    _ policies: [ServerPolicy], _ permits: [Permit], at seconds: UInt64, former: PolicySnapshot, compares: Bool
  ) {
    self.seconds = seconds
    let names = Set(policies.map(\.name))
    self.permits = permits.filter { names.contains($0.allowance.server) }
    let allowances = self.permits.map(\.allowance)
    self.policies = policies.map { $0.inForce(at: seconds).adding(allowances) }
    snapshot = PolicySnapshot(self.policies)
    if compares { difference = PolicyDifference(from: former.servers, to: self.policies) }
  }
}
