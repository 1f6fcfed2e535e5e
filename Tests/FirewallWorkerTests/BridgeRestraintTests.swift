import EgressPolicy
import Foundation
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import TestSupport
import Testing

import BridgeProcesses
import FirewallBridge
import FirewallModel
import NFTables

@testable import FirewallWorker

/// What a real bridge leaves as it is: the user's table, the host's settings, its own rights, and what another plan means.
@Suite(
  "What the bridge leaves alone", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)),
  .enabled(if: Kernel.host != nil, "needs the built executable beside the tests, or SLUICE_BRIDGE_HOST"), .serialized)
struct BridgeRestraintTests {
  private static func element(_ address: String, server: UInt16 = 0) -> GrantElement {
    GrantElement(server: server, address: IPAddress(address)!, transport: 6, port: 443)
  }

  private static func makeUsersTable() throws {
    try Kernel.nft(
      """
      add table inet mine
      add set inet mine github-mcp-4 { type ipv4_addr . inet_proto . inet_service; flags timeout; }
      add set inet mine db_tools-4 { type ipv4_addr; flags timeout; }
      """)
  }

  private static func notices(_ session: Session) -> [String] {
    session.events.compactMap { if case .notice(let text) = $0 { text } else { nil } }
  }

  @Test("the host's network bounds what is opened in the user's table, and changes nothing else there")
  func usersTable() throws {
    try Kernel.inNamespace {
      try Self.makeUsersTable()
      let plan = FirewallPlan(
        mode: .sets, table: "mine",
        servers: [.init(name: "github-mcp", prefixes: [FirewallPlan.prefix("10.77.1.0/24")], opensAnyPort: false)],
        isExclusive: true)
      let envelope = Envelope(
        plan: plan, reaches: ["github-mcp": .init(ports: [.init(443, .tcp)])], permitPorts: .listed,
        permitDefaults: [.init(443, .tcp)], maxLifetimeMilliseconds: 61_000)
      let session = try Session(
        plan, bounds: (envelope, BridgeSource(path: "/nowhere/sluice.yaml", folders: [])))
      try session.waitUp()
      #expect(try session.commit([Self.element("93.184.216.34")]) == .committed)
      try Kernel.run("ip link add br-new type bridge && ip addr add 93.184.216.34/24 dev br-new")
      try Kernel.run("ip addr add 10.77.1.1/24 dev br-new && ip link set br-new up")
      try Session.poll("the host's own address is none to open") {
        if case .refused(let refusal) = try session.commit([Self.element("93.184.216.34")]) {
          refusal.reason == .outside
        } else {
          false
        }
      }
      #expect(try session.commit([Self.element("8.8.8.8")]) == .committed)
      #expect(try session.kernel.chains(family: .inet, table: "mine").isEmpty)
      #expect(!session.events.contains { if case .enclosure = $0 { true } else { false } })
      // What is the user's is not to be Sluice's alone.
      #expect(Self.notices(session).isEmpty)
      try session.end()
    }
  }

