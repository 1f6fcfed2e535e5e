import AuditLog
import DNSWire
import EgressPolicy
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache
import Synchronization
import TestSupport
import Testing

@testable import Transport

@Suite("UDP workers", .timeLimit(.minutes(1)))
struct DatagramWorkerTests {
  @Test("the audit writer is woken before the reply leaves (P6)")
  func wakesFirst() throws {
    let client = try Self.socket()
    defer { close(client) }
    let gate = ListeningGate(client)
    let ring = AuditRing.onHeap(4 << 20)
    let reader = AuditRingReader(ring)
    let shared = SharedState(
      current: CurrentSnapshot(try denyingSnapshot(["127.0.0.1/32"])), epoch: FirewallEpoch(), audit: gate,
      clocks: { (monotonic: 1_000_000_000_000, wall: 1_763_630_062_000_000_000) }, resolveInterface: { _ in 0 },
      sink: { _, _ in })
    let port = try Self.freePort()
    let worker = try DatagramWorker(
      addresses: [SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: port)],
      thread: QueryThread(shared, ring: ring), gate: FloodGate(workers: 1))
    let isOver = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      worker.run()
      isOver.signal()
    }
    defer {
      worker.stop()
      isOver.wait()
    }
    for round in 1...20 {
      var record = AuditRecord()
      while case .record = reader.next(into: &record) {}
      reader.commit()
      #expect(reader.declareAsleep())
      try Self.ask(client, port)
      #expect(try Self.receive(client) == 3, "NXDOMAIN")
      #expect(gate.wakes == round && gate.repliesBefore == 0)
    }
  }

  @Test("an answer that comes later may wait for others, and leaves when what holds it is sent, once")
  func held() throws {
    let (client, other) = (try Self.socket(), try Self.socket())
    defer { close(other) }
    defer { close(client) }
    let server = try Self.socket()
    let sockets = DatagramWorker.SocketSet([server], areV6: [false])
    var batch = DatagramBatch()
    var paths: [DatagramReplyPath] = []
    for asking in [client, other] {
      try Self.ask(asking, Self.port(server))
      let count = try batch.receive(server, block: true)
      try #require(count == 1)
      let address = batch.returnAddress(0)
      paths.append(DatagramReplyPath(address: try #require(address), sockets: sockets, socket: server))
    }
    let replies = paths.map { $0.hold([UInt8](repeating: 5, count: 12)) }
    #expect(replies.allSatisfy { $0 === sockets })
    #expect(!Self.isReadable(client) && !Self.isReadable(other))
    sockets.send()
    sockets.send()
    for asking in [client, other] {
      #expect(try Self.receive(asking) == 5)
      #expect(!Self.isReadable(asking))
    }
  }

  private static func isReadable(_ socket: Int32) -> Bool {
    var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 0) == 1
  }

  @Test("a worker that has read its sockets empty sleeps")
  func sleeps() throws {
    let client = try Self.socket()
    defer { close(client) }
    let shared = SharedState(
      current: CurrentSnapshot(try denyingSnapshot(["127.0.0.1/32"])), epoch: FirewallEpoch(), audit: OpenGate(),
      clocks: { (monotonic: 1_000_000_000_000, wall: 1_763_630_062_000_000_000) }, resolveInterface: { _ in 0 },
      sink: { _, _ in })
    let ports = [try Self.freePort(), try Self.freePort()]
    let worker = try DatagramWorker(
      addresses: ports.map { SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: $0) },
      thread: QueryThread(shared, ring: AuditRing.onHeap(4 << 20)), gate: FloodGate(workers: 1))
    let thread = try NamedThread("empty-sockets") { worker.run() }
    defer {
      worker.stop()
      thread.join()
    }
    for port in ports {
      try Self.ask(client, port)
      #expect(try Self.receive(client) == 3)
    }
    var asleep = 0
    let end = ContinuousClock.now + .seconds(20)
    while asleep < 40, ContinuousClock.now < end {
      asleep = try Self.state(ofThread: "empty-sockets") == "S" ? asleep + 1 : 0
      usleep(1_000)
    }
    #expect(asleep == 40)
  }

  /// The letter of proc(5) for what the first thread of a name does; nil where there is none.
  private static func state(ofThread name: String) throws -> Character? {
    for thread in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task") {
      // One that has ended meanwhile has no file.
      guard let text = try? String(contentsOfFile: "/proc/self/task/\(thread)/stat", encoding: .utf8),
        text.contains("(\(name))"), let end = text.lastIndex(of: ")")
      else { continue }
      return text[end...].dropFirst(2).first
    }
    return nil
  }

  private struct Obstacle: Error {
    var text: String
  }

  /// Bound to a port of its own on loopback; a read gives up after ten seconds.
  private static func socket() throws -> Int32 {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var patience = timeval(tv_sec: 10, tv_usec: 0)
    _ = unsafe setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var name = name(0)
    let isBound = unsafe withUnsafeBytes(of: &name) { octets in
      unsafe bind(socket, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(octets.count)) == 0
    }
    guard isBound else { throw Obstacle(text: "bind: \(errno)") }
    return socket
  }

  /// One that nothing is bound to at this moment.
  private static func freePort() throws -> UInt16 {
    let socket = try socket()
    defer { close(socket) }
    return port(socket)
  }

  private static func port(_ socket: Int32) -> UInt16 {
    var (name, length) = (name(0), socklen_t(MemoryLayout<sockaddr_in>.size))
    _ = unsafe withUnsafeMutableBytes(of: &name) { octets in
      unsafe getsockname(socket, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
    }
    return UInt16(bigEndian: name.sin_port)
  }

  private static func name(_ port: UInt16) -> sockaddr_in {
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    name.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return name
  }

  private static func ask(_ socket: Int32, _ port: UInt16) throws {
    let message = Messages.query("denied.example.com", .A)
    var name = name(port)
    let sent = unsafe withUnsafeBytes(of: &name) { octets in
      unsafe sendto(
        socket, message, message.count, 0, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self),
        socklen_t(octets.count))
    }
    guard sent == message.count else { throw Obstacle(text: "send: \(errno)") }
  }

  /// The response code of the next reply.
  private static func receive(_ socket: Int32) throws -> UInt8 {
    var reply = [UInt8](repeating: 0, count: 1500)
    guard unsafe recv(socket, &reply, reply.count, 0) >= 12 else { throw Obstacle(text: "recv: \(errno)") }
    return reply[3] & 0xF
  }
}

/// A gate that looks, when the writer is woken, whether the client has a reply already: on loopback it has one as soon
/// as that was sent.
private final class ListeningGate: AuditGate {
  private let client: Int32
  private let counts = Mutex((wakes: 0, replies: 0))

  init(_ client: Int32) { self.client = client }

  var isBlocked: Bool { false }
  var wakes: Int { counts.withLock { $0.wakes } }
  var repliesBefore: Int { counts.withLock { $0.replies } }

  func wake() {
    var octet: UInt8 = 0
    let isThere = unsafe recv(client, &octet, 1, Int32(MSG_PEEK | MSG_DONTWAIT)) >= 0
    counts.withLock { counts in
      counts.wakes += 1
      counts.replies += isThere ? 1 : 0
    }
  }
}
