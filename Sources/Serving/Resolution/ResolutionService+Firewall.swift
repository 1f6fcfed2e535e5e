import FirewallModel
import FirewallBridge
import AuditLog
import ControlAPI
import DNSWire
import EgressPolicy
import Enforcement
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver

/// A replay that is handed to the bridge in units of one message each.
struct ReplayInParts {
  var number: UInt64 = 0
  /// In which it began.
  var epoch: UInt64 = 0
  var left: ArraySlice<GrantElement> = []
}

/// Keeping kernel and ledger in agreement: performs what `Enforcement` decides.
extension ResolutionService {
  /// Lists that are under way at a time.
  private static let listsAtOnce = 32

  func bridgeChanged(_ event: BridgeEvent) {
    switch event {
    case .down: advanceEnforcement(.gone)
    case .broken(let text):
      advanceEnforcement(.broken)
      StandardError.write("sluice: the firewall bridge cannot feed the kernel: \(text)")
    case .up(let greeting):
      if !options.isManaged { onSets?(greeting.servers) }
      advanceEnforcement(.greeted(incarnation: greeting.incarnation))
    case .foreignChange(let change, let servers): advanceEnforcement(.changed(change, servers: servers))
    case .volumes(let volumes): count(volumes)
    case .prefixVolumes(let volumes): count(volumes)
    case .refusals(let refusals): record(refusals)
    case .books(let books): close(books)
    case .refusalsRead(let isRead): isRefusalLogRead = isRead
    case .notice(let text): StandardError.write("sluice: \(text)")
    case .alarm: advanceEnforcement(.alarm)
    case .enclosure(let report): enclosureChanged(report)
    case .silent:
      advanceEnforcement(.silent)
      StandardError.write(
        "sluice: the firewall bridge does not answer; names whose addresses must be opened get SERVFAIL until it does")
    case .disordered:
      StandardError.write("sluice: the firewall bridge acknowledged out of order; what is promised is committed again")
      advanceEnforcement(.disordered)
    case .heard:
      StandardError.write("sluice: the firewall bridge answers again")
      advanceEnforcement(.heard)
    }
  }

  func perform(_ action: Enforcement.Action) {
    switch action {
    case .endEpoch: shared.epoch.advance()
    case .tell(let cause, let begins): disturbed(cause, begins)
    case .tellEnded(let ended): restored(ended)
    case .replay(let number):
      replaying = ReplayInParts(
        number: number, epoch: shared.epoch.current, left: engine.ledger.replay(now: now).map(\.element)[...])
      replayPart()
    case .goOn: replayPart()
    case .search(let suspects): search(suspects)
    case .shorten(let elements): shorten(elements)
    case .wake(let time):
      _ = reactor.schedule(at: MonotonicTime(nanoseconds: time)) { [unowned self] in advanceEnforcement(.woken) }
    case .fail:
      guard !isStopping else { return }
      // Only what starts serve can start a bridge with its privileges.
      onFailure?("the firewall bridge is gone: sluice has to be started anew; what is open stays open until it ends")
    }
  }

  /// What was to make room may be in the kernel still, without a grant: the sets are searched for it until it is not.
  func evictionFailed(_ elements: [GrantElement], _ failure: BridgeRequestFailure) {
    lost.evictions += UInt64(elements.count)
    StandardError.write("sluice: \(counted(elements.count, "address")) could not be closed to make room: \(failure)")
    suspect(elements)
  }

  /// What no server may reach is in the kernel still: the same search, again and again until it succeeds.
  func revocationFailed(_ elements: [GrantElement], _ failure: BridgeRequestFailure) {
    guard !elements.isEmpty else { return }
    lost.revocations += UInt64(elements.count)
    StandardError.write(
      "sluice: \(counted(elements.count, "address")) could not be closed, which is tried again until it is done: "
        + "\(failure)")
    suspect(elements)
  }

  private func suspect(_ elements: [GrantElement]) {
    guard !elements.isEmpty else { return }
    advanceEnforcement(.suspected(Set(elements.map(\.server)).sorted()))
  }

  private func disturbed(_ cause: EnforcementIncident.Cause, _ begins: Bool) {
    violations.count(cause)
    guard begins else { return }
    incidentCount += 1
    StandardError.write("sluice: enforcement degraded: \(cause.rawValue); committing again")
    _ = push(
      AuditRecordHeader(service: .enforcementDegraded, wallClock: shared.clock().wall), server: everybody,
      destination: Array(options.table.utf8),
      AuditMembers(.cause, cause.rawValue))
  }

