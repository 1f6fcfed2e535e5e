import ControlAPI
import DNSWire
import EgressPolicy
import Enforcement
import FirewallModel
import Foundation
import GrantLedger
import HostNetwork
import IPNetwork
import LinuxIO
import Resolver
import Settings
import Synchronization
import TestSupport
import Transport
import Upstream

@testable import AuditLog
@testable import AuditStore
@testable import Control
@testable import FirewallBridge
@testable import Serving

/// What is different from the common configuration.
struct Setting: Sendable {
  static let policies = """
    server: github-mcp
    networks: [ 10.77.1.0/24 ]
    egress: [ api.github.com, "*.githubusercontent.com" ]
    ---
    server: db-tools
    networks: [ 10.77.2.0/24 ]
    egress: [ api.github.com, db.example.com ]
    """

  /// Further lines of the configuration.
  var configuration = ""
  /// Names are checked for 443/tcp, by a scripted gate.
  var hasGate = false
  var policies = Self.policies
  /// What stands in `audit` beside the path.
  var audit = ""
  var upstreams = 1
  /// Forwarded zones, each with what stands in its mapping beside `upstreams`; they have the last of the upstreams.
  var forwards: [String] = []
  /// What an earlier run left open: the server's index, the address and for how many seconds.
  var earlier: [(server: UInt16, address: String, seconds: UInt64)] = []
  /// For which names, as its journal has it: the server, the name and the address.
  var journal: [(server: String, name: String, address: String)] = []
  /// For how many seconds from now each name holds it there; the journal has no end of a name that is not among them.
  var ends: [String: Int] = [:]
  /// A journal as another run left it, beside that.
  var inherited: [JournalEntry] = []
}

/// A client's question, and what came of it.
///
/// As a datagram's, its reply waits for others of a turn, and leaves when it is sent.
final class ScriptedClient: ReplyPath, HeldReplies, Sendable {
  private let came = Mutex<[[UInt8]]>([])
  private let held = Mutex<[[UInt8]]>([])

  var replies: [[UInt8]] { came.withLock { $0 } }

  func send(_ message: [UInt8]) { came.withLock { $0.append(message) } }

  func hold(_ message: [UInt8]) -> (any HeldReplies)? {
    held.withLock { $0.append(message) }
    return self
  }

  func send() {
    let messages = held.withLock { messages in
      defer { messages = [] }
      return messages
    }
    for message in messages { send(message) }
  }
}

/// What stands for the audit log.
final class ScriptedLog: AuditGate, AuditState, Sendable {
  private let blocked = Atomic<Bool>(false)

  var isBlocked: Bool { blocked.load(ordering: .acquiring) }
  var counters: AuditCounters { AuditCounters() }
  var pending: (octets: Int, room: Int) { (0, 1) }

  func block(_ isBlocked: Bool) { blocked.store(isBlocked, ordering: .releasing) }
  func wake() {}
}

/// Serve without its sockets, threads and processes: the query path, the resolver's thread, the control API's calls and
/// the policy controller are the real ones, and so are the upstreams' sockets and the bridge's. Upstreams, bridge, kernel,
/// log and clocks are a scenario's.
final class Stage {
  typealias Method = ControlRequest.Method

  struct Asked {
    var client: ScriptedClient
    var server: UInt16
    var type: RRType
  }

  struct Event {
    var code: AuditCode
    var server: String
    var members: String
  }

  struct Failure: Error, CustomStringConvertible { var description: String }

