import EgressPolicy
import Foundation
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import TestSupport
import Testing

import BridgeProcesses
@testable import FirewallBridge
import FirewallModel
import NFTables

@testable import FirewallWorker

@Suite(
  .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)),
  .enabled(if: Kernel.host != nil, "needs the built executable beside the tests, or SLUICE_BRIDGE_HOST"),
  .serialized)
struct BridgeTests {
  private static func element(_ last: Int, server: UInt16 = 0) -> GrantElement {
    GrantElement(server: server, address: IPAddress("192.0.2.\(last)")!, transport: 6, port: 443)
  }

  private func with(_ plan: FirewallPlan? = .sample(), _ body: (Session) throws -> Void) throws {
    try Kernel.inNamespace {
      let session = try Session(plan)
      try body(session)
      try session.end()
    }
  }

  @Test("another plan keeps the reader of the kernel's log, of which there is one")
  func keepsReading() throws {
    try with { session in
      try session.waitUp()
      var plan = FirewallPlan.sample()
      plan.servers[1].prefixes.append(FirewallPlan.prefix("10.78.0.0/16"))
      #expect(try session.request { session.link.install(plan, $0) } == nil)
      #expect(!session.events.contains(.refusalsRead(false)))
    }
  }

  @Test("rules that the user changes beside our sets are the user's, and no greeting follows")
  func usersRules() throws {
    try Kernel.inNamespace {
      try Kernel.nft(
        """
        add table inet mine
        add chain inet mine own
        add set inet mine github-mcp-4 { type ipv4_addr; flags timeout; }
        add set inet mine db_tools-4 { type ipv4_addr; flags timeout; }
        """)
      let session = try Session(.sample(table: "mine", mode: .sets))
      try session.waitUp()
      try Kernel.nft("add rule inet mine own counter")
      try Kernel.nft("add element inet mine github-mcp-4 { 192.0.2.77 timeout 1h }")
      try session.turn("what came after the rule is told") { session.changes.contains(.elementsAdded) }
      #expect(try session.request { session.link.ping($0) } == nil)
      #expect(session.greetings.count == 1)
      try session.end()
    }
  }

  @Test("both processes keep CAP_NET_ADMIN and nothing else, and end with our end of the socketpair")
  func privileges() throws {
    try with { session in
      try session.waitUp()
      let netAdmin: UInt64 = 1 << 12
      for pid in [session.link.supervisor, try session.worker()] {
        let sets = try Kernel.capabilities(of: pid)
        #expect(sets["CapEff"] == netAdmin)
        #expect(sets["CapPrm"] == netAdmin)
        #expect(sets["CapBnd"] == netAdmin)
        #expect(sets["CapInh"] == 0)
        #expect(sets["CapAmb"] == 0)
        #expect(sets["NoNewPrivs"] == 1)
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")
        // Two of them tell of the host's network, one is the state folder, one the page of alarms, two belong to the
        // closing rules, two to what reads counters.
        #expect(open.count <= 20)
        let environment = try String(contentsOfFile: "/proc/\(pid)/environ", encoding: .utf8)
        // Tests/Long/guards gives each process one more, by which it knows the guard that is off.
        let variables = environment.split(separator: "\0").filter { !$0.hasPrefix("SLUICE_MUTANT=") }
        #expect(variables.count == 2)
      }
    }
  }

