import FirewallModel
import NFTables
import BridgeProcesses
package import Settings
import AuditLog
import AuditStore
import CLinux
import Control
import DNSWire
import EgressPolicy
import Foundation
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver
import TLS
import Transport
import Upstream
import Validation
import Validator
import Zones

/// The whole of `serve`: puts the parts together in the order in which they may fail, and takes them apart again.
///
/// table's lock → bridge and rules → audit log → sockets → lower privileges, sandbox → what the kernel still holds → threads →
/// answer. Rules need neither log nor socket nor interface: whatever fails after them, they stay, and the servers'
/// networks are closed. The thread that calls `run` becomes the resolver's; queries are answered by the workers' threads
/// and the TCP event loop.
package final class Service {
  let settings: Settings
  private let configurationPath: String
  let mailbox: Mailbox<ResolverMessage>
  let reactor: Reactor
  private let clock = EndClock()
  private let manager = ServiceManager()
  /// Why serving ended, if not because it was asked to.
  private var failure: StartError?
  private let activated: ActivatedSockets

  /// Takes over the sockets that a service manager passed.
  ///
  /// - Parameter configurationPath: of the file that a reload reads.
  /// - Throws: `StartError` or `SystemError`.
  package init(settings: Settings, configurationPath: String) throws {
    self.settings = settings
    self.configurationPath = configurationPath
    // Before anything is started that would inherit them.
    activated = try ActivatedSockets.take(settings)
    mailbox = try Mailbox()
    reactor = try Reactor()
  }

  /// Serves until SIGTERM or SIGINT; returns when everything that was in flight is answered and recorded.
  ///
  /// - Throws: `StartError` when a part of it cannot be had, and nothing was answered; or when the firewall bridge is gone,
  ///   so that who started this has to start it anew.
  package func run() throws {
    let signals = sluice_signals_new()
    guard signals >= 0 else { throw StartError("signals cannot be received") }
    DescriptorLimit.raise()
    // Every thread inherits it.
    sluice_prefer_latency(0)
    let compiledAt = clock.seconds()
    let initial = settings.policies.map { $0.inForce(at: compiledAt) }
    var indexes = FirewallIndexes()
    indexes.assign(initial)
    indexes.gate = GateAccount.gate(settings)
    // The table of another sluice that serves is not touched.
    let lock = try lockTable()
    // Rules come first, whatever is wrong with a zone: that is thrown once they are in force.
    let read = Result { () throws(StartError) in try loaded { () throws(FileErrors) in try ZoneFiles.load(settings) } }
    let bridge = try startBridge(indexes.plan(for: initial, settings), zones: try? read.get())
    let gate = try GateSession.start(settings, bridge, reactor: reactor)
    // Threads that come before all others are the bridge's alone.
    sluice_realtime_limit(0)
    let account = try Privileges.account(of: settings.user)
    let anchors = try loaded { () throws(FileErrors) in try TrustAnchors.load(settings) }
    // Nothing that is confined starts a program.
    let validator = try startValidator(account)
    let zones = try read.get()
    let trust = try loaded { () throws(FileErrors) in try UpstreamTrust.load(settings) }
    let audit = try openAudit(account)
    let factory = SnapshotFactory(settings, zones: zones)
    let current = CurrentSnapshot(factory.snapshot(of: initial, indexes: indexes))
    let alarms = bridge?.alarms
    let shared = SharedState(
      current: current, epoch: FirewallEpoch { alarms?.value ?? 0 }, audit: audit,
      clocks: { (MonotonicTime.now().nanoseconds, WallClock.nanoseconds()) },
      resolveInterface: { name in unsafe if_nametoindex(name) },
      sink: { [mailbox] question, path in mailbox.post(.question(question, path)) })
    let sockets: (listener: StreamListener, workers: [DatagramWorker])
    do {
      sockets = try listening.open(shared, audit, signals)
    } catch is ListeningSockets.StoppedError {
      return
    }
    let (listener, workers) = sockets
    let sets = settings.firewall.mode == .sets ? bridge?.greeting?.servers : nil
    if sets != nil {
      current.replace(factory.snapshot(of: initial, indexes: indexes, sets: sets))
    }
    let remembered = bridge == nil ? [] : GrantJournal.read(journalPath, owner: account?.user)
    let journal = try bridge.map { _ in try openJournal(remembered, account) }
    let control = try listening.openControl(account) { [mailbox] in mailbox.post(.control($0, $1)) }
    // Whatever fails from here on leaves no socket behind.
    defer { control?.stop() }
    let findings = try listening.openFindings(account) { [mailbox] in mailbox.post(.finding($0, $1)) }
    defer { findings?.stop() }
    let sandbox = try Confinement.sandbox(
      settings, configuration: configurationPath, keepsAbstractSockets: manager?.isAbstract ?? false)
    try Privileges.lower(to: account)
    // Capabilities and sandboxes belong to threads, and these were there before.
    try listener.onThread {
      try Privileges.lower(to: nil)
      try Confinement.enter(sandbox)
    }
    for server in [control, findings].compactMap(\.self) {
      try server.onThread {
        try Privileges.lower(to: nil)
        Background.lower()
        try Confinement.enter(sandbox)
      }
    }
    try Confinement.enter(sandbox)
    try Confinement.requireAllThreads()
    if let notice = Confinement.notice(sandbox) { StandardError.write("sluice: \(notice)") }
    try audit.start()
    let watcher = try followHost()
    let service = makeService(bridge, shared, audit, journal, trust: trust)
    if let gate {
      service.gate = gate
      gate.onEvent = { [unowned service] in service.gateChanged($0) }
    }
    if let validator { service.validation = makeValidation(validator, anchors, service) }
    try start(watcher, service)
    try reactor.attach(mailbox) { service.handle($0) }
    try reconcile(service, remembered, bridge)
    service.replayToGate()
    let policies = PolicyController(
      inForce: PolicyChanges.InForce(
        settings: settings, policies: settings.policies, indexes: indexes, compiledAt: compiledAt, sets: sets),
      path: configurationPath, factory: factory, current: current, service: service, mailbox: mailbox, clock: clock)
    try followClock(policies, service)
    try reactor.register(signals, readable: true, writable: false) { [self] _ in
      take(signals, workers, audit, policies)
    }
    if settings.watches { policies.watcher = try watch(policies) }
    service.startRhythms()
    service.tellStart(in: audit)
    service.upstream.probeAll()
    let logWatch = LogWatch(audit, service, path: settings.audit.path)
    logWatch.start()
    let strangerWatch = UnknownClientWatch(service)
    strangerWatch.start()
    let handler = ControlCallHandler(
      service: service, policies: policies, settings: settings, audit: audit, started: WallClock.nanoseconds(),
      mailbox: mailbox)
    service.onFailure = { [self] reason in
      failure = StartError(reason)
      for worker in workers { worker.stop() }
      reactor.stop()
    }
    service.onControl = { handler.take($0, $1) }
    service.onFinding = { handler.takeFinding($0, $1) }
    service.onAnswered = { handler.answered($0, $1) }
    var threads: [NamedThread] = []
    do throws(SystemError) {
      for worker in workers { threads.append(try Self.start(worker)) }
      announce(bridge)
      manager?.ready("serving \(counted(settings.policies.count, "server"))")
      showLife()
      // Half of what a start has read of the executable is of no use to what serves.
      sluice_unmap_code()
      reactor.run()
    } catch {
      // What was told to have begun has an end too, and those that answer already are to be ended.
      failure = StartError("a thread that answers cannot be started: \(error)")
      for worker in workers { worker.stop() }
    }
    manager?.stopping()
    service.sendHeld()
    service.tellVolumes()
    service.tellEnd(failure?.reason)
    policies.end()
    control?.stop()
    findings?.stop()
    listener.stop()
    for thread in threads { thread.join() }
    withExtendedLifetime((logWatch, strangerWatch)) { audit.stop() }
    _ = consume lock
    if let failure { throw failure }
  }

  private static func start(_ worker: DatagramWorker) throws(SystemError) -> NamedThread {
    try NamedThread(worker.servesFloods ? "dns-flood" : "dns-udp") {
      // Of this thread alone: a network that floods waits for all others.
      if worker.servesFloods { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, floodNice) }
      worker.run()
    }
  }

  /// Tells the service manager that the resolver's thread is at work, where that is asked for.
  private func showLife() {
    guard let manager, let interval = manager.watchdogInterval else { return }
    manager.alive()
    _ = reactor.schedule(at: MonotonicTime.now().adding(milliseconds: interval)) { [self] in showLife() }
  }

  private static let floodNice: Int32 = 10

  private var threadIndexes: ThreadIndexes { ThreadIndexes(workers: settings.workers) }
  private var listening: ListeningSockets { ListeningSockets(settings, activated, reactor, manager) }

  // MARK: - Parts

  /// Nil where no table is made use of.
  func lockTable() throws(StartError) -> TableLock? {
    guard settings.firewall.mode != .off else { return nil }
    do {
      return try TableLock(
        family: FirewallPlan.Family(settings.firewall.family), table: settings.firewall.table)
    } catch {
      throw StartError("firewall.table: \(error)")
    }
  }

  private var journalPath: String { GrantJournal.path(settings.audit) }

  private func openJournal(
    _ entries: [JournalEntry], _ account: Privileges.Account?
  ) throws(StartError) -> GrantJournal {
    do {
      return try GrantJournal(
        path: journalPath, entries: entries, owner: account.map { ($0.user, $0.group) })
    } catch {
      throw StartError("the grants' journal \(journalPath): \(error)")
    }
  }

  /// Takes over what an earlier run left open, before the first answer.
  private func reconcile(
    _ service: ResolutionService, _ remembered: [JournalEntry], _ bridge: BridgeSession?
  ) throws(StartError) {
    guard let bridge else { return }
    var outcome: Result<ResolutionService.TakenOver, StartError>?
    service.reconcile(remembered) { [reactor] result in
      outcome = result
      reactor.stop()
    }
    // A firewall without servers answers at once.
    if outcome == nil { try bridge.runReactor("the kernel's sets could not be read within 10 s") { outcome != nil } }
    // What was refused until now is judged by what the earlier run had open.
    for event in bridge.early { service.bridgeChanged(event) }
    if let text = try outcome?.get().text { StandardError.write("sluice: \(text)") }
  }

  /// What files hold that the configuration names.
  private func loaded<Loaded>(_ load: () throws(FileErrors) -> Loaded) throws(StartError) -> Loaded {
    do throws(FileErrors) { return try load() } catch {
      throw StartError(error.findings.map(\.description).joined(separator: "\n"))
    }
  }

  private func startValidator(_ account: Privileges.Account?) throws(StartError) -> ValidatorLink? {
    guard !settings.trustAnchors.isEmpty else { return nil }
    do {
      let child = try ValidatorChild.spawn(account: account.map { ($0.user, $0.group) })
      return try ValidatorLink(reactor: reactor, child: child)
    } catch {
      throw StartError("the validator cannot be started: \(error)")
    }
  }

  private func makeValidation(
    _ link: ValidatorLink, _ anchors: [Name: [DelegationSigner]], _ service: ResolutionService
  ) -> AnswerValidation {
    let validation = AnswerValidation(
      reactor: reactor, upstream: service.upstream, link: link, anchors: anchors,
      wallSeconds: { [clock] in clock.seconds() })
    validation.forward = { [unowned service] in service.snapshot.forwards.place(of: $0.wire) }
    link.onGone = { [unowned service] in service.onFailure?("the validator is gone") }
    return validation
  }

  /// The envelope is made here once, before anything from outside is heard; later a process of the bridge's own makes it.
  ///
  /// - Returns: nil where nothing is opened or closed.
  func startBridge(_ plan: FirewallPlan, zones: LocalZones?) throws(StartError) -> BridgeSession? {
    guard settings.firewall.mode != .off else { return nil }
    let source = BridgeSource(
      path: Confinement.absolute(configurationPath),
      folders: Confinement.readFolders(settings, configurationPath).union(["/usr/share"]).sorted())
    return try BridgeSession(
      plan, bounds: (Envelope(settings, zones: zones), source),
      state: settings.state, reactor: reactor)
  }

  /// Room for the open windows of the audit log: where it is short, windows end early, and more events are written.
  private static func windowOctets(servers: Int) -> Int { min(max(4 << 20, servers * 4096), 64 << 20) }

  private func openAudit(_ account: Privileges.Account?) throws -> AuditStore {
    do {
      let audit = try AuditStore(
        settings: AuditStoreSettings(
          path: settings.audit.path, maxSize: settings.audit.maxSizeOctets, keep: settings.audit.keep,
          compress: settings.audit.compress, rings: threadIndexes.count,
          windowOctets: Self.windowOctets(servers: settings.policies.count), owner: account?.user,
          servers: settings.policies.count))
      for warning in audit.warnings { StandardError.write("sluice: \(warning)") }
      if let account {
        try audit.hand(to: account.user, account.group)
      }
      return audit
    } catch {
      throw StartError("audit.path: \(error)")
    }
  }

  private func makeService(
    _ bridge: BridgeSession?, _ shared: SharedState, _ audit: AuditStore, _ journal: GrantJournal?,
    trust: [UpstreamServer: TLSClient]
  ) -> ResolutionService {
    let upstream = UpstreamPool(
      reactor: reactor, servers: settings.upstreams.map(UpstreamServer.init), clients: trust,
      limits: ResolutionService.upstreamLimits)
    let service = ResolutionService(
      reactor: reactor, upstream: upstream, bridge: bridge?.link, shared: shared,
      ring: audit.ring(of: threadIndexes.resolver), shard: threadIndexes.resolver,
      ledger: GrantLedger(settings.firewall),
      options: FirewallOptions(settings),
      journal: journal, listeners: Set(settings.listen.map(\.address)), clock: clock,
      incarnation: bridge?.greeting?.incarnation ?? 0)
    upstream.use(UpstreamForward.all(of: settings))
    upstream.onMismatch = { [unowned service] in service.upstreamMismatched($0) }
    upstream.onUntrusted = { [unowned service] in service.upstreamUntrusted($0, $1) }
    upstream.onHTTPFault = { [unowned service] in service.upstreamFaulty($0, $1) }
    bridge?.onEvent = { [service] in service.bridgeChanged($0) }
    if let report = bridge?.enclosure { service.enclosureChanged(report) }
    return service
  }

  private func announce(_ bridge: BridgeSession?) {
    let addresses = settings.listen.map(\.description).joined(separator: ", ")
    let firewall =
      bridge == nil ? "off: no address is opened or closed" : "\(settings.firewall.family) \(settings.firewall.table)"
    if activated.count > 0 {
      StandardError.write("sluice: \(activated.count) sockets taken over from the service manager")
    }
    StandardError.write(
      "sluice: serving \(counted(settings.policies.count, "server")) on \(addresses); firewall \(firewall); audit \(settings.audit.path)"
    )
  }

  // MARK: - Signals

  private func take(
    _ signals: Int32, _ workers: [DatagramWorker], _ audit: AuditStore, _ policies: PolicyController
  ) {
    while true {
      switch sluice_signals_take(signals) {
      case 0: return
      case SIGHUP:
        audit.reopen()
        policies.reload(nil)
      default:
        for worker in workers { worker.stop() }
        mailbox.post(.stop)
      }
    }
  }
}
