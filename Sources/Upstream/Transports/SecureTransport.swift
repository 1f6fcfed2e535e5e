import LinuxIO
import TLS

/// DNS over TLS (RFC 7858) in the strict profile (RFC 8310 section 5): without a server that has shown who it is there is
/// no answer. Messages share long-lived connections and are answered in any order (RFC 7766 section 6.2.1.1).
final class SecureTransport: UpstreamTransport {
  private let reactor: Reactor
  private var lines: [UpstreamServer: SharedLine]

  /// - Parameter clients: what is believed of each server that is asked by TLS.
  init(_ reactor: Reactor, _ clients: [UpstreamServer: TLSClient]) {
    self.reactor = reactor
    lines = clients.reduce(into: [:]) { $0[$1.key] = SharedLine(reactor, $1.key, $1.value) }
  }

  func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
    -> any TransportCall
  {
    guard let line = lines[server] else { return UnknownCall(reactor, client) }
    let call = SharedCall(message, line, deadline: deadline, for: client)
    line.send(call)
    return call
  }

  /// A message to a server of which nothing is known that could be believed: it is not sent.
  private final class UnknownCall: TransportCall {
    private let reactor: Reactor
    private var timer: TimerID?

    init(_ reactor: Reactor, _ client: any TransportClient) {
      self.reactor = reactor
      timer = reactor.schedule(at: reactor.now) { [self] in
        timer = nil
        client.failed(.unreachable)
      }
    }

    func end() {
      if let timer { reactor.cancel(timer) }
      timer = nil
    }
  }

  func keep(_ servers: Set<UpstreamServer>) { lines.keep(servers) }

  /// Connections that are made from now on believe these; of servers that are not among them what was believed stays.
  func renew(_ clients: [UpstreamServer: TLSClient]) {
    for (server, client) in clients {
      guard let line = lines[server] else {
        lines[server] = SharedLine(reactor, server, client)
        continue
      }
      line.renew(client)
    }
  }
}