  let clock = ManualClock()
  let upstreams: [ScriptedUpstream]
  var data = UpstreamData()
  let bridge: ScriptedBridge
  let gate: ScriptedGate?
  let log = ScriptedLog()
  let service: ResolutionService
  let policies: PolicyController
  private let handler: ControlCallHandler
  private let reactor: Reactor
  private let pool: UpstreamPool
  private let link: BridgeLink
  private let mailbox: Mailbox<ResolverMessage>
  private let shared: SharedState
  private var session: QuerySession
  private let folder: URL
  private let setting: Setting
  private let ring: AuditRingReader
  private let journalPath: String
  /// Clients by their labels; the last that asked is what an expectation without a label is about.
  private(set) var asked: [String: Asked] = [:]
  private(set) var lastLabel = ""
  private var decided: [String: PendingQuery] = [:]
  private(set) var events: [Event] = []
  /// Compilations that were asked for and have not ended.
  private let compilations: Compilations
  var compilesAtOnce = true
  /// What became of the reloads that were asked for.
  private(set) var reloads: [Activation] = []
  private(set) var reloadsAsked = 0
  /// Answers of the control API, in order.
  private let calls = ScriptedCalls()
  /// Why serve has to end.
  private(set) var failure: String?
  /// It was asked to stop, and did.
  private(set) var isStopped = false
  /// What broke a promise, whatever the scenario is about.
  private(set) var broken: [String] = []
  /// Messages that came to no upstream, since their port was closed.
  private var lost = 0

  private final class Compilations {
    var waiting: [@Sendable () -> Void] = []
  }

  private final class ScriptedCalls: Sendable {
    private let came = Mutex<[ControlResponse]>([])
    var statuses: [Int] { came.withLock { $0.map(\.status) } }
    var lastBody: String { came.withLock { String(decoding: $0.last?.body ?? [], as: UTF8.self) } }
    func add(_ response: ControlResponse) { came.withLock { $0.append(response) } }
  }

