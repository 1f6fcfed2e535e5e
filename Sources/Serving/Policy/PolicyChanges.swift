import AuditLog
import Control
import EgressPolicy
import FirewallModel
import IPNetwork
import Settings

/// Owns what is in force, and takes what is to change it one after the other: what the files say, what an operator allowed
/// for a time, what of both holds by the clock, and the sets that the bridge found.
///
/// It performs nothing and reads no clock: what happened goes in, what is to be done comes out. A change is a value from
/// its asking to its end. A table of its states and events is in `Documentation/maintainers/policy-changes.md`.
struct PolicyChanges: ~Copyable {
  /// So often, in seconds, what ends later is looked at again.
  private static let longestSleep: UInt64 = 60
  /// After how many milliseconds what should have ended is tried again.
  private static let retry: UInt64 = 5_000

  private(set) var inForce: InForce
  /// The networks that the files give back, as they were read last: the bridge goes by them, and takes no plan with others.
  private var releasedByFiles: [IPPrefix]?
  /// The change that is on its way, and how far it is.
  private var running: Running?
  private var queue: ChangeQueue
  /// How often the bridge reads the files again, at the same time as they are read here.
  private var readings = 0
  private var readingFailure: String?
  /// What should have ended could not: tried again, but not at once.
  private var endIsRefused = false
  /// What ended is in force, and the firewall's rules are still those from before.
  private var planIsLate = false
  /// What `woken` means: an end has come, or it is looked at the clock again.
  private var isEndDue = false

  private struct Running {
    var change: Change
    /// What is read here waits for the bridge's reading.
    var awaitsBridge = false
    /// What waits for it.
    var read: (LoadedSettings?, CompiledPolicy?)?
    var proposal: Proposal?
    /// The policies of the files, once they are read.
    var files: [ServerPolicy]?
  }

  init(_ inForce: InForce) {
    self.inForce = inForce
    queue = ChangeQueue(sets: inForce.sets)
  }

  /// The permits that there are, and those that wait.
  var permitCount: Int {
    inForce.permits.count + queue.permitCount + (running?.change.isPermit == true ? 1 : 0)
  }

  /// Takes note of what happened.
  ///
  /// - Returns: what is to be done; an event that comes of it must not be handled before all of it is.
  mutating func handle(_ event: Event, at moment: Moment) -> [Action] {
    var actions: [Action] = []
    switch event {
    case .asked(let change): ask(change, moment, &actions)
    case .recorded(let isRecorded): recorded(isRecorded, moment, &actions)
    case .bridgeRead(let failure):
      readings -= 1
      readingFailure = failure
      if readings == 0 { goOn(moment, &actions) }
    case .bridgeWaited(let isHeard):
      guard readings > 0 else { break }
      // What a change takes away must not wait for a bridge that does not run, and what it adds that refuses.
      if isHeard { actions.append(.awaitBridge) } else { goOn(moment, &actions) }
    case .compiled(let loaded, let compiled): self.compiled(loaded, compiled, moment, &actions)
    case .activated(let activation, let indexes, let renumbers):
      activated(activation, indexes, renumbers, moment, &actions)
    case .clockWasSet: schedule(moment, &actions)
    case .woken:
      if !isEndDue, inForce.indexes.hasRemains {
        ask(Change(kind: .remains), moment, &actions)
        schedule(moment, &actions)
      } else if isEndDue {
        ask(Change(kind: .time), moment, &actions)
      } else {
        schedule(moment, &actions)
      }
    }
    return actions
  }

  /// Serve ends, and with it what it allowed for a time: the permits that end.
  mutating func end() -> [Permit] {
    defer { inForce.permits = [] }
    return inForce.permits
  }

  // MARK: - What is asked for

  private mutating func ask(_ change: Change, _ moment: Moment, _ actions: inout [Action]) {
    if queue.add(change) { beginNext(moment, &actions) }
  }

  private mutating func beginNext(_ moment: Moment, _ actions: inout [Action]) {
    guard running == nil, let change = queue.next() else { return }
    running = Running(change: change)
    switch change.kind {
    case .files:
      readings += 1
      running?.awaitsBridge = true
      actions += [.announce, .awaitBridge]
      compile(readsFiles: true, moment, &actions)
    case .time, .withdraw: compile(moment, &actions)
    case .permit(let permit): actions.append(.record(permit))
    case .remains: propose(Proposal(compiled: nil, settings: inForce.settings, sets: inForce.sets), &actions)
    case .sets(let sets):
      // A fact, whatever becomes of the rest.
      inForce.sets = sets
      propose(
        Proposal(compiled: nil, settings: inForce.settings, sets: inForce.sets, members: change.members), &actions)
    }
  }

