import Foundation
import Glibc
import GrantLedger
import HostNetwork
import IPNetwork
import LinuxIO
import TestSupport
import Testing

import BridgeProcesses
import FirewallBridge
@testable import FirewallModel
import NFTables

@testable import FirewallWorker

/// Another program's socket, which may own tables that no other process can change.
private final class Stranger {
  private let socket: NetlinkSocket

  init() throws { socket = try NetlinkSocket() }

  func carryOut(_ batch: NetlinkBatch) throws {
    let error = socket.carryOut(batch)
    guard error == 0 else { throw Kernel.Failure(description: "a batch was refused: error \(error)") }
  }
}

@Suite("What closes the governed networks while the table is not whole")
struct ClosingRulesTests {
  private static func surroundings(_ interface: String) -> Ruleset.Surroundings {
    var surroundings = Ruleset.Surroundings()
    surroundings.enclosure.links = [Enclosure.Link(interface: interface, index: 7, servers: [0], held: [], others: [])]
    surroundings.held = [HeldNetwork(prefix: FirewallPlan.prefix("10.88.0.0/24"), server: "gone")]
    return surroundings
  }

  @Test("they name every network that is governed or held, every enclosed interface, and no table that a plan can have")
  func contents() {
    let rules = ClosingRules(.sample(), Self.surroundings("br-mcp"))
    let networks = FirewallPlan.sample().servers.flatMap(\.prefixes) + [FirewallPlan.prefix("10.88.0.0/24")]
    #expect(Set(rules.networks) == Set(networks))
    #expect(rules.interfaces == ["br-mcp"])
    #expect(Set(rules.listeners) == Set(FirewallPlan.sample().listeners))
    #expect(!FirewallPlan.isName(rules.table))
    #expect(
      rules != ClosingRules(.sample(), Self.surroundings("br-new")), "another interface is another closing ruleset")
    #expect(ClosingRules(FirewallPlan(mode: .managed, servers: []), .init()).isEmpty)
  }
}

