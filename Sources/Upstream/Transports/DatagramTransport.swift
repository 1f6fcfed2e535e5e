import Glibc
import LinuxIO

/// UDP. Every message has a connected socket of its own, with a port that the kernel draws (RFC 5452 section 9.2).
final class DatagramTransport: UpstreamTransport {
  private let reactor: Reactor
  private var buffer = [UInt8](repeating: 0, count: 4096)

  init(_ reactor: Reactor) {
    self.reactor = reactor
  }

  func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
    -> any TransportCall
  {
    let call = SocketCall(reactor, deadline: deadline, for: client)
    call.open(server, by: Sockets.connectUDP, writable: false) { [self] in receive(call) }
    guard call.isOpen else { return call }
    // What the kernel refuses is lost like a datagram on the way: the timer covers both.
    let sent = unsafe message.withUnsafeBytes {
      // The pointer is the message's own and count its octets.
      unsafe Glibc.send(call.socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
    }
    if sent == message.count { client.transmitted() }
    return call
  }

  private func receive(_ call: SocketCall) {
    // A bounded number of datagrams a turn: a flood of wrong ones must not hold the thread.
    for _ in 0..<16 where call.isOpen {
      let count = unsafe buffer.withUnsafeMutableBytes {
        // The kernel writes count octets at the most, and with MSG_TRUNC tells how many there were.
        unsafe recv(call.socket, $0.baseAddress, $0.count, Int32(MSG_TRUNC))
      }
      // ECONNREFUSED and the like come of ICMP, which any host can send: waiting goes on (threats U6).
      guard count >= 0 else {
        if errno == EAGAIN || errno == EWOULDBLOCK { return }
        continue
      }
      // More than we can hold is cut: as good as TC, so TCP is next.
      if count > buffer.count { buffer[2] |= 0x02 }
      call.client.received(buffer.span.extracting(0..<min(count, buffer.count)))
    }
  }
}