  private mutating func recorded(_ isRecorded: Bool, _ moment: Moment, _ actions: inout [Action]) {
    guard let running, case .permit = running.change.kind else { return }
    guard isRecorded else {
      self.running = nil
      actions.append(.finish(running.change, .refused("the audit log cannot take it"), nil))
      return beginNext(moment, &actions)
    }
    compile(moment, &actions)
  }

  private mutating func compile(readsFiles: Bool = false, _ moment: Moment, _ actions: inout [Action]) {
    actions.append(
      .compile(Compilation(readsFiles: readsFiles, policies: inForce.policies, permits: proposedPermits(moment))))
  }

  /// The permits as they are when the change that runs is in force.
  private func proposedPermits(_ moment: Moment) -> [Permit] {
    var permits = inForce.permits
    switch running?.change.kind {
    case .permit(let permit): permits.append(permit)
    case .withdraw(let ids): permits.removeAll { ids.contains($0.id) }
    case .files, .sets, .time, .remains, nil: break
    }
    return permits.filter { !$0.isOver(wall: moment.seconds, monotonic: moment.monotonic) }
  }

  // MARK: - What was read and compiled

  private mutating func goOn(_ moment: Moment, _ actions: inout [Action]) {
    running?.awaitsBridge = false
    guard let (loaded, compiled) = running?.read else { return }
    running?.read = nil
    self.compiled(loaded, compiled, moment, &actions)
  }

  private mutating func compiled(
    _ loaded: LoadedSettings?, _ compiled: CompiledPolicy?, _ moment: Moment, _ actions: inout [Action]
  ) {
    guard let running else { return }
    guard loaded == nil || !running.awaitsBridge else {
      self.running?.read = (loaded, compiled)
      return
    }
    var settings = inForce.settings
    var difference: SettingsDifference?
    if let loaded {
      // Also of a broken file: the one that mends it may lie in a folder that only it names.
      actions.append(.watch(loaded.folders))
      guard let read = usable(loaded, running.change, moment, &actions) else { return }
      if let readingFailure {
        actions.append(.tell("sluice: the firewall bridge stays within what the files said before: \(readingFailure)"))
      }
      difference = SettingsDifference(from: settings, to: read)
      (settings.released, settings.permits) = (read.released, read.permits)
      (settings.forwards, settings.privatePrefixes) = (read.forwards, read.privatePrefixes)
      (settings.cname, settings.nameChecks, settings.dnssec) = (read.cname, read.nameChecks, read.dnssec)
      (settings.limits, settings.listFolders) = (read.limits, read.listFolders)
      settings = settings.trusting(as: read)
      releasedByFiles = read.released
      self.running?.files = read.policies
    }
    guard let compiled else { return finishChange(.refused("no policy"), nil, moment, &actions) }
    if let objection = objection(to: running.change, in: compiled) {
      return finishChange(.refused(objection), nil, moment, &actions)
    }
    var members = running.change.members
    if let policies = compiled.difference {
      members.append(policies, difference)
    }
    propose(
      Proposal(compiled: compiled, settings: settings, sets: inForce.sets, members: members, difference: difference),
      &actions)
  }

  /// Why a permit cannot stand beside what is in force by now: others may have come since it was asked for.
  private func objection(to change: Change, in compiled: CompiledPolicy) -> String? {
    guard case .permit(let permit) = change.kind else { return nil }
    return compiled.policies.first { $0.name == permit.allowed.server }?.objection(to: permit.allowed.rule.pattern)
  }

  private mutating func propose(_ proposal: Proposal, _ actions: inout [Action]) {
    var proposal = proposal
    if let releasedByFiles { proposal.settings.released.removeAll { !releasedByFiles.contains($0) } }
    running?.proposal = proposal
    actions.append(.activate(proposal))
  }

  /// A broken configuration changes nothing (P7).
  private mutating func usable(
    _ loaded: LoadedSettings, _ change: Change, _ moment: Moment, _ actions: inout [Action]
  ) -> Settings? {
    for diagnostic in loaded.diagnostics { actions.append(.tell(diagnostic.description)) }
    let errors = loaded.diagnostics.filter { $0.severity == .error }.map(\.description)
    // A file that is being written may be empty for a moment: no policy at all is never what a reload means.
    if let settings = loaded.settings, !settings.policies.isEmpty {
      guard let fault = otherMode(settings) else { return settings }
      actions.append(.tell("sluice: \(fault)"))
      refuse([fault], change, moment, &actions)
    } else {
      refuse(errors.isEmpty ? ["no policy at all"] : errors, count: errors.count, change, moment, &actions)
    }
    return nil
  }

  /// What entries mean that do not say it, `verify` above all, hangs on the mode: policies that were read for another one than is in
  /// force are not what they say.
  private func otherMode(_ read: Settings) -> String? {
    let (mode, running) = (read.firewall.mode, inForce.settings.firewall.mode)
    return mode == running
      ? nil
      : "firewall.mode is \(mode.rawValue) in the files, and \(running.rawValue) since sluice was started: start it anew"
  }

