import DNSWire
import Glibc
import LinuxIO
import TestSupport
import Testing

@testable import Upstream

/// Sockets that messages use one after the other.
@Suite("Sockets of datagrams")
struct DatagramSocketsTests {
  private static let loopback: UInt64 = 0x7F00_0001

  /// A socket that stands for an upstream, and its address.
  private struct Peer: ~Copyable {
    let socket: FileDescriptor
    let address: SocketAddress

    init() throws {
      socket = try Sockets.listenUDP(SocketAddress(isV6: false, high: 0, low: loopback, port: 0))
      address = SocketAddress(isV6: false, high: 0, low: loopback, port: port(of: socket.raw))
    }

    /// Sends to a port of 127.0.0.1.
    func send(to port: UInt16) {
      var name = sockaddr_in()
      name.sin_family = sa_family_t(AF_INET)
      name.sin_port = port.bigEndian
      name.sin_addr.s_addr = UInt32(loopback).bigEndian
      let sent = unsafe withUnsafeBytes(of: &name) { octets in
        unsafe sendto(
          socket.raw, "x", 1, 0, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(octets.count))
      }
      #expect(sent == 1)
    }
  }

  /// 0 where a socket has none.
  private static func port(of socket: Int32) -> UInt16 {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = unsafe withUnsafeMutableBytes(of: &address) { octets in
      unsafe getsockname(socket, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
    }
    return UInt16(bigEndian: address.sin_port)
  }

  private static func send(_ socket: DatagramSocket) -> Int { unsafe Glibc.send(socket.descriptor, "q", 1, 0) }

  /// Octets that wait, or an error number below zero.
  private static func receive(_ socket: Int32) -> Int {
    var octet: UInt8 = 0
    let count = unsafe recv(socket, &octet, 1, Int32(MSG_DONTWAIT))
    return count < 0 ? -Int(errno) : count
  }

  /// Has the reactor look at all sockets as often as one has to rest.
  private static func rest(_ reactor: Reactor) { for _ in 0..<2 { reactor.turn() } }

  @Test("each message has a port of its own, though the socket is the same")
  func ports() throws {
    let peer = try Peer()
    let reactor = try Reactor()
    let sockets = DatagramSockets(reactor)
    var (ports, descriptors) = (Set<UInt16>(), Set<Int32>())
    for _ in 0..<64 {
      let socket = try sockets.take(for: peer.address) { _ in }
      ports.insert(Self.port(of: socket.descriptor))
      descriptors.insert(socket.descriptor)
      sockets.give(back: socket)
      Self.rest(reactor)
    }
    #expect(descriptors.count == 1)
    // Of 28,232 ports two of 64 are the same once in fifteen times, four never.
    #expect(ports.count > 60)
    #expect(!ports.contains(0))
  }

  @Test("a socket that waits has no port: what comes to its last one is refused")
  func waiting() throws {
    let peer = try Peer()
    let sockets = DatagramSockets(try Reactor())
    let socket = try sockets.take(for: peer.address) { _ in }
    let port = Self.port(of: socket.descriptor)
    sockets.give(back: socket)
    #expect(Self.port(of: socket.descriptor) == 0)
    #expect(Descriptors.connected(to: peer.address.port, by: SOCK_DGRAM) == 0)
    peer.send(to: port)
    #expect(Self.receive(socket.descriptor) == -Int(EAGAIN))
  }

  @Test("what came to a port and was not read is there for no later message (threats U2)", arguments: [1, 5, 200])
  func unread(count: Int) throws {
    let peer = try Peer()
    let reactor = try Reactor()
    let sockets = DatagramSockets(reactor)
    let socket = try sockets.take(for: peer.address) { _ in }
    let descriptor = socket.descriptor
    // A descriptor that was closed may be another suite's by now.
    let file = Descriptors.file(descriptor)
    for _ in 0..<count { peer.send(to: Self.port(of: descriptor)) }
    sockets.give(back: socket)
    Self.rest(reactor)
    #expect(Descriptors.file(descriptor) != file)
    let next = try sockets.take(for: peer.address) { _ in }
    #expect(next !== socket)
    #expect(Self.receive(next.descriptor) == -Int(EAGAIN))
    sockets.give(back: next)
  }

  @Test("a socket is used again only when the reactor has looked at all since it was given back")
  func resting() throws {
    let peer = try Peer()
    let reactor = try Reactor()
    let sockets = DatagramSockets(reactor)
    let first = try sockets.take(for: peer.address) { _ in }
    sockets.give(back: first)
    let second = try sockets.take(for: peer.address) { _ in }
    #expect(second !== first)
    reactor.turn()
    // That look may have been under way when the socket was given back.
    let third = try sockets.take(for: peer.address) { _ in }
    #expect(third !== first)
    reactor.turn()
    let fourth = try sockets.take(for: peer.address) { _ in }
    #expect(fourth === first)
    for socket in [second, third, fourth] { sockets.give(back: socket) }
  }

  @Test("a look that did not tell of everything does not count")
  func fullBatch() throws {
    let peer = try Peer()
    let reactor = try Reactor()
    let sockets = DatagramSockets(reactor)
    let noisy = try (0..<128).map { _ in try sockets.take(for: peer.address) { _ in } }
    for socket in noisy { peer.send(to: Self.port(of: socket.descriptor)) }
    let quiet = try sockets.take(for: peer.address) { _ in }
    sockets.give(back: quiet)
    reactor.turn()
    #expect(reactor.looks == 0)
    reactor.turn()
    #expect(reactor.looks == 1)
    let next = try sockets.take(for: peer.address) { _ in }
    #expect(next !== quiet)
    sockets.give(back: next)
  }

  @Test("an error of what was sent before costs the next message nothing (threats U6)")
  func refused() throws {
    let reactor = try Reactor()
    let sockets = DatagramSockets(reactor)
    let dead: SocketAddress
    do {
      let peer = try Peer()
      dead = peer.address
    }
    let socket = try sockets.take(for: dead) { _ in }
    #expect(Self.send(socket) == 1)
    sockets.give(back: socket)
    Self.rest(reactor)
    let peer = try Peer()
    let next = try sockets.take(for: peer.address) { _ in }
    #expect(Self.send(next) == 1)
    #expect(Self.receive(peer.socket.raw) == 1)
    sockets.give(back: next)
  }

  @Test("only so many wait, of both families together, and each goes to messages of its own family")
  func bounds() throws {
    let peer = try Peer()
    let sockets = DatagramSockets(try Reactor())
    let most = min(512, DescriptorLimit.current / 8)
    let taken = try (0..<(most + 44)).map { _ in try sockets.take(for: peer.address) { _ in } }
    let descriptors = taken.map(\.descriptor)
    // A descriptor that was closed may be another suite's by now.
    let files = descriptors.map(Descriptors.file)
    #expect(Set(descriptors).count == most + 44)
    for socket in taken { sockets.give(back: socket) }
    let open = zip(descriptors, files).count { Descriptors.file($0) == $1 }
    #expect(open == most)
    let six = SocketAddress(isV6: true, high: 0, low: 1, port: 9)
    let other = try sockets.take(for: six) { _ in }
    #expect(other.isV6)
    sockets.give(back: other)
    #expect(fcntl(other.descriptor, F_GETFD) < 0)
  }

  @Test("the owner of a socket is told of what comes, and of nothing before or after")
  func told() throws {
    final class Client: TransportClient {
      var messages: [UInt8] = []
      func transmitted() {}
      func received(_ message: Span<UInt8>) { messages.append(message[0]) }
      func failed(_ failure: TransportFailure) {}
    }
    let upstream = try FakeUpstream { [.message($0.answer()), .message($0.answer())] }
    defer { upstream.stop() }
    let reactor = try Reactor()
    let transport = DatagramTransport(reactor)
    for number in 0..<20 as Range<UInt8> {
      let client = Client()
      let query = UpstreamQuery.message(
        id: UInt16(number) << 8, name: Messages.name("www.example.com"), type: .A, withEDNS: false)
      let call = transport.send(
        query, to: Asker.server(upstream.port), deadline: .now().adding(milliseconds: 5000), for: client)
      let end = MonotonicTime.now().adding(milliseconds: 5000)
      while client.messages.isEmpty, .now() < end { reactor.turn() }
      call.end()
      // The second answer comes to a port that is gone, or was thrown away with it.
      #expect(client.messages.allSatisfy { $0 == number } && !client.messages.isEmpty)
    }
    #expect(Set(upstream.arrivals.map(\.port)).count > 17)
    #expect(Descriptors.connected(to: upstream.port, by: SOCK_DGRAM) == 0)
  }
}
