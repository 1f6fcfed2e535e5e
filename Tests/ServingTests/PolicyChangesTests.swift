import Control
import EgressPolicy
import FirewallModel
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import Serving
@testable import Settings

private let second: UInt64 = 1_000_000_000

/// A machine with serve around it: files that can be changed, two clocks, a bridge and a firewall that do as they are told.
private final class World {
  var machine: PolicyChanges
  var moment = PolicyChanges.Moment(wall: 1_800_000_000 * second, monotonic: 5_000 * second)
  /// What the files say.
  var files: LoadedSettings
  var compilations: [PolicyChanges.Compilation] = []
  var proposals: [PolicyChanges.Proposal] = []
  var finished: [(change: PolicyChanges.Change, activation: Activation)] = []
  var ended: [(permit: UInt64, peer: ControlPeer?)] = []
  var recorded: [UInt64] = []
  var refusedReloads = 0
  var announced = 0
  var waits = 0
  var told: [String] = []
  var wake: UInt64?
  var isLogBlocked = false
  /// Whether something of a server that was taken away is in flight or open.
  var isInUse = false
  /// How much of what was asked for has an end.
  var (bridgeReadings, compiled, activations) = (0, 0, 0)

  init(_ policies: String = World.agent("api.example.com")) throws {
    files = try World.load(policies)
    let settings = try #require(files.settings)
    var indexes = FirewallIndexes()
    indexes.assign(settings.policies)
    machine = PolicyChanges(
      .init(
        settings: settings, policies: settings.policies, indexes: indexes, compiledAt: moment.seconds))
    tell(.clockWasSet)
  }

  static func agent(_ entry: String, name: String = "agent", network: Int = 1) -> String {
    "server: \(name)\nnetworks: [ 10.77.\(network).0/24 ]\negress: [ \(entry) ]\n"
  }

  static func load(_ policies: String, extra: String = "") throws -> LoadedSettings {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-changes-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let configuration = """
      listen: [ 10.77.1.1:53 ]
      upstreams: [ udp://192.0.2.53 ]
      policies: policy.yaml
      audit: { path: audit.jsonl }
      permits: { max: 1h }
      \(extra)
      """
    try Data(configuration.utf8).write(to: folder.appending(path: "sluice.yaml"))
    try Data(policies.utf8).write(to: folder.appending(path: "policy.yaml"))
    return SettingsLoader.load(path: folder.appending(path: "sluice.yaml").path)
  }

  func tell(_ event: PolicyChanges.Event) {
    var events = [event]
    while !events.isEmpty {
      for action in machine.handle(events.removeFirst(), at: moment) {
        switch action {
        case .record(let permit):
          if !isLogBlocked { recorded.append(permit.id) }
          events.append(.recorded(!isLogBlocked))
        case .announce: announced += 1
        case .awaitBridge: waits += 1
        case .compile(let compilation): compilations.append(compilation)
        case .watch: break
        case .activate(let proposal): proposals.append(proposal)
        case .recordRefused: refusedReloads += 1
        case .recordEnd(let permit, let peer): ended.append((permit.id, peer))
        case .tell(let text): told.append(text)
        case .finish(let change, let activation, _): finished.append((change, activation))
        case .wake(let milliseconds): wake = milliseconds
        }
      }
    }
  }

  func ask(_ kind: PolicyChanges.Change.Kind, caller: UInt64 = 0, peer: ControlPeer? = nil) {
    tell(.asked(.init(kind: kind, callers: caller == 0 ? [] : [caller], peer: peer)))
  }

  /// The newest compilation ends.
  func compile() throws {
    let asked = try #require(compilations.last)
    let loaded = asked.readsFiles ? files : nil
    let policies = asked.readsFiles ? loaded?.settings?.policies : asked.policies
    let compiled = policies.map {
      CompiledPolicy(
        $0, asked.permits, at: moment.seconds, former: PolicySnapshot([]), compares: false)
    }
    tell(.compiled(loaded, compiled))
  }