  /// The server of an event that is about all of them.
  var everybody: [UInt8] { [UInt8(ascii: "*")] }

  private func restored(_ ended: EnforcementIncident.Ended) {
    StandardError.write("sluice: enforcement restored after \(ended.milliseconds) ms (\(ended.cause.rawValue))")
    _ = push(
      AuditRecordHeader(service: .enforcementRestored, wallClock: shared.clock().wall), server: everybody,
      destination: Array(options.table.utf8),
      AuditMembers(.cause, ended.cause.rawValue)
        .with(.durationMilliseconds, ended.milliseconds)
        .with(.disturbances, ended.disturbances)
        .with(refusalCounts.takeLost()))
  }

  // MARK: - Committing again

  /// One unit after the other, so that neither the queue's bounds nor the commits of new answers suffer. What a client
  /// asks for meanwhile waits for one unit at most, and is left out when its turn comes here, as is what was closed.
  private func replayPart() {
    let (number, epoch) = (replaying.number, replaying.epoch)
    let part = Array(replaying.left.prefix(FirewallOptions.unit))
    replaying.left = replaying.left.dropFirst(part.count)
    let left = replaying.left.count
    recommit(part, epoch: epoch, repeatsAll: false) { [unowned self] isCommitted in
      advanceEnforcement(.replayed(.init(number: number, epoch: epoch, isCommitted: isCommitted, left: left)))
    }
  }

  /// Commits what was promised before.
  ///
  /// - Parameters:
  ///   - epoch: what was committed in it already is left out.
  ///   - repeatsAll: it is not.
  private func recommit(
    _ part: [GrantElement], epoch: UInt64, repeatsAll: Bool, _ completion: @escaping (Bool) -> Void
  ) {
    let askedAt = now
    let unit = engine.ledger.renewal(of: part, now: askedAt, epoch: repeatsAll ? nil : epoch)
    commit(unit) { [unowned self] result in
      guard case .committed = result else { return completion(false) }
      engine.ledger.committed(unit, askedAt: askedAt, epoch: epoch)
      completion(true)
    }
  }

  /// What was taken over goes to the kernel once more, with the caps that policy has for it now.
  private func commitCaps() {
    let elements = engine.ledger.replay(now: now).map(\.element)
    commitCaps(elements[...], epoch: shared.epoch.current)
  }

  private func commitCaps(_ elements: ArraySlice<GrantElement>, epoch: UInt64) {
    let part = Array(elements.prefix(FirewallOptions.unit))
    guard !part.isEmpty, shared.epoch.current == epoch else { return }
    recommit(part, epoch: epoch, repeatsAll: true) { [unowned self] _ in
      commitCaps(elements.dropFirst(part.count), epoch: epoch)
    }
  }

  // MARK: - What only the kernel knows

  /// Elements without a promise are closed, and so are connections through them.
  private func search(_ suspects: Enforcement.Suspects) {
    let servers =
      switch suspects {
      case .all: snapshot.servers.map(\.firewallIndex)
      case .some(let servers): servers.sorted()
      }
    var foreignElements: [GrantElement] = []
    list(servers[...]) { [unowned self] _, listed in
      foreignElements += listed.filter { isForeign($0) }.map(\.element)
    } done: { [unowned self] failure in
      if !foreignElements.isEmpty {
        StandardError.write("sluice: \(foreignElements.count) addresses that nobody was promised are closed again")
      }
      bridge?.revoke(foreignElements, cutsFlows: true) { [unowned self] failed, _ in
        advanceEnforcement(.searched(suspects, isDone: failure == nil && failed == nil))
      }
    }
  }

  private func isForeign(_ listed: ListedElement) -> Bool {
    guard options.isManaged || listed.remainingMilliseconds > 0 else { return false }
    return !engine.ledger.holds(listed.element, now: now)
  }

