import HTTP2
import LinuxIO
import TLS

/// How a message travels to an upstream.
enum TransportKind: Hashable, CaseIterable {
  /// UDP: a socket, a port and an id of its own for each message.
  case datagram
  /// TCP (RFC 7766): connections that messages share.
  case stream
  /// DNS over TLS (RFC 7858) or over HTTPS (RFC 8484): connections that messages share.
  case secure

  /// Whether a message may come from another sender than the upstream: then a wrong one is counted and waiting goes on. On a
  /// connection a wrong one is the upstream's own.
  var isForgeable: Bool { self == .datagram }

  /// Whether the time until an answer is that of one round trip, by which upstreams are compared. By TCP an upstream is asked
  /// for what is large, or now and then: it measures those that are asked by nothing else.
  func measuresRoundTrip(of server: UpstreamServer) -> Bool { self != .stream || server.scheme == .tcp }
}

/// Why a message that was handed to a transport has no answer.
enum TransportFailure: Error, Hashable {
  /// The deadline passed.
  case timeout
  /// No socket, or no route to the upstream: nothing was sent.
  case unreachable
  /// The connection ended, or what came by it is no message.
  case broken
  /// TLS with the upstream is not to be used: nothing was sent.
  case untrusted(TLSFailure)
  /// The upstream was asked by HTTP, and what it said is no answer.
  case http(HTTPFailure)

  /// Whether it may be the upstream that does not run. A connection that broke was one: something listens.
  var isSilence: Bool { self != .broken }

  /// What a client's answer says of it, if it was the last.
  func upstreamFailure(of server: Int) -> UpstreamFailure {
    switch self {
    case .timeout: .timeout
    case .unreachable, .broken: .network
    case .untrusted(let failure): .untrusted(failure, server: server)
    case .http(let failure): .http(failure, server: server)
    }
  }
}

/// One way to upstreams, and all that is particular to it: sockets, connections, framing. Lives on its reactor's thread.
///
/// A call is one message out and what comes back for it; whether it has a connection of its own or shares one with other
/// calls is the transport's alone. A transport that shares one puts ids of its own into the messages, since the callers'
/// are drawn without regard to each other, and the callers' back into the answers.
protocol UpstreamTransport: AnyObject {
  /// Sends a message, now or when there is a connection. What comes of it is told to `client`, but never within this
  /// function, except that the message was sent.
  ///
  /// - Parameters:
  ///   - message: a DNS message without the framing of the transport.
  ///   - deadline: when waiting ends with `timeout`; connecting and handshakes are within it.
  func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
    -> any TransportCall
}

/// A message that was handed to a transport.
protocol TransportCall: AnyObject {
  /// Frees what the call has; its client is told nothing more. A call that failed has ended already, and may be ended
  /// again; every other one is ended by its client.
  func end()
}

/// Who is told what comes of a call. It may end the call, and begin others, within these functions.
protocol TransportClient: AnyObject {
  /// The network took the whole message.
  func transmitted()
  /// A message came; others may follow where the transport is forgeable.
  func received(_ message: Span<UInt8>)
  /// Nothing will come any more.
  func failed(_ failure: TransportFailure)
}

/// A transport for each kind.
struct UpstreamTransports {
  var datagram: any UpstreamTransport
  var stream: any UpstreamTransport
  var secure: any UpstreamTransport

  subscript(kind: TransportKind) -> any UpstreamTransport {
    switch kind {
    case .datagram: datagram
    case .stream: stream
    case .secure: secure
    }
  }
}
