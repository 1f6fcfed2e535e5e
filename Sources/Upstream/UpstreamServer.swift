package import DNSWire
package import HTTP2
package import IPNetwork
package import TLS

/// A resolver that allowed names are forwarded to.
package struct UpstreamServer: Hashable, Sendable, CustomStringConvertible {
  /// How it is asked. The raw value is that of the configuration.
  package enum Scheme: String, Sendable {
    /// By datagrams, and by TCP where they are not enough.
    case udp
    /// By TCP alone.
    case tcp
    /// By TLS, and by nothing else.
    case tls
    /// By HTTPS, and by nothing else.
    case https
  }

  package var scheme: Scheme
  package var address: IPAddress
  package var port: UInt16
  /// The name that its certificate is for.
  package var tlsName: String?
  /// Where messages are posted to by HTTPS, such as `/dns-query`.
  package var path: String?

  package init(
    _ scheme: Scheme = .udp, address: IPAddress, port: UInt16, tlsName: String? = nil, path: String? = nil
  ) {
    self.scheme = scheme
    self.address = address
    self.port = port
    self.tlsName = tlsName
    self.path = path
  }

  /// What a server is offered to speak within TLS where it is asked by HTTPS, and must choose (RFC 7301).
  package static let httpProtocols = ["h2"]

  package var isSecure: Bool { scheme == .tls || scheme == .https }

  /// Address and port.
  private var endpoint: String { address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)" }

  /// Whom a request by HTTPS is for: the name that the certificate is for, or the address where its key alone is known.
  var authority: String {
    guard let tlsName else { return endpoint }
    return port == 443 ? tlsName : "\(tlsName):\(port)"
  }

  /// As in the configuration: `udp://192.0.2.54:53`, `tls://[2001:db8::1]:853#dns.example.net`,
  /// `https://192.0.2.53:443/dns-query#dns.example.net`.
  package var description: String {
    "\(scheme.rawValue)://\(endpoint)\(path ?? "")" + (tlsName.map { "#\($0)" } ?? "")
  }
}

/// A zone whose names are asked of servers of their own.
package struct UpstreamForward: Hashable, Sendable {
  package var zone: Name
  package var servers: [UpstreamServer]

  /// - Precondition: `servers` is not empty.
  package init(zone: Name, servers: [UpstreamServer]) {
    precondition(!servers.isEmpty)
    self.zone = zone
    self.servers = servers
  }
}

/// What an upstream answered, checked to be the answer to our question and nothing more.
package struct UpstreamAnswer: Sendable {
  package var message: [UInt8]
  package var server: UpstreamServer
  /// The server as in the configuration.
  package var serverText: String

  package init(message: [UInt8], server: UpstreamServer, serverText: String) {
    self.message = message
    self.server = server
    self.serverText = serverText
  }
}

/// Why no upstream gave an answer.
package enum UpstreamFailure: Error, Equatable, Sendable {
  /// No server answered in time.
  case timeout
  /// No server gave an answer, and this is what one of them said instead: the server's place in the configuration.
  case refused(ResponseCode, server: Int)
  /// Sockets or the network failed.
  case network
  /// TLS with no server could be used, and this is why with one of them: the server's place in the configuration.
  case untrusted(TLSFailure, server: Int)
  /// No server gave an answer, and this is what one of them said by HTTP instead.
  case http(HTTPFailure, server: Int)
  /// The server that asks has its share of exchanges, or this one was the oldest of too many.
  case overloaded

  /// RFC 8914: 22 *No Reachable Authority*, 23 *Network Error*.
  package var extendedError: ExtendedErrorCode {
    switch self {
    case .timeout, .refused, .untrusted, .http: .noReachableAuthority
    case .network, .overloaded: .networkError
    }
  }
}

/// Bounds of asking upstream, each with its reason. Times are milliseconds.
package struct UpstreamLimits: Sendable {
  /// How long an answer is waited for, whatever is sent again meanwhile: Docker's embedded DNS gives up after 4 s, and the
  /// client must see our SERVFAIL, not its timeout.
  package var total: UInt64 = 3500
  /// The first wait for a server whose round trip is not known, before another message is sent.
  package var firstTry: UInt64 = 400
  package var shortestTry: UInt64 = 100
  package var longestTry: UInt64 = 1500
  /// The least after which a second server is asked early.
  package var shortestHedge: UInt64 = 10
  /// One question in so many is asked first of a server that is not the fastest, lest what is known of it grows old.
  package var exploration: UInt64 = 32
  /// UDP sends to one server for one exchange; with one TCP connection the amplification of a client's query is bounded.
  package var sendsPerServer = 2
  /// Wrong answers taken before an exchange turns to TCP: a forger may be guessing (RFC 5452 section 9.3).
  package var wrongAnswers = 8
  /// Wrong answers of one server, over all exchanges, that are taken within a window: a resolver that repeats or is late
  /// sends a few; a forger has a chance of 64 in 1,850,000,000 (28,232 ports, 65,536 ids) before UDP is over.
  package var mismatches = 64
  /// The window in which they are counted.
  package var mismatchWindow: UInt64 = 10_000
  /// How long a server is asked by TCP alone after that.
  package var byStream: UInt64 = 60_000
  /// Refusals of a server one after the other, without an answer between them, before it is asked a question of our own.
  package var refusals: UInt64 = 8
  /// Exchanges at a time, each of which has a socket: 3.5 s of silence at 1,000 new questions a second. Never more than
  /// half of the descriptors that the process may open, and an eighth for messages that were sent before: clients,
  /// firewall and log need some too.
  package var exchanges = 4096
  /// How long an exchange of a server that has its share is sure of its slot against the server's next one: longer than
  /// a name takes that has an answer (as Unbound's `jostle-timeout`).
  package var leastAge: UInt64 = 200
  /// How long a server that choked on EDNS is asked without it.
  package var withoutEDNS: UInt64 = 60_000
  /// How long a server that did not keep the case of a name, or gave no cookie any more, is asked without.
  package var withoutProof: UInt64 = 3_600_000
  /// How long after a probe that was not answered the next one follows; doubled with every one, three times at most.
  package var unhealthy: UInt64 = 5000

  package init() {}
}
