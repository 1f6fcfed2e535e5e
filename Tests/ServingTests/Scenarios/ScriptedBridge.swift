import BridgeProcesses
import CLinux
import FirewallBridge
import FirewallModel
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO

/// The other end of the bridge's socket, and the kernel behind it. It speaks the bridge's messages and does as it is told.
///
/// It notes what serve may not ask of a bridge that does one thing after the other; see `faults`.
final class ScriptedBridge {
  enum Conduct: Sendable {
    /// Does what it is asked, one thing after the other, and says so.
    case acknowledges
    /// Its loop stands still.
    case hangs
    /// It is at work on something that takes long, and shows that it runs.
    case busy
    /// Refuses what is to be opened.
    case refuses(BridgeRefusal.Reason)
    /// Says that what is to be closed or listed failed.
    case fails
    /// Does the newest first of what waits when it gets its turn, and then goes on in order.
    case backwards
    /// Says that connections are cut when everything else is done.
    case cutsLate
  }

  private let clock: ManualClock
  /// Nil once it is gone.
  private var end: Int32?
  private var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
  private var waiting: [BridgeMessage] = []
  private var parts: [UInt8] = []
  private var late: [(request: UInt32, flows: UInt32)] = []
  var conduct = Conduct.acknowledges
  /// Why it takes no other plan.
  var planRefusal: String?
  private(set) var plan: FirewallPlan
  private(set) var incarnation: UInt64 = 0
  /// When each element ends: nanoseconds of the monotonic clock.
  var kernel: [GrantElement: UInt64] = [:]
  /// Those that have no end, which a user of the table put there.
  var permanent: Set<GrantElement> = []
  /// Those that carry connections.
  var inUse: Set<GrantElement> = []
  /// Of which addresses connections were to be cut.
  private(set) var cut: Set<IPAddress> = []
  /// What was done in the kernel, in order: `open 192.0.2.1`, `close 192.0.2.1`.
  private(set) var done: [String] = []
  /// What serve did that it may not.
  private(set) var faults: [String] = []
  private var lastBatch: UInt32 = 0
  /// When it shows again that it runs.
  private var nextSign: UInt64 = 0
  /// Batches since the greeting that have no acknowledgement yet.
  private var openBatches = 0

  /// The end that is serve's, until it is taken.
  private var serveEnd: Int32
  /// See `BridgeChild`.
  let alarms: SharedCounter

  init(_ plan: FirewallPlan, _ clock: ManualClock) throws {
    var pair: [Int32] = [-1, -1]
    let error = unsafe sluice_socket_pair(1, &pair)  // room for two
    guard error == 0 else { throw SystemError(call: "socketpair", errno: error) }
    let file = try SharedCounter.makeFile(named: "sluice-scenario")
    alarms = try SharedCounter(file.raw)
    (serveEnd, end) = (pair[0], pair[1])
    self.plan = plan
    self.clock = clock
  }

  /// What serve takes over. No process has its number, so there is no status to collect.
  func child() -> BridgeChild { BridgeChild(pid: .max, socket: FileDescriptor(serveEnd), alarms: alarms) }

  deinit { if let end { close(end) } }

  var isAlive: Bool { end != nil }

  /// Nothing that was asked has no answer.
  var isIdle: Bool { waiting.isEmpty }

  /// Whether the kernel holds an element for at least so many nanoseconds.
  func holds(_ element: GrantElement, for nanoseconds: UInt64 = 1) -> Bool {
    kernel[element].map { $0 >= clock.now + nanoseconds } ?? false
  }

  // MARK: - What happens to it

  /// A worker begins.
  ///
  /// - Parameter finding: what its predecessor was asked and had not done is found, and not lost with it.
  func begin(finding isFound: Bool = true) {
    incarnation += 1
    openBatches = 0
    if !isFound {
      while let octets = receive() { take(octets) }
      waiting = []
    }
    greet()
  }

  private func greet() {
    say(
      .hello(
        BridgeGreeting(
          incarnation: incarnation, refresh: .inPlace, generation: 1, plan: plan.fingerprint,
          servers: plan.servers.map { _ in .all })))
  }

  /// Both processes are gone.
  func die() {
    if let end { close(end) }
    end = nil
  }

  /// Another program takes every element out; the alarm comes first, as it does.
  func flushByOthers(_ change: TableChange = .elementsRemoved) {
    kernel = [:]
    alarms.add()
    say(.alarm)
    say(.foreignChange(change, servers: []))
  }

  /// Another program puts an element in.
  func addByOthers(_ element: GrantElement) {
    kernel[element] = clock.now + 3_600 * ManualClock.second
    say(.foreignChange(.elementsAdded, servers: [element.server]))
  }

  /// An earlier run opened it.
  func put(_ element: GrantElement, seconds: UInt64) { kernel[element] = clock.now + seconds * ManualClock.second }

  func say(_ message: BridgeMessage) {
    guard let end else { return }
    if MessageSocket.send(message.encoded(), end, waiting: false) != .sent { faults.append("serve does not read") }
  }

  // MARK: - What it is asked

  /// Reads and does what it is to do; whether there was anything.
  func takeTurn() -> Bool {
    guard isAlive else { return false }
    kernel = kernel.filter { $0.value > clock.now }
    if case .hangs = conduct { return false }
    var isBusy = false
    while let octets = receive() {
      isBusy = true
      take(octets)
    }
    if case .busy = conduct {
      guard clock.now >= nextSign else { return isBusy }
      nextSign = clock.now + ManualClock.second / 5
      say(.alive)
      return true
    }
    if case .backwards = conduct, waiting.count > 1 {
      waiting.reverse()
      conduct = .acknowledges
    }
    while !waiting.isEmpty {
      isBusy = true
      handle(waiting.removeFirst())
    }
    for (request, flows) in late { acknowledge(request, flows: flows) }
    late = []
    return isBusy
  }

