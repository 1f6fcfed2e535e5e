import DNSWire
import Foundation
import Glibc
import NIOCore
import Resolver
import Synchronization
import TestSupport
import Testing

@testable import AuditLog
@testable import Transport

/// TCP on loopback: server `s0` has the client address 127.0.1.0, `s1` 127.0.1.1, and so on.
@Suite("TCP connections have shares (P8)", .timeLimit(.minutes(2)))
struct StreamListenerTests {
  @Test("eight servers that take every slot do not keep a ninth out; the one used last the longest ago gives way")
  func slots() throws {
    var limits = StreamLimits()
    limits.connections = 16
    limits.connectionsPerServer = 4
    let bed = try Bed(servers: 9, limits)
    defer { bed.stop() }
    let held = try (0..<16).map { try bed.connect($0 / 2) }
    for client in held { #expect(try client.ask()) }
    // The first connection of all is in use again.
    #expect(try held[0].ask())
    let ninth = try bed.connect(8)
    #expect(try ninth.ask(), "the ninth server's first connection")
    let alive = try held.map { try $0.ask() }
    #expect(alive.count { $0 } == 15)
    #expect(alive[0])
    #expect(try ninth.ask(), "and it stays")
  }

  @Test("an idle connection gives way to another one of its server; one that is in use does not")
  func idle() throws {
    var limits = StreamLimits()
    limits.connectionsPerServer = 2
    limits.unused = .milliseconds(200)
    let bed = try Bed(servers: 1, limits)
    defer { bed.stop() }
    let (first, second) = (try bed.connect(0), try bed.connect(0))
    #expect(try first.ask() && second.ask())
    let early = try bed.connect(0)
    let cameEarly = try early.ask()
    // Both are kept in use; the first one is not any more from here on.
    try bed.eventually("the unused one gave way") {
      guard try second.ask(), let third = try? bed.connect(0), try third.ask() else { return false }
      return try !first.ask()
    }
    #expect(try !cameEarly && second.ask())
  }

  @Test("a message that comes in parts is answered when its last octet is there")
  func parts() throws {
    let bed = try Bed(servers: 1, StreamLimits())
    defer { bed.stop() }
    let (client, other) = (try bed.connect(0), try bed.connect(0))
    let message = Messages.query("denied.example.com", .A)
    let frame = Messages.be16(message.count) + message
    for part in [frame[..<1], frame[1..<20], frame[20...]] {
      try client.send(part)
      // The listener's thread has seen the part by then.
      #expect(try other.ask())
    }
    #expect(try client.receive())
  }

  @Test("thousands of pipelined queries of one server do not go before a neighbour's one")
  func pipelined() throws {
    let bed = try Bed(servers: 2, StreamLimits())
    defer { bed.stop() }
    let hostile = try (0..<8).map { _ in try bed.connect(0) }
    let neighbour = try bed.connect(1)
    for client in hostile + [neighbour] { #expect(try client.ask()) }
    bed.forget()
    // All of it is there before the listener's thread sees any of it.
    let (isHeld, go) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let listener = bed.listener
    let holder = Thread {
      try? listener.onThread {
        isHeld.signal()
        go.wait()
      }
    }
    holder.start()
    isHeld.wait()
    for client in hostile { try client.send(count: 900) }
    try neighbour.send(count: 1)
    go.signal()
    #expect(try neighbour.receive())
    try bed.eventually("every query is answered") {
      for client in hostile { _ = try? client.take() }
      return bed.isRecorded(8 * 900 + 1)
    }
    let position = try #require(bed.servers.firstIndex(of: "s1"))
    #expect(position < 64, "answered after \(position) of the other server's")
  }

  @Test(
    "the listener's thread looks at sockets while it serves what it has read: a query that comes then does not wait for all"
  )
  func meanwhile() throws {
    let bed = try Bed(servers: 2, StreamLimits())
    defer { bed.stop() }
    let hostile = try (0..<64).map { _ in try bed.connect(0) }
    let neighbour = try bed.connect(1)
    for client in hostile + [neighbour] { #expect(try client.ask()) }
    bed.forget()
    // As many as it reads at once of each.
    let count = 100
    for client in hostile { try client.send(count: count) }
    try bed.eventually("it is at work") { bed.isRecorded(1_000) }
    let before = bed.servers.count
    try neighbour.send(count: 1)
    #expect(try neighbour.receive())
    try bed.eventually("every query is answered") {
      for client in hostile { _ = try? client.take() }
      return bed.isRecorded(64 * count + 1)
    }
    let position = try #require(bed.servers.firstIndex(of: "s1"))
    #expect(position - before < 64 * count / 4, "answered after \(position - before) more of the other server's")
  }

  @Test("the pause between turns is never shorter than the event loop needs, nor than an eighth of them")
  func pauses() {
    #expect(StreamTurns.pause(after: .nanoseconds(0)) == .microseconds(20))
    #expect(StreamTurns.pause(after: .microseconds(100)) == .microseconds(20))
    #expect(StreamTurns.pause(after: .milliseconds(8)) == .milliseconds(1))
  }
}

/// A listener with policies that list nothing: every query is denied, and recorded in the order of the answers.
private final class Bed {
  struct Obstacle: Error {
    var text: String
  }

  let listener: StreamListener
  private let port: UInt16
  private let reader: AuditRingReader
  private(set) var servers: [String] = []

  init(servers: Int, _ limits: StreamLimits) throws {
    let snapshot = try denyingSnapshot((0..<servers).map { "127.0.1.\($0)/32" })
    let ring = AuditRing.onHeap(4 << 20)
    reader = AuditRingReader(ring)
    let shared = SharedState(
      current: CurrentSnapshot(snapshot), epoch: FirewallEpoch(), audit: OpenGate(),
      clocks: { (monotonic: 1_000_000_000_000, wall: 1_763_630_062_000_000_000) }, resolveInterface: { _ in 0 },
      sink: { _, _ in })
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    port = try Self.bind(socket, 0x7F00_0001)
    guard listen(socket, 128) == 0 else { throw Obstacle(text: "listen: \(errno)") }
    defer { close(socket) }
    listener = try StreamListener(
      addresses: [], passed: [socket], thread: QueryThread(shared, ring: ring), limits: limits)
  }

  func stop() { listener.stop() }

  func connect(_ server: Int) throws -> Client {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    _ = try Self.bind(socket, 0x7F00_0100 + UInt32(server))
    var name = Self.name(0x7F00_0001, port)
    let isConnected = unsafe name.withUnsafeMutableBytes { octets in
      let name = unsafe octets.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return unsafe Glibc.connect(socket, name, socklen_t(octets.count)) == 0
    }
    guard isConnected else { throw Obstacle(text: "connect: \(errno)") }
    return Client(socket)
  }

  /// Forgets what was recorded so far.
  func forget() {
    _ = isRecorded(0)
    servers = []
  }

  /// Whether so many records came; their servers, in order, are in `servers`.
  func isRecorded(_ count: Int) -> Bool {
    var record = AuditRecord()
    while case .record = reader.next(into: &record) {
      servers.append(String(decoding: record.octets[record.server], as: UTF8.self))
    }
    reader.commit()
    return servers.count >= count
  }

  func eventually(_ what: String, _ condition: () throws -> Bool) throws {
    let end = ContinuousClock.now + .seconds(30)
    while !(try condition()) {
      guard ContinuousClock.now < end else { throw Obstacle(text: "not in time: \(what)") }
      usleep(2_000)
    }
  }

  /// The octets of a `sockaddr_in`, ip(7): the module of the type differs with what else the tests import.
  private static func name(_ address: UInt32, _ port: UInt16) -> [UInt8] {
    [UInt8(AF_INET), 0] + Messages.be16(Int(port)) + Messages.be32(Int(address)) + [UInt8](repeating: 0, count: 8)
  }

  private static func bind(_ socket: Int32, _ address: UInt32) throws -> UInt16 {
    var name = name(address, 0)
    let isBound = unsafe name.withUnsafeMutableBytes { octets in
      var length = socklen_t(octets.count)
      let name = unsafe octets.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return unsafe Glibc.bind(socket, name, length) == 0 && getsockname(socket, name, &length) == 0
    }
    guard isBound else { throw Obstacle(text: "bind: \(errno)") }
    return UInt16(name[2]) << 8 | UInt16(name[3])
  }
}

/// One connection; every read gives up after ten seconds.
private final class Client {
  private let socket: Int32
  private var unread: [UInt8] = []

  init(_ socket: Int32) {
    self.socket = socket
    var patience = timeval(tv_sec: 10, tv_usec: 0)
    _ = unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    _ = unsafe setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(socket) }

  /// Whether a query is answered; false when the connection is over.
  func ask() throws -> Bool {
    guard (try? send(count: 1)) != nil else { return false }
    return try receive()
  }

  func send(count: Int) throws {
    let message = Messages.query("denied.example.com", .A)
    let frame = [UInt8(message.count >> 8), UInt8(message.count & 0xFF)] + message
    try send([[UInt8]](repeating: frame, count: count).flatMap { $0 }[...])
  }

  func send(_ octets: ArraySlice<UInt8>) throws {
    var octets = octets
    while !octets.isEmpty {
      let sent = unsafe octets.withUnsafeBytes {
        unsafe Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { throw Bed.Obstacle(text: "send: \(errno)") }
      octets = octets.dropFirst(sent)
    }
  }

  /// Waits for one whole answer.
  func receive() throws -> Bool {
    while true {
      if unread.count >= 2 {
        let end = 2 + (Int(unread[0]) << 8 | Int(unread[1]))
        if unread.count >= end {
          unread.removeFirst(end)
          return true
        }
      }
      let octets = read(flags: 0)
      if octets.isEmpty { return false }
      unread += octets
    }
  }

  /// Throws away what is there.
  func take() throws {
    while !read(flags: Int32(MSG_DONTWAIT)).isEmpty {}
  }

  private func read(flags: Int32) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(socket, $0.baseAddress, $0.count, flags) }
    return Array(buffer[..<max(count, 0)])
  }
}
