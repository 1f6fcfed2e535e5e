import Glibc
import IPNetwork
import LinuxIO

/// A call with a socket of its own, and the timer of its deadline.
class SocketCall: TransportCall {
  let client: any TransportClient
  /// -1 without one.
  private(set) var socket: Int32 = -1
  private let reactor: Reactor
  private var timer: TimerID?

  init(_ reactor: Reactor, deadline: MonotonicTime, for client: any TransportClient) {
    self.reactor = reactor
    self.client = client
    arm(at: deadline, .timeout)
  }

  var isOpen: Bool { socket >= 0 }

  /// Opens the socket and has it watched. Where that fails the client is told at once, but not within this function.
  func open(
    _ server: UpstreamServer, by connect: (SocketAddress) throws(SystemError) -> FileDescriptor, writable: Bool,
    _ ready: @escaping () -> Void
  ) {
    do throws(SystemError) {
      socket = try connect(SocketAddress(server)).release()
      try reactor.register(socket, readable: true, writable: writable) { _ in ready() }
    } catch {
      end()
      arm(at: reactor.now, .unreachable)
    }
  }

  func end() {
    if let timer { reactor.cancel(timer) }
    timer = nil
    guard isOpen else { return }
    reactor.unregister(socket, closes: true)
    close(socket)
    socket = -1
  }

  /// Ends the call and says why.
  func fail(_ failure: TransportFailure) {
    end()
    client.failed(failure)
  }

  private func arm(at time: MonotonicTime, _ failure: TransportFailure) {
    timer = reactor.schedule(at: time) { [self] in
      timer = nil
      fail(failure)
    }
  }
}

extension SocketAddress {
  init(_ server: UpstreamServer) {
    self.init(
      isV6: server.address.family == .v6, high: server.address.high, low: server.address.low, port: server.port)
  }
}
