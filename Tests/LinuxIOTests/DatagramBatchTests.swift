import CLinux
import Foundation
import Glibc
import Testing

@testable import LinuxIO

@Suite("Datagrams")
struct DatagramBatchTests {
  static let loopback: UInt64 = 0x7F00_0001

  /// Answers everything that waits with its own octets.
  private func echo(_ batch: inout DatagramBatch, _ socket: Int32) throws -> [DatagramBatch.Peer] {
    var peers: [DatagramBatch.Peer] = []
    try #require(LoopbackSocket.isReadable(socket))
    for index in 0..<(try batch.receive(socket, block: true)) {
      _ = batch.answer(index) { query, peer, reply in
        peers.append(peer)
        for octet in query.indices { reply.append(query[octet]) }
        return true
      }
    }
    batch.send(socket)
    return peers
  }

  @Test(
    "a reply leaves from the address that was asked",
    arguments: [0x7F00_0001, 0x7F00_0002, 0x7FFE_0107] as [UInt64])
  func source(address: UInt64) throws {
    let server = try Sockets.listenUDP(.v4(0))
    let port = LoopbackSocket.port(of: server.raw)
    // A connected socket takes datagrams from the address that it asked, and from no other.
    let client = try Sockets.connectUDP(.v4(address, port: port))
    #expect(LoopbackSocket.send([1, 2, 3], on: client.raw))
    var batch = DatagramBatch()
    let peers = try echo(&batch, server.raw)
    #expect(LoopbackSocket.receive(client.raw) == [1, 2, 3])
    #expect(peers.count == 1)
    #expect(peers.first?.address.isV6 == false)
    #expect(peers.first?.address.port == LoopbackSocket.port(of: client.raw))
    #expect(peers.first?.interface == LoopbackSocket.interface)
  }

