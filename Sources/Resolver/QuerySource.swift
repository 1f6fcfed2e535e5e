package import AuditLog
package import IPNetwork

/// Where a query came from.
package struct QuerySource: Sendable {
  /// IPv4-mapped addresses are given unmapped.
  package var client: IPAddress
  package var port: UInt16
  package var transport: AuditTransport
  /// Index of the interface that the datagram or connection came in by; 0 when unknown.
  package var interface: UInt32

  package init(client: IPAddress, port: UInt16, transport: AuditTransport, interface: UInt32) {
    self.client = client
    self.port = port
    self.transport = transport
    self.interface = interface
  }

  var isDatagram: Bool { transport == .udp }
}

/// The clocks, read once per batch of queries.
package struct QueryClock: Sendable {
  /// Nanoseconds of the monotonic clock.
  package var monotonic: UInt64
  /// Nanoseconds since 1970, UTC.
  package var wall: UInt64
  /// The firewall epoch (see `FirewallEpoch`).
  package var epoch: UInt64

  package init(monotonic: UInt64, wall: UInt64, epoch: UInt64) {
    self.monotonic = monotonic
    self.wall = wall
    self.epoch = epoch
  }
}
