import BridgeProcesses
import FirewallModel
import Glibc
import GrantLedger
import LinuxIO
import NFTables
import TestSupport
import Testing

@testable import FirewallBridge
@testable import FirewallWorker

/// A link to a real bridge, in the namespace of this thread, and what it said; for more than one suite.
final class Session {
  let reactor: Reactor
  let plan: FirewallPlan?
  private(set) var link: BridgeLink!
  let alarms: SharedCounter
  var events: [BridgeEvent] = []
  let kernel: KernelSets

  init(
    _ plan: FirewallPlan? = .sample(), bounds: (envelope: Envelope, source: BridgeSource)? = nil,
    state: Int32? = nil
  ) throws {
    guard let host = Kernel.host else { throw Kernel.Failure(description: "no bridge executable") }
    self.plan = plan
    reactor = try Reactor()
    kernel = try KernelSets()
    let child = try BridgeChild.spawn(plan, bounds: bounds, state: state, executable: host)
    alarms = child.alarms
    link = try BridgeLink(reactor: reactor, child: child, plan: plan) { [unowned self] in events.append($0) }
  }

  /// Closes our end and waits until both processes are gone. Whatever was asked was acknowledged in its turn.
  func end() throws {
    #expect(!events.contains(.disordered))
    let supervisor = link.supervisor
    let workers = Kernel.children(of: supervisor)
    link = nil
    try Self.poll("the bridge ends") {
      var state: Int32 = 0
      _ = unsafe waitpid(supervisor, &state, WNOHANG)
      return (workers + [supervisor]).allSatisfy { Kernel.process($0) == nil || Kernel.process($0)?.state == "Z" }
    }
  }

  static func poll(_ what: String, _ condition: () throws -> Bool) throws {
    let limit = MonotonicTime.now().adding(milliseconds: 60_000)
    while try !condition() {
      guard MonotonicTime.now() < limit else { throw Kernel.Failure(description: "never: \(what)") }
      usleep(2_000)
    }
  }

  /// Turns the reactor until `condition` holds.
  func turn(_ what: String, until condition: @escaping () -> Bool) throws {
    let limit = MonotonicTime.now().adding(milliseconds: 60_000)
    var failed = false
    func check() {
      if condition() { return reactor.stop() }
      guard MonotonicTime.now() < limit else {
        failed = true
        return reactor.stop()
      }
      _ = reactor.schedule(at: MonotonicTime.now().adding(milliseconds: 1)) { check() }
    }
    _ = reactor.schedule(at: MonotonicTime.now()) { check() }
    reactor.run()
    if failed { throw Kernel.Failure(description: "never: \(what); events \(events)") }
  }

  var greetings: [BridgeGreeting] {
    events.compactMap { if case .up(let greeting) = $0 { greeting } else { nil } }
  }

  var changes: TableChange {
    events.reduce(into: []) { if case .foreignChange(let change, _) = $1 { $0.formUnion(change) } }
  }

  func waitUp(_ incarnations: Int = 1) throws {
    try turn("greeting \(incarnations)") { self.greetings.count >= incarnations }
  }

  func commit(_ elements: [GrantElement], milliseconds: UInt64 = 5_000) throws -> CommitOutcome {
    var outcome: CommitOutcome?
    let grants = elements.map { GrantCommit(element: $0, lifetimeMilliseconds: 60_000) }
    link.commit(grants, deadline: MonotonicTime.now().adding(milliseconds: milliseconds)) { outcome = $0 }
    try turn("an outcome") { outcome != nil }
    return outcome!
  }

  func request(_ start: (@escaping (BridgeRequestFailure?) -> Void) -> Void) throws -> BridgeRequestFailure? {
    var answer: BridgeRequestFailure??
    start { answer = .some($0) }
    try turn("an answer") { answer != nil }
    return answer!
  }

  func worker() throws -> Int32 {
    try #require(Kernel.children(of: link.supervisor).first)
  }

  func holds(_ element: GrantElement) throws -> Bool {
    try kernel.element(element, plan: plan!) != nil
  }
}
