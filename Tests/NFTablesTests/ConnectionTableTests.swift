import FirewallModel
import IPNetwork
import TestSupport
import Testing

@testable import NFTables

@Suite(
  "Addresses with a lock, and connections", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct ConnectionTableTests {
  @Test("a table has one owner in a namespace, and none after the owner is gone")
  func lock() throws {
    try Kernel.inNamespace {
      do {
        let lock = try TableLock(family: .inet, table: "sluice")
        #expect(throws: TableLock.TakenError.self) { _ = try TableLock(family: .inet, table: "sluice") }
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
      try Kernel.run("nft 'table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }'")
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
