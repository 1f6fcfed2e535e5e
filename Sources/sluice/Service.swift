import AuditLog
import AuditStore
import CLinux
import DNSWire
import EgressPolicy
import FirewallBridge
import Foundation
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver
import Settings
import Transport
import Upstream
import Zones

/// The whole of `serve`: puts the parts together in the order in which they may fail, and takes them apart again.
///
/// audit log → TCP sockets → bridge and rules → UDP sockets → lower privileges → threads → answer. The thread that calls `run` becomes
/// the resolver's; queries are answered by the workers' threads and the TCP event loop.
final class Service {
  private let settings: Settings
  private let configurationPath: String
  private let mailbox: Mailbox<ResolverMessage>
  private let reactor: Reactor
  private var indexes = FirewallIndexes()
  private var isReloading = false
  private var reloadAgain = false

  init(settings: Settings, configurationPath: String) throws {
    self.settings = settings
    self.configurationPath = configurationPath
    mailbox = try Mailbox()
    reactor = try Reactor()
  }

  /// Serves until SIGTERM or SIGINT; returns when everything that was in flight is answered and recorded.
  ///
  /// - Throws: `StartError` when a part of it cannot be had; then nothing was answered.
  func run() throws {
    let signals = sluice_signals_new()
    guard signals >= 0 else { throw StartError("signals cannot be received") }
    DescriptorLimit.raise()
    let account: Privileges.Account? = try settings.user.map { try Privileges.account(named: $0) }
    let zones = try loadZones()
    indexes.assign(settings.policies)
    let audit = try openAudit(account)
    var factory = SnapshotFactory(settings, zones: zones)
    let current = CurrentSnapshot(factory.snapshot(of: settings.policies, indexes: indexes))
    let shared = SharedState(
      current: current, epoch: FirewallEpoch(), audit: audit, resolveInterface: { name in unsafe if_nametoindex(name) },
      sink: { [mailbox] question, path in mailbox.post(.question(question, path)) })
    // A log or a port that somebody else has ends the start before anything of the firewall was touched.
    let listener = try openListener(shared, audit)
    let bridge = try startBridge()
    if settings.firewall.mode == .sets {
      factory.sets = bridge?.greeting?.servers
      current.replace(factory.snapshot(of: settings.policies, indexes: indexes))
    }
    let snapshots = factory
    let workers = try openWorkers(shared, audit)
    try Privileges.lower(to: account)
    // Capabilities belong to threads, and the listener's was there before.
    try listener.onThread { try Privileges.lower(to: nil) }
    try audit.start()
    let service = makeService(bridge, shared, audit)
    try reactor.attach(mailbox) { service.handle($0) }
    try reactor.register(signals, readable: true, writable: false) { [self] _ in
      take(signals, workers, audit, current, snapshots, service)
    }
    let threads = workers.map { worker in Worker(named: "dns-udp") { worker.run() } }
    announce(bridge)
    reactor.run()
    listener.stop()
    for thread in threads { thread.join() }
    audit.stop()
  }

  // MARK: - Parts

  private func loadZones() throws(StartError) -> LocalZones {
    do throws(ZoneFileErrors) {
      return try ZoneFiles.load(settings)
    } catch {
      throw StartError(error.findings.map(\.description).joined(separator: "\n"))
    }
  }

  private func startBridge() throws(StartError) -> BridgeSession? {
    guard settings.firewall.mode != .off else { return nil }
    let bridge = try BridgeSession(indexes.plan(for: settings.policies, settings), reactor: reactor)
    return bridge
  }

  private func openAudit(_ account: Privileges.Account?) throws -> AuditStore {
    do {
      let audit = try AuditStore(
        settings: AuditStoreSettings(
          path: settings.audit.path, maxSize: settings.audit.maxSizeOctets, keep: settings.audit.keep,
          rings: settings.workers + 2))
      for warning in audit.warnings { StandardError.write("sluice: \(warning)") }
      if let account {
        try audit.hand(to: account.user, account.group)
      }
      return audit
    } catch {
      throw StartError("audit.path: \(error)")
    }
  }

  private func openWorkers(_ shared: SharedState, _ audit: AuditStore) throws(StartError) -> [DatagramWorker] {
    let addresses = settings.listen.map {
      SocketAddress(isV6: $0.address.family == .v6, high: $0.address.high, low: $0.address.low, port: $0.port)
    }
    do throws(SystemError) {
      var workers: [DatagramWorker] = []
      for index in 0..<settings.workers {
        workers.append(try DatagramWorker(addresses: addresses, shared: shared, ring: ring(index, of: audit)))
      }
      return workers
    } catch {
      throw StartError("listen: UDP \(settings.listen.map(\.description).joined(separator: ", ")): \(error)")
    }
  }