  @Test(
    "replies that are held leave together when they are sent, each to its own client from the address that it asked")
  func held() throws {
    let server = try Sockets.listenUDP(.v4(0))
    let port = LoopbackSocket.port(of: server.raw)
    let clients = try [0x7F00_0001, 0x7F00_0002].map { try Sockets.connectUDP(.v4($0, port: port)).release() }
    defer { for client in clients { close(client) } }
    var batch = DatagramBatch()
    var outbox = DatagramOutbox()
    for (number, client) in clients.enumerated() {
      #expect(LoopbackSocket.send([UInt8(number)], on: client))
      let address = try Self.nextReturn(&batch, server.raw)
      outbox.add([UInt8(number), 7], to: address, on: server.raw)
    }
    #expect(!clients.contains { LoopbackSocket.isReadable($0, within: 0) })
    outbox.send()
    for (number, client) in clients.enumerated() { #expect(LoopbackSocket.receive(client) == [UInt8(number), 7]) }
  }

  @Test("so many held replies leave at once, and none is lost or sent twice")
  func manyHeld() throws {
    let server = try Sockets.listenUDP(.v4(0))
    let client = try Sockets.connectUDP(.v4(Self.loopback, port: LoopbackSocket.port(of: server.raw)))
    var batch = DatagramBatch()
    var outbox = DatagramOutbox()
    #expect(LoopbackSocket.send([0], on: client.raw))
    let address = try Self.nextReturn(&batch, server.raw)
    for number in 0..<UInt8(DatagramOutbox.most + 3) { outbox.add([number], to: address, on: server.raw) }
    for number in 0..<UInt8(DatagramOutbox.most) { #expect(LoopbackSocket.receive(client.raw) == [number]) }
    #expect(!LoopbackSocket.isReadable(client.raw, within: 0))
    outbox.send()
    outbox.send()
    for number in 0..<3 as Range<UInt8> {
      #expect(LoopbackSocket.receive(client.raw) == [UInt8(DatagramOutbox.most) + number])
    }
    #expect(!LoopbackSocket.isReadable(client.raw, within: 0))
  }

  /// Receives one datagram; the way back to its sender.
  private static func nextReturn(_ batch: inout DatagramBatch, _ socket: Int32) throws -> DatagramReturn {
    try #require(LoopbackSocket.isReadable(socket))
    let count = try batch.receive(socket, block: true)
    try #require(count == 1)
    let address = batch.returnAddress(0)
    return try #require(address)
  }

  @Test("so it does over IPv6, where the host has several addresses", .enabled(if: geteuid() == 0))
  func sourceV6() async throws {
    let replies = try await Self.inNamespace { try Self.askBothAddresses() }
    #expect(replies == [[1], [2]])
  }

  @Test("a reply that the kernel refuses does not cost the others theirs", .enabled(if: geteuid() == 0))
  func refused() async throws {
    let reply = try await Self.inNamespace { try Self.askVanishingAddress() }
    #expect(reply == [2])
  }

  /// Runs `body` on a thread of its own, whose network namespace goes with it: lo with ::1 and fd00::2.
  private static func inNamespace<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value
  {
    try await withCheckedThrowingContinuation { continuation in
      Thread {
        let outcome = Result {
          try #require(sluice_new_network_namespace() == 0)
          try run("ip link set lo up && ip addr add fd00::2/128 dev lo nodad noprefixroute")
          try awaitRoute()
          return try body()
        }
        continuation.resume(with: outcome)
      }.start()
    }
  }

  /// The kernel makes an address local some time after it was added; till then it has no route, and with a prefix
  /// route it would take datagrams and lose them.
  private static func awaitRoute() throws {
    let deadline = MonotonicTime.now().adding(milliseconds: 10_000)
    while (try? Sockets.connectUDP(.v6(high: 0xFD00 << 48, low: 2, port: 9)).raw) == nil {
      try #require(MonotonicTime.now() < deadline)
      sched_yield()
    }
  }

  private static func run(_ command: String) throws {
    let status = unsafe system(command)
    try #require(status == 0)
  }

  /// Two queries to two addresses, the first of which is gone when the replies leave.
  private static func askVanishingAddress() throws -> [UInt8]? {
    let server = try Sockets.listenUDP(.v6(low: 0))
    let port = LoopbackSocket.port(of: server.raw)
    let first = try Sockets.connectUDP(.v6(high: 0xFD00 << 48, low: 2, port: port))
    let second = try Sockets.connectUDP(.v6(low: 1, port: port))
    var batch = DatagramBatch()
    var queued: [UInt8] = []
    // Two processors may deliver them one by one or the wrong way round; then once more.
    for _ in 0..<1000 where queued != [1, 2] {
      try #require(LoopbackSocket.send([1], on: first.raw))
      try #require(LoopbackSocket.send([2], on: second.raw))
      queued = []
      guard LoopbackSocket.isReadable(server.raw, within: 100) else { continue }
      for index in 0..<(try batch.receive(server.raw, block: true)) {
        _ = batch.answer(index) { query, _, reply in
          queued.append(query[0])
          reply.append(query[0])
          return true
        }
      }
    }
    try #require(queued == [1, 2])
    try run("ip addr del fd00::2/128 dev lo")
    batch.send(server.raw)
    return LoopbackSocket.receive(second.raw)
  }

  private static func askBothAddresses() throws -> [[UInt8]?] {
    let server = try Sockets.listenUDP(.v6(low: 0))
    let port = LoopbackSocket.port(of: server.raw)
    var batch = DatagramBatch()
    var replies: [[UInt8]?] = []
    for (octet, address) in [SocketAddress.v6(low: 1), .v6(high: 0xFD00 << 48, low: 2)].enumerated() {
      let client = try Sockets.connectUDP(SocketAddress(isV6: true, high: address.high, low: address.low, port: port))
      // An address that was made a moment ago may lose the first datagrams.
      var isThere = false
      for _ in 0..<50 where !isThere {
        _ = LoopbackSocket.send([UInt8(octet + 1)], on: client.raw)
        isThere = LoopbackSocket.isReadable(server.raw, within: 100)
      }
      try #require(isThere)
      for index in 0..<(try batch.receive(server.raw, block: true)) {
        _ = batch.answer(index) { query, peer, reply in
          reply.append(query[0])
          return peer.address.isV6
        }
      }
      batch.send(server.raw)
      replies.append(LoopbackSocket.receive(client.raw))
    }
    return replies
  }

  @Test("an IPv6 peer is told by address, port and interface")
  func peerV6() throws {
    let server = try Sockets.listenUDP(.v6(low: 1))
    try Sockets.tellInterface(server.raw)
    let client = try Sockets.connectUDP(.v6(low: 1, port: LoopbackSocket.port(of: server.raw)))
    #expect(LoopbackSocket.send([9], on: client.raw))
    var batch = DatagramBatch()
    let peer = try #require(try echo(&batch, server.raw).first)
    #expect(peer.address == .v6(low: 1, port: LoopbackSocket.port(of: client.raw)))
    #expect(peer.interface == LoopbackSocket.interface)
    #expect(LoopbackSocket.receive(client.raw) == [9])
  }

  @Test("a datagram of 4096 octets is read, a longer one is passed on to no handler")
  func truncated() throws {
    let server = try Sockets.listenUDP(.v4(Self.loopback))
    let client = try Sockets.connectUDP(.v4(Self.loopback, port: LoopbackSocket.port(of: server.raw)))
    for count in [4096, 4097, 8000, 0, 1] {
      #expect(LoopbackSocket.send([UInt8](repeating: 7, count: count), on: client.raw))
    }
    var batch = DatagramBatch()
    var counts: [Int] = []
    var seen: [Int] = []
    var received = 0
    while received < 5 {
      try #require(LoopbackSocket.isReadable(server.raw))
      let count = try batch.receive(server.raw, block: true)
      received += count
      for index in 0..<count {
        batch.look(index) { query, _ in seen.append(query.count) }
        _ = batch.answer(index) { query, _, _ in
          counts.append(query.count)
          return false
        }
      }
    }
    #expect(counts.sorted() == [0, 1, 4096])
    #expect(seen == [4096, 0, 0, 0, 1])
  }

  @Test("queries that are not answered leave no trace in the replies of the others")
  func selective() throws {
    let server = try Sockets.listenUDP(.v4(Self.loopback))
    let port = LoopbackSocket.port(of: server.raw)
    let clients = try (0..<2).map { _ in try Sockets.connectUDP(.v4(Self.loopback, port: port)).release() }
    defer { for client in clients { close(client) } }
    var batch = DatagramBatch()
    for round in 0..<3 as Range<UInt8> {
      for (index, client) in clients.enumerated() {
        for number in 0..<40 as Range<UInt8> {
          #expect(LoopbackSocket.send([round, UInt8(index), number], on: client))
        }
      }
      var received = 0
      while received < 80 {
        try #require(LoopbackSocket.isReadable(server.raw))
        let count = try batch.receive(server.raw, block: true)
        #expect(count <= 64)
        received += count
        for index in 0..<count {
          _ = batch.answer(index) { query, _, reply in
            reply.append(query[2])
            reply.append(query[1])
            return query[2] % 2 == 0
          }
        }
        batch.send(server.raw)
      }
      for (index, client) in clients.enumerated() {
        for number in stride(from: UInt8(0), to: 40, by: 2) {
          #expect(LoopbackSocket.receive(client) == [number, UInt8(index)])
        }
      }
    }
  }

  @Test("a client that can't be reached does not cost the others their replies")
  func unreachable() throws {
    let server = try Sockets.listenUDP(.v4(0))
    let port = LoopbackSocket.port(of: server.raw)
    let gone = try Sockets.connectUDP(.v4(Self.loopback, port: port))
    let client = try Sockets.connectUDP(.v4(Self.loopback, port: port))
    #expect(LoopbackSocket.send([1], on: gone.raw))
    #expect(LoopbackSocket.send([2], on: client.raw))
    _ = consume gone
    var batch = DatagramBatch()
    var echoed = 0
    while echoed < 2 { echoed += try echo(&batch, server.raw).count }
    #expect(LoopbackSocket.receive(client.raw) == [2])
  }

  @Test("an answer that comes later, from another thread, leaves from the address that was asked")
  func later() throws {
    let server = try Sockets.listenUDP(.v4(0))
    let client = try Sockets.connectUDP(.v4(0x7F00_0003, port: LoopbackSocket.port(of: server.raw)))
    #expect(LoopbackSocket.send([5], on: client.raw))
    try #require(LoopbackSocket.isReadable(server.raw))
    var batch = DatagramBatch()
    let count = try batch.receive(server.raw, block: true)
    #expect(count == 1)
    let (back, unset) = (batch.returnAddress(0), batch.returnAddress(1))
    #expect(unset == nil)
    let socket = server.raw
    Thread { back?.send([6, 6], on: socket) }.start()
    #expect(LoopbackSocket.receive(client.raw) == [6, 6])
  }

  @Test("reading without waiting says that nothing is there")
  func nothing() throws {
    let server = try Sockets.listenUDP(.v4(Self.loopback))
    var batch = DatagramBatch()
    do throws(SystemError) {
      let count = try batch.receive(server.raw, block: false)
      Issue.record("\(count) datagrams that were not sent")
    } catch {
      #expect(error == SystemError(call: "recvmmsg", errno: EAGAIN))
    }
  }

  @Test("a reply has 1232 octets at most")
  func replySize() throws {
    let server = try Sockets.listenUDP(.v4(Self.loopback))
    let client = try Sockets.connectUDP(.v4(Self.loopback, port: LoopbackSocket.port(of: server.raw)))
    #expect(LoopbackSocket.send([0], on: client.raw))
    try #require(LoopbackSocket.isReadable(server.raw))
    var batch = DatagramBatch()
    let count = try batch.receive(server.raw, block: true)
    #expect(count == 1)
    let answered = batch.answer(0) { _, _, reply in
      while !reply.isFull { reply.append(3) }
      return true
    }
    #expect(answered)
    batch.send(server.raw)
    #expect(LoopbackSocket.receive(client.raw) == [UInt8](repeating: 3, count: 1232))
  }
}
