import IPNetwork
import TestSupport
import Testing

@testable import FirewallBridge

@Suite("Reading a refused packet")
struct RefusedPacketTests {
  private static let v4: [UInt8] =
    [0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 77, 1, 2, 45, 11, 0, 66] + [0x9C, 0xFC, 0x01, 0xBB, 0, 0, 0, 0]
  private static let source6: [UInt8] = [0xFD, 0, 0, 0x77, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]
  private static let target6: [UInt8] = [0x2A, 0x10, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66]

  private static func v6(_ next: UInt8, _ rest: [UInt8]) -> [UInt8] {
    [0x60, 0, 0, 0, 0, UInt8(rest.count), next, 64] + source6 + target6 + rest
  }

  @Test("addresses, ports and length of IPv4")
  func ipv4() throws {
    let packet = try #require(RefusedPacket(prefix: "sluice a ", packet: Self.v4, time: 7))
    #expect(packet.source == IPAddress("10.77.1.2") && packet.destination == IPAddress("45.11.0.66"))
    #expect(packet.transport == 6 && packet.sourcePort == 40_188 && packet.port == 443 && packet.length == 60)
  }

  @Test("ports behind extension headers of IPv6, and none in a later fragment")
  func ipv6() throws {
    let ports: [UInt8] = [0, 53, 0x03, 0x55, 0, 8, 0, 0]
    let plain = try #require(RefusedPacket(prefix: "", packet: Self.v6(17, ports), time: 7))
    #expect(plain.port == 853 && plain.transport == 17 && plain.length == 48)
    let hop: [UInt8] = [60, 0, 0, 0, 0, 0, 0, 0]
    let options: [UInt8] = [17, 1, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
    let behind = try #require(RefusedPacket(prefix: "", packet: Self.v6(0, hop + options + ports), time: 7))
    #expect(behind.port == 853 && behind.transport == 17)
    let later = try #require(
      RefusedPacket(prefix: "", packet: Self.v6(44, [17, 0, 0x01, 0, 0, 0, 0, 1] + ports), time: 7))
    #expect(later.port == 0 && later.transport == 17)
    let endless = try #require(
      RefusedPacket(prefix: "", packet: Self.v6(0, [UInt8](repeating: 0, count: 8 * 30)), time: 7))
    #expect(endless.port == 0)
  }

  @Test("a packet that is cut off anywhere, or is no IP at all, traps nothing")
  func hostile() {
    var random = SeededRandom(seed: 9)
    let samples = [Self.v4, Self.v6(0, [43, 255, 0, 0, 0, 0, 0, 0, 17, 0]), Self.v6(6, [1, 2, 3, 4])]
    for sample in samples {
      for count in 0...sample.count { _ = RefusedPacket(prefix: "", packet: Array(sample[..<count]), time: 0) }
    }
    for _ in 0..<50_000 {
      var octets = (0..<Int.random(in: 0...128, using: &random)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      if let first = octets.first { octets[0] = (random.next() % 2 == 0 ? 0x40 : 0x60) | first & 0x0F }
      _ = RefusedPacket(prefix: "", packet: octets, time: 7)
    }
    #expect(RefusedPacket(prefix: "", packet: [], time: 7) == nil)
    #expect(RefusedPacket(prefix: "", packet: [UInt8](repeating: 0x55, count: 60), time: 7) == nil)
  }

  @Test("only the table's own words make an event")
  func prefixes() throws {
    try Kernel.inNamespaceIfRoot {
      let socket = try NetlinkSocket()
      let kernel = KernelSets(socket)
      let plan = FirewallPlan.sample()
      let feeder = SetFeeder(
        plan: plan, serverSets: [], refresh: .inPlace, transaction: ElementTransaction(socket), kernel: kernel)
      func kind(_ prefix: String) -> (RefusedConnection.Kind, UInt16?)? {
        RefusedPacket(prefix: prefix, packet: Self.v4, time: 7).flatMap(feeder.connection).map { ($0.kind, $0.server) }
      }
      #expect(kind("sluice github-mcp ")! == (.closed, 0))
      #expect(kind("sluice db_tools max-bytes ")! == (.maxBytes, 1))
      #expect(kind("sluice db_tools max-bytes-per-hour ")! == (.maxBytesPerHour, 1))
      #expect(kind("sluice github-mcp spoofed ")! == (.spoofed, 0))
      #expect(kind("sluice host ")! == (.host, nil))
      for foreign in [
        "", "sluice", "sluice nobody ", "other github-mcp ", "sluice github-mcp why not ", "sluice github-mcp odd ",
      ] {
        #expect(kind(foreign) == nil, "\(foreign)")
      }
    }
  }
}

extension Kernel {
  /// As `inNamespace`, and nothing at all without root.
  fileprivate static func inNamespaceIfRoot(_ body: () throws -> Void) throws {
    guard isRoot else { return print(reason) }
    try inNamespace(body)
  }
}

@Suite(
  "Addresses with a lock, and connections", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct ConnectionTableTests {
  @Test("a table has one owner in a namespace, and none after the owner is gone")
  func lock() throws {
    try Kernel.inNamespace {
      do {
        let lock = try TableLock(family: .inet, table: "sluice")
        #expect(throws: TableLock.Taken.self) { _ = try TableLock(family: .inet, table: "sluice") }
        _ = try TableLock(family: .inet, table: "other")
        try Kernel.inNamespace { _ = try TableLock(family: .inet, table: "sluice") }
        _ = consume lock
      }
      _ = try TableLock(family: .inet, table: "sluice")
    }
  }

  @Test(
    "connections of exactly one network, address, protocol and port are found and cut", arguments: ["127.0.0", "::1"])
  func cut(_ network: String) throws {
    try Kernel.inNamespace {
      try Kernel.run("ip link set lo up")
      // Something has to ask for connection tracking before there is any.
      try Kernel.nft("table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }")
      let v6 = network == "::1"
      let (one, two) = v6 ? ("::1", "::1") : ("127.0.0.1", "127.0.0.2")
      let script = """
        import socket,sys
        f=socket.AF_INET6 if ':' in '\(one)' else socket.AF_INET
        for h,p in (('\(one)',1001),('\(one)',1002),('\(two)',1003)):
          s=socket.socket(f,socket.SOCK_DGRAM); s.connect((h,p)); s.send(b'x')
        """
      try Kernel.run("python3 -c \"\(script)\"")
      let table = try ConnectionTable()
      func target(_ address: String, _ port: UInt16, from: String, transport: UInt8 = 17) throws -> FlowTarget {
        FlowTarget(
          sources: [try #require(IPPrefix(from))], destination: try #require(IPPrefix(address)), transport: transport,
          port: port)
      }
      let own = v6 ? "::1/128" : "127.0.0.0/8"
      let targets = [
        try target(one, 1001, from: own), try target(one, 1001, from: v6 ? "fd00::/8" : "10.0.0.0/8"),
        try target(one, 1001, from: own, transport: 6), try target(one, 1009, from: own),
        try target(one, 0, from: own, transport: 0),
      ]
      #expect(try table.inUse(targets) == [0, 4])
      #expect(try table.cut([targets[1], targets[2], targets[3]]) == 0)
      #expect(try table.cut([targets[0]]) == 1)
      #expect(try table.inUse(targets) == [4], "the other port lives on")
      #expect(try table.cut([targets[0]]) == 0)
      #expect(try table.inUse([try target(two, 1003, from: own)]) == [0])
    }
  }
}
