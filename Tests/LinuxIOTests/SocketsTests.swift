import CLinux
import Glibc
import Testing

@testable import LinuxIO

@Suite("Sockets")
struct SocketsTests {
  @Test("several workers bind one address")
  func reusePort() throws {
    let first = try Sockets.listenUDP(.v4(0x7F00_0001))
    let port = LoopbackSocket.port(of: first.raw)
    let second = try Sockets.listenUDP(.v4(0x7F00_0001, port: port))
    #expect(LoopbackSocket.port(of: second.raw) == port)
  }

  @Test("an IPv6 socket leaves the port of IPv4 alone")
  func v6Only() throws {
    let six = try Sockets.listenUDP(.v6(low: 0))
    #expect(LoopbackSocket.option(six.raw, Int(IPPROTO_IPV6), IPV6_V6ONLY) == 1)
  }

  @Test("an address that no interface has is bound all the same", arguments: [false, true])
  func absent(isV6: Bool) throws {
    // Addresses of documentation (RFC 5737, RFC 3849).
    let address =
      isV6 ? SocketAddress(isV6: true, high: 0x2001_0DB8_0000_0000, low: 1, port: 0) : SocketAddress.v4(0xC000_0201)
    let datagrams = try Sockets.listenUDP(address)
    let streams = try Sockets.listenTCP(address)
    // Each worker has a socket of its own.
    var same = address
    same.port = LoopbackSocket.port(of: datagrams.raw)
    let beside = try Sockets.listenUDP(same)
    #expect(LoopbackSocket.port(of: beside.raw) == same.port && LoopbackSocket.port(of: streams.raw) != 0)
  }

  @Test("a port that another program has is refused with the call and the reason")
  func taken() throws {
    let other = try LoopbackSocket.listenTCP(isV6: false)
    let address = SocketAddress.v4(0x7F00_0001, port: LoopbackSocket.port(of: other.raw))
    #expect(throws: SystemError(call: "bind", errno: EADDRINUSE)) { _ = try Sockets.listenTCP(address) }
    #expect(SystemError(call: "bind", errno: EADDRINUSE).description == "bind: Address already in use")
  }

  @Test("the path MTU that an attacker claims has no effect on queries", arguments: [false, true])
  func fragments(isV6: Bool) throws {
    let to = isV6 ? SocketAddress.v6(low: 1, port: 53) : .v4(0x7F00_0001, port: 53)
    let socket = try Sockets.connectUDP(to)
    // IP_MTU_DISCOVER is 10, IPV6_MTU_DISCOVER 23; OMIT is 5.
    let value = LoopbackSocket.option(socket.raw, Int(isV6 ? IPPROTO_IPV6 : IPPROTO_IP), isV6 ? 23 : 10)
    #expect(value == 5)
  }

  @Test("sockets are closed when a program is started", arguments: [false, true])
  func closeOnExec(stream: Bool) throws {
    let listener = try LoopbackSocket.listenTCP(isV6: false)
    let to = SocketAddress.v4(0x7F00_0001, port: LoopbackSocket.port(of: listener.raw))
    let socket = stream ? try Sockets.connectTCP(to) : try Sockets.connectUDP(to)
    #expect(fcntl(socket.raw, F_GETFD) & FD_CLOEXEC != 0)
    #expect(fcntl(socket.raw, F_GETFL) & O_NONBLOCK != 0)
  }

  @Test("the interface of a TCP connection is known", arguments: [false, true])
  func ingress(isV6: Bool) throws {
    let listener = try LoopbackSocket.listenTCP(isV6: isV6)
    let port = LoopbackSocket.port(of: listener.raw)
    let client = try Sockets.connectTCP(isV6 ? .v6(low: 1, port: port) : .v4(0x7F00_0001, port: port))
    let connection = FileDescriptor(accept(listener.raw, nil, nil))
    #expect(client.raw >= 0)
    let level = Int(isV6 ? IPPROTO_IPV6 : IPPROTO_IP)
    // IPV6_RECVPKTINFO is 49, IP_PKTINFO is 8; as Transport asks for it, after the connection was accepted.
    LoopbackSocket.setOption(connection.raw, level, isV6 ? 49 : 8, 1)
    var options = sluice_packet_options()
    var length = socklen_t(MemoryLayout<sluice_packet_options>.size)
    let name = Int32(isV6 ? SLUICE_IPV6_2292PKTOPTIONS : SLUICE_IP_PKTOPTIONS)
    let failed = unsafe getsockopt(connection.raw, Int32(level), name, &options, &length)
    let interface = unsafe sluice_ingress_interface(&options)
    #expect(failed == 0)
    #expect(interface == Int32(LoopbackSocket.interface))
  }

  @Test("options that say nothing name no interface")
  func silentOptions() {
    var options = sluice_packet_options()
    let interface = unsafe sluice_ingress_interface(&options)
    #expect(interface == 0)
  }

  @Test("a descriptor is closed when its owner goes, unless it was given away")
  func ownership() throws {
    let raw = try Sockets.listenUDP(.v4(0x7F00_0001)).release()
    #expect(fcntl(raw, F_GETFD) >= 0)
    do {
      let owner = FileDescriptor(raw)
      #expect(owner.raw == raw)
    }
    #expect(fcntl(raw, F_GETFD) < 0)
  }
}
