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
  private let settings: Settings
  private let configurationPath: String
  private let mailbox: Mailbox<ResolverMessage>
  private let reactor: Reactor
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
    let read = Result { () throws(StartError) in try loadZones() }
    let bridge = try startBridge(indexes.plan(for: initial, settings), zones: try? read.get())
    let gate = try GateSession.start(settings, bridge, reactor: reactor)
    // Threads that come before all others are the bridge's alone.
    sluice_realtime_limit(0)
    let account = try Privileges.account(of: settings.user)
    let anchors = try loadAnchors()
    // Nothing that is confined starts a program.
    let validator = try startValidator(account)
    let zones = try read.get()
    let trust = try loadTrust()
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
      sockets = try openSockets(shared, audit, signals)
    } catch is StoppedError {
      return
    }
    let (listener, workers) = sockets
    let sets = settings.firewall.mode == .sets ? bridge?.greeting?.servers : nil
    if sets != nil {
      current.replace(factory.snapshot(of: initial, indexes: indexes, sets: sets))
    }
    let remembered = bridge == nil ? [] : GrantJournal.read(journalPath, owner: account?.user)
    let journal = try bridge.map { _ in try openJournal(remembered, account) }
    let control = try openControl(account)
    // Whatever fails from here on leaves no socket behind.
    defer { control?.stop() }
    let sandbox = try Confinement.sandbox(
      settings, configuration: configurationPath, keepsAbstractSockets: manager?.isAbstract ?? false)
    try Privileges.lower(to: account)
    // Capabilities and sandboxes belong to threads, and these were there before.
    try listener.onThread {
      try Privileges.lower(to: nil)
      try Confinement.enter(sandbox)
    }
    try control?.onThread {
      try Privileges.lower(to: nil)
      Background.lower()
      try Confinement.enter(sandbox)
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
    service.onAnswered = { handler.answered($0, $1) }
    var threads: [NamedThread] = []
    do throws(SystemError) {
      for worker in workers { threads.append(try Self.start(worker)) }
      announce(bridge)
      manager?.ready("serving \(counted(settings.policies.count, "server"))")
      showLife()
      reactor.run()
    } catch {
      // What was told to have begun has an end too, and those that answer already are to be ended.
      failure = StartError("a thread that answers cannot be started: \(error)")
      for worker in workers { worker.stop() }
    }
    manager?.stopping()
    service.tellVolumes()
    service.tellEnd(failure?.reason)
    policies.end()
    control?.stop()
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

  private func watch(_ policies: PolicyController) throws(StartError) -> PolicyWatcher {
    do {
      return try PolicyWatcher(settings.folders, reactor: reactor) { policies.reload(nil) }
    } catch {
      throw StartError("watch: \(error)")
    }
  }

  /// A clock that is set ends what is over by it at once; it is set, too, when the host has slept.
  private func followClock(_ policies: PolicyController, _ service: ResolutionService) throws(StartError) {
    do {
      let watcher = try ClockWatcher()
      var sleep = SleepClock()
      try reactor.register(watcher.readiness, readable: true, writable: false) {
        [unowned policies, unowned service] _ in
        guard watcher.take() else { return }
        let slept = sleep.take()
        if slept > 0 { service.slept(nanoseconds: slept) }
        policies.clockWasSet()
      }
    } catch {
      throw StartError("the clock cannot be followed: \(error)")
    }
  }

  private func followHost() throws(StartError) -> HostWatcher {
    do {
      return try HostWatcher(reactor: reactor, mailbox: mailbox)
    } catch {
      throw StartError("the host's network cannot be followed: \(error)")
    }
  }

  /// Before anything that an earlier run opened is taken over.
  private func start(_ watcher: HostWatcher, _ service: ResolutionService) throws(StartError) {
    do {
      service.host = try watcher.current()
    } catch {
      throw StartError("the host's network cannot be read: \(error)")
    }
    service.refuseAddresses(for: service.snapshot)
    watcher.onChange = { [unowned service] in service.hostChanged($0) }
    service.onHost = { watcher.take($0) }
  }

  private static let floodNice: Int32 = 10

  private var threadIndexes: ThreadIndexes { ThreadIndexes(workers: settings.workers) }

  // MARK: - Parts

  private func lockTable() throws(StartError) -> TableLock? {
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
    guard let taken = try outcome?.get(), taken.kept + taken.closed > 0 else { return }
    StandardError.write(
      "sluice: of the addresses of an earlier run \(taken.kept) \(taken.kept == 1 ? "stays" : "stay") open, and "
        + "\(taken.closed) \(taken.closed == 1 ? "is" : "are") closed")
  }

  private func loadTrust() throws(StartError) -> [UpstreamServer: TLSClient] {
    do throws(FindingsError) {
      return try UpstreamTrust.load(settings)
    } catch {
      throw StartError(error.findings.map(\.description).joined(separator: "\n"))
    }
  }

  private func loadAnchors() throws(StartError) -> [Name: [DelegationSigner]] {
    do throws(FindingsError) {
      return try TrustAnchors.load(settings)
    } catch {
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

  private func loadZones() throws(StartError) -> LocalZones {
    do throws(FindingsError) {
      return try ZoneFiles.load(settings)
    } catch {
      throw StartError(error.findings.map(\.description).joined(separator: "\n"))
    }
  }

  /// The envelope is made here once, before anything from outside is heard; later a process of the bridge's own makes it.
  private func startBridge(_ plan: FirewallPlan, zones: LocalZones?) throws(StartError) -> BridgeSession? {
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

  /// A signal asked for the end before the first answer.
  private struct StoppedError: Error {}

  /// Milliseconds between two tries to bind an address that is not there.
  private static let bindRhythm: UInt64 = 250

  /// Opens the sockets that listen. Nearly every kernel binds an address before an interface has it; where one does not
  /// (EADDRNOTAVAIL), waits until the address is there. Later is too late: port 53 takes a privilege.
  ///
  /// - Throws: `StartError` for an address that cannot be bound for another reason; `StoppedError`.
  private func openSockets(
    _ shared: SharedState, _ audit: AuditStore, _ signals: Int32
  ) throws -> (listener: StreamListener, workers: [DatagramWorker]) {
    let listener = try waiting(.tcp, signals) { try openListener(shared, audit) }
    return (listener, try waiting(.udp, signals) { try openWorkers(shared, audit) })
  }

  private func waiting<Opened>(
    _ transport: PortHolder.Transport, _ signals: Int32, _ open: () throws -> Opened
  ) throws -> Opened {
    var isTold = false
    while true {
      do {
        return try open()
      } catch {
        guard (error as? SystemError)?.errno == EADDRNOTAVAIL else {
          throw StartError(ListenFault.text("listen", transport, settings.listen, error))
        }
      }
      let absent = settings.listen.filter { !HostAddresses.has($0) }.map(\.description).joined(separator: ", ")
      if !isTold {
        StandardError.write(
          "sluice: listen: waiting for \(absent), which this kernel binds only once an interface has it")
        isTold = true
      }
      manager?.waiting("waiting for \(absent)")
      try pause(signals)
    }
  }

  /// Hears the bridge and the signals for a while.
  private func pause(_ signals: Int32) throws {
    var isStopped = false
    try reactor.register(signals, readable: true, writable: false) { [reactor] _ in
      while true {
        switch sluice_signals_take(signals) {
        case 0: return
        case SIGHUP: break
        default:
          isStopped = true
          reactor.stop()
        }
      }
    }
    let timer = reactor.schedule(at: MonotonicTime.now().adding(milliseconds: Self.bindRhythm)) { [reactor] in
      reactor.stop()
    }
    reactor.run()
    reactor.cancel(timer)
    reactor.unregister(signals)
    if isStopped { throw StoppedError() }
  }

  private func openWorkers(_ shared: SharedState, _ audit: AuditStore) throws(SystemError) -> [DatagramWorker] {
    do throws(SystemError) {
      return try openWorkers(shared, audit, sharing: false)
    } catch  where !activated.datagrams.isEmpty && [EACCES, EADDRINUSE, EADDRNOTAVAIL].contains(error.errno) {
      let workers = try openWorkers(shared, audit, sharing: true)
      StandardError.write(
        "sluice: warning: nothing can be bound beside the UDP sockets that were passed (\(error)): "
          + "all workers read those, and who floods has no queue of its own; ListenDatagram= of each address "
          + "\(settings.workers + 1) times, with ReusePort=yes, gives each a socket")
      return workers
    }
  }

  /// - Parameter sharing: all workers read all sockets that were passed; else each has one of its own, passed or bound
  ///   beside it, and so has the flood.
  private func openWorkers(
    _ shared: SharedState, _ audit: AuditStore, sharing: Bool
  ) throws(SystemError) -> [DatagramWorker] {
    let addresses = settings.listen.map(\.socketAddress)
    let gate = FloodGate(workers: settings.workers)
    var workers: [DatagramWorker] = []
    for index in 0..<settings.workers {
      workers.append(
        try DatagramWorker(
          addresses: addresses, passed: sharing ? activated.allDatagrams : activated.datagrams(ofWorker: index),
          thread: QueryThread(shared, ring: ring(index, of: audit), index: index), gate: gate))
    }
    guard !sharing else { return workers }
    workers.append(
      try DatagramWorker(
        addresses: addresses, passed: activated.datagrams(ofWorker: settings.workers),
        thread: QueryThread(shared, ring: ring(threadIndexes.flood, of: audit), index: threadIndexes.flood), gate: gate,
        servesFloods: true))
    return workers
  }

  private func openListener(_ shared: SharedState, _ audit: AuditStore) throws -> StreamListener {
    try StreamListener(
      addresses: settings.listen.map(\.socketAddress).filter { activated.streams[$0] == nil },
      passed: activated.streams.values.flatMap { $0 },
      thread: QueryThread(shared, ring: ring(threadIndexes.stream, of: audit), index: threadIndexes.stream),
      limits: StreamLimits())
  }

  private func openControl(_ account: Privileges.Account?) throws(StartError) -> ControlServer? {
    let handler: ControlHandler = { [mailbox] in mailbox.post(.control($0, $1)) }
    do {
      return try ControlServer(
        path: settings.control.path, owner: account.map { ($0.user, $0.group) }, passed: activated.control,
        metrics: settings.metrics.map { ($0.address.description, Int($0.port)) }, handler: handler)
    } catch let error as ControlServer.MetricsError {
      throw StartError(ListenFault.text("metrics", .tcp, settings.metrics.map { [$0] } ?? [], error.cause))
    } catch {
      let fault = ListenFault.control(settings.control.path, error)
      guard !settings.control.isDefault || settings.metrics != nil else {
        StandardError.write("sluice: warning: no control socket: \(fault); `control:` names another place")
        return nil
      }
      throw StartError("control: \(fault)")
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
      ring: ring(threadIndexes.resolver, of: audit), shard: threadIndexes.resolver,
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

  private func ring(_ index: Int, of audit: AuditStore) -> AuditRing {
    guard let ring = audit.ring(index) else { preconditionFailure("the audit store has a ring for each thread") }
    return ring
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

extension AuditStore: AuditGate {}

/// The number of each thread that answers queries: of its audit ring and of its shard in every `QueryCounts`. The workers
/// come first.
struct ThreadIndexes {
  let workers: Int

  var stream: Int { workers }
  var resolver: Int { workers + 1 }
  var flood: Int { workers + 2 }
  var count: Int { workers + 3 }
}