  init(_ setting: Setting) throws {
    upstreams = try (0..<setting.upstreams).map { _ in try ScriptedUpstream() }
    folder = FileManager.default.temporaryDirectory.appending(path: "sluice-scenario-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    self.setting = setting
    let configuration = Self.configuration(setting, upstreams, forwards: setting.forwards)
    try Data(configuration.utf8).write(to: folder.appending(path: "sluice.yaml"))
    try Data(setting.policies.utf8).write(to: folder.appending(path: "policy.yaml"))
    let file = folder.appending(path: "sluice.yaml").path
    let loaded = SettingsLoader.load(path: file)
    guard let settings = loaded.settings else {
      throw Failure(description: loaded.diagnostics.map(\.description).joined(separator: "\n"))
    }
    // As `Service` does it.
    let endClock = EndClock(clock.clocks)
    let compiledAt = endClock.seconds()
    let initial = settings.policies.map { $0.inForce(at: compiledAt) }
    var indexes = FirewallIndexes()
    indexes.assign(initial)
    let factory = SnapshotFactory(settings, zones: try ZoneFiles.load(settings))
    let current = CurrentSnapshot(factory.snapshot(of: initial, indexes: indexes))
    let mailbox = try Mailbox<ResolverMessage>()
    let reactor = try Reactor(clocks: clock.clocks)
    (self.mailbox, self.reactor) = (mailbox, reactor)
    let plan = indexes.plan(for: initial, settings)
    let bridge = try ScriptedBridge(plan, clock)
    self.bridge = bridge
    let receiver = EventReceiver()
    let link = try BridgeLink(reactor: reactor, child: bridge.child(), plan: plan) {
      receiver.service?.bridgeChanged($0)
    }
    self.link = link
    let shared = SharedState(
      current: current, epoch: FirewallEpoch { [alarms = bridge.alarms] in alarms.value }, audit: log,
      clocks: { [clocks = clock.clocks] in (clocks.monotonic().nanoseconds, clocks.wall()) },
      resolveInterface: { _ in 0 }, sink: { question, path in mailbox.post(.question(question, path)) })
    self.shared = shared
    let ring = AuditRing.onHeap(1 << 20)
    self.ring = AuditRingReader(ring)
    let threads = ThreadIndexes(workers: settings.workers)
    session = QuerySession(QueryThread(shared, ring: ring))
    let pool = UpstreamPool(
      reactor: reactor,
      servers: settings.upstreams.map(UpstreamServer.init),
      limits: ResolutionService.upstreamLimits)
    pool.use(UpstreamForward.all(of: settings))
    self.pool = pool
    for (server, address, seconds) in setting.earlier {
      bridge.put(try Self.element(server, address), seconds: seconds)
    }
    bridge.begin()
    _ = bridge.takeTurn()
    reactor.turn()
    journalPath = folder.appending(path: "grants").path
    let entries = try Self.entries(setting, clock) + setting.inherited
    let service = ResolutionService(
      reactor: reactor, upstream: pool, bridge: link, shared: shared, ring: ring, shard: threads.resolver,
      ledger: GrantLedger(settings.firewall), options: FirewallOptions(settings),
      journal: try GrantJournal(path: journalPath, entries: entries, owner: nil), clock: endClock, incarnation: 1)
    self.service = service
    gate = try setting.hasGate ? ScriptedGate(service, clock) : nil
    pool.onMismatch = { [unowned service] in service.upstreamMismatched($0) }
    let compilations = Compilations()
    self.compilations = compilations
    policies = PolicyController(
      inForce: PolicyChanges.InForce(
        settings: settings, policies: settings.policies, indexes: indexes, compiledAt: compiledAt),
      path: file, factory: factory, current: current, service: service, mailbox: mailbox, clock: endClock,
      compiling: { compilations.waiting.append($0) })
    let handler = ControlCallHandler(
      service: service, policies: policies, settings: settings, audit: log, started: clock.clocks.wall(),
      mailbox: mailbox)
    self.handler = handler
    receiver.service = service
    try reactor.attach(mailbox) { [unowned service] in service.handle($0) }
    service.refuseAddresses(for: service.snapshot)
    service.onFailure = { [unowned self] in failure = failure ?? $0 }
    service.onControl = { [unowned handler] in handler.take($0, $1) }
    service.onAnswered = { [unowned handler] in handler.answered($0, $1) }
    try reconcile(entries)
    service.startRhythms()
  }

  private static func configuration(
    _ setting: Setting, _ upstreams: [ScriptedUpstream], forwards: [String]
  ) -> String {
    let texts = upstreams.map { "\"udp://127.0.0.1:\($0.port)\"" }
    let general = texts.count - setting.forwards.count
    let zones = forwards.enumerated().map { "{ \($1), upstreams: [ \(texts[general + $0]) ] }" }
    // Most scenarios are of addresses, and have no gate.
    return """
      verify: \(setting.hasGate ? "sni" : "address")
      listen: [ 10.77.1.1:53 ]
      upstreams: [ \(texts.prefix(general).joined(separator: ", ")) ]
      forward: [ \(zones.joined(separator: ", ")) ]
      policies: policy.yaml
      audit: { path: audit.jsonl\(setting.audit) }
      state: state
      \(setting.configuration)
      """
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private final class EventReceiver {
    weak var service: ResolutionService?
  }

  private static func entries(_ setting: Setting, _ clock: ManualClock) throws -> [JournalEntry] {
    try setting.journal.map { server, name, address in
      JournalEntry(
        server: server, name: try Name(presentation: name), type: .A,
        address: try Self.element(0, address).address, transport: 6, port: 443,
        opened: clock.clocks.wall() / ManualClock.second - 60,
        until: setting.ends[name].map { UInt64(Int(clock.now / 1_000_000) + $0 * 1_000) })
    }
  }

  private func reconcile(_ entries: [JournalEntry]) throws {
    var isDone = false
    service.reconcile(entries) { result in
      if case .success = result { isDone = true }
    }
    settle()
    guard isDone else { throw Failure(description: "what the kernel holds was not taken over") }
  }

  static func element(_ server: UInt16, _ text: String) throws -> GrantElement {
    guard let address = IPAddress(text) else { throw Failure(description: "\(text) is no address") }
    return GrantElement(server: server, address: address, transport: 6, port: 443)
  }

  // MARK: - Time

  /// Far more than anything takes at one moment.
  private static let mostRounds = 20_000

  /// Turns everything until nothing happens any more; time stands still.
  func settle() {
    var (quiet, rounds) = (0, 0)
    while quiet < 4 {
      rounds += 1
      guard rounds < Self.mostRounds else { return broken.append("it is never quiet") }
      var isBusy = bridge.takeTurn()
      if gate?.takeTurn() ?? false { isBusy = true }
      for upstream in upstreams where upstream.takeTurn(data, now: clock.now) { isBusy = true }
      if compilesAtOnce, compile() { isBusy = true }
      // As `run` does: what is not done when serve ends is never done.
      if !isStopped { reactor.turn() }
      if service.isStopping, !reactor.isRunning {
        isStopped = true
        service.sendHeld()
      }
      if readEvents() { isBusy = true }
      checkReplies()
      // What was sent to an upstream is there, or will be in an instant; of one that is gone it is nowhere.
      let missing = Int(pool.statistics.messages) - upstreams.reduce(0) { $0 + $1.arrivals }
      if upstreams.contains(where: \.isGone) { lost = missing }
      if missing > lost { isBusy = true }
      quiet = isBusy ? 0 : quiet + 1
    }
  }

  /// Lets time pass in steps, none of them longer than a hundredth of a second or two hundredths of the whole.
  func advance(_ duration: Duration) {
    let whole = UInt64(duration / .nanoseconds(1))
    let step = max(10_000_000, whole / 200)
    var left = whole
    while left > 0, broken.isEmpty {
      clock.pass(nanoseconds: min(step, left))
      left -= min(step, left)
      settle()
    }
  }

  // MARK: - Clients

  func ask(_ server: String, _ name: String, _ type: RRType, as label: String, plainly: Bool = false) throws {
    try ask(server, Messages.query(name, type, opt: plainly ? [] : Messages.opt()), type, as: label)
  }

  /// A message as a client makes it.
  func ask(_ server: String, _ message: [UInt8], _ type: RRType, as label: String) throws {
    if let question = try decide(server, message, type, as: label) { try hand(question, label) }
    settle()
  }

  /// The query path decides; nil where it answers by itself.
  private func decide(
    _ server: String, _ message: [UInt8], _ type: RRType, as label: String
  ) throws -> PendingQuery? {
    let snapshot = shared.current.load()
    guard let serverIndex = snapshot.policy.server(named: server) else {
      throw Failure(description: "no server \(server)")
    }
    let state = snapshot.servers[serverIndex]
    // Of a network `10.77.N.0/24`.
    let network = snapshot.policy.servers[serverIndex].networks[0].prefix.address
    let source = QuerySource(
      client: IPAddress(v4: UInt32(truncatingIfNeeded: network.low) + 9), port: 40_000, transport: .udp, interface: 0)
    let client = ScriptedClient()
    asked[label] = Asked(client: client, server: state.firewallIndex, type: type)
    lastLabel = label
    var outcome = QuerySession.Disposition.drop
    let reply = [UInt8](capacity: ReplyWriter.maxDatagram) { out in
      outcome = session.answer(message.span, from: source, into: &out)
    }
    switch outcome {
    case .reply: client.send(reply)
    case .drop: break
    case .pending(let question): return question
    }
    return nil
  }

  private func hand(_ question: PendingQuery, _ label: String) throws {
    guard let client = asked[label]?.client else { throw Failure(description: "no query is called \(label)") }
    shared.sink(question, client)
  }

  /// As `ask`, but the question does not come to the resolver's thread before `deliver`.
  func decideOnly(_ server: String, _ name: String, as label: String) throws {
    guard let question = try decide(server, Messages.query(name, .A, opt: Messages.opt()), .A, as: label) else {
      throw Failure(description: "\(name) was answered by the query path")
    }
    decided[label] = question
  }

  func deliver(_ label: String) throws {
    guard let question = decided.removeValue(forKey: label) else { throw Failure(description: "nothing of \(label)") }
    lastLabel = label
    try hand(question, label)
    settle()
  }

  /// All of them come, and then serve is to end, before it has looked at any.
  func deliver(_ labels: [String], thenStops: Void) throws {
    for label in labels {
      guard let question = decided.removeValue(forKey: label) else { throw Failure(description: "nothing of \(label)") }
      try hand(question, label)
    }
    mailbox.post(.stop)
    settle()
  }

  /// The only reply that a client got; nil while it waits.
  func reply(to label: String) throws -> ScriptedReply? {
    guard let asked = asked[label] else { throw Failure(description: "no query is called \(label)") }
    guard asked.client.replies.count <= 1 else { throw Failure(description: "\(label) got two replies") }
    return try asked.client.replies.first.map { try ScriptedReply($0) }
  }

  private var checkedReplies: Set<String> = []

  /// Whatever a scenario is about: an address that leaves is open, for as long as the answer says (P2).
  private func checkReplies() {
    for (label, asked) in asked where !checkedReplies.contains(label) {
      guard let octets = asked.client.replies.first else { continue }
      checkedReplies.insert(label)
      guard let reply = try? ScriptedReply(octets) else {
        broken.append("\(label) got a reply that cannot be read")
        continue
      }
      for address in reply.addresses {
        guard let element = try? Self.element(asked.server, address) else { continue }
        if !bridge.holds(element, for: UInt64(reply.ttl) * ManualClock.second) {
          broken.append("P2: \(address) left to \(label) with \(reply.ttl) s and is not open for as long")
        }
      }
    }
  }

  // MARK: - Operators

  func write(_ policies: String) throws {
    try Data(policies.utf8).write(to: folder.appending(path: "policy.yaml"))
  }

  func write(forwards: [String]) throws {
    let configuration = Self.configuration(setting, upstreams, forwards: forwards)
    try Data(configuration.utf8).write(to: folder.appending(path: "sluice.yaml"))
  }

  func reload() {
    reloadsAsked += 1
    policies.reload(
      ReloadCall(peer: Self.root) { [unowned self] activation, _ in reloads.append(activation) })
    settle()
  }

  /// Ends the compilations that were asked for; whether there was one.
  @discardableResult
  func compile() -> Bool {
    let waiting = compilations.waiting
    compilations.waiting = []
    for body in waiting { body() }
    return !waiting.isEmpty
  }

  private static let root = ControlPeer(pid: 1, uid: 0, gid: 0)

  func call(_ method: ControlRequest.Method, _ path: String, _ query: [String: String]) {
    let request = ControlRequest(
      method: method, path: path == "readyz" ? [path] : ["v1", path], query: query, peer: Self.root)
    service.handle(.control(request) { [calls] in calls.add($0) })
    settle()
  }

  /// The same, and waits for the answer: what may be long is written down on another thread.
  func look(_ path: String, _ query: [String: String]) throws {
    let answered = callStatuses.count
    call(.get, path, query)
    for _ in 0..<5_000 where callStatuses.count == answered { Thread.sleep(forTimeInterval: 0.001) }
    guard callStatuses.count > answered else { throw Failure(description: "no answer within 5 s") }
  }

  var callStatuses: [Int] { calls.statuses }
  var lastBody: String { calls.lastBody }

  func setWall(by seconds: Int64) {
    clock.setWall(by: seconds)
    policies.clockWasSet()
    settle()
  }

  func hostHas(_ address: String) throws {
    let own = try Self.element(0, address).address
    let network = IPPrefix(own, length: 32) ?? FirewallPlan.prefix("192.0.2.0/24")
    service.hostChanged(HostNetwork(addresses: [.init(interface: 2, address: own, network: network)]))
    settle()
  }

  func stop() {
    service.handle(.stop)
    settle()
  }

  // MARK: - What came of it

  /// For how many seconds from now a name holds an address, as the next run would read it; nil for what it has no line of.
  func journaledSeconds(_ server: String, _ name: String, _ address: String) throws -> Int? {
    let element = try Self.element(0, address)
    let found = GrantJournal.read(journalPath).first {
      $0.server == server && $0.name.description == name && $0.address == element.address
    }
    return found?.until.map { (Int($0) - Int(clock.now / 1_000_000)) / 1_000 }
  }

  /// How many openings the next run would read.
  var journaledCount: Int { journaled.count }

  /// What the next run would read.
  var journaled: [JournalEntry] { GrantJournal.read(journalPath) }

  /// Which file the journal is: another one where it was written anew.
  var journalFile: UInt64? {
    var status = stat()
    return unsafe stat(journalPath, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  private func readEvents() -> Bool {
    var record = AuditRecord()
    var isAny = false
    while case .record = ring.next(into: &record) {
      isAny = true
      let (code, answer) = (record.header.code, record.header.responseCode)
      // As the audit event promises of queries: what is SERVFAIL is an error, and nothing else is.
      if code.isQuery, (code.decision == .error) != (answer == .SERVFAIL) {
        broken.append("\(code.token) is told as \(code.decision.rawValue), and was answered \(answer)")
      }
      events.append(
        Event(
          code: code, server: String(decoding: record.octets[record.server], as: UTF8.self),
          members: String(decoding: record.octets[record.members], as: UTF8.self)))
    }
    ring.commit()
    return isAny
  }

  /// Questions of clients that came to upstreams.
  var questions: [String] { upstreams.flatMap(\.questions) }

  func index(of server: String) throws -> UInt16 {
    guard let index = bridge.plan.servers.firstIndex(where: { $0.name == server }) else {
      throw Failure(description: "the bridge knows no server \(server)")
    }
    return UInt16(index)
  }

  func isOpen(_ server: String, _ address: String) throws -> Bool {
    bridge.holds(try Self.element(try index(of: server), address))
  }

  /// Whatever a scenario is about, at its end: nothing is open without a promise, where serve believes that all is well (P3).
  func checkEnd() {
    broken += bridge.faults
    guard bridge.isAlive, bridge.isIdle, service.engine.resolutionCount == 0, !service.enforcement.incident.isOpen,
      case .acknowledges = bridge.conduct
    else { return }
    for element in bridge.kernel.keys
    where bridge.holds(element) && !service.engine.ledger.holds(element, now: clock.now) {
      broken.append("P3: \(element.address) is open for server \(element.server), and no client was promised it")
    }
  }
}

/// A reply as a client reads it.
struct ScriptedReply {
  var code: ResponseCode
  var addresses: [String] = []
  /// Seconds; of the addresses.
  var ttl: UInt32 = 0
  var octetCount: Int
  var isTruncated: Bool
  /// Types of the answer section, in order.
  var types: [RRType] = []
  /// Code and text of the extended error.
  var error: (code: Int, text: String)?

  init(_ octets: [UInt8]) throws {
    var reader = try ResponseReader(octets.span)
    code = reader.header.responseCode
    isTruncated = reader.header.isTruncated
    octetCount = octets.count
    while let record = try reader.next(octets.span) {
      let data = Array(octets[record.rdata])
      if record.type == .OPT, data.count >= 6, data[0] == 0, data[1] == 15 {
        error = (Int(data[4]) << 8 | Int(data[5]), String(decoding: data[6...], as: UTF8.self))
      }
      guard record.section == .answer else { continue }
      types.append(record.type)
      let found =
        switch record.type {
        case .A, .AAAA: [IPAddress(octets: octets.span.extracting(record.rdata))].compactMap(\.self)
        case .HTTPS: try ServiceBinding(octets.span, record.rdata).hints
        default: [] as [IPAddress]
        }
      guard !found.isEmpty else { continue }
      addresses += found.map(\.description)
      ttl = record.ttl
    }
  }
}
