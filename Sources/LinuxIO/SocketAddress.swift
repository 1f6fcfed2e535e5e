import CLinux

/// An address of a socket as numbers; the IP layer's types live beside this one, not below it.
package struct SocketAddress: Hashable, Sendable {
  package var isV6: Bool
  /// The upper 64 bits of an IPv6 address; 0 for IPv4.
  package var high: UInt64
  /// The lower 64 bits, or the 32-bit value of an IPv4 address.
  package var low: UInt64
  package var port: UInt16

  package init(isV6: Bool, high: UInt64, low: UInt64, port: UInt16) {
    self.isV6 = isV6
    self.high = high
    self.low = low
    self.port = port
  }

  init(_ endpoint: sluice_endpoint) {
    self.init(isV6: endpoint.is_v6 != 0, high: endpoint.high, low: endpoint.low, port: endpoint.port)
  }

  var endpoint: sluice_endpoint {
    sluice_endpoint(high: high, low: low, port: port, is_v6: isV6 ? 1 : 0)
  }
}

/// Opens sockets of the kinds that Sluice uses.
package enum Sockets {
  /// A bound UDP socket with SO_REUSEPORT; IPv6 ones take IPv6 only. Bound to no one address, it tells by which
  /// interface a datagram came.
  package static func listenUDP(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
    let fd = sluice_udp_listen(address.endpoint)
    guard fd >= 0 else { throw SystemError(call: "bind", errno: -fd) }
    return FileDescriptor(fd)
  }

  /// Makes a bound UDP socket tell by which interface datagrams come that arrive from now on.
  package static func tellInterface(_ socket: Int32) throws(SystemError) {
    let error = sluice_udp_tell_interface(socket)
    guard error == 0 else { throw SystemError(call: "setsockopt", errno: error) }
  }

  /// A non-blocking UDP socket on a port of the kernel's choice, connected, so that nobody else's datagram is seen.
  package static func connectUDP(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
    try connect(address, stream: 0)
  }

  /// A non-blocking TCP socket; writable once it is connected.
  package static func connectTCP(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
    try connect(address, stream: 1)
  }

  private static func connect(_ address: SocketAddress, stream: Int32) throws(SystemError) -> FileDescriptor {
    let fd = sluice_connect(address.endpoint, stream)
    guard fd >= 0 else { throw SystemError(call: "connect", errno: -fd) }
    return FileDescriptor(fd)
  }
}