  private func openListener(_ shared: SharedState, _ audit: AuditStore) throws(StartError) -> StreamListener {
    do {
      return try StreamListener(
        addresses: settings.listen.map { ($0.address, $0.port) }, shared: shared,
        ring: ring(settings.workers, of: audit), limits: StreamLimits())
    } catch {
      throw StartError("listen: TCP \(settings.listen.map(\.description).joined(separator: ", ")): \(error)")
    }
  }

  private func makeService(_ bridge: BridgeSession?, _ shared: SharedState, _ audit: AuditStore) -> ResolutionService {
    let second: UInt64 = 1_000_000_000
    let firewall = settings.firewall
    let ledger = GrantLedger(
      lifetimes: GrantLedger.Lifetimes(
        minimum: UInt64(firewall.minLifetime) * second, grace: UInt64(firewall.grace) * second,
        maximum: UInt64(firewall.maxLifetime) * second),
      maxElementsPerServer: FirewallPlan.setSize)
    // However fast a server answers from its cache, that says nothing of a cold recursion: two tries get 2.1 s.
    var limits = UpstreamLimits()
    limits.firstTry = 700
    limits.shortestTry = 700
    let upstream = UpstreamPool(
      reactor: reactor, servers: settings.upstreams.map { UpstreamServer(address: $0.address, port: $0.port) },
      limits: limits)
    let service = ResolutionService(
      reactor: reactor, upstream: upstream, bridge: bridge?.link, shared: shared,
      ring: ring(settings.workers + 1, of: audit), ledger: ledger,
      commitDeadlineMilliseconds: firewall.deadlineMilliseconds)
    bridge?.onEvent = { [service] in service.bridgeChanged($0) }
    return service
  }

  private func ring(_ index: Int, of audit: AuditStore) -> AuditRing {
    guard let ring = audit.ring(index) else { preconditionFailure("the audit store has a ring for each thread") }
    return ring
  }

  private func announce(_ bridge: BridgeSession?) {
    let places = settings.listen.map(\.description).joined(separator: ", ")
    let firewall =
      bridge == nil ? "off: no address is opened or closed" : "\(settings.firewall.family) \(settings.firewall.table)"
    StandardError.write(
      "sluice: serving \(settings.policies.count) servers on \(places); firewall \(firewall); audit \(settings.audit.path)"
    )
  }

  // MARK: - Signals

  private func take(
    _ signals: Int32, _ workers: [DatagramWorker], _ audit: AuditStore, _ current: CurrentSnapshot,
    _ factory: SnapshotFactory, _ service: ResolutionService
  ) {
    while true {
      switch sluice_signals_take(signals) {
      case 0: return
      case SIGHUP:
        audit.reopen()
        reload(current, factory, service)
      default:
        for worker in workers { worker.stop() }
        mailbox.post(.stop)
      }
    }
  }

  /// Reads the configuration again on a thread of its own; a broken one changes nothing (P7).
  private func reload(_ current: CurrentSnapshot, _ factory: SnapshotFactory, _ service: ResolutionService) {
    guard !isReloading else {
      reloadAgain = true
      return
    }
    isReloading = true
    let path = configurationPath
    service.onReload = { [self] loaded in
      for diagnostic in loaded.diagnostics { StandardError.write(diagnostic.description) }
      // A file that is being written may be empty for a moment: no policy at all is never what a reload means.
      guard let settings = loaded.settings, !settings.policies.isEmpty else {
        StandardError.write("sluice: reload refused; the policy in force stays")
        return finishReload(current, factory, service)
      }
      indexes.assign(settings.policies)
      let snapshot = factory.snapshot(of: settings.policies, indexes: indexes)
      service.adopt(snapshot, plan: indexes.plan(for: settings.policies, self.settings)) { [self] text in
        StandardError.write("sluice: \(text)")
        finishReload(current, factory, service)
      }
    }
    Thread.detachNewThread { [mailbox] in
      mailbox.post(.reloaded(SettingsLoader.load(path: path)))
    }
  }

  private func finishReload(_ current: CurrentSnapshot, _ factory: SnapshotFactory, _ service: ResolutionService) {
    isReloading = false
    if reloadAgain {
      reloadAgain = false
      reload(current, factory, service)
    }
  }
}

extension AuditStore: AuditGate {}

/// A thread that can be waited for.
final class Worker: Sendable {
  private let done = DispatchSemaphore(value: 0)

  init(named name: String, _ body: @escaping @Sendable () -> Void) {
    let done = done
    let thread = Thread {
      body()
      done.signal()
    }
    thread.name = name
    thread.start()
  }

  func join() {
    done.wait()
  }
}
