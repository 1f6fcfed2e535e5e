import LinuxIO

/// TCP (RFC 7766): what is asked for after a truncated answer, while datagrams of an upstream are not believed, and of one that
/// is asked by TCP alone. Messages share connections and are answered in any order.
final class StreamTransport: UpstreamTransport {
  private let reactor: Reactor
  /// Made when they are asked for first: as many as there are upstreams that are in use.
  private var lines: [UpstreamServer: SharedLine] = [:]

  init(_ reactor: Reactor) {
    self.reactor = reactor
  }

  func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
    -> any TransportCall
  {
    precondition(!server.isSecure, "what is asked by TLS is asked by nothing else")
    let line = lines[server] ?? SharedLine(reactor, server)
    lines[server] = line
    let call = SharedCall(message, line, deadline: deadline, for: client)
    line.send(call)
    return call
  }

  func keep(_ servers: Set<UpstreamServer>) { lines.keep(servers) }
}
