import Glibc
import GrantLedger
import LinuxIO

/// The process that feeds the kernel: one thread, one loop, nothing but the socketpair and netlink.
final class Feeder {
  enum End {
    case serveGone
    case keeperGone
  }

  private let socket: Int32
  private let life: Int32
  private let notebook: PlanNotebook
  private let incarnation: UInt64
  private let kernel: KernelSets
  private let transaction: ElementTransaction
  private let watcher: ChangeWatcher
  private let refresh: RefreshMethod
  private var installer: TableInstaller
  /// Changes of others that came while `nft` was at work for us; serve knows of them already.
  private var changesWhileInstalling: ForeignChange = []

  private var feeder: SetFeeder?
  private var parts: [UInt8] = []
  private var nextPart: UInt16 = 0
  private var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
  private var isOpen = true
  /// No second try to put a table back sooner than this: a failing one costs milliseconds.
  private static let repairPause: UInt64 = 1_000_000_000
  private var nextRepair: UInt64 = 0
  private static let repairsInARow = 4
  /// The table is not known to be whole: tried again every second until it is.
  private var needsRepair = false
  /// A plan that could not be installed at the start, and is tried again while nothing else works.
  private var pending: FirewallPlan?
  private static let retryMilliseconds: Int32 = 1_000
  private static let maximumPlanOctets = 32 << 20

  init(socket: Int32, life: Int32, notebook: PlanNotebook) throws(SystemError) {
    self.socket = socket
    self.life = life
    self.notebook = notebook
    incarnation = try notebook.nextIncarnation()
    let netlink = try NetlinkSocket()
    kernel = KernelSets(netlink)
    transaction = ElementTransaction(netlink)
    let watcher = try ChangeWatcher(ignoring: netlink.port)
    self.watcher = watcher
    refresh = RefreshProbe.run(transaction, kernel)
    installer = TableInstaller(kernel: kernel) { watcher.ignore(process: $0) }
  }

