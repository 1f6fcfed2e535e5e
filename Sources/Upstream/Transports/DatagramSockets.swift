import LinuxIO

/// A UDP socket that messages use one after the other, each from a port of its own.
final class DatagramSocket {
  let descriptor: Int32
  let isV6: Bool
  /// The message that has it; nil while it has no port.
  var call: DatagramCall?

  fileprivate init(_ descriptor: Int32, isV6: Bool) {
    (self.descriptor, self.isV6) = (descriptor, isV6)
  }
}

/// Sockets without a port that wait for the next message, known to the reactor already: a new socket costs the kernel six
/// microseconds more, to make, to watch and to close, than a new port for one that is there.
///
/// The kernel draws a port at each `connect`, as for a new socket, and frees it before a socket waits here (threats U2). A
/// socket is used again when the reactor has looked at all sockets since: one into which something came until then, whether
/// an answer that nobody read or an error, is closed. Should a datagram be just on its way into the socket after that, it is
/// one wrong answer more for the next message, which has another id, port and letters.
final class DatagramSockets {
  /// Twice as many as there are messages on their way at a time at 50,000 new names a second that take five milliseconds, for
  /// they rest as well. Those beyond it are made and closed.
  private static let most = 512

  private let reactor: Reactor
  private let most: Int
  private var idle: (v4: [DatagramSocket], v6: [DatagramSocket]) = ([], [])
  /// Those that the reactor has to look at first, oldest first; by its number of looks from when on they may be used.
  private var resting: [(socket: DatagramSocket, until: UInt64)] = []

  init(_ reactor: Reactor) {
    self.reactor = reactor
    // Beside what exchanges may have at most (see `UpstreamLimits.exchanges`).
    most = min(Self.most, DescriptorLimit.current / 8)
  }

  deinit {
    for socket in idle.v4 + idle.v6 + resting.map(\.socket) { close(socket) }
  }

  /// A connected socket, from a port that was drawn for it now.
  ///
  /// - Parameter ready: told of it whenever something came, as long as it has a call.
  func take(
    for address: SocketAddress, _ ready: @escaping (DatagramSocket) -> Void
  ) throws(SystemError) -> DatagramSocket {
    let socket = if let idle = idle(isV6: address.isV6) { idle } else { try make(isV6: address.isV6, ready) }
    do throws(SystemError) {
      try Sockets.connect(socket.descriptor, to: address)
    } catch {
      close(socket)
      throw error
    }
    return socket
  }

  /// Frees the port; the socket waits for another message, or is closed.
  func give(back socket: DatagramSocket) {
    guard idle.v4.count + idle.v6.count + resting.count < most, Sockets.disconnect(socket.descriptor) else {
      return close(socket)
    }
    // The look that is under way, if one is, began before.
    resting.append((socket, reactor.looks + 2))
  }

  private func idle(isV6: Bool) -> DatagramSocket? {
    if let socket = isV6 ? idle.v6.popLast() : idle.v4.popLast() { return socket }
    let rested = resting.prefix { $0.until <= reactor.looks }
    guard !rested.isEmpty else { return nil }
    idle.v4 += rested.lazy.map(\.socket).filter { !$0.isV6 }
    idle.v6 += rested.lazy.map(\.socket).filter(\.isV6)
    resting.removeFirst(rested.count)
    return isV6 ? idle.v6.popLast() : idle.v4.popLast()
  }

  private func make(isV6: Bool, _ ready: @escaping (DatagramSocket) -> Void) throws(SystemError) -> DatagramSocket {
    let descriptor = try Sockets.unconnectedUDP(isV6: isV6)
    let socket = DatagramSocket(descriptor.raw, isV6: isV6)
    try reactor.register(descriptor.raw, readable: true, writable: false) { [unowned self, unowned socket] _ in
      if socket.call == nil { discard(socket) } else { ready(socket) }
    }
    _ = descriptor.release()
    return socket
  }

  /// Something came into a socket that has no port: it was there, or on its way, when that was given up.
  private func discard(_ socket: DatagramSocket) {
    idle.v4.removeAll { $0 === socket }
    idle.v6.removeAll { $0 === socket }
    resting.removeAll { $0.socket === socket }
    close(socket)
  }

  private func close(_ socket: DatagramSocket) {
    reactor.unregister(socket.descriptor, closes: true)
    _ = FileDescriptor(socket.descriptor)
  }
}