extension BridgeTests {
  @Suite("The closing rules in the kernel", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
  struct Closing {
    private static let table = "sluice/closing"

    /// Whether packets meet the closing rules.
    private static func isAwake() throws -> Bool {
      try KernelSets().chains(family: .inet, table: table).contains { $0.hasSuffix("/hook") }
    }

    private static func list(_ name: String) throws -> String { try Kernel.run("nft -s list table inet \(name)") }

    @Test("ready, it lets everything pass; awake it is between the packets and everything; it outlives foreign flushes")
    func ownership() throws {
      try Kernel.inNamespace {
        do {
          let closing = try ClosingTable()
          var surroundings = Ruleset.Surroundings()
          surroundings.enclosure.links = [
            Enclosure.Link(interface: "br-mcp", index: 7, servers: [0], held: [], others: [])
          ]
          #expect(try closing.prepare(ClosingRules(.sample(), surroundings), reading: KernelSets()) == 0)
          #expect(closing.wakings == nil)
          #expect(try !Self.isAwake())
          let asleep = try Self.list(Self.table)
          for part in ["10.77.0.0/16", "fd00:77::/32", "\"br-mcp\"", "ip daddr 10.77.1.1 udp dport 53 accept", "drop"] {
            #expect(asleep.contains(part), "\(part) in \(asleep)")
          }
          closing.wake()
          let wakings = try #require(closing.wakings)
          #expect(try Self.isAwake())
          for deed in ["flush ruleset", "delete table inet \(Self.table)", "flush table inet \(Self.table)"] {
            _ = try? Kernel.run("nft \(deed)")
            #expect(try Self.isAwake(), "after \(deed)")
          }
          // Another plan while it is awake: it stays so.
          surroundings.enclosure.links[0].interface = "br-new"
          #expect(try closing.prepare(ClosingRules(.sample(), surroundings), reading: KernelSets()) == 0)
          #expect(try Self.isAwake())
          #expect(try Self.list(Self.table).contains("\"br-new\""))
          closing.wake()
          closing.sleep(since: wakings)
          #expect(try Self.isAwake(), "woken again since")
          #expect(!closing.woken.drain().isEmpty, "the one that came too late looks again")
          closing.sleep(since: try #require(closing.wakings))
          #expect(try !Self.isAwake())
          #expect(try closing.prepare(nil, reading: KernelSets()) == 0)
          #expect(try Kernel.run("nft list tables").isEmpty)
          #expect(try closing.prepare(ClosingRules(.sample(), surroundings), reading: KernelSets()) == 0)
          closing.wake()
        }
        try Session.poll("the table ends with its owner") { try Kernel.run("nft list tables").isEmpty }
      }
    }

    @Test("closing rules that the kernel refuses are told as such, and are ready as soon as it takes them")
    func unprepared() throws {
      try Kernel.inNamespace {
        let closing = try ClosingTable()
        let rules = ClosingRules(.sample(), .init())
        do {
          let stranger = try Stranger()
          var theft = NetlinkBatch(table: Self.table)
          theft.addTable()
          try stranger.carryOut(theft)
          #expect(try closing.prepare(rules, reading: KernelSets()) == EPERM)
          _ = stranger
        }
        try Session.poll("the table ends with its owner") { try Kernel.run("nft list tables").isEmpty }
        #expect(try closing.prepare(rules, reading: KernelSets()) == 0)
        closing.wake()
        #expect(try Self.isAwake())
      }
    }

    @Test("what is dropped while it is awake is counted, over another plan too")
    func counted() throws {
      try Kernel.inNamespace {
        try Kernel.run("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up")
        /// Packets from a governed address, in a broadcast frame.
        func send(_ count: Int) throws {
          let script = """
            import socket, struct
            header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, bytes((10, 77, 1, 9)), bytes((192, 0, 2, 1)))
            total = sum(struct.unpack("!10H", header))
            total = (total & 0xFFFF) + (total >> 16)
            header = header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
            link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            link.bind(("v1", 0))
            for _ in range(\(count)): link.send(b"\\xff" * 6 + b"\\x02" + bytes(5) + b"\\x08\\x00" + header + bytes(8))
            """
          try Kernel.run("python3 -c '\(script)'")
        }
        let closing = try ClosingTable()
        var surroundings = Ruleset.Surroundings()
        #expect(try closing.prepare(ClosingRules(.sample(), surroundings), reading: KernelSets()) == 0)
        try send(3)
        #expect(try closing.dropped(reading: KernelSets()) == 0, "asleep it drops nothing")
        closing.wake()
        try send(5)
        #expect(try closing.dropped(reading: KernelSets()) == 5)
        surroundings.enclosure.links = [
          Enclosure.Link(interface: "br-mcp", index: 7, servers: [0], held: [], others: [])
        ]
        #expect(try closing.prepare(ClosingRules(.sample(), surroundings), reading: KernelSets()) == 0)
        #expect(try closing.dropped(reading: KernelSets()) == 5)
        try send(2)
        #expect(try closing.dropped(reading: KernelSets()) == 7)
        closing.sleep(since: try #require(closing.wakings))
        #expect(try closing.prepare(nil, reading: KernelSets()) == 0)
        #expect(try closing.dropped(reading: KernelSets()) == 7)
      }
    }

    @Test("thousands of networks are one batch")
    func large() throws {
      try Kernel.inNamespace {
        let closing = try ClosingTable()
        let servers = (0..<4_000).map { index in
          let prefix = IPPrefix(IPAddress(v4: 0x0A00_0000 + UInt32(index) << 9), length: 24)!
          return FirewallPlan.Server(name: "s\(index)", prefixes: [prefix], opensAnyPort: false)
        }
        #expect(
          try closing.prepare(
            ClosingRules(FirewallPlan(mode: .managed, servers: servers), .init()), reading: KernelSets()) == 0)
        closing.wake()
        #expect(try Self.isAwake())
        let listed = try Self.list(Self.table)
        #expect(listed.contains("10.31.62.0/24") && !listed.contains("10.31.63.0/24"))
        // As another plan does it, in one transaction.
        #expect(try closing.prepare(ClosingRules(.sample(), .init()), reading: KernelSets()) == 0)
        #expect(try Self.isAwake())
      }
    }

    @Test("while the table cannot be put back everything stays closed, and opens again when it is back")
    func failedRepair() throws {
      guard Kernel.host != nil else { return }
      try Kernel.inNamespace {
        let session = try Session()
        try session.waitUp()
        #expect(try !Self.isAwake(), "nothing is closed while the table is whole")
        let wanted = try Self.list("sluice")
        do {
          // In one transaction the table goes and another program owns one of its name: nft can do nothing about it.
          let stranger = try Stranger()
          var theft = NetlinkBatch(table: "sluice")
          theft.deleteTable()
          theft.addTable()
          try stranger.carryOut(theft)
          try session.turn("it is closed") { (try? Self.isAwake()) == true }
          // Whatever is tried meanwhile: each try tells.
          for attempt in 1...2 {
            session.events.removeAll()
            try session.turn("attempt \(attempt)") { !session.changes.isEmpty }
            #expect(!session.changes.contains(.reinstalled))
            #expect(try Self.isAwake(), "after attempt \(attempt)")
          }
          _ = stranger
        }
        try session.turn("it opens again") { (try? Self.isAwake()) == false }
        #expect(try Self.list("sluice") == wanted)
        try session.end()
        try Session.poll("nothing is left of it") { try !Kernel.run("nft list tables").contains(Self.table) }
      }
    }

    @Test("however often and fast others take rules away, in the end the table is whole and nothing is closed for good")
    func randomFlushes() throws {
      guard Kernel.host != nil else { return }
      try Kernel.inNamespace {
        let session = try Session()
        try session.waitUp()
        let wanted = try Self.list("sluice")
        var generator = SeededRandom(seed: 9)
        let deeds = [
          "flush ruleset", "delete table inet sluice", "flush table inet sluice", "flush chain inet sluice forward",
          "flush set inet sluice servers-4/24", "insert rule inet sluice forward accept",
          "delete map inet sluice links",
        ]
        for turn in 1...150 {
          // Refused where an earlier deed is not yet undone.
          _ = try? Kernel.run("nft \(deeds.randomElement(using: &generator)!)")
          if turn % 30 == 0 {
            try session.turn("whole and open again after turn \(turn)") {
              (try? Self.isAwake()) == false && (try? Self.list("sluice")) == wanted
            }
          } else if Bool.random(using: &generator) {
            usleep(UInt32.random(in: 0..<30_000, using: &generator))
          }
        }
        try session.end()
      }
    }

    @Test("our own installation, another plan and the removal wake nothing")
    func ownChanges() throws {
      guard Kernel.host != nil else { return }
      try Kernel.inNamespace {
        let session = try Session()
        try session.waitUp()
        let monitor = try Kernel.run("nft list table inet \(Self.table)")
        #expect(monitor.contains("packets 0 bytes 0"))
        var plan = FirewallPlan.sample()
        plan.servers[0].prefixes = [FirewallPlan.prefix("10.99.0.0/24")]
        #expect(try session.request { session.link.install(plan, $0) } == nil)
        #expect(try !Self.isAwake())
        #expect(try Self.list(Self.table).contains("10.99.0.0/24"))
        #expect(try session.request { session.link.removeTable("sluice", $0) } == nil)
        #expect(try Kernel.run("nft list tables").isEmpty)
        #expect(!session.events.contains { if case .notice = $0 { true } else { false } }, "nor is anything lacking")
        try session.end()
      }
    }
  }
}