  /// The newest proposal is put in force, or is not.
  func activate(refusing reason: String? = nil, renumbers: Bool = false) throws {
    let proposal = try #require(proposals.last)
    var indexes = machine.inForce.indexes
    indexes.assign(proposal.compiled?.policies ?? machine.inForce.policies) { [isInUse] _ in !isInUse }
    let applied = Activation.Applied(policy: "b", former: "a", servers: 1, serversChanged: 1)
    tell(
      .activated(reason.map { .refused($0) } ?? .inForce(applied), indexes: indexes, renumbers: renumbers))
  }

  func readByBridge(_ failure: String?) {
    bridgeReadings += 1
    tell(.bridgeRead(failure))
  }

  func permit(
    _ id: UInt64, server: String = "agent", host: String = "status.example.com", seconds: UInt64 = 60
  ) throws -> Permit {
    let rule = try EgressEntry.rule(
      host: host, ports: [], types: [], until: moment.seconds + seconds, named: "permit \(id)")
    let name = try #require(machine.inForce.policies.first { $0.name.text == "agent" }?.name)
    let other = server == "agent" ? name : try ServerName(server)
    return Permit(
      id: id, allowed: PermitRule(server: other, rule: rule.rule), justification: "a test",
      peer: ControlPeer(pid: 1, uid: 0, gid: 0), given: moment.wall, deadline: moment.monotonic + seconds * second)
  }

  func give(_ id: UInt64, seconds: UInt64 = 60) throws {
    ask(.permit(try permit(id, seconds: seconds)))
    try compile()
    try activate()
  }

  /// A permit that was given, and whose end is about to be proposed.
  func giveAndEnd(_ id: UInt64) throws {
    try give(id)
    pass(seconds: 61)
    tell(.clockWasSet)
    tell(.woken)
    try compile()
  }

  func pass(seconds: UInt64) {
    moment.wall += seconds * second
    moment.monotonic += seconds * second
  }

  var names: [String] {
    machine.inForce.policies.flatMap { $0.rules.map(\.pattern.description) }
  }

  struct NotInForce: Error {}

  var lastRefusal: String? {
    switch finished.last?.activation {
    case .refused(let reason): reason
    case .unusable(let findings): findings.joined()
    case .inForce, nil: nil
    }
  }
}

@Suite("Changes of policy, one after the other")
struct PolicyChangesTests {
  @Test("a reload is in force when the firewall has taken it, and not before")
  func reload() throws {
    let world = try World()
    world.files = try World.load(World.agent("new.example.com"))
    world.ask(.files, caller: 7)
    #expect(world.announced == 1 && world.waits == 1)
    world.tell(.bridgeRead(nil))
    try world.compile()
    #expect(world.names == ["api.example.com"] && world.finished.isEmpty)
    try world.activate()
    #expect(world.names == ["new.example.com"])
    #expect(world.finished.map(\.change.callers) == [[7]])
  }

  @Test("what the firewall refuses leaves nothing behind: no name, number, released network or bound of permits")
  func refused() throws {
    let world = try World()
    world.files = try World.load(
      World.agent("new.example.com") + "---\n" + World.agent("x.example.com", name: "other", network: 2),
      extra: "release: [ 10.99.0.0/24 ]")
    #expect(world.files.settings?.released.isEmpty == false)
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    try world.compile()
    #expect(world.proposals.last?.settings.released.isEmpty == false, "the rules are made with what was read")
    try world.activate(refusing: "no")
    #expect(world.names == ["api.example.com"] && world.machine.inForce.indexes.names == ["agent"])
    #expect(world.machine.inForce.settings.released.isEmpty)
    #expect(world.lastRefusal == "no")
  }