  @Test("a table is installed before the greeting and a commit is in the kernel before its outcome")
  func commits() throws {
    try with { session in
      try session.waitUp()
      #expect(session.greetings[0].incarnation == 1)
      #expect(session.greetings[0].servers == [[.v4, .v6], [.v4, .v6, .anyPort4, .anyPort6]])
      for last in 1...200 {
        #expect(try session.commit([Self.element(last)]) == .committed)
        #expect(try session.holds(Self.element(last)))
      }
      #expect(session.changes.isEmpty)
      var listed: [ListedElement]?
      session.link.list(server: 0) { listed = try? $0.get() }
      try session.turn("a list") { listed != nil }
      #expect(listed?.count == 200)
      #expect(
        try session.request { done in session.link.revoke([Self.element(1)]) { failure, _ in done(failure) } } == nil)
      #expect(try session.holds(Self.element(1)) == false)
      #expect(session.changes.isEmpty)
    }
  }

  @Test("answers that wait together are committed together, and each gets its own outcome")
  func concurrent() throws {
    try with { session in
      try session.waitUp()
      var outcomes: [Int: CommitOutcome] = [:]
      let deadline = MonotonicTime.now().adding(milliseconds: 10_000)
      // Fewer than a server's share beside another one.
      for index in 0..<1_000 {
        let server: UInt16 = index % 10 == 9 ? 7 : 0
        let element = GrantElement(
          server: server, address: IPAddress(v4: 0xC633_6400 + UInt32(index)), transport: 6, port: 443)
        session.link.commit([GrantCommit(element: element, lifetimeMilliseconds: 60_000)], deadline: deadline) {
          outcomes[index] = $0
        }
      }
      try session.turn("1,000 outcomes") { outcomes.count == 1_000 }
      for (index, outcome) in outcomes {
        #expect(outcome == (index % 10 == 9 ? .refused(BridgeRefusal(.noSuchServer)) : .committed))
      }
    }
  }

  @Test("a killed worker is replaced, and commits go on without our doing anything")
  func workerKilled() throws {
    try with { session in
      try session.waitUp()
      for round in 1...3 {
        let worker = try session.worker()
        kill(worker, SIGKILL)
        #expect(try session.commit([Self.element(round)], milliseconds: 10_000) == .committed)
        #expect(try session.holds(Self.element(round)))
        try session.waitUp(round + 1)
        #expect(try session.worker() != worker)
      }
      #expect(session.greetings.map(\.incarnation) == [1, 2, 3, 4])
    }
  }

  @Test("when the supervisor is killed its worker takes its place and starts another")
  func supervisorKilled() throws {
    try Kernel.inNamespace {
      let session = try Session()
      try session.waitUp()
      let supervisor = session.link.supervisor
      let worker = try session.worker()
      kill(supervisor, SIGKILL)
      var status: Int32 = 0
      #expect(unsafe waitpid(supervisor, &status, 0) == supervisor)
      #expect(try session.commit([Self.element(1)], milliseconds: 10_000) == .committed)
      try session.waitUp(2)
      let next = try #require(Kernel.children(of: worker).first)
      #expect(try Kernel.capabilities(of: next)["CapEff"] == 1 << 12)
      // And once more: the new worker dies, the new supervisor notices.
      kill(next, SIGKILL)
      #expect(try session.commit([Self.element(2)], milliseconds: 10_000) == .committed)
      try session.waitUp(3)
      let last = Kernel.children(of: worker)
      try session.end()
      try Session.poll("all gone") { ([worker] + last).allSatisfy { [nil, "Z"].contains(Kernel.process($0)?.state) } }
    }
  }

  @Test("a stopped worker makes commits late without holding us up, and is replaced")
  func workerStopped() throws {
    try with { session in
      try session.waitUp()
      let worker = try session.worker()
      kill(worker, SIGSTOP)
      #expect(try session.commit([Self.element(1)], milliseconds: 100) == .late)
      #expect(try session.commit([Self.element(2)], milliseconds: 10_000) == .committed)
      #expect(try session.holds(Self.element(2)))
      #expect(try session.worker() != worker)
    }
  }

  @Test("elements survive a worker, and the next one does not shorten them")
  func survives() throws {
    try with { session in
      try session.waitUp()
      #expect(try session.commit([Self.element(1)]) == .committed)
      kill(try session.worker(), SIGKILL)
      try session.waitUp(2)
      #expect(try session.holds(Self.element(1)))
    }
  }

  @Test("what others remove is reported: an element, a whole set")
  func foreignElements() throws {
    try with { session in
      try session.waitUp()
      #expect(try session.commit([Self.element(1), Self.element(2)]) == .committed)
      try Kernel.run("nft delete element inet sluice github-mcp-4 '{ 192.0.2.1 . tcp . 443 }'")
      try session.turn("removed") { session.changes == .elementsRemoved }
      session.events.removeAll()
      try Kernel.run("nft flush set inet sluice github-mcp-4")
      try session.turn("flushed") { session.changes == .elementsRemoved }
      session.events.removeAll()
      try Kernel.run("nft add element inet sluice github-mcp-4 '{ 192.0.2.9 . tcp . 443 timeout 5s }'")
      try session.turn("added") { session.changes == .elementsAdded }
      session.events.removeAll()
      try Kernel.nft("add table inet other\nadd set inet other s { type ipv4_addr; }\ndelete table inet other\n")
      #expect(try session.commit([Self.element(3)]) == .committed)
      #expect(session.changes.isEmpty)
    }
  }

  @Test("a removed table, rule or map element is put back before it is reported")
  func foreignTable() throws {
    try with { session in
      try session.waitUp()
      #expect(try session.commit([Self.element(1)]) == .committed)
      let wanted = try Kernel.run("nft -s list table inet sluice")
      for harm in [
        "delete table inet sluice", "flush chain inet sluice forward", "flush map inet sluice servers-4/24",
        "flush ruleset",
      ] {
        session.events.removeAll()
        try Kernel.run("nft \(harm)")
        try session.turn(harm) { session.changes.contains(.reinstalled) }
        #expect(try Kernel.run("nft -s list table inet sluice").count >= wanted.count - 200)
        #expect(try session.commit([Self.element(1)]) == .committed)
        #expect(try Kernel.run("nft -s list table inet sluice") == wanted)
      }
    }
  }

  @Test("a commit that meets a removed table puts it back and succeeds")
  func commitAfterRemoval() throws {
    try with { session in
      try session.waitUp()
      for last in 1...20 {
        try Kernel.run("nft delete table inet sluice")
        #expect(try session.commit([Self.element(last)]) == .committed)
        #expect(try session.holds(Self.element(last)))
      }
    }
  }

  @Test("another plan takes over: old servers go, elements of those that stay are kept")
  func replaced() throws {
    try with { session in
      try session.waitUp()
      let kept = GrantElement(server: 1, address: IPAddress("192.0.2.1")!, transport: 17, port: 53)
      #expect(try session.commit([kept, Self.element(1)]) == .committed)
      var plan = FirewallPlan.sample()
      plan.servers.remove(at: 0)
      #expect(try session.request { session.link.install(plan, $0) } == nil)
      var moved = kept
      moved.server = 0
      #expect(try session.kernel.element(moved, plan: plan) != nil)
      #expect(try session.kernel.sets(family: .inet, table: "sluice")["github-mcp-4"] == nil)
      #expect(try session.commit([Self.element(5)]) == .committed)
      kill(try session.worker(), SIGKILL)
      #expect(try session.commit([Self.element(6)], milliseconds: 10_000) == .committed)
      #expect(try session.kernel.element(Self.element(6), plan: plan) != nil)
    }
  }

  /// An emulated machine takes minutes for what serve waits 15 s for, in a build without optimizations.
  private static let isEmulated = ProcessInfo.processInfo.environment["SLUICE_PATIENCE"] != nil

  @Test(
    "a plan of a thousand servers is installed while the bridge is seen to run",
    .enabled(if: !isEmulated, "an emulated machine is too slow for it in a debug build"))
  func large() throws {
    try goesOver(servers: 1_000, networks: 1)
  }

  @Test("a plan that is longer than a message goes over in parts")
  func parts() throws {
    try goesOver(servers: 20, networks: 300)
  }

  private func goesOver(servers: Int, networks: Int) throws {
    var plan = FirewallPlan.sample()
    plan.servers = (0..<servers).map { index in
      .init(
        name: "a-server-with-a-name-of-some-length-\(index)",
        prefixes: (0..<networks).map { network in
          IPPrefix(IPAddress(v4: 0x0A00_0000 + UInt32(index * networks + network) * 256), length: 24)!
        }, opensAnyPort: false,
        staticRules: [.init(prefix: .init("198.51.100.0/24")!, ports: [.init(443, .tcp)])])
    }
    #expect(plan.encoded().count > BridgeMessage.maximumOctets)
    try with { session in
      try session.waitUp()
      #expect(try session.request { session.link.install(plan, $0) } == nil)
      let last = Self.element(6, server: UInt16(servers - 1))
      let outcome = try session.commit([last])
      #expect(outcome == .committed)
      #expect(try session.kernel.element(last, plan: plan) != nil)
    }
  }

  @Test("a plan that the kernel refuses changes nothing and says why; one refused at the start is no greeting")
  func refused() throws {
    try Kernel.inNamespace {
      try Kernel.nft("add table inet mine\nadd set inet mine github-mcp-4 { type ipv4_addr; }\n")
      let session = try Session()
      try session.waitUp()
      let failure = try session.request {
        session.link.install(.sample(table: "mine"), $0)
      }
      #expect(failure?.text.contains("set github-mcp-4 has another element type") == true)
      #expect(try session.commit([Self.element(1)]) == .committed)
      try session.end()
      let broken = try Session(.sample(table: "mine"))
      try broken.turn("broken") { !broken.events.isEmpty }
      guard case .broken(let text) = broken.events[0] else { throw Kernel.Failure(description: "\(broken.events)") }
      #expect(text.contains("set github-mcp-4 has another element type"))
      #expect(try broken.commit([Self.element(1)]) == .unavailable)
      try Kernel.run("nft delete set inet mine github-mcp-4")
      try broken.waitUp()
      #expect(try broken.commit([Self.element(1)]) == .committed)
      try broken.end()
    }
  }

  @Test("the table can be removed and installed again, also by a bridge that began without a plan")
  func removal() throws {
    try with(nil) { session in
      try session.waitUp()
      #expect(session.greetings[0].plan == 0)
      #expect(try session.request { session.link.removeTable("sluice", $0) } == nil)
      #expect(try session.request { session.link.install(.sample(), $0) } == nil)
      #expect(try session.commit([Self.element(1)]) == .committed)
      #expect(try session.request { session.link.ping($0) } == nil)
      #expect(try session.request { session.link.removeTable("sluice", $0) } == nil)
      #expect(try Kernel.run("nft list tables").isEmpty)
      #expect(try session.commit([Self.element(1)]) == .unavailable)
      kill(try session.worker(), SIGKILL)
      try session.turn("a worker without a plan") { session.greetings.last?.incarnation == 2 }
      #expect(try Kernel.run("nft list tables").isEmpty)
    }
  }

  /// A folder with a configuration of one server, whose entries open the ports.
  private static func write(_ folder: URL, ports: String, network: String = "10.77.1.0/24") throws
    -> BridgeSource
  {
    let path = folder.appending(path: "sluice.yaml").path
    try """
    listen: [ 127.0.0.1:5353 ]
    upstreams: [ udp://198.51.100.53 ]
    policies: policies.yaml
    audit: { path: audit.jsonl }
    state: state
    """.write(toFile: path, atomically: true, encoding: .utf8)
    try """
    server: github-mcp
    networks: [ \(network) ]
    egress: [ { host: api.github.com, ports: [ \(ports) ] } ]
    """.write(toFile: folder.appending(path: "policies.yaml").path, atomically: true, encoding: .utf8)
    return BridgeSource(path: path, folders: [folder.path])
  }

  private static func serverPlan(_ network: String = "10.77.1.0/24") -> FirewallPlan {
    FirewallPlan(
      mode: .managed,
      servers: [FirewallPlan.Server(name: "github-mcp", prefixes: [IPPrefix(network)!], opensAnyPort: false)],
      listeners: [.init(address: IPAddress("127.0.0.1")!, port: 5353)],
      upstreams: [.init(address: IPAddress("198.51.100.53")!, port: 53)])
  }

  private func bounded(_ body: (Session, URL) throws -> Void) throws {
    let folder = URL(filePath: NSTemporaryDirectory()).appending(
      path: "envelope-\(getpid())-\(UInt32.random(in: 0 ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let source = try Self.write(folder, ports: "443/tcp")
    let envelope = Envelope(
      plan: Self.serverPlan(), reaches: ["github-mcp": .init(ports: [.init(443, .tcp)])],
      permitPorts: .listed, permitDefaults: [.init(443, .tcp)], maxLifetimeMilliseconds: 61_000)
    try Kernel.inNamespace {
      let session = try Session(Self.serverPlan(), bounds: (envelope, source))
      try session.waitUp()
      try body(session, folder)
      try session.end()
    }
  }

  private static func refused(_ outcome: CommitOutcome) -> BridgeRefusal.Reason? {
    if case .refused(let refusal) = outcome { refusal.reason } else { nil }
  }

  @Test("what the files do not allow is refused whatever serve says: plans, elements, lifetimes, the table's end")
  func envelope() throws {
    try bounded { session, _ in
      let open = GrantElement(server: 0, address: IPAddress("93.184.216.34")!, transport: 6, port: 443)
      var wrong = [open, open, open, Self.element(1, server: 99)]
      wrong[0].port = 22
      wrong[1].address = IPAddress("10.77.1.7")!
      wrong[2].address = IPAddress("169.254.169.254")!
      #expect(try session.commit([open]) == .committed)
      for element in wrong {
        #expect(Self.refused(try session.commit([element])) == .outside)
        // One answer is open as a whole, or not at all.
        #expect(Self.refused(try session.commit([open, element])) == .outside)
        #expect(try !session.holds(element))
      }
      var long: CommitOutcome?
      session.link.commit(
        [GrantCommit(element: open, lifetimeMilliseconds: 61_001)], deadline: .now().adding(milliseconds: 5_000)
      ) { long = $0 }
      try session.turn("an outcome") { long != nil }
      #expect(long.flatMap(Self.refused) == .outside)
      #expect(try session.request { session.link.removeTable("sluice", $0) }?.refusal?.reason == .outside)
      var unfenced = Self.serverPlan()
      unfenced.fencesInput = false
      for plan in [unfenced, Self.serverPlan("10.77.0.0/16")] {
        let failure = try session.request { session.link.install(plan, $0) }
        #expect(failure?.refusal?.reason == .outside)
        #expect(failure?.text.contains("beyond what the configuration's files allow") == true)
      }
      // What the next worker has to know, it has from the supervisor.
      kill(try session.worker(), SIGKILL)
      try session.turn("another worker") { session.greetings.last?.incarnation == 2 }
      #expect(Self.refused(try session.commit([wrong[0]])) == .outside)
      #expect(try session.request { session.link.install(unfenced, $0) }?.refusal?.reason == .outside)
      #expect(try session.commit([open]) == .committed)
      #expect(try Kernel.run("nft list table inet sluice").contains("host/fence"))
    }
  }

  @Test("what others take out of the table is counted at once, before any message is read, by each worker")
  func alarms() throws {
    try Kernel.inNamespace {
      let session = try Session()
      try session.waitUp()
      func counts(_ what: String, _ change: () throws -> Void) throws {
        let before = session.alarms.value
        try change()
        // Nothing turns the reactor.
        try Session.poll(what) { session.alarms.value > before }
      }
      func flush() throws {
        _ = try session.commit([Self.element(1)])
        #expect(try session.holds(Self.element(1)))
        try counts("a flushed set is counted") { try Kernel.nft("flush set inet sluice github-mcp-4") }
      }
      let quiet = session.alarms.value
      _ = try session.commit([Self.element(2)])
      #expect(session.alarms.value == quiet)
      try flush()
      kill(try session.worker(), SIGKILL)
      try session.waitUp(2)
      try flush()
      try counts("a deleted table is counted") { try Kernel.nft("delete table inet sluice") }
      try session.end()
    }
  }

  private func withState(_ body: (String, Int32) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-state-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let state = try StateFolder.open(folder)
    try Kernel.inNamespace { try body(folder + "/bridge", state.raw) }
  }

  @Test("a list of governed networks that cannot be read opens nothing that it held, whatever made it so")
  func unreadableList() throws {
    try withState { folder, state in
      let session = try Session(Self.serverPlan(), state: state)
      try session.waitUp()
      var other = Self.serverPlan("10.77.5.0/24")
      #expect(try session.request { session.link.install(other, $0) } == nil)
      func isHeld() throws -> Bool { try Kernel.run("nft list table inet sluice").contains("10.77.1.0") }
      #expect(try isHeld())
      // Its owner may; the bridge, as root or as another, has no capability to read it all the same.
      #expect(unsafe chmod("\(folder)/networks.sluice", 0) == 0)
      other.harvestSeconds = 11
      #expect(
        try session.request { session.link.install(other, $0) }?.text.contains("list of governed networks") == true)
      #expect(try isHeld())
      kill(try session.worker(), SIGKILL)
      try session.turn("what is wrong is told") {
        session.events.contains { if case .broken = $0 { true } else { false } }
      }
      #expect(try isHeld())
      #expect(unsafe chmod("\(folder)/networks.sluice", 0o644) == 0)
      try session.turn("another worker") {
        session.greetings.last?.incarnation == 2 && session.greetings.last?.plan != 0
      }
      #expect(try isHeld())
      try session.end()
    }
  }

  @Test("where no rules are there at all, a list that cannot be read keeps back none, and is left as it is")
  func unreadableListAtStart() throws {
    try withState { folder, state in
      let list = "\(folder)/networks.sluice"
      #expect(FileManager.default.createFile(atPath: list, contents: Data("10.77.5.0/24 gone\n".utf8)))
      #expect(unsafe chmod(list, 0) == 0)
      let session = try Session(Self.serverPlan(), state: state)
      try session.waitUp()
      #expect(try Kernel.run("nft list table inet sluice").contains("10.77.1.0"))
      #expect(unsafe chmod(list, 0o644) == 0)
      #expect(try String(contentsOfFile: list, encoding: .utf8) == "10.77.5.0/24 gone\n")
      try session.end()
    }
  }

  @Test("no lock on the state folder keeps the bridge from its rules")
  func lockedState() throws {
    try withState { folder, state in
      let session = try Session(Self.serverPlan(), state: state)
      try session.waitUp()
      var status = stat()
      #expect(unsafe lstat("\(folder)/lock", &status) == 0 && status.st_mode & 0o777 == 0o600)
      try session.end()
      // The folder is any user's to lock, the file the service's.
      for path in [folder, "\(folder)/lock"] {
        let file = FileDescriptor(unsafe open(path, O_RDONLY | O_CLOEXEC))
        #expect(flock(file.raw, LOCK_EX) == 0)
        let session = try Session(Self.serverPlan(), state: state)
        try session.waitUp()
        #expect(try Kernel.run("nft list table inet sluice").contains("10.77.1.0"))
        try session.end()
      }
    }
  }

  @Test("a message without an octet ends no worker, and a flood of any keeps none from the host's network")
  func emptyMessage() throws {
    let host = try #require(Kernel.host)
    try Kernel.inNamespace {
      let child = try BridgeChild.spawn(Self.serverPlan(), executable: host)
      let pid = child.pid
      let end = child.takeSocket()
      let socket = end.raw
      var buffer = [UInt8](repeating: 0, count: BridgeMessage.maximumOctets)
      var told: [BridgeMessage] = []
      func receive(_ what: String, until condition: ([BridgeMessage]) -> Bool) throws {
        try Session.poll(what) {
          if case .octets(let octets) = MessageSocket.receive(socket, into: &buffer) {
            told.append(try BridgeMessage(decoding: octets))
          }
          return condition(told)
        }
      }
      try receive("a greeting") { $0.contains { if case .hello = $0 { true } else { false } } }
      for _ in 0..<20 { #expect(unsafe send(socket, [0], 0, Int32(MSG_NOSIGNAL)) == 0) }
      #expect(MessageSocket.send(BridgeMessage.ping(request: 7).encoded(), socket, waiting: true) == .sent)
      try receive("an echo") { $0.contains { if case .done(7, _, _, _) = $0 { true } else { false } } }
      #expect(told.count { if case .hello = $0 { true } else { false } } == 1)
      let ping = BridgeMessage.ping(request: 8).encoded()
      try Kernel.run(
        "ip link add br-new type bridge && ip address add 10.77.1.1/24 dev br-new && ip link set br-new up")
      var enclosed = false
      try Session.poll("the interface is enclosed") {
        for _ in 0..<2_000 { _ = MessageSocket.send(ping, socket, waiting: false) }
        while case .octets(let octets) = MessageSocket.receive(socket, into: &buffer) {
          if case .enclosure(let report) = try BridgeMessage(decoding: octets) {
            enclosed = enclosed || report.links.contains { $0.interface == "br-new" }
          }
        }
        return enclosed
      }
      _ = consume end
      try Session.poll("the bridge ends") {
        var state: Int32 = 0
        return unsafe waitpid(pid, &state, WNOHANG) == pid
      }
    }
  }

  @Test("without bounds that can be read nothing is installed for a serve")
  func withoutEnvelope() throws {
    var envelope = Envelope(
      plan: Self.serverPlan(), reaches: [:], permitPorts: .listed, permitDefaults: [], maxLifetimeMilliseconds: 61_000)
    #expect(try Envelope(decoding: envelope.encoded()) == envelope)
    // No plan may have two servers of a name, so that what was encoded is no envelope.
    envelope.plan.servers.append(envelope.plan.servers[0])
    try Kernel.inNamespace {
      let session = try Session(
        Self.serverPlan(), bounds: (envelope, BridgeSource(path: "/nowhere/sluice.yaml", folders: [])))
      try session.turn("the fault") {
        session.events.contains { if case .broken(let text) = $0 { text.contains("envelope") } else { false } }
      }
      #expect(session.greetings.isEmpty)
      #expect(try Kernel.run("nft list tables").isEmpty)
      try session.end()
    }
  }

  @Test("files are read again when that is announced and at no other time; what cannot be read changes nothing")
  func envelopeReadAgain() throws {
    try bounded { session, folder in
      let other = GrantElement(server: 0, address: IPAddress("93.184.216.34")!, transport: 6, port: 8443)
      let moved = Self.serverPlan("10.77.5.0/24")
      _ = try Self.write(folder, ports: "8443/tcp", network: "10.77.5.0/24")
      #expect(Self.refused(try session.commit([other])) == .outside)
      #expect(try session.request { session.link.install(moved, $0) }?.refusal?.reason == .outside)
      try "server: [".write(toFile: folder.appending(path: "policies.yaml").path, atomically: true, encoding: .utf8)
      let failure = try session.request { session.link.readAgain($0) }
      #expect(failure?.text.contains("policies.yaml:2") == true, "\(String(describing: failure))")
      #expect(Self.refused(try session.commit([other])) == .outside)
      #expect(
        try session.request { session.link.install(moved, $0) }?.text.contains("could not be read the last time")
          == true)
      _ = try Self.write(folder, ports: "8443/tcp", network: "10.77.5.0/24")
      // Announced twice while it reads: both are told when what was there at the second is in force.
      var answers = 0
      for _ in 0..<2 { session.link.readAgain { if $0 == nil { answers += 1 } } }
      try session.turn("both readings") { answers == 2 }
      let worker = try session.worker()
      try Session.poll("the last reading ends") { Kernel.children(of: worker).isEmpty }
      for _ in 0..<10 { #expect(Kernel.children(of: worker).isEmpty, "and no other one begins") }
      #expect(try session.request { session.link.install(moved, $0) } == nil)
      #expect(try session.commit([other]) == .committed)
      #expect(try session.request { session.link.install(Self.serverPlan(), $0) }?.refusal?.reason == .outside)
    }
  }

  @Test("another program's table is neither changed nor removed")
  func strangers() throws {
    try with { session in
      try session.waitUp()
      try Kernel.nft(
        "add table inet theirs\nadd chain inet theirs forward { type filter hook forward priority 0; }\n"
          + "add set inet theirs s { type ipv4_addr; }\nadd rule inet theirs forward ip saddr @s accept\n")
      let before = try Kernel.run("nft list table inet theirs")
      #expect(try session.request { session.link.removeTable("theirs", $0) }?.text == "the table is not of our making")
      let failure = try session.request { session.link.install(.sample(table: "theirs"), $0) }
      #expect(failure?.text.contains("not of our making") == true)
      #expect(try Kernel.run("nft list table inet theirs") == before)
    }
  }

  @Test("when both processes are gone every commit is unavailable at once")
  func gone() throws {
    try Kernel.inNamespace {
      let session = try Session()
      try session.waitUp()
      let worker = try session.worker()
      let supervisor = session.link.supervisor
      kill(supervisor, SIGSTOP)
      kill(worker, SIGKILL)
      kill(supervisor, SIGKILL)
      try session.turn("down") { session.events.last == .down }
      #expect(try session.commit([Self.element(1)]) == .unavailable)
      try session.end()
    }
  }
}