  /// Reads the sets of servers, some at a time; `done` follows the last.
  private func list(
    _ servers: ArraySlice<UInt16>, _ body: @escaping (UInt16, [ListedElement]) -> Void,
    done: @escaping (BridgeRequestFailure?) -> Void = { _ in }
  ) {
    guard let bridge, !servers.isEmpty else { return done(nil) }
    let part = servers.prefix(Self.listsAtOnce)
    var left = part.count
    var failure: BridgeRequestFailure?
    for server in part {
      bridge.list(server: server) { [unowned self] result in
        switch result {
        case .success(let listed): body(server, listed)
        case .failure(let reason): failure = failure ?? reason
        }
        left -= 1
        guard left == 0 else { return }
        if let failure { return done(failure) }
        list(servers.dropFirst(part.count), body, done: done)
      }
    }
  }

  /// At start: takes over what the kernel holds and policy still admits for the names of the last run, closes the rest.
  func reconcile(_ entries: [JournalEntry], _ completion: @escaping (Result<TakenOver, StartError>) -> Void) {
    let known = Dictionary(grouping: entries, by: \.server)
    remember(entries)
    var taken = TakenOver()
    var foreignElements: [GrantElement] = []
    // What stands no more, and whose time was over before.
    var lapsed: [GrantElement] = []
    // What names that stand no more had open for longer ends with those that do; what was opened when `max-lifetime` was
    // longer, by what it is now.
    var overlong: [GrantElement] = []
    var standing: Set<JournalEntry> = []
    list(snapshot.servers.map(\.firewallIndex)[...]) { [unowned self] server, listed in
      guard let serverIndex = snapshot.server(firewallIndex: server) else { return }
      let name = String(decoding: snapshot.servers[serverIndex].name, as: UTF8.self)
      let byAddress = Dictionary(grouping: known[name] ?? [], by: \.address)
      for element in listed {
        let found = takeOver(element, byAddress[element.element.address] ?? [], epoch: shared.epoch.current)
        standing.formUnion(found.entries)
        if found.standsUntil > 0 {
          taken.kept += 1
          taken.hasCaps = taken.hasCaps || found.caps != 0
          if isOverlong(element, found) { overlong.append(element.element) }
        } else if found.isLapsed {
          lapsed.append(element.element)
        } else if options.isManaged || element.remainingMilliseconds > 0 {
          foreignElements.append(element.element)
        }
      }
    } done: { [unowned self] failure in
      if let failure {
        return completion(.failure(StartError("the kernel's sets cannot be read: \(failure)")))
      }
      taken.closed = foreignElements.count + lapsed.count
      end(entries.filter { !standing.contains($0) })
      guard let bridge else { return completion(.success(taken)) }
      // A rule that got a cap since the last run: its address stays open, but no longer without it.
      if taken.hasCaps { commitCaps() }
      shorten(overlong)
      // As at the end of its time: connections live on.
      bridge.revoke(lapsed, cutsFlows: false) { [unowned self] failure, _ in
        if let failure { revocationFailed(lapsed, failure) }
      }
      bridge.revoke(foreignElements, cutsFlows: options.cutsFlows) { failure, _ in
        completion(
          failure.map { .failure(StartError("addresses of an earlier run cannot be closed: \($0)")) }
            ?? .success(taken))
      }
    }
  }

  /// What was open in an earlier run is known as such, whether it is taken over or not.
  private func remember(_ entries: [JournalEntry]) {
    let indexes = Dictionary(
      snapshot.servers.map { (String(decoding: $0.name, as: UTF8.self), $0.firewallIndex) },
      uniquingKeysWith: { first, _ in first })
    for entry in entries {
      guard let server = indexes[entry.server] else { continue }
      engine.ledger.remember(
        GrantLedger.Key(server: server, name: entry.name, type: entry.type),
        GrantElement(server: server, address: entry.address, transport: entry.transport, port: entry.port),
        opened: monotonic(ofWallSeconds: entry.opened), now: now)
    }
  }

  /// What an element that an earlier run left has to go by.
  private struct Inheritance {
    /// The latest end of the names for which it was taken over; 0 where there is none.
    var standsUntil: UInt64 = 0
    /// The caps that it stands under.
    var caps: UInt16 = 0
    /// What it was taken over for.
    var entries: [JournalEntry] = []
    /// The latest end of the names that policy does not allow it for any more.
    var withdrawnUntil: UInt64 = 0
    /// The time of a name that policy allows it for was over before.
    var hasLapsed = false

    /// It is held by nothing, and withdrawn from nothing either.
    var isLapsed: Bool { hasLapsed && standsUntil == 0 && withdrawnUntil == 0 }
  }

