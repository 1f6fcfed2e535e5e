import BridgeProcesses
import CLinux
import EgressPolicy
import FirewallModel
import Glibc
import GrantLedger
import HostNetwork
import LinuxIO
import NFTables

/// The process that feeds the kernel: one loop over the socketpair and netlink, and a thread that reads connections.
final class BridgeWorker {
  enum End {
    case serveGone
    case supervisorGone
  }

  private let socket: Int32
  private let life: Int32
  /// The state folder.
  let state: Int32?
  let planFile: SharedPlanFile
  let incarnation: UInt64
  let kernel: KernelSets
  let transaction: ElementTransaction
  let watcher: ChangeWatcher
  let alarm: TableChangeNotifier
  /// Closes the governed networks while the table is not whole.
  let closing: ClosingTable
  private let refresh: RefreshMethod
  var installer: TableInstaller
  /// Tells of the host's links, addresses and routes.
  let routes: RouteSocket
  /// What the installed rules were made for beside the plan.
  var surroundings = Ruleset.Surroundings()
  /// Changes of others that came while `nft` was at work for the worker; serve knows of them already.
  var newsWhileInstalling = TableChanges()

  var writer: ElementWriter?
  let flows: FlowWorker
  var volumes = Volumes()
  var prefixes = PrefixVolumes()
  var refusalLog = RefusalLog()
  var lostRefusals = 0
  /// Refused connections that serve had no room for yet.
  var untold = UntoldQueue<RefusedConnection>()
  /// Asked what connections sent; made when it is first needed.
  var connections: ConnectionTable?
  var books: RefusalBooks?
  var bookTimes = BookTimes()
  var assembly = PlanAssembly()
  private var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
  private var isOpen = true
  private var hasToldUnreadable = false
  /// No second try to put a table back sooner than this: a failing one costs milliseconds.
  static let repairPause: UInt64 = 1_000_000_000
  var nextRepair: UInt64 = 0
  static let repairsInARow = 4
  /// The table is not known to be whole: nothing is committed, and it is tried again every second until it is.
  var needsRepair = false
  /// Why nothing could be installed at the last attempt; nil where it could.
  var installFault: String?
  /// A plan that could not be installed at the start, and is tried again while nothing else works.
  var pending: FirewallPlan?
  static let tickMilliseconds: Int32 = 200
  private var ticked: UInt64 = 0
  /// What serve may ask for, and how often it asked for more.
  var bounds: Bounds
  /// The host's own network as it was read last.
  var host = HostNetwork()

  /// - Parameters:
  ///   - alarms: counts what is taken out of the table.
  ///   - source: the path of the configuration.
  /// - Throws: also where there is one and no envelope of it: without bounds only an operator's command is served.
  init(
    socket: Int32, life: Int32, state: Int32?, planFile: SharedPlanFile, alarms: SharedCounter, source: String?
  ) throws(SystemError) {
    bounds = Bounds(envelope: planFile.loadEnvelope(), source: source)
    if source != nil, bounds.envelope == nil { throw SystemError(call: "reading the envelope", errno: EINVAL) }
    self.socket = socket
    self.life = life
    self.state = state
    routes = try RouteSocket()
    self.planFile = planFile
    incarnation = try planFile.nextIncarnation()
    let netlink = try NetlinkSocket()
    kernel = KernelSets(netlink)
    transaction = ElementTransaction(netlink)
    let watcher = try ChangeWatcher(ignoring: netlink.port)
    self.watcher = watcher
    closing = try ClosingTable()
    let alarm = try TableChangeNotifier(ignoring: netlink.port, counting: alarms, closing: closing, socket: socket)
    self.alarm = alarm
    sluice_realtime_leave()
    refresh = RefreshProbe.run(transaction, kernel)
    installer = TableInstaller(kernel: kernel) {
      watcher.ignore(process: $0)
      alarm.ignore(process: $0)
    }
    installer.owner = TableOwner(netlink)
    flows = try FlowWorker()
  }