  @Test("what refused files do not give back any more is not asked of a bridge that has read them")
  func releasedNoMore() throws {
    let world = try World()
    world.files = try World.load(World.agent("api.example.com"), extra: "release: [ 10.99.0.0/24 ]")
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    try world.compile()
    try world.activate()
    #expect(world.machine.inForce.settings.released.count == 1)
    world.files = try World.load(World.agent("new.example.com"))
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    try world.compile()
    try world.activate(refusing: "no")
    world.ask(.permit(try world.permit(1)))
    try world.compile()
    #expect(world.proposals.last?.settings.released.isEmpty == true)
  }

  @Test(
    "a reload tells of every key beside the policies: what it takes, and what needs a restart until it is as before")
  func keys() throws {
    let world = try World()
    let first = world.files
    func reload(_ files: LoadedSettings) throws -> Activation.Applied {
      world.files = files
      world.ask(.files)
      world.tell(.bridgeRead(nil))
      try world.compile()
      try world.activate()
      guard case .inForce(let adopted) = world.finished.last?.activation else { throw World.NotInForce() }
      return adopted
    }
    var read = try #require(first.settings)
    read.listen = [ListenAddress(address: try #require(IPAddress("10.77.9.1")))]
    read.permits.maxSeconds = 60
    let adopted = try reload(LoadedSettings(settings: read, diagnostics: []))
    #expect(adopted.settings?.taken.map(\.description) == ["permits.max: 1h -> 1m"])
    let needed = "listen: 10.77.1.1:53 -> 10.77.9.1:53"
    #expect(adopted.settings?.needsRestart.map(\.description) == [needed])
    #expect(world.machine.inForce.needsRestart.map(\.description) == [needed])
    #expect(world.told.last?.contains("\npermits.max: 1h -> 1m\nneeds a restart: \(needed)") == true, "\(world.told)")
    // What is taken is in force; what needs a restart still needs it, until the files say it as before.
    let again = try reload(LoadedSettings(settings: read, diagnostics: []))
    #expect(again.settings?.taken.isEmpty == true && again.settings?.needsRestart.count == 1)
    _ = try reload(first)
    #expect(world.machine.inForce.needsRestart.isEmpty)
  }

  @Test("files for another mode of the firewall change nothing: what their entries mean hangs on it")
  func mode() throws {
    let world = try World()
    world.files = try World.load(World.agent("new.example.com"), extra: "firewall: { mode: sets, table: inet mine }")
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    try world.compile()
    #expect(world.names == ["api.example.com"] && world.proposals.isEmpty && world.refusedReloads == 1)
    #expect(
      world.lastRefusal == "firewall.mode is sets in the files, and managed since sluice was started: start it anew")
  }

  @Test("looks at what a server left that wait for one turn are one")
  func oneLookAtRemains() throws {
    let world = try World()
    world.ask(.files)
    world.ask(.remains)
    world.ask(.remains)
    world.tell(.bridgeRead(nil))
    try world.compile()
    for _ in 0..<2 { try world.activate() }
    #expect(world.proposals.count == 2, "the reload's and one more")
  }

  @Test("what a server left in the firewall goes once nothing of it is in use, and is tried again until then")
  func remains() throws {
    let world = try World(
      World.agent("api.example.com") + "---\n" + World.agent("b.example.com", name: "other", network: 2))
    world.files = try World.load(World.agent("api.example.com"))
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    try world.compile()
    world.isInUse = true
    try world.activate()
    #expect(world.machine.inForce.indexes.hasRemains)
    // At once, in vain; then every five seconds.
    #expect(world.proposals.last?.members == nil && world.proposals.count == 2)
    try world.activate()
    #expect(world.machine.inForce.indexes.hasRemains && world.wake == 5_000)
    world.pass(seconds: 5)
    world.isInUse = false
    world.tell(.woken)
    #expect(world.proposals.count == 3)
    try world.activate()
    #expect(!world.machine.inForce.indexes.hasRemains && world.wake == nil)
    let plan = world.machine.inForce.indexes.plan(
      for: world.machine.inForce.policies, world.machine.inForce.settings)
    #expect(plan.servers.map(\.name) == ["agent", "other"] && plan.servers.map(\.isGone) == [false, true])
    // It may come back, under its number.
    world.files = try World.load(
      World.agent("api.example.com") + "---\n" + World.agent("b.example.com", name: "other", network: 2))
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    try world.compile()
    try world.activate()
    let back = world.machine.inForce.indexes.plan(for: world.machine.inForce.policies, world.machine.inForce.settings)
    #expect(back.servers.map(\.isGone) == [false, false] && back.servers[1].prefixes.count == 1)
  }

  @Test(
    "files that cannot be used change nothing, are told, and the next change begins",
    arguments: [
      "server: agent\nnetworks: [ nonsense ]\negress: []\n", "server: agent\n", "",
      "# being written\n", "---\n",
    ])
  func broken(_ policies: String) throws {
    let world = try World()
    world.files = try World.load(policies)
    world.ask(.files, caller: 1)
    world.ask(.withdraw([]), caller: 2)
    world.tell(.bridgeRead(nil))
    try world.compile()
    #expect(world.refusedReloads == 1 && world.proposals.isEmpty && world.names == ["api.example.com"])
    #expect(world.compilations.count == 2, "the withdrawal's")
    try world.compile()
    try world.activate()
    #expect(world.finished.map(\.change.callers) == [[1], [2]])
  }

  @Test("reloads that wait are one, and all who asked are told; one that runs is not joined")
  func joined() throws {
    let world = try World()
    for caller: UInt64 in 1...4 { world.ask(.files, caller: caller) }
    #expect(world.compilations.count == 1)
    world.tell(.bridgeRead(nil))
    try world.compile()
    try world.activate()
    #expect(world.compilations.count == 2)
    world.tell(.bridgeRead(nil))
    try world.compile()
    try world.activate()
    #expect(world.finished.map(\.change.callers) == [[1], [2, 3, 4]])
  }

  @Test("what is read waits for the bridge's reading while the bridge answers, and not for one that does not run")
  func bridgeReads() throws {
    let world = try World()
    world.ask(.files)
    try world.compile()
    #expect(world.proposals.isEmpty)
    world.tell(.bridgeWaited(isHeard: true))
    #expect(world.proposals.isEmpty && world.waits == 2)
    world.tell(.bridgeWaited(isHeard: false))
    #expect(world.proposals.count == 1)
    try world.activate()
    // The reading that is still under way, and the next reload's own.
    world.ask(.files)
    try world.compile()
    world.tell(.bridgeRead(nil))
    #expect(world.proposals.count == 1)
    world.tell(.bridgeRead("a folder is missing"))
    #expect(world.proposals.count == 2)
    #expect(world.told.contains { $0.contains("a folder is missing") })
  }

  @Test("a bridge that has read first keeps no change waiting, and a late word of it begins nothing")
  func bridgeReadsFirst() throws {
    let world = try World()
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    world.tell(.bridgeWaited(isHeard: false))
    try world.compile()
    #expect(world.proposals.count == 1)
    world.tell(.bridgeWaited(isHeard: true))
    try world.activate()
    #expect(world.finished.count == 1 && world.proposals.count == 1)
  }

  // MARK: - Permits

  @Test("a permit that cannot be recorded is refused before anything is compiled")
  func unrecorded() throws {
    let world = try World()
    world.isLogBlocked = true
    world.ask(.permit(try world.permit(1)), caller: 1)
    #expect(world.compilations.isEmpty && world.lastRefusal == "the audit log cannot take it")
    #expect(world.machine.permitCount == 0)
  }

  @Test("of two permits at once the second one is judged beside the first")
  func objection() throws {
    let world = try World()
    world.ask(.permit(try world.permit(1, host: "*-b.example.com")), caller: 1)
    world.ask(.permit(try world.permit(2, host: "a-*.example.com")), caller: 2)
    try world.compile()
    try world.activate()
    #expect(world.machine.inForce.permits.map(\.id) == [1])
    try world.compile()
    #expect(world.lastRefusal?.contains("has some names in common with *-b.example.com") == true)
    #expect(world.proposals.count == 1 && world.ended.map(\.permit) == [2])
  }

  @Test("a permit counts from the moment at which it is asked for, and is told as ended where it is refused")
  func counted() throws {
    let world = try World()
    world.ask(.permit(try world.permit(1)))
    world.ask(.permit(try world.permit(2)))
    #expect(world.machine.permitCount == 2 && world.machine.inForce.permits.isEmpty)
    try world.compile()
    try world.activate(refusing: "full")
    #expect(world.ended.map(\.permit) == [1] && world.machine.permitCount == 1)
    try world.compile()
    try world.activate()
    #expect(world.machine.inForce.permits.map(\.id) == [2])
  }

  @Test("a permit whose server is gone when its turn comes is refused, and its end recorded once")
  func serverGone() throws {
    let world = try World()
    world.ask(.permit(try world.permit(1, server: "gone")), caller: 1)
    try world.compile()
    try world.activate()
    #expect(world.lastRefusal?.contains("its server is gone") == true)
    #expect(world.ended.map(\.permit) == [1] && world.machine.inForce.permits.isEmpty)
  }

  @Test("a reload that takes the server away ends its permits")
  func reloadEnds() throws {
    let world = try World()
    try world.give(1)
    world.files = try World.load(World.agent("x.example.com", name: "other"))
    world.ask(.files)
    world.tell(.bridgeRead(nil))
    try world.compile()
    try world.activate()
    #expect(world.ended.map(\.permit) == [1])
  }

  @Test("who withdraws a permit is told with its end, and the clock is no peer")
  func withdrawn() throws {
    let world = try World()
    let peer = ControlPeer(pid: 9, uid: 1_000, gid: 1_000)
    try world.give(1)
    try world.give(2, seconds: 30)
    world.ask(.withdraw([1]), peer: peer)
    try world.compile()
    try world.activate()
    world.pass(seconds: 31)
    world.tell(.woken)
    #expect(world.wake == 0)
    world.tell(.woken)
    try world.compile()
    try world.activate()
    #expect(world.ended.map(\.permit) == [1, 2] && world.ended.map(\.peer) == [peer, nil])
    #expect(world.wake == nil)
  }

  @Test("what is in force when serve ends is told as ended, once")
  func end() throws {
    let world = try World()
    try world.give(1)
    #expect(world.machine.end().map(\.id) == [1])
    #expect(world.machine.end().isEmpty)
  }

  // MARK: - Time

  @Test("an end is waited for by both clocks, never longer than a minute at once")
  func waits() throws {
    let world = try World()
    #expect(world.wake == nil)
    try world.give(1, seconds: 3_000)
    #expect(world.wake == 60_000)
    world.pass(seconds: 2_990)
    world.tell(.woken)
    #expect(world.wake == 10_000)
    // Set back by an hour: the permit has its deadline.
    world.moment.wall -= 3_600 * second
    world.tell(.clockWasSet)
    #expect(world.wake == 10_001)
    world.pass(seconds: 11)
    world.tell(.woken)
    #expect(world.wake == 0)
  }

  @Test("an end that the firewall refuses comes without its rules, and these are tried each five seconds")
  func lateRules() throws {
    let world = try World()
    try world.giveAndEnd(1)
    try world.activate(refusing: "busy")
    #expect(world.proposals.last?.changesRules == false && world.machine.inForce.permits.map(\.id) == [1])
    try world.activate()
    #expect(world.machine.inForce.permits.isEmpty, "what ends has ended")
    #expect(world.wake == 5_000)
    world.tell(.woken)
    try world.compile()
    #expect(world.proposals.last?.changesRules == true)
    try world.activate()
    #expect(world.wake == nil)
  }

  @Test("an end that cannot come is tried again, but not at once; a change that adds something is just refused")
  func refusedEnd() throws {
    let world = try World()
    try world.giveAndEnd(1)
    // Caps that got other indexes: without their rules the end cannot come.
    try world.activate(refusing: "busy", renumbers: true)
    #expect(world.lastRefusal == "busy" && world.wake == 5_000)
    world.ask(.permit(try world.permit(2)))
    try world.compile()
    let proposals = world.proposals.count
    try world.activate(refusing: "busy")
    #expect(world.proposals.count == proposals)
  }

  @Test("one look at the clock serves all ends that are due")
  func oneLook() throws {
    let world = try World()
    world.ask(.files)
    for _ in 0..<3 { world.ask(.time) }
    world.tell(.bridgeRead(nil))
    try world.compile()
    try world.activate()
    #expect(world.compilations.count == 2)
    try world.compile()
    try world.activate()
    #expect(world.compilations.count == 2 && world.finished.count == 2)
  }

  // MARK: - Sets

  @Test("other sets are put in force with the policy as it is, once for each time that they are others")
  func sets() throws {
    let world = try World()
    world.ask(.sets([.v4]))
    world.ask(.sets([.v4]))
    #expect(world.proposals.count == 1 && world.compilations.isEmpty)
    #expect(world.proposals.last?.compiled == nil && world.proposals.last?.sets == [.v4])
    try world.activate()
    world.ask(.sets([.v4, .v6]))
    #expect(world.proposals.last?.sets == [.v4, .v6])
  }

  // MARK: - Whatever comes

  @Test("in any order each change ends once, in its turn, and none is lost", arguments: 0..<60 as Range<UInt64>)
  func anyOrder(_ seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let world = try World()
    var asked: UInt64 = 0
    for _ in 0..<120 {
      switch random.below(8) {
      case 0:
        asked += 1
        world.ask(.files, caller: asked)
      case 1:
        asked += 1
        world.ask(.permit(try world.permit(asked, seconds: UInt64(random.below(20)))), caller: asked)
      case 2:
        asked += 1
        world.ask(.withdraw([UInt64(random.below(Int(asked)))]), caller: asked)
      case 3: world.tell(.woken)
      case 4: world.pass(seconds: UInt64(random.below(10)))
      default: try step(world, &random)
      }
    }
    for _ in 0..<1_000 where world.finished.flatMap(\.change.callers).count < asked { try step(world, &random) }
    let callers = world.finished.flatMap(\.change.callers)
    #expect(Set(callers) == Set(1...asked) && callers.count == Int(asked))
    // Permits begin and end once.
    let ids = Set(world.machine.inForce.permits.map(\.id)).union(world.ended.map(\.permit))
    #expect(ids == Set(world.recorded) && world.ended.count + world.machine.inForce.permits.count == ids.count)
  }

  /// Something of what is under way ends.
  private func step(_ world: World, _ random: inout SeededRandom) throws {
    let (compilations, finished) = (world.compilations.count, world.finished.count)
    if world.announced > world.bridgeReadings { world.readByBridge(random.below(3) == 0 ? "no" : nil) }
    if world.proposals.count > world.activations {
      world.activations = world.proposals.count
      let reason = random.below(3) == 0 ? "no" : nil
      try world.activate(refusing: reason, renumbers: random.below(4) == 0)
    } else if compilations > world.compiled {
      world.compiled = compilations
      try world.compile()
    }
    #expect(world.finished.count >= finished)
  }

  @Test("a bridge that was waited for is not waited for again where nothing is read any more")
  func waitsInVain() throws {
    let world = try World()
    world.tell(.bridgeWaited(isHeard: true))
    #expect(world.waits == 0)
    world.tell(.bridgeWaited(isHeard: false))
    #expect(world.compilations.isEmpty)
  }
}
