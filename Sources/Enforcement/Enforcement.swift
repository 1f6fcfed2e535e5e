package import FirewallModel
package import GrantLedger

/// Keeps what the kernel holds and what answers promised in agreement (P2): what the bridge and the kernel tell goes in,
/// what has to be done comes out, in order. It performs nothing and reads no clock; times are nanoseconds of the monotonic
/// clock, passed in.
///
/// Four things have to hold, and an incident lasts until they do: the table is whole, everything promised was committed in
/// the epoch of now, no set holds what was promised to no server, and nothing is open for longer than it should be. A
/// table of states and events is in `Documentation/maintainers/enforcement.md`.
package struct Enforcement: ~Copyable {
  /// What it is told.
  package enum Event: Equatable, Sendable {
    /// A worker is at work, with this incarnation; a plan that was on its way is in force.
    case greeted(incarnation: UInt64)
    /// Another program changed the table, or the worker put it back; in the sets of these servers, of all where there is none.
    case changed(TableChange, servers: [UInt16])
    /// Something was taken out of the table; a `changed` that says what follows, or came before.
    case alarm
    /// The bridge does not run, for all that is seen of it.
    case silent
    /// It does again.
    case heard
    /// The bridge acknowledged something before its turn, or what it was not asked for.
    case disordered
    /// The bridge lives and cannot feed the kernel.
    case broken
    /// Both processes of the bridge are gone.
    case gone
    /// Another plan is on its way to the bridge.
    case installing
    /// It has come, or was refused.
    case installed
    /// A unit of a replay that began in an epoch has ended.
    case replayed(ReplayUnit)
    /// A search in the sets of servers has ended: everything found there is closed, or it is not known whether it is.
    case searched(Suspects, isDone: Bool)
    /// What should be closed may be open in the sets of these servers.
    case suspected([UInt16])
    /// What should end sooner is open for longer still.
    case notShortened([GrantElement])
    /// It is not any more.
    case shortened([GrantElement])
    /// The time of a `wake` has come.
    case woken
  }

  /// A part of what is promised, that was handed to the bridge at once.
  package struct ReplayUnit: Equatable, Sendable {
    /// The replay's.
    package var number: UInt64
    /// In which the replay began.
    package var epoch: UInt64
    package var isCommitted: Bool
    /// Elements of the replay that were not handed over yet.
    package var left: Int

    package init(number: UInt64, epoch: UInt64, isCommitted: Bool, left: Int) {
      self.number = number
      self.epoch = epoch
      self.isCommitted = isCommitted
      self.left = left
    }
  }

  /// Servers, by the firewall's index, in whose sets there may be elements without a promise.
  package enum Suspects: Equatable, Sendable {
    case all
    case some(Set<UInt16>)

    /// - Parameter servers: none is all.
    package init(_ servers: [UInt16]) {
      self = servers.isEmpty ? .all : .some(Set(servers))
    }

    var isEmpty: Bool { self == .some([]) }

    mutating func formUnion(_ other: Suspects) {
      self = if case .some(let own) = self, case .some(let others) = other { .some(own.union(others)) } else { .all }
    }
  }

  /// What is to be done, each before the next.
  package enum Action: Equatable, Sendable {
    /// No answer of a cache that was committed before may leave (P2).
    case endEpoch
    /// Something was seen to be wrong; it begins an incident, or belongs to the one that is.
    case tell(EnforcementIncident.Cause, begins: Bool)
    /// The incident is over.
    case tellEnded(EnforcementIncident.Ended)
    /// Everything promised is committed again, part after part, in a replay of this number; each part ends with `replayed`,
    /// that of nothing too.
    case replay(UInt64)
    /// The next part of the replay that is under way.
    case goOn
    /// The sets are read, and elements without a promise are closed; ends with `searched`.
    case search(Suspects)
    /// They are shortened again; ends with `shortened` or `notShortened`.
    case shorten([GrantElement])
    /// `woken` is due at that time.
    case wake(at: UInt64)
    /// Nothing can be opened any more.
    case fail
  }

  /// Between the beginnings of two replays: a program that changes the table a thousand times a second gets one for many
  /// changes, since what is promised leaves no cache meanwhile.
  package static let replayPause: UInt64 = 30_000_000
  /// Before what failed is tried again.
  package static let retryPause: UInt64 = 1_000_000_000

  package private(set) var incident = EnforcementIncident()
  /// The bridge lives and can feed the kernel, as far as it told.
  package private(set) var isBridgeUp = true
  /// The worker that feeds; 0 before the first.
  package private(set) var incarnation: UInt64
  /// Elements that should end sooner than the kernel was told.
  package var overlongCount: Int { overlong.elements.count }
  private let isManaged: Bool
  private var isInstalling = false
  private var replay = Replay()
  private var search = Search()
  private var overlong = Overlong()

  private struct Replay {
    /// Of the newest one: an older one has nothing to add.
    var number: UInt64 = 0
    var began: UInt64?
    /// When the next one begins.
    var due: UInt64?
    /// A part of the newest one could not be committed.
    var hasFailed = false
  }

  private struct Search {
    var isUnderWay = false
    /// Where the next one looks.
    var suspects = Suspects.some([])
    var due: UInt64?
  }

  private struct Overlong {
    var elements: Set<GrantElement> = []
    var due: UInt64?
  }

  /// - Parameters:
  ///   - isManaged: rules and sets are the worker's, which puts them back.
  ///   - incarnation: the worker that greeted before this began.
  package init(isManaged: Bool, incarnation: UInt64 = 0) {
    self.isManaged = isManaged
    self.incarnation = incarnation
  }

  /// Takes note of what happened.
  ///
  /// - Parameters:
  ///   - epoch: the firewall's epoch at the moment.
  /// - Returns: what is to be done; an event that comes of it must not be handled before all of it is.
  package mutating func handle(_ event: Event, now: UInt64, epoch: UInt64) -> [Action] {
    var actions: [Action] = []
    switch event {
    case .greeted(let incarnation): greeted(incarnation, now, &actions)
    case .changed(let change, let servers): changed(change, Suspects(servers), now, &actions)
    case .alarm:
      // The replay that is under way ends with the epoch.
      actions.append(.endEpoch)
      if incident.isOpen { beginReplay(now, &actions) }
    case .silent: lost(.bridgeSilent, breaksTable: false, now, &actions)
    case .broken: lost(.bridgeBroken, breaksTable: true, now, &actions)
    case .gone:
      lost(.bridgeGone, breaksTable: true, now, &actions)
      actions.append(.fail)
    case .heard:
      isBridgeUp = true
      beginReplay(now, &actions)
    case .disordered: disordered(now, &actions)
    case .installing: isInstalling = true
    case .installed: isInstalling = false
    case .replayed(let unit): replayed(unit, now, epoch, &actions)
    case .searched(let servers, let isDone): searched(servers, isDone, now, &actions)
    case .suspected(let servers): suspect(Suspects(servers), &actions)
    case .notShortened(let elements): notShortened(elements, now, &actions)
    case .shortened(let elements): shortened(elements, now, &actions)
    case .woken: woken(now, &actions)
    }
    return actions
  }

  // MARK: - The bridge

  private mutating func greeted(_ incarnation: UInt64, _ now: UInt64, _ actions: inout [Action]) {
    isBridgeUp = true
    let isSame = incarnation == self.incarnation
    // A plan of serve took effect: sets that stay keep their elements.
    if isSame, isInstalling, !incident.isOpen { return }
    actions.append(.endEpoch)
    if !isSame {
      if self.incarnation != 0 { disturbed(.bridgeRestarted, breaksTable: false, now, &actions) }
      self.incarnation = incarnation
      // Nothing watched while there was no worker.
      suspect(.all, &actions)
    }
    incident.madeWhole()
    beginReplay(now, &actions)
  }

  private mutating func changed(
    _ change: TableChange, _ servers: Suspects, _ now: UInt64, _ actions: inout [Action]
  ) {
    // The kernel may have forgotten what was committed.
    actions.append(.endEpoch)
    if let cause = EnforcementIncident.Cause(change) {
      let isBroken = isManaged && change.isHarmful && !change.contains(.reinstalled)
      disturbed(cause, breaksTable: isBroken, now, &actions)
    }
    if change.contains(.reinstalled) { incident.madeWhole() }
    if !change.isDisjoint(with: [.elementsAdded, .unknown]) { suspect(servers, &actions) }
    beginReplay(now, &actions)
  }

  /// Every conclusion from what was acknowledged may be wrong: what is promised, and that nothing else is open.
  private mutating func disordered(_ now: UInt64, _ actions: inout [Action]) {
    actions.append(.endEpoch)
    disturbed(.bridgeDisordered, breaksTable: false, now, &actions)
    suspect(.all, &actions)
    beginReplay(now, &actions)
  }

  private mutating func lost(
    _ cause: EnforcementIncident.Cause, breaksTable: Bool, _ now: UInt64, _ actions: inout [Action]
  ) {
    actions.append(.endEpoch)
    isBridgeUp = false
    disturbed(cause, breaksTable: breaksTable, now, &actions)
  }

  private mutating func disturbed(
    _ cause: EnforcementIncident.Cause, breaksTable: Bool, _ now: UInt64, _ actions: inout [Action]
  ) {
    actions.append(.tell(cause, begins: incident.disturbed(cause, breaksTable: breaksTable, now: now)))
  }

  private mutating func settle(_ now: UInt64, _ actions: inout [Action]) {
    if let ended = incident.settle(now: now) { actions.append(.tellEnded(ended)) }
  }

  // MARK: - What is promised

  private mutating func beginReplay(_ now: UInt64, _ actions: inout [Action]) {
    // A bridge that is down commits nothing, and begins one when it is up again.
    guard isBridgeUp else {
      replay.due = nil
      return
    }
    if let began = replay.began, now < began &+ Self.replayPause {
      return Self.putOff(&replay.due, until: began &+ Self.replayPause, &actions)
    }
    replay = Replay(number: replay.number &+ 1, began: now)
    actions.append(.replay(replay.number))
  }

  private mutating func replayed(_ unit: ReplayUnit, _ now: UInt64, _ epoch: UInt64, _ actions: inout [Action]) {
    // What ended the epoch begins a replay of its own.
    guard unit.number == replay.number, unit.epoch == epoch else { return }
    if !unit.isCommitted { replay.hasFailed = true }
    guard unit.left == 0 else { return actions.append(.goOn) }
    guard replay.hasFailed else {
      incident.recommitted()
      return settle(now, &actions)
    }
    // A part was late or refused: the incident is not over before everything promised is in the kernel.
    if incident.isOpen { Self.putOff(&replay.due, until: now &+ Self.retryPause, &actions) }
  }

  // MARK: - Elements without a promise

  private mutating func suspect(_ servers: Suspects, _ actions: inout [Action]) {
    search.suspects.formUnion(servers)
    guard !search.isUnderWay else { return }
    search.isUnderWay = true
    incident.foundForeignElements()
    beginSearch(&actions)
  }

  private mutating func beginSearch(_ actions: inout [Action]) {
    search.due = nil
    actions.append(.search(search.suspects))
    search.suspects = .some([])
  }

  /// One search at a time: what is found out meanwhile is looked at by the next.
  private mutating func searched(_ servers: Suspects, _ isDone: Bool, _ now: UInt64, _ actions: inout [Action]) {
    guard search.isUnderWay else { return }
    guard isDone else {
      search.suspects.formUnion(servers)
      return Self.putOff(&search.due, until: now &+ Self.retryPause, &actions)
    }
    guard search.suspects.isEmpty else { return beginSearch(&actions) }
    search.isUnderWay = false
    incident.removedForeignElements()
    settle(now, &actions)
  }

  // MARK: - What should end sooner

  private mutating func notShortened(_ elements: [GrantElement], _ now: UInt64, _ actions: inout [Action]) {
    guard !elements.isEmpty else { return }
    if overlong.elements.isEmpty {
      incident.foundForeignElements()
      disturbed(.notShortened, breaksTable: false, now, &actions)
    }
    overlong.elements.formUnion(elements)
    Self.putOff(&overlong.due, until: now &+ Self.retryPause, &actions)
  }

  private mutating func shortened(_ elements: [GrantElement], _ now: UInt64, _ actions: inout [Action]) {
    guard !overlong.elements.isEmpty else { return }
    overlong.elements.subtract(elements)
    guard overlong.elements.isEmpty else { return }
    overlong.due = nil
    incident.removedForeignElements()
    beginReplay(now, &actions)
  }

  // MARK: - Time

  /// What is due sooner stays so.
  private static func putOff(_ due: inout UInt64?, until time: UInt64, _ actions: inout [Action]) {
    if let due, due <= time { return }
    due = time
    actions.append(.wake(at: time))
  }

  private mutating func woken(_ now: UInt64, _ actions: inout [Action]) {
    if let due = replay.due, now >= due { beginReplay(now, &actions) }
    if let due = search.due, now >= due { beginSearch(&actions) }
    if let due = overlong.due, now >= due {
      overlong.due = nil
      actions.append(.shorten(Array(overlong.elements)))
    }
  }
}

extension EnforcementIncident.Cause {
  /// The worst of what changed; nil where nothing did that matters.
  package init?(_ change: TableChange) {
    let byHarm: [(TableChange, Self)] = [
      (.tableRemoved, .tableRemoved), (.setRemoved, .setRemoved), (.unknown, .notificationsLost),
      (.rulesChanged, .rulesChanged), (.elementsRemoved, .elementsRemoved), (.elementsAdded, .elementsAdded),
    ]
    guard let worst = byHarm.first(where: { change.contains($0.0) }) else { return nil }
    self = worst.1
  }
}

extension TableChange {
  fileprivate var isHarmful: Bool { !isDisjoint(with: TableChanges.harmful) }
}