  /// Feeds until serve or the supervisor is gone.
  func run() -> End {
    installer.watch = NftProgram.Watch(
      descriptor: watcher.descriptor, act: { [unowned self] in announce() }, tick: { [unowned self] in tick() })
    begin()
    defer {
      flows.stop()
      alarm.stop()
      volumes.reader?.stop()
    }
    while isOpen {
      var waits = [
        socket, life, watcher.descriptor, flows.outcomes.readiness,
        untold.isEmpty ? refusalLog.reader?.descriptor ?? -1 : -1, routes.descriptor,
        bounds.reading?.descriptor ?? -1, closing.woken.readiness, volumes.reader?.outcomes.readiness ?? -1,
      ]
      .map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      if !untold.isEmpty { waits[0].events |= Int16(POLLOUT) }
      guard unsafe poll(&waits, nfds_t(waits.count), patience) >= 0 || errno == EINTR else { return .serveGone }
      if waits[1].revents != 0, !echo() { return .supervisorGone }
      // What is told before the messages keeps answers back (P2). Without serve there are none, and nothing is put back:
      // a table that is taken away then is meant to go.
      if waits[2].revents != 0, Int32(waits[0].revents) & POLLHUP == 0 { watch() }
      // Before messages as well: an interface that has come is enclosed before its first question is answered.
      if waits[5].revents != 0 { watchHost() }
      if waits[0].revents != 0 { takeMessages() }
      guard isOpen else { break }
      if waits[3].revents != 0 { takeFlows() }
      if !untold.isEmpty {
        tellRefusals()
      } else if waits[4].revents != 0, let reader = refusalLog.reader {
        report(reader)
      }
      takeEnvelope()
      installPending()
      if needsRepair, MonotonicTime.now().nanoseconds >= nextRepair { repair(TableChanges(changes: .rulesChanged)) }
      keepBooks()
      if refusalLog.isTryDue(MonotonicTime.now().nanoseconds), let plan = writer?.plan { readRefusals(of: plan) }
      if waits[7].revents != 0 { _ = closing.woken.drain() }
      reopen()
      if waits[8].revents != 0 { takeReadings() }
      tellVolumes()
      readCounters()
      readPrefixes()
    }
    return .serveGone
  }

  /// Shows that this process runs while something takes long.
  func tick() {
    let now = MonotonicTime.now().nanoseconds
    guard now &- ticked >= UInt64(Self.tickMilliseconds) * 1_000_000 else { return }
    ticked = now
    _ = sendNotice(.alive)
    _ = echo()
  }

  /// Answers the supervisor, if it asks whether this process runs; false when it is gone.
  private func echo() -> Bool { LifeLine(life).answer() }

  /// How long the loop may wait: for ever where there is nothing to try again and nothing to count.
  private var patience: Int32 {
    LoopPause(
      tells: !volumes.untold.isEmpty || !prefixes.untold.isEmpty,
      retries: pending != nil || needsRepair || bounds.reading != nil || closing.wakings != nil || refusalLog.isTaken,
      due: min(nextCounting ?? .max, nextBookkeeping, prefixes.due)
    ).milliseconds(now: MonotonicTime.now().nanoseconds)
  }

  private func begin() {
    guard let plan = planFile.load() else {
      greet(plan: 0, servers: [])
      return
    }
    do {
      try follow(plan)
    } catch {
      pending = plan
      installFault = error.text
      broken(error.text)
    }
  }

  func follow(_ plan: FirewallPlan) throws(TableInstaller.InstallationError) {
    settleBooks(closes: false)
    tellAllPrefixes()
    let sets = try install(plan)
    // By the numbers that servers have in the former plan.
    tellAllVolumes()
    let writer = ElementWriter(
      plan: plan, serverSets: sets, refresh: refresh, transaction: transaction, kernel: kernel,
      counters: counterReader(for: plan)
    ) { [unowned self] in tick() }
    if let first = writer.unread.first {
      answer(.notice("\(writer.unread.count) sets of the table cannot be read, the first of them \(first)"))
    }
    if let former = self.writer {
      let lost = plan.cutsFlows ? FlowTarget.lost(from: former.plan, to: plan) : []
      if !lost.isEmpty { flows.submit(.cut(request: 0, refusal: nil, targets: lost)) }
    }
    countConnections(plan)
    self.writer = writer
    limitElements(of: plan, sets)
    openBooks(plan)
    countPrefixes(plan)
    prepareToClose(plan, surroundings)
    alarm.watch(plan)
    pending = nil
    needsRepair = false
    readRefusals(of: plan)
    greet(plan: writer.fingerprint, servers: sets)
    tellExclusiveness(plan)
    if plan.mode == .managed { reportEnclosure(plan) }
  }

  private func installPending() {
    guard let plan = pending else { return }
    do throws(TableInstaller.InstallationError) {
      try follow(plan)
      installFault = nil
    } catch {
      tellOnce(error)
    }
  }

  /// Says why something cannot be installed, once for each reason: it is tried again every second.
  func tellOnce(_ fault: TableInstaller.InstallationError) {
    if fault.text != installFault { answer(.notice("the table cannot be installed: \(fault.text)")) }
    installFault = fault.text
  }

