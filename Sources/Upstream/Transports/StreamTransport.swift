import LinuxIO

/// TCP. Every message has a connection of its own: it is asked for after a truncated answer, or while datagrams of an
/// upstream are not believed, and both are rare.
final class StreamTransport: UpstreamTransport {
  private final class Call: SocketCall {
    var octets: StreamBuffer

    init(_ reactor: Reactor, sending message: [UInt8], deadline: MonotonicTime, for client: any TransportClient) {
      octets = StreamBuffer(sending: message)
      super.init(reactor, deadline: deadline, for: client)
    }
  }

  private let reactor: Reactor
  private var buffer = [UInt8](repeating: 0, count: 4096)

  init(_ reactor: Reactor) {
    self.reactor = reactor
  }

  func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
    -> any TransportCall
  {
    let call = Call(reactor, sending: message, deadline: deadline, for: client)
    call.open(server, by: Sockets.connectTCP, writable: true) { [self] in advance(call) }
    return call
  }

  private func advance(_ call: Call) {
    guard call.isOpen else { return }
    let wasSent = call.octets.isSent
    let progress = call.octets.advance(call.socket, &buffer)
    if call.octets.isSent, !wasSent { call.client.transmitted() }
    switch progress {
    case .wait(let writable): call.wait(writable: writable)
    case .message(let message): call.client.received(message.span)
    case .failed: call.fail(.broken)
    }
  }
}