  /// Takes over an element for each name of the last run that policy still allows it for, until that name's own end.
  private func takeOver(_ listed: ListedElement, _ entries: [JournalEntry], epoch: UInt64) -> Inheritance {
    let element = listed.element
    var found = Inheritance()
    guard listed.remainingMilliseconds > 0 else { return found }
    let latest = now + min(listed.lifetime, options.longestLifetime)
    for entry in entries where (element.transport, element.port) == (entry.transport, entry.port) {
      let until = min(entry.end, latest)
      guard let caps = caps(of: element, for: entry) else {
        if entry.end > now { found.withdrawnUntil = max(found.withdrawnUntil, until) }
        continue
      }
      guard until > now else {
        found.hasLapsed = true
        continue
      }
      let inherited = GrantLedger.Inherited(
        key: GrantLedger.Key(server: element.server, name: entry.name, type: entry.type), element: element,
        until: until, caps: caps, opened: monotonic(ofWallSeconds: entry.opened))
      guard engine.ledger.takeOver(inherited, now: now, epoch: epoch) else { continue }
      found.standsUntil = max(found.standsUntil, until)
      found.caps |= caps
      found.entries.append(entry)
    }
    return found
  }

  /// The caps of the rule by which policy allows an element for the name of an entry; nil where it does not.
  private func caps(of element: GrantElement, for entry: JournalEntry) -> UInt16? {
    guard
      let rule = snapshot.rule(server: element.server, name: entry.name.wire, type: entry.type),
      admits(element.address, rule, server: element.server, name: entry.name.wire, type: entry.type),
      let serverIndex = snapshot.server(firewallIndex: element.server),
      snapshot.servers[serverIndex].targets(of: rule.ports, family: element.address.family)
        .contains(where: { $0 == (element.transport, element.port) })
    else { return nil }
    return rule.capBits(in: snapshot.servers[serverIndex].byteCaps)
      | rule.checkBit(transport: element.transport, port: element.port)
  }

  /// How much later than the names that hold it an element ends by itself: the kernel counts from the commit's arrival.
  private static let commitSlack: UInt64 = 5_000_000_000

  private func isOverlong(_ listed: ListedElement, _ found: Inheritance) -> Bool {
    listed.lifetime > options.longestLifetime || found.withdrawnUntil > found.standsUntil
      || now + listed.lifetime > found.standsUntil + Self.commitSlack
  }

  /// When on the monotonic clock; never later than now, whatever the journal says.
  private func monotonic(ofWallSeconds seconds: UInt64) -> UInt64 {
    let age = (shared.clock().wall / 1_000_000_000).subtractingReportingOverflow(seconds)
    guard !age.overflow, age.partialValue < now / 1_000_000_000 else { return age.overflow ? now : 0 }
    return now - age.partialValue * 1_000_000_000
  }

  struct TakenOver {
    var kept = 0
    var closed = 0
    var hasCaps = false
  }

  // MARK: - The journal

  /// Notes for which name addresses will be open, and until when. It is written while the kernel is at work, or just before
  /// the answer leaves.
  func keepRecord(of planned: ResolutionEngine.Planned) { append(entries(of: planned, opened: now)) }

  /// Notes that elements are held for longer than their answers had promised.
  func keepRecord(ofHolders elements: [GrantElement]) {
    append(
      elements.flatMap { element in
        engine.ledger.holders(of: element, now: now).compactMap { key, until in
          entry(key, element, until: until, opened: now)
        }
      })
  }

  /// Notes what ended before its time: nothing of it is taken over by the next run.
  ///
  /// - Parameter former: the policy by which servers had their indexes.
  func keepRecord(released: [(key: GrantLedger.Key, element: GrantElement)], since former: ResolverSnapshot) {
    append(released.compactMap { entry($0.key, $0.element, until: now, opened: now, in: former) })
  }

  /// What was not taken over ended with the run before: a later one takes none of it over either.
  private func end(_ entries: [JournalEntry]) {
    append(
      entries.filter { $0.end > now }.map { entry in
        var entry = entry
        entry.until = now.millisecondsRoundedUp
        return entry
      })
  }

  private func append(_ entries: [JournalEntry]) {
    guard let journal, !entries.isEmpty else { return }
    journal.append(entries)
    guard !isRecordDue else { return }
    isRecordDue = true
    _ = reactor.schedule(at: reactor.now) { [unowned self] in writeRecords() }
  }

