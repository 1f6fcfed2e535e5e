package import DNSWire
package import IPNetwork

/// How a query came in.
package enum AuditTransport: UInt8, Sendable {
  case udp
  case tcp
}

/// The fixed part of what a worker records about one decision.
package struct AuditRecordHeader: Equatable, Sendable {
  package var code: AuditCode
  package var transport: AuditTransport
  package var type: RRType
  package var responseCode: ResponseCode
  /// Octets of the client's DNS message.
  package var payloadSize: UInt32
  package var client: IPAddress
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
  /// The canonical wire name.
  var name: Range<Int> { serverEnd..<nameEnd }
  /// Preformatted JSON members, each with its comma before it.
  var members: Range<Int> { nameEnd..<octets.count }
}
