import LinuxIO
import TLS

/// DNS over TLS (RFC 7858) in the strict profile (RFC 8310 section 5): without a server that has shown who it is there is
/// no answer. Messages share long-lived connections and are answered in any order (RFC 7766 section 6.2.1.1).
final class SecureTransport: UpstreamTransport {
  private let reactor: Reactor
  private var lines: [UpstreamServer: SecureLine]

  /// - Parameter clients: what is believed of each server that is asked by TLS.
  init(_ reactor: Reactor, _ clients: [UpstreamServer: TLSClient]) {
    self.reactor = reactor
    lines = clients.reduce(into: [:]) { $0[$1.key] = SecureLine(reactor, $1.key, $1.value) }
  }

  func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
    -> any TransportCall
  {
    guard let line = lines[server] else { preconditionFailure("a server that is asked by TLS has a line") }
    let call = SecureCall(message, line, deadline: deadline, for: client)
    line.send(call)
    return call
  }

  /// Connections that are made from now on believe these; servers that have none stay as they are.
  func renew(_ clients: [UpstreamServer: TLSClient]) {
    for (server, client) in clients { lines[server]?.renew(client) }
  }
}