  func writeRecords() {
    guard isRecordDue, let journal else { return }
    isRecordDue = false
    if !journal.flush() {
      StandardError.write("sluice: the grants' journal cannot be written: a restart will close what is open")
    }
    // What is remembered of the closed counts like what is open.
    let remembered = Self.closedEntries * engine.ledger.serverCount
    guard journal.isOverlong(live: engine.ledger.holdingCount + remembered) else { return }
    journal.beginRewriting()
    // Behind everything else: of one opening the last line counts, and an earlier one of the same may be over.
    var entries: [JournalEntry] = []
    engine.forEachPending { entries += self.entries(of: $0, opened: now) }
    append(entries)
    rewriteClosed(journal, server: 0)
  }

  /// Closed ones that a journal keeps of each server, so that the next run knows what its packets meet.
  private static let closedEntries = 256
  /// Lines of a journal that are made at a time: questions wait for them.
  private static let journalSlice = 512

  /// Goes on with what is not open any more, of one server after the other, and then with what is.
  private func rewriteClosed(_ journal: GrantJournal, server first: Int) {
    var (server, entries) = (first, [JournalEntry]())
    while server < engine.ledger.serverCount, server < first + 16, entries.count < Self.journalSlice {
      engine.ledger.forEachClosed(ofServer: UInt16(server), now: now, limit: Self.closedEntries) {
        if let entry = entry($0, $1, until: $2, opened: $3) { entries.append(entry) }
      }
      server += 1
    }
    journal.rewrite(entries)
    let isDone = server >= engine.ledger.serverCount
    _ = reactor.schedule(at: reactor.now) { [unowned self] in
      if isDone { rewriteOpen(journal, from: .init()) } else { rewriteClosed(journal, server: server) }
    }
  }

  private func rewriteOpen(_ journal: GrantJournal, from start: GrantLedger.HoldingCursor) {
    var (cursor, entries) = (start, [JournalEntry]())
    let isLeft = engine.ledger.forEachHolding(now: now, from: &cursor, atMost: Self.journalSlice) {
      if let entry = entry($0, $1, until: $2, opened: $3) { entries.append(entry) }
    }
    journal.rewrite(entries)
    guard isLeft else { return journal.endRewriting() }
    _ = reactor.schedule(at: reactor.now) { [unowned self] in rewriteOpen(journal, from: cursor) }
  }

  private func entries(of planned: ResolutionEngine.Planned, opened: UInt64) -> [JournalEntry] {
    engine.ledger.wanted(planned.elements, by: planned.key).compactMap { element, until in
      entry(planned.key, element, until: until, opened: opened)
    }
  }

  /// - Parameters:
  ///   - until: nanoseconds of the monotonic clock, as `opened`.
  ///   - policy: the one by which the server has its index; nil for the one in force.
  private func entry(
    _ key: GrantLedger.Key, _ element: GrantElement, until: UInt64, opened: UInt64, in policy: ResolverSnapshot? = nil
  ) -> JournalEntry? {
    let policy = policy ?? snapshot
    return policy.server(firewallIndex: key.server).map { server in
      JournalEntry(
        server: String(decoding: policy.servers[server].name, as: UTF8.self), name: key.name, type: key.type,
        address: element.address, transport: element.transport, port: element.port,
        opened: (shared.clock().wall &- (now &- min(opened, now))) / 1_000_000_000, until: until.millisecondsRoundedUp)
    }
  }

  func serverName(_ index: UInt16) -> String? {
    snapshot.server(firewallIndex: index).map { String(decoding: snapshot.servers[$0].name, as: UTF8.self) }
  }
}

extension JournalEntry {
  /// Nanoseconds of the monotonic clock; never where the journal does not say.
  fileprivate var end: UInt64 {
    guard let until else { return .max }
    let (end, isOver) = until.multipliedReportingOverflow(by: 1_000_000)
    return isOver ? .max : end
  }
}

extension UInt64 {
  /// Of nanoseconds: what was promised does not end before.
  fileprivate var millisecondsRoundedUp: UInt64 { self / 1_000_000 + (self % 1_000_000 == 0 ? 0 : 1) }
}

extension ListedElement {
  /// Nanoseconds.
  fileprivate var lifetime: UInt64 { UInt64(remainingMilliseconds) * 1_000_000 }
}