  /// Feeds until serve or the keeper is gone.
  func run() -> End {
    installer.watch = NftProgram.Watch(descriptor: watcher.descriptor) { [unowned self] in announce() }
    begin()
    while isOpen {
      var waits = [
        pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
        pollfd(fd: life, events: Int16(POLLIN), revents: 0),
        pollfd(fd: watcher.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      let patience = pending == nil && !needsRepair ? -1 : Self.retryMilliseconds
      guard unsafe poll(&waits, nfds_t(waits.count), patience) >= 0 || errno == EINTR else { return .serveGone }
      if waits[1].revents != 0 { return .keeperGone }
      if waits[2].revents != 0 { watch() }
      if waits[0].revents != 0 { takeMessages() }
      if let pending { try? adopt(pending) }
      if needsRepair, MonotonicTime.now().nanoseconds >= nextRepair { repair(.rulesChanged) }
    }
    return .serveGone
  }

  private func begin() {
    guard let plan = notebook.load() else {
      greet(plan: 0, servers: [])
      return
    }
    do {
      try adopt(plan)
    } catch {
      pending = plan
      answer(.broken(incarnation: incarnation, text: error.text))
    }
  }

  private func adopt(_ plan: FirewallPlan) throws(TableInstaller.Fault) {
    let sets = try installer.install(plan)
    let feeder = SetFeeder(
      plan: plan, serverSets: sets, refresh: refresh, transaction: transaction, kernel: kernel)
    self.feeder = feeder
    pending = nil
    greet(plan: feeder.fingerprint, servers: sets)
  }

  private func greet(plan: UInt64, servers: [ServerSets]) {
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
      switch BridgeSocket.receive(socket, into: &buffer) {
      case .nothing:
        commit(batches)
        return
      case .closed:
        isOpen = false
      case .octets(let octets):
        // What does not decode was not sent by us; it changes nothing.
        guard let message = try? BridgeMessage(decoding: octets) else { continue }
        if case .grants(let batch, let plan, let grants) = message {
          if plan == feeder?.fingerprint {
            batches.append((batch, grants))
            count += grants.count
          } else {
            refuse(batch, grants, .otherPlan)
          }
        } else {
          commit(batches)
          batches.removeAll()
          handle(message)
        }
      }
    }
    commit(batches)
  }

  private func commit(_ batches: [(batch: UInt32, grants: [UnitGrant])]) {
    guard let feeder, !batches.isEmpty else { return }
    // Units count up for the whole life of the link, so batches can be laid together.
    var refused = feeder.open(batches.flatMap(\.grants))
    let missing = Set(refused.filter { $0.refusal.errno == ENOENT }.map(\.unit))
    if !missing.isEmpty, feeder.plan.mode == .managed {
      // Whoever removed something was announced before the kernel refused us; the watcher puts it back.
      watch()
      if isMissing(feeder.plan) {
        repair([.tableRemoved])
      }
      refused.removeAll { missing.contains($0.unit) }
      refused += feeder.open(batches.flatMap(\.grants).filter { missing.contains($0.unit) })
    }
    // News goes out before the ack: an element that somebody removed at once must not count as committed.
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

  private func handle(_ message: BridgeMessage) {
    switch message {
    case .planPart(let request, let index, let count, let octets): take(request, index, count, octets)
    case .revoke(let request, let plan, let elements):
      withFeeder(request, plan) { $0.close(elements) }
    case .flushServer(let request, let plan, let server):
      withFeeder(request, plan) { $0.flush(server: server) }
    case .listServer(let request, let plan, let server): list(request, plan, server)
    case .removeTable(let request, let table): remove(request, table)
    case .ping(let request): answer(.done(request: request, refusal: nil, text: ""))
    case .grants, .hello, .outcome, .done, .page, .foreignChange, .broken: break
    }
  }

  private func withFeeder(_ request: UInt32, _ plan: UInt64, _ body: (SetFeeder) -> BridgeRefusal?) {
    let refusal: BridgeRefusal?
    if let feeder, feeder.fingerprint == plan {
      refusal = body(feeder)
    } else {
      refusal = BridgeRefusal(.otherPlan)
    }
    answer(.done(request: request, refusal: refusal, text: refusal.map { "\($0)" } ?? ""))
  }

  private func take(_ request: UInt32, _ index: UInt16, _ count: UInt16, _ octets: [UInt8]) {
    if index == 0 {
      parts.removeAll()
      nextPart = 0
    }
    guard index == nextPart, parts.count + octets.count <= Self.maximumPlanOctets else {
      if index == count - 1 { fail(request, "the plan did not arrive whole") }
      return
    }
    nextPart += 1
    parts += octets
    guard index == count - 1 else { return }
    defer { parts.removeAll() }
    do {
      let plan = try FirewallPlan(decoding: parts)
      try adopt(plan)
      try notebook.store(parts)
      answer(.done(request: request, refusal: nil, text: ""))
    } catch let fault as TableInstaller.Fault {
      fail(request, fault.text)
    } catch {
      fail(request, "the plan cannot be used: \(error)")
    }
  }

  private func fail(_ request: UInt32, _ text: String) {
    answer(.done(request: request, refusal: BridgeRefusal(.failed), text: text))
  }

  private func list(_ request: UInt32, _ plan: UInt64, _ server: UInt16) {
    guard let feeder, feeder.fingerprint == plan else {
      answer(.done(request: request, refusal: BridgeRefusal(.otherPlan), text: ""))
      return
    }
    do {
      var rest = try feeder.list(server: server)[...]
      repeat {
        let page = rest.prefix(BridgeMessage.maximumElements)
        rest = rest.dropFirst(page.count)
        answer(.page(request: request, last: rest.isEmpty, elements: Array(page)))
      } while !rest.isEmpty
    } catch {
      answer(.done(request: request, refusal: BridgeRefusal(errno: error.errno), text: "\(error)"))
    }
  }

  private func remove(_ request: UInt32, _ table: String) {
    let isManaged = feeder?.plan.mode != .sets
    guard isManaged else { return fail(request, "the table is not ours to remove") }
    let known = (try? kernel.sets(family: .inet, table: table)) ?? [:]
    guard known.isEmpty || TableInstaller.isOurs(known) else { return fail(request, "the table is not of our making") }
    feeder = nil
    pending = nil
    try? notebook.forget()
    let error = transaction.deleteTable(KernelSet(family: .inet, table: table, name: ""))
    let refusal = error == 0 || error == ENOENT ? nil : BridgeRefusal(errno: error)
    answer(.done(request: request, refusal: refusal, text: refusal.map { "\($0)" } ?? ""))
  }

  /// Waits when serve is slow to read; that serve is gone shows at the next poll.
  private func answer(_ message: BridgeMessage) {
    if BridgeSocket.send(message.encoded(), socket, waiting: true) == .closed {
      isOpen = false
    }
  }

  // MARK: Foreign changes

  private func drain(_ plan: FirewallPlan) -> ForeignChange {
    watcher.drain(
      family: plan.family, table: plan.table, staticSets: ["clients-4", "clients-6", "servers-4", "servers-6"])
  }

  private func watch() {
    guard let plan = feeder?.plan else {
      _ = watcher.drain(family: .inet, table: "", staticSets: [])
      return
    }
    let changes = drain(plan)
    guard !changes.isEmpty else { return }
    repair(changes)
  }

  /// Says what happened, puts a managed table back and says that too: serve must not hand out an address from its
  /// caches while the table is being written.
  private func repair(_ changes: ForeignChange) {
    guard let plan = feeder?.plan else { return }
    var report = changes
    let harmful: ForeignChange = [.tableRemoved, .setRemoved, .rulesChanged, .unknown]
    let now = MonotonicTime.now().nanoseconds
    if plan.mode == .managed, !changes.isDisjoint(with: harmful), now >= nextRepair {
      answer(.foreignChange(changes))
      var news: ForeignChange = []
      needsRepair = true
      // Somebody may change it again while we put it back; a few times, then the pause holds.
      for _ in 0..<Self.repairsInARow {
        changesWhileInstalling = []
        guard (try? installer.install(plan)) != nil else { break }
        report.insert(.reinstalled)
        news = drain(plan).union(changesWhileInstalling)
        report.formUnion(news)
        guard !news.isDisjoint(with: harmful) else {
          needsRepair = false
          break
        }
        answer(.foreignChange(news))
      }
      if needsRepair { nextRepair = MonotonicTime.now().nanoseconds &+ Self.repairPause }
    }
    answer(.foreignChange(report))
  }

  /// Tells serve at once what others do while `nft` works for us.
  private func announce() {
    guard let plan = feeder?.plan else { return }
    let changes = drain(plan)
    guard !changes.isEmpty else { return }
    changesWhileInstalling.formUnion(changes)
    answer(.foreignChange(changes))
  }

  private func isMissing(_ plan: FirewallPlan) -> Bool {
    guard MonotonicTime.now().nanoseconds >= nextRepair else { return false }
    return (try? kernel.sets(family: plan.family, table: plan.table).isEmpty) ?? true
  }
}
