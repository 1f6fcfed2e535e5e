package import NIOCore

/// What TCP clients may use (P8).
package struct StreamLimits: Sendable {
  /// All connections: an agent host has tens of containers with a few connections each.
  package var connections = 1024
  /// Of one client network, so that one server's flood leaves the others their share.
  package var connectionsPerServer = 128
  /// Of all clients in nobody's network together.
  package var connectionsOfUnknown = 16
  /// Questions of one connection that wait for an answer; beyond, the connection is not read (RFC 7766 section 6.2.1.1).
  package var questionsInFlight = 64
  /// Without a query for this long the connection is closed (RFC 7766 section 6.2.3).
  package var idle = TimeAmount.seconds(10)
  /// From the first octet of a message to its last, and from a reply to its reception by the client.
  package var frame = TimeAmount.seconds(5)

  package init() {}
}