  @Test("what is sent to open prefixes is told where that is asked for, and of Sluice's own table alone")
  func prefixVolumes() throws {
    let cases: [(FirewallPlan.Mode, UInt16, Bool)] = [(.managed, 10, true), (.managed, 0, false), (.sets, 10, false)]
    for (mode, seconds, isTold) in cases {
      try Kernel.inNamespace {
        try Self.makeUsersTable()
        var plan = FirewallPlan.sample(table: mode == .sets ? "mine" : "sluice", mode: mode)
        plan.harvestSeconds = seconds
        let session = try Session(plan)
        try session.waitUp()
        // As the table's own, which only packets can count up.
        let name = Ruleset.counter(of: FirewallPlan.prefix("203.0.113.0/24"), server: "github-mcp")
        try Kernel.nft("add counter inet \(plan.table) \(name) { packets 7 bytes 700 }\n")
        for _ in 0..<2 { #expect(try session.request { session.link.ping($0) } == nil) }
        // By the numbers of the plan that goes.
        plan.cutsFlows = false
        #expect(try session.request { session.link.install(plan, $0) } == nil)
        let told = session.events.flatMap { event -> [PrefixVolume] in
          if case .prefixVolumes(let volumes) = event { volumes } else { [] }
        }
        #expect(told.map(\.octets) == (isTold ? [700] : []), "\(mode), each \(seconds) s")
        try session.end()
      }
    }
  }

  @Test("the host counts connections where a bound needs it, and stays as it was where none does")
  func accounting() throws {
    try Kernel.inNamespace {
      let setting = "/proc/sys/net/netfilter/nf_conntrack_acct"
      func counts() throws -> String {
        try Kernel.run("cat \(setting)").trimmingCharacters(in: .whitespacesAndNewlines)
      }
      try Kernel.run("echo 0 > \(setting)")
      let session = try Session()
      try session.waitUp()
      #expect(try counts() == "0")
      var plan = FirewallPlan.sample()
      plan.servers[0].caps = [ByteCap(kind: .perConnection, bytes: 262_144)]
      #expect(try session.request { session.link.install(plan, $0) } == nil)
      #expect(try counts() == "1")
      try session.end()
    }
  }

  @Test("of what is no folder the bridge takes no owner to be its own")
  func owner() throws {
    let path = NSTemporaryDirectory() + "sluice-owner-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(FileManager.default.createFile(atPath: path, contents: Data()))
    #expect(unsafe chown(path, 54_321, 54_321) == 0)
    let file = FileDescriptor(unsafe open(path, O_RDONLY | O_CLOEXEC))
    try Kernel.inNamespace {
      let session = try Session(state: file.raw)
      try session.waitUp()
      for pid in [session.link.supervisor, try session.worker()] {
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        #expect(status.contains("\nUid:\t0\t0\t0\t0\n"))
      }
      try session.end()
    }
  }

  @Test(
    "what was asked under another plan is refused, whatever it is, and nothing of the plan in force is closed by it")
  func otherPlan() throws {
    let host = try #require(Kernel.host)
    try Kernel.inNamespace {
      let plan = FirewallPlan.sample()
      let wire = try BridgeWire(plan, executable: host)
      let element = Self.element("192.0.2.1")
      try wire.open(element, plan)
      let other = plan.fingerprint &+ 1
      let messages: [BridgeMessage] = [
        .revoke(request: 0, plan: other, cutsFlows: false, elements: [element]),
        .revoke(request: 1, plan: other, cutsFlows: true, elements: [element]),
        .inUse(request: 2, plan: other, elements: [element]),
        .listServer(request: 3, plan: other, server: 0),
        .unreachable(request: 4, plan: other, elements: [element]),
      ]
      for (number, message) in messages.enumerated() {
        #expect(try wire.ask(UInt32(number), message) == .otherPlan, "\(message)")
      }
      #expect(try KernelSets().element(element, plan: plan) != nil)
      #expect(try wire.ask(5, .revoke(request: 5, plan: plan.fingerprint, cutsFlows: true, elements: [element])) == nil)
      #expect(try KernelSets().element(element, plan: plan) == nil)
      try wire.end()
    }
  }

  @Test(
    "while a plan of many sets is installed the bridge shows that it runs some times a second, and not for each set")
  func signs() throws {
    let host = try #require(Kernel.host)
    try Kernel.inNamespace {
      var plan = FirewallPlan.sample()
      plan.servers = (0..<80).map { index in
        .init(
          name: "server-\(index)", prefixes: [IPPrefix(IPAddress(v4: 0x0A00_0000 + UInt32(index) * 256), length: 24)!],
          opensAnyPort: true)
      }
      let wire = try BridgeWire(plan, executable: host)
      // Four sets of each server are read.
      #expect(wire.told.count { $0 == .alive } < 80)
      try wire.end()
    }
  }
}