  private func receive() -> [UInt8]? {
    guard let end else { return nil }
    switch MessageSocket.receive(end, into: &buffer) {
    case .octets(let octets): return octets
    case .nothing: return nil
    case .closed:
      die()
      return nil
    }
  }

  private func take(_ octets: [UInt8]) {
    guard let message = try? BridgeMessage(decoding: octets) else {
      return faults.append("a message that cannot be read")
    }
    if case .grants(let batch, _, let grants) = message { check(batch, grants) }
    waiting.append(message)
  }

  /// What P2 and P3 rest on: batches come one after the other, none before the last is acknowledged.
  private func check(_ batch: UInt32, _ grants: [UnitGrant]) {
    openBatches += 1
    if openBatches > 1 { faults.append("batch \(batch) came before the last was acknowledged") }
    if batch <= lastBatch { faults.append("batch \(batch) after \(lastBatch)") }
    lastBatch = batch
    if grants.isEmpty || grants.count > BridgeMessage.maximumGrants { faults.append("\(grants.count) grants at once") }
  }

  private func handle(_ message: BridgeMessage) {
    switch message {
    case .planPart(let request, let index, let count, let octets): install(request, index, count, octets)
    case .grants(let batch, let plan, let grants): open(batch, plan, grants)
    case .revoke(let request, let plan, let cutsFlows, let elements):
      revoke(request, plan, elements, cutsFlows: cutsFlows)
    case .listServer(let request, let plan, let server): list(request, plan, server)
    case .inUse(let request, _, let elements):
      let used = elements.filter { inUse.contains($0) && holds($0) }
      say(.page(request: request, last: true, elements: used.map { .init(element: $0, remainingMilliseconds: 0) }))
    case .ping(let request), .readAgain(let request), .closeBooks(let request): acknowledge(request)
    case .removeTable(let request, _):
      faults.append("serve asks to remove the table")
      acknowledge(request, .failed)
    default: faults.append("serve says what only a bridge says: \(message)")
    }
  }

  private func acknowledge(_ request: UInt32, _ reason: BridgeRefusal.Reason? = nil, flows: UInt32 = 0) {
    say(
      .done(
        request: request, refusal: reason.map { BridgeRefusal($0) }, flows: flows, text: reason.map { "\($0)" } ?? ""))
  }

  private func install(_ request: UInt32, _ index: UInt16, _ count: UInt16, _ octets: [UInt8]) {
    if index == 0 { parts = [] }
    parts += octets
    guard index == count - 1 else { return }
    guard let installed = try? FirewallPlan(decoding: parts) else {
      faults.append("a plan that cannot be read")
      return acknowledge(request, .failed)
    }
    if let planRefusal {
      return say(.done(request: request, refusal: BridgeRefusal(.failed), flows: 0, text: planRefusal))
    }
    plan = installed
    // The sets of a server that is gone go with it.
    kernel = kernel.filter { Int($0.key.server) < installed.servers.count }
    done.append("install")
    greet()
    acknowledge(request)
  }

  private func open(_ batch: UInt32, _ plan: UInt64, _ grants: [UnitGrant]) {
    openBatches = max(0, openBatches - 1)
    func refuse(_ reason: BridgeRefusal.Reason) {
      let units = Set(grants.map(\.unit)).sorted()
      say(.outcome(batch: batch, refused: units.map { RefusedUnit(unit: $0, refusal: BridgeRefusal(reason)) }))
    }
    guard plan == self.plan.fingerprint else { return refuse(.otherPlan) }
    if case .refuses(let reason) = conduct { return refuse(reason) }
    for grant in grants {
      let (element, ends) = (grant.commit.element, clock.now + UInt64(grant.commit.lifetimeMilliseconds) * 1_000_000)
      kernel[element] = grant.commit.shortens ? ends : max(ends, kernel[element] ?? 0)
      done.append("open \(element.address)")
    }
    say(.outcome(batch: batch, refused: []))
  }

  private func revoke(_ request: UInt32, _ plan: UInt64, _ elements: [GrantElement], cutsFlows: Bool) {
    guard plan == self.plan.fingerprint else { return acknowledge(request, .otherPlan) }
    if case .fails = conduct { return acknowledge(request, .failed) }
    var flows: UInt32 = 0
    for element in elements {
      if kernel.removeValue(forKey: element) != nil || permanent.remove(element) != nil {
        done.append("close \(element.address)")
      }
      if cutsFlows { cut.insert(element.address) }
      if cutsFlows, inUse.remove(element) != nil { flows += 1 }
    }
    if case .cutsLate = conduct, cutsFlows { return late.append((request, flows)) }
    acknowledge(request, flows: flows)
  }

  private func list(_ request: UInt32, _ plan: UInt64, _ server: UInt16) {
    guard plan == self.plan.fingerprint else { return acknowledge(request, .otherPlan) }
    if case .fails = conduct { return acknowledge(request, .failed) }
    let held = kernel.filter { $0.key.server == server }.map {
      ListedElement(element: $0.key, remainingMilliseconds: UInt32(clamping: ($0.value - clock.now) / 1_000_000))
    }
    let endless = permanent.filter { $0.server == server }.map { ListedElement(element: $0, remainingMilliseconds: 0) }
    say(.page(request: request, last: true, elements: held + endless))
  }
}
