package import DNSWire
package import IPNetwork

/// How a query came in.
package enum AuditTransport: UInt8, CaseIterable, Sendable {
  case udp
  case tcp
  /// By the control API: an operator asked in a server's name.
  case control

  /// The transport with this IP protocol number, if it is one that has ports.
  package init?(protocolNumber: UInt8) {
    switch protocolNumber {
    case 17: self = .udp
    case 6: self = .tcp
    default: return nil
    }
  }
}

/// The fixed part of what a worker records about one decision.
package struct AuditRecordHeader: Equatable, Sendable {
  package var code: AuditCode
  /// Nil where there are no ports, and for events of the service.
  package var transport: AuditTransport?
  /// Of a connection: its destination port; without a transport, its IP protocol number.
  package var type: RRType
  package var responseCode: ResponseCode
  /// Octets of the client's DNS message, or of the connection's packet.
  package var payloadSize: UInt32
  /// Nil only for events of the service.
  package var client: IPAddress?
  package var clientPort: UInt16
  /// Nanoseconds since 1970, UTC.
  package var wallClock: UInt64

  package init(
    code: AuditCode, transport: AuditTransport, type: RRType, responseCode: ResponseCode, payloadSize: UInt32,
    client: IPAddress, clientPort: UInt16, wallClock: UInt64
  ) {
    self.code = code
    self.transport = transport
    self.type = type
    self.responseCode = responseCode
    self.payloadSize = payloadSize
    self.client = client
    self.clientPort = clientPort
    self.wallClock = wallClock
  }

  /// The header of a connection that was refused.
  ///
  /// `push` gets the destination as text (a name in presentation form or an address) in place of the wire name, and
  /// members such as `,"address":"192.0.2.1","protocol":"tcp","port":443`. Repeats merge only with equal members:
  /// what differs from packet to packet does not belong there.
  ///
  /// - Parameters:
  ///   - transport: the IP protocol number; `port` and `clientPort` count for 6 and 17 only.
  ///   - payloadSize: octets of the packet.
  package init(
    connection code: AuditCode, transport: UInt8, port: UInt16, payloadSize: UInt32, client: IPAddress,
    clientPort: UInt16, wallClock: UInt64
  ) {
    assert(code.isConnection)
    self.code = code
    self.transport = AuditTransport(protocolNumber: transport)
    type = RRType(rawValue: self.transport == nil ? UInt16(transport) : port)
    responseCode = .NOERROR
    self.payloadSize = payloadSize
    self.client = client
    self.clientPort = self.transport == nil ? 0 : clientPort
    self.wallClock = wallClock
  }

  /// The header of an event of the service itself; `push` gets the destination as text, which may be empty.
  package init(service code: AuditCode, client: IPAddress? = nil, wallClock: UInt64) {
    assert(code.isService)
    self.code = code
    transport = nil
    type = RRType(rawValue: 0)
    responseCode = .NOERROR
    payloadSize = 0
    self.client = client
    clientPort = 0
    self.wallClock = wallClock
  }
}

/// A record taken off a ring; one value is used again for every record, so that reading allocates nothing.
package struct AuditRecord: Sendable {
  package var header = AuditRecordHeader(
    code: AuditCode(rawValue: 0), transport: .udp, type: RRType(rawValue: 0), responseCode: .NOERROR, payloadSize: 0,
    client: IPAddress(v4: 0), clientPort: 0, wallClock: 0)
  /// Server, name and members, one after the other.
  package internal(set) var octets: [UInt8] = []
  package internal(set) var serverEnd = 0
  package internal(set) var nameEnd = 0

  package init() {
    octets.reserveCapacity(1024)
  }

  var server: Range<Int> { 0..<serverEnd }
  /// The canonical wire name of a query; else the destination as text.
  var name: Range<Int> { serverEnd..<nameEnd }
  /// Preformatted JSON members, each with its comma before it.
  var members: Range<Int> { nameEnd..<octets.count }
}