  /// A cap needs the kernel to count the octets of connections, whatever the host's setting was: one of an hour for its events.
  private func countConnections(_ plan: FirewallPlan) {
    let hasCaps = plan.servers.contains { server in
      !server.caps.isEmpty || server.staticRules.contains { $0.maxBytes != nil }
    }
    guard hasCaps else { return }
    do throws(SystemError) { try ConnectionAccounting.turnOn() } catch {
      answer(.notice("max-bytes may not hold: net.netfilter.nf_conntrack_acct cannot be set: error \(error.errno)"))
    }
  }

  /// Becomes the reader of the kernel's log, or says that another program is and tries again every second.
  private func readRefusals(of plan: FirewallPlan) {
    for message in refusalLog.follow(plan.nflogGroup, now: MonotonicTime.now().nanoseconds) { answer(message) }
  }

  private func greet(plan: UInt64, servers: [ServerSets]) {
    // Told for operators alone; 0 where the kernel does not say.
    let generation = (try? kernel.generation()) ?? 0
    answer(
      .hello(
        BridgeGreeting(
          incarnation: incarnation, refresh: refresh, generation: generation, plan: plan, servers: servers)))
  }

  // MARK: Messages

  private func takeMessages() {
    var batches: [(batch: UInt32, grants: [UnitGrant])] = []
    var count = 0
    while isOpen && count < BridgeMessage.maximumGrants {
      switch MessageSocket.receive(socket, into: &buffer) {
      case .nothing:
        commit(batches)
        return
      case .closed:
        isOpen = false
      case .octets(let octets):
        // Each counts, and one that is no grant ends the turn: no flood of them, nor of plans, each of which takes a run of
        // nft, keeps the worker from the host's network and the table.
        count += 1
        // What does not decode was not sent by this executable; it changes nothing.
        guard let message = decoded(octets) else { continue }
        if case .grants(let batch, let plan, let grants) = message {
          if plan == writer?.fingerprint {
            batches.append((batch, grants))
            count += grants.count
          } else {
            refuse(batch, grants, .otherPlan)
          }
        } else {
          commit(batches)
          return handle(message)
        }
      }
    }
    commit(batches)
  }

  /// Nil for what is no message, which is told once: who sends such may send as much of it as it likes.
  private func decoded(_ octets: [UInt8]) -> BridgeMessage? {
    do throws(BridgeFormatError) {
      return try BridgeMessage(decoding: octets)
    } catch {
      if !hasToldUnreadable {
        answer(
          .notice("a message of serve cannot be read (\(error)): \(octets.count) octets; further ones are not told"))
      }
      hasToldUnreadable = true
      return nil
    }
  }

  private func commit(_ batches: [(batch: UInt32, grants: [UnitGrant])]) {
    guard let writer, !batches.isEmpty else { return }
    guard !needsRepair else {
      for (batch, grants) in batches { refuse(batch, grants, .missingSet) }
      return
    }
    // Units count up for the whole life of the link, so batches can be laid together.
    let (grants, outside) = split(batches.flatMap(\.grants))
    var refused = writer.open(grants)
    let missing = Set(refused.filter { $0.refusal.errno == ENOENT }.map(\.unit))
    if !missing.isEmpty, writer.plan.mode == .managed {
      // What was removed was announced before the kernel refused the batch; the watcher puts it back.
      watch()
      if !needsRepair, isMissing(writer.plan) { repair(TableChanges(changes: .tableRemoved)) }
      refused.removeAll { missing.contains($0.unit) }
      refused += writer.open(grants.filter { missing.contains($0.unit) })
    }
    refused += outside
    // News goes out before the ack: an element that another program removed at once must not count as committed.
    watch()
    for (batch, grants) in batches {
      guard !refused.isEmpty else {
        answer(.outcome(batch: batch, refused: []))
        continue
      }
      let units = Set(grants.map(\.unit))
      answer(.outcome(batch: batch, refused: refused.filter { units.contains($0.unit) }))
    }
  }

  private func refuse(_ batch: UInt32, _ grants: [UnitGrant], _ reason: BridgeRefusal.Reason) {
    let refused = Set(grants.map(\.unit)).map { RefusedUnit(unit: $0, refusal: BridgeRefusal(reason)) }
    answer(.outcome(batch: batch, refused: refused))
  }

  /// Waits when serve is slow to read; that serve is gone shows at the next poll.
  func answer(_ message: BridgeMessage) {
    if MessageSocket.send(message.encoded(), socket, waiting: true) == .closed {
      isOpen = false
    }
  }

  func broken(_ text: String) {
    answer(.broken(incarnation: incarnation, text: text))
  }

  /// Says it if serve listens; false when it does not read fast enough, or is gone.
  func sendNotice(_ message: BridgeMessage) -> Bool {
    switch MessageSocket.send(message.encoded(), socket, waiting: false) {
    case .sent: return true
    case .wouldBlock: return false
    case .closed:
      isOpen = false
      return false
    }
  }
}
