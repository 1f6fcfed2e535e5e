import AuditStore
import CLinux
import Control
import EgressPolicy
import Glibc
import IPNetwork
import LinuxIO
import Resolver
import Settings
import Transport

/// Opens what serve listens on: for queries by UDP and TCP, and for control. Sockets that a service manager passed are taken
/// first; others are bound, for as long as it takes until their addresses are there.
struct ListeningSockets {
  /// A signal asked for the end before the first answer.
  struct StoppedError: Error {}

  /// Milliseconds between two tries to bind an address that is not there.
  private static let bindRhythm: UInt64 = 250

  private let settings: Settings
  private let activated: ActivatedSockets
  private let reactor: Reactor
  private let manager: ServiceManager?

  private var threadIndexes: ThreadIndexes { ThreadIndexes(workers: settings.workers) }

  init(_ settings: Settings, _ activated: ActivatedSockets, _ reactor: Reactor, _ manager: ServiceManager?) {
    (self.settings, self.activated, self.reactor, self.manager) = (settings, activated, reactor, manager)
  }

  /// Opens the sockets that listen. Nearly every kernel binds an address before an interface has it; where one does not
  /// (EADDRNOTAVAIL), waits until the address is there. Later is too late: port 53 takes a privilege.
  ///
  /// - Throws: `StartError` for an address that cannot be bound for another reason; `StoppedError`.
  func open(
    _ shared: SharedState, _ audit: AuditStore, _ signals: Int32
  ) throws -> (listener: StreamListener, workers: [DatagramWorker]) {
    let listener = try waiting(.tcp, signals) { try openListener(shared, audit) }
    return (listener, try waiting(.udp, signals) { try openWorkers(shared, audit) })
  }

  /// Opens again and again while an address is not there.
  ///
  /// - Throws: as `open`.
  func waiting<Opened>(
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

  /// Those that were passed go to one worker each; where nothing can be bound beside them, to all.
  func openWorkers(_ shared: SharedState, _ audit: AuditStore) throws(SystemError) -> [DatagramWorker] {
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
          thread: QueryThread(shared, ring: audit.ring(of: index), index: index), gate: gate))
    }
    guard !sharing else { return workers }
    workers.append(
      try DatagramWorker(
        addresses: addresses, passed: activated.datagrams(ofWorker: settings.workers),
        thread: QueryThread(shared, ring: audit.ring(of: threadIndexes.flood), index: threadIndexes.flood), gate: gate,
        servesFloods: true))
    return workers
  }

  private func openListener(_ shared: SharedState, _ audit: AuditStore) throws -> StreamListener {
    try StreamListener(
      addresses: settings.listen.map(\.socketAddress).filter { activated.streams[$0] == nil },
      passed: activated.streams.values.flatMap { $0 },
      thread: QueryThread(shared, ring: audit.ring(of: threadIndexes.stream), index: threadIndexes.stream),
      limits: StreamLimits())
  }

  /// The socket of the control API, and the port of metrics; nil where the socket's usual place is not to be had and nothing
  /// depends on it.
  func openControl(
    _ account: Privileges.Account?, _ handler: @escaping ControlHandler
  ) throws(StartError) -> ControlServer? {
    do {
      return try ControlServer(
        ControlSocket(
          path: settings.control.path, owner: account.map { ($0.user, $0.group) }, passed: activated.control),
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

  /// The socket on which inspectors tell what they found. Whoever can reach it may connect, since a serve that is not root can give it to
  /// nobody; their user alone is heard. Nil where there is none.
  func openFindings(_ account: Privileges.Account?, _ handler: @escaping ControlHandler) throws(StartError)
    -> ControlServer?
  {
    guard let user = settings.findingsUser else { return nil }
    let path = settings.control.findingsPath
    guard let inspector = Privileges.known(user), inspector.user != 0 else {
      throw StartError("findings: there is no user \(user.name) besides root; make it: \(user.creation)")
    }
    do {
      return try ControlServer(
        ControlSocket(path: path, mode: 0o666, owner: account.map { ($0.user, $0.group) }), user: inspector.user,
        handler: handler)
    } catch {
      throw StartError("findings: \(ListenFault.control(path, error))")
    }
  }
}
