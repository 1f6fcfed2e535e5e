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

  /// Whether the reply is bounded by the size of datagram that the client takes.
  package var isDatagram: Bool { transport == .udp }

  /// Whether a datagram comes from a port at which a service answers: what is sent there is answered by it, and the address
  /// may be forged.
  var isService: Bool { isDatagram && ServicePorts.contains(port) }
}

/// Ports below 1024 of services that answer a datagram, whatever it is or nearly so; no resolver asks from them. Port 53 is
/// none: it did, and a response gets no answer here.
enum ServicePorts {
  /// No port from here on is one.
  static let end: UInt16 = 1024

  /// 0 none at all, 7 echo, 11 systat, 13 daytime, 17 qotd, 19 chargen, 37 time, 69 tftp, 111 portmap, 123 ntp, 137 netbios,
  /// 161 snmp, 389 cldap, 427 slp, 464 kpasswd, 520 rip, 623 ipmi.
  static func contains(_ port: UInt16) -> Bool {
    switch port {
    case 0, 7, 11, 13, 17, 19, 37, 69, 111, 123, 137, 161, 389, 427, 464, 520, 623: true
    default: false
    }
  }
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
