package import NIOCore

/// What TCP clients may use (P8).
package struct StreamLimits: Sendable {
  /// All connections: an agent host has tens of containers with a few connections each. Shared out among servers: where
  /// all are taken, the server with most of them gives one.
  package var connections = 1024
  /// Of one server, whatever is free.
  package var connectionsPerServer = 128
  /// Unused for this long, a connection gives way to another one of its server that has all it may: longer than any
  /// question takes.
  package var unused = TimeAmount.seconds(4)
  /// Of all unknown clients together.
  package var connectionsOfUnknown = 16
  /// Questions of one connection that wait for an answer; beyond, the connection is not read (RFC 7766 section 6.2.1.1).
  package var questionsInFlight = 64
  /// Without a query for this long the connection is closed (RFC 7766 section 6.2.3).
  package var idle = TimeAmount.seconds(10)
  /// From the first octet of a message to its last, and from a reply to its reception by the client.
  package var frame = TimeAmount.seconds(5)

  package init() {}
}
