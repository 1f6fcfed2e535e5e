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

  /// Whether it stands for every address of the host: such a socket tells which was asked, and by which interface.
  package var isUnspecified: Bool { high == 0 && low == 0 }

  init(_ endpoint: sluice_endpoint) {
    self.init(isV6: endpoint.is_v6 != 0, high: endpoint.high, low: endpoint.low, port: endpoint.port)
  }

  var endpoint: sluice_endpoint {
    sluice_endpoint(high: high, low: low, port: port, is_v6: isV6 ? 1 : 0)
  }
}

/// Opens sockets of the kinds that Sluice uses.
package enum Sockets {
  /// A TCP socket that listens; IPv6 ones take IPv6 only. The address need not be there yet (IP_FREEBIND, ip(7)): the
  /// socket takes connections whenever an interface has it.
  ///
  /// - Throws: EADDRINUSE for a port that another program has, EADDRNOTAVAIL for an absent address where the kernel binds
  ///   none free.
  package static func listenTCP(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
    let fd = sluice_tcp_listen(address.endpoint)
    guard fd >= 0 else { throw SystemError(call: "bind", errno: -fd) }
    return FileDescriptor(fd)
  }

  /// A bound UDP socket with SO_REUSEPORT; IPv6 ones take IPv6 only. Bound to no one address, it tells by which
  /// interface a datagram came; else only if `tellsInterface`. As with `listenTCP` the address need not be there yet.
  package static func listenUDP(
    _ address: SocketAddress, tellsInterface: Bool = false
  ) throws(SystemError) -> FileDescriptor {
    let fd = sluice_udp_listen(address.endpoint, tellsInterface ? 1 : 0)
    guard fd >= 0 else { throw SystemError(call: "bind", errno: -fd) }
    return FileDescriptor(fd)
  }

  /// A network by its address, as in `SocketAddress`, and its length in bits.
  package struct Network: Sendable {
    package var high: UInt64
    package var low: UInt64
    package var isV6: Bool
    package var length: Int

    package init(high: UInt64, low: UInt64, isV6: Bool, length: Int) {
      self.high = high
      self.low = low
      self.isV6 = isV6
      self.length = length
    }
  }

  /// The most networks that `steer` takes.
  package static let steeredNetworks = 16

  /// Tells the kernel which socket of the SO_REUSEPORT group of `socket` gets a datagram: the one bound after `workers`
  /// others gets those of `networks`, the others share the rest by source port.
  package static func steer(_ socket: Int32, _ networks: [Network], workers: Int) throws(SystemError) {
    let steered = networks.prefix(steeredNetworks).map { network in
      let words: [UInt32] =
        network.isV6
        ? [network.high >> 32, network.high, network.low >> 32, network.low].map { UInt32(truncatingIfNeeded: $0) }
        : [UInt32(truncatingIfNeeded: network.low), 0, 0, 0]
      let masks = (0..<4).map { word in
        let bits = min(max(network.length - 32 * word, 0), 32)
        return bits == 0 ? UInt32(0) : UInt32.max << UInt32(32 - bits)
      }
      return sluice_steered(
        word: (words[0], words[1], words[2], words[3]), mask: (masks[0], masks[1], masks[2], masks[3]))
    }
    let error = unsafe sluice_udp_steer(socket, steered, Int32(steered.count), Int32(clamping: workers))
    guard error == 0 else { throw SystemError(call: "SO_ATTACH_REUSEPORT_CBPF", errno: error) }
  }

  /// Makes a bound UDP socket tell by which interface datagrams come that arrive from now on.
  package static func tellInterface(_ socket: Int32) throws(SystemError) {
    let error = sluice_udp_tell_interface(socket)
    guard error == 0 else { throw SystemError(call: "setsockopt", errno: error) }
  }

  /// A non-blocking UDP socket on a port of the kernel's choice, connected, so that no other host's datagram is seen.
  package static func connectUDP(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
    let socket = try unconnectedUDP(isV6: address.isV6)
    try connect(socket.raw, to: address)
    return socket
  }

  /// A non-blocking UDP socket without a port.
  package static func unconnectedUDP(isV6: Bool) throws(SystemError) -> FileDescriptor {
    let fd = sluice_udp_new(isV6 ? 1 : 0)
    guard fd >= 0 else { throw SystemError(call: "socket", errno: -fd) }
    return FileDescriptor(fd)
  }

  /// Connects a UDP socket that has no port; the kernel draws one.
  package static func connect(_ socket: Int32, to address: SocketAddress) throws(SystemError) {
    let error = sluice_udp_connect(socket, address.endpoint)
    guard error == 0 else { throw SystemError(call: "connect", errno: error) }
  }

  /// Gives up the port and the peer of a connected UDP socket; what came there and was not read stays in the socket. False
  /// where the socket can only be closed.
  package static func disconnect(_ socket: Int32) -> Bool { sluice_udp_disconnect(socket) == 0 }

  /// A non-blocking TCP socket; writable once it is connected. What is written leaves at once (TCP_NODELAY), and a connection by
  /// which nothing has been acknowledged for two seconds ends (TCP_USER_TIMEOUT, tcp(7)).
  package static func connectTCP(_ address: SocketAddress) throws(SystemError) -> FileDescriptor {
    let fd = sluice_connect(address.endpoint)
    guard fd >= 0 else { throw SystemError(call: "connect", errno: -fd) }
    return FileDescriptor(fd)
  }

  /// What came of connecting: 0, or an error number.
  package static func failure(of socket: Int32) -> Int32 { sluice_socket_error(socket) }
}
