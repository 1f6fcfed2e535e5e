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
    sendHeld()
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
    // Connections alone were to be cut.
    guard !elements.isEmpty else { return }
    lost.revocations += UInt64(elements.count)
    StandardError.write(
      "sluice: \(counted(elements.count, "address")) could not be closed, which is tried again until it is done: "
        + "\(failure)")
    suspect(elements)
  }

  private func suspect(_ elements: [GrantElement]) {
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
  func commitCaps() {
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
  func list(
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

  func serverName(_ index: UInt16) -> String? {
    snapshot.server(firewallIndex: index).map { String(decoding: snapshot.servers[$0].name, as: UTF8.self) }
  }
}