  private mutating func refuse(
    _ faults: [String], count: Int = 1, _ change: Change, _ moment: Moment, _ actions: inout [Action]
  ) {
    actions.append(.tell("sluice: reload refused; the policy in force stays"))
    actions.append(.recordRefused(errors: count, members: change.members))
    finishChange(.unusable(faults), nil, moment, &actions)
  }

  // MARK: - The end of a change

  private mutating func activated(
    _ activation: Activation, _ indexes: FirewallIndexes, _ renumbers: Bool, _ moment: Moment, _ actions: inout [Action]
  ) {
    guard let running, var proposal = running.proposal else { return }
    var result = activation
    switch activation {
    case .inForce(var activated):
      activated.settings = proposal.difference
      result = .inForce(activated)
      if let difference = proposal.difference { inForce.needsRestart = difference.needsRestart }
      // The firewall knows servers as before where it took no other rules.
      if proposal.changesRules { inForce.indexes = indexes }
      planIsLate = !proposal.changesRules
      inForce.settings = proposal.settings
      guard let compiled = proposal.compiled else { break }
      if let files = running.files { inForce.policies = files }
      inForce.compiledAt = compiled.seconds
      keepPermits(compiled.permits, running.change, &actions)
      if case .permit(let permit) = running.change.kind, !compiled.permits.contains(where: { $0.id == permit.id }) {
        result = .refused("its server is gone, or its time was over before it came into force")
      }
    case .refused(let reason) where running.change.isNarrowing && proposal.changesRules && !renumbers:
      // The former rules and sets open no more than what is in them (P7).
      if !planIsLate {
        actions.append(.tell("sluice: the rules stay as they were until the firewall takes others: \(reason)"))
      }
      proposal.changesRules = false
      self.running?.proposal = proposal
      return actions.append(.activate(proposal))
    case .refused, .unusable: break
    }
    finishChange(result, proposal.compiled?.difference, moment, &actions)
  }

  /// What is not among `kept` any more has ended.
  private mutating func keepPermits(_ kept: [Permit], _ change: Change, _ actions: inout [Action]) {
    let ids = Set(kept.map(\.id))
    var peer: ControlPeer?
    if case .withdraw = change.kind { peer = change.peer }
    for permit in inForce.permits where !ids.contains(permit.id) { actions.append(.recordEnd(permit, by: peer)) }
    inForce.permits = kept
  }

  private mutating func finishChange(
    _ activation: Activation, _ difference: PolicyDifference?, _ moment: Moment, _ actions: inout [Action]
  ) {
    guard let change = running?.change else { return }
    running = nil
    let isInForce = if case .inForce = activation { true } else { false }
    switch change.kind {
    case .files: if case .unusable = activation {} else { actions.append(.tell("sluice: \(activation.text)")) }
    case .permit(let permit): if !isInForce { actions.append(.recordEnd(permit, by: nil)) }
    case .time:
      actions.append(.tell("sluice: a rule's time is over: \(activation.text)"))
      endIsRefused = !isInForce
    case .sets, .withdraw, .remains: break
    }
    actions.append(.finish(change, activation, difference))
    // At once after what took a server away; what then is still in use is looked at again later.
    if isInForce, inForce.indexes.hasRemains {
      if case .remains = change.kind {} else { ask(Change(kind: .remains), moment, &actions) }
    }
    schedule(moment, &actions)
    beginNext(moment, &actions)
  }

  // MARK: - Time

  /// Wakes when the next rule or permit is over; at least once a minute while there is one, since clocks are slewed.
  mutating func schedule(_ moment: Moment, _ actions: inout [Action]) {
    let (wall, monotonic, now) = (moment.wall, moment.monotonic, moment.seconds)
    let permits = inForce.permits
    let ends = inForce.policies.compactMap { $0.nextEnd(after: inForce.compiledAt) } + permits.map(\.until)
    isEndDue = true
    guard !planIsLate else { return actions.append(.wake(Self.retry)) }
    guard let end = ends.min() else {
      isEndDue = false
      return actions.append(.wake(inForce.indexes.hasRemains ? Self.retry : nil))
    }
    let isOver = end <= now || permits.contains { $0.isOver(wall: now, monotonic: monotonic) }
    guard !isOver else { return actions.append(.wake(endIsRefused ? Self.retry : 0)) }
    isEndDue = false
    // A clock that is set back leaves permits their deadline.
    let deadline = permits.map { ($0.deadline - min(monotonic, $0.deadline)) / 1_000_000 + 1 }.min() ?? .max
    let rest = min(end - now, Self.longestSleep) * 1_000 - wall % 1_000_000_000 / 1_000_000
    actions.append(.wake(min(rest, deadline, inForce.indexes.hasRemains ? Self.retry : .max)))
  }
}
