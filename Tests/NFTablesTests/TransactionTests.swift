import CNetfilter
import FirewallModel
import Glibc
import GrantLedger
import IPNetwork
import TestSupport
import Testing

@testable import NFTables

@Suite(
  "Batches that are carried out whole or not at all", .enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)),
  .serialized)
struct TransactionTests {
  private static let shape = SetShape(family: .v6, kind: .ports)
  private static let set = KernelSet(family: .inet, table: "t", name: "big")

  private static func element(_ number: Int) -> KernelElement {
    let address = IPAddress(high: 0x2001_0DB8_0000_0000, low: UInt64(number))
    return KernelElement(
      set: 0, key: shape.key(address: address, transport: 6, port: 443), lifetimeMilliseconds: 60_000)
  }

  @Test("more than the buffer has room for is refused as a whole, and the next batch is carried out (P8)")
  func tooLarge() throws {
    try Kernel.inNamespace {
      let type = "type ipv6_addr . inet_proto . inet_service; flags timeout; size 1000000;"
      try Kernel.run("nft 'table inet t { set big { \(type) }; }'")
      let socket = try NetlinkSocket()
      let transaction = ElementTransaction(socket)
      let all = (0..<80_000).map(Self.element)
      #expect(transaction.open(all, sets: [Self.set], refresh: .replace) == ENOMEM)
      #expect(try KernelSets(socket).elements(Self.set, shape: Self.shape).isEmpty)
      #expect(transaction.open([all[0]], sets: [Self.set], refresh: .replace) == 0)
      #expect(try KernelSets(socket).elements(Self.set, shape: Self.shape).count == 1)
    }
  }

  @Test("one that the kernel refuses before it reads it ends, with the kernel's reason")
  func unprivileged() throws {
    let error = try Unprivileged.perform { () throws -> Int32 in
      ElementTransaction(try NetlinkSocket()).deleteTable(Self.set)
    }
    #expect(error == EPERM)
  }

  @Test("one that is longer than the socket can send is an error, and not one without an answer")
  func tooLong() throws {
    try Kernel.inNamespace {
      var batch = NetlinkBatch(table: "t")
      batch.addTable()
      let ranges = (0..<20_000).map { UInt128($0) * 4...UInt128($0) * 4 + 1 }
      batch.addRanges("all", .v4, ranges)
      let error = try NetlinkSocket().carryOut(batch)
      #expect(error == EMSGSIZE)
      #expect(try Kernel.run("nft list tables").isEmpty)
    }
  }

  @Test("what its socket hears beside says nothing of a batch")
  func listening() throws {
    try Kernel.inNamespace {
      let socket = try NetlinkSocket(groups: 1 << (UInt32(NFNLGRP_NFTABLES.rawValue) - 1))
      var batch = NetlinkBatch(table: "t")
      batch.addTable()
      batch.addChain("c")
      #expect(socket.carryOut(batch) == 0)
      #expect(try KernelSets().chains(family: .inet, table: "t") == ["c"])
    }
  }

  @Test("a trial leaves another program's table alone that has its name")
  func trial() throws {
    try Kernel.inNamespace {
      let name = "sluice_probe_\(getpid())"
      try Kernel.run("nft 'table inet \(name) { set probe { type ipv6_addr; }; }'")
      let socket = try NetlinkSocket()
      let transaction = ElementTransaction(socket)
      let refusal = transaction.makeProbe(KernelSet(family: .inet, table: name, name: "probe"))
      // Older kernels take another type for the same set.
      guard refusal != 0 else { return }
      #expect(RefreshProbe.run(transaction, KernelSets(socket)) == .replace)
      #expect(try KernelSets(socket).sets(family: .inet, table: name).keys.sorted() == ["probe"])
    }
  }

  @Test("a server that the plan does not have holds no element")
  func unknownServer() throws {
    try Kernel.inNamespace {
      let element = GrantElement(server: 2, address: IPAddress(v4: 0xC000_0201), transport: 6, port: 443)
      let found = try KernelSets().element(element, plan: .sample())
      #expect(found == nil)
    }
  }
}

@Suite("What netlink messages hold")
struct NetlinkAttributesTests {
  /// The attributes of a message that has those.
  private func attributes<Result>(
    _ parts: [(type: UInt32, octets: [UInt8])], _ body: (NetlinkAttributes) -> Result
  ) throws -> Result {
    let room = UnsafeMutableRawPointer.allocate(byteCount: 4_096, alignment: 16)
    defer { unsafe room.deallocate() }
    guard let header = unsafe mnl_nlmsg_put_header(room) else { throw Kernel.Failure(description: "no header") }
    _ = unsafe mnl_nlmsg_put_extra_header(header, MemoryLayout<nfgenmsg>.size)
    for part in parts { unsafe putAttribute(part.octets, part.type, into: header) }
    return unsafe body(NetlinkAttributes(of: header))
  }

  @Test("a number has its own length, and one of another is none")
  func numbers() throws {
    try attributes([(1, [1, 2]), (2, [1, 2, 3, 4]), (3, [])]) { found in
      #expect(found.number(1, as: UInt16.self) == 0x0102 && found.number(2, as: UInt32.self) == 0x0102_0304)
      #expect(found.number(1, as: UInt32.self) == nil && found.number(2, as: UInt16.self) == nil)
      #expect(found.number(2, as: UInt64.self) == nil && found.number(3, as: UInt8.self) == nil)
      #expect(found.number(4, as: UInt8.self) == nil)
    }
    try attributes([]) { found in #expect(found[1] == nil && found.text(1) == nil && found.nested(1) == nil) }
  }

  @Test("a packet's time is the kernel's, where that is one")
  func times() {
    func octets(_ seconds: UInt64, _ microseconds: UInt64) -> [UInt8] {
      [seconds, microseconds].flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }
    }
    #expect(RefusalReader.time(octets(1_763_630_062, 481_000)) == 1_763_630_062_481_000_000)
    for (seconds, microseconds) in [(0, 1), (1 << 33, 0), (.max, .max), (1, 1_000_000)] as [(UInt64, UInt64)] {
      #expect(RefusalReader.time(octets(seconds, microseconds)) == nil, "\(seconds) s, \(microseconds) µs")
    }
    #expect(RefusalReader.time(nil) == nil && RefusalReader.time([1]) == nil)
  }
}
