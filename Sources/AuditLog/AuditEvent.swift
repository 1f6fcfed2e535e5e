package import DNSWire
package import IPNetwork

/// One line of the log as a value. `EventEncoder` writes it, `init(line:)` reads it, and both go by the keys of `EventKey`
/// and `AuditMembers` and by the table of `AuditCode`: decision and reason follow from the code, and are no parts of it.
package struct AuditEvent: Equatable, Sendable {
  /// Grows within a run, and from run to run.
  package struct Identifier: Hashable, Sendable {
    package var run: UInt64
    /// From 1 in each run.
    package var number: UInt64
  }

  /// The first and the last time of several, in nanoseconds since 1970.
  package struct Interval: Equatable, Sendable {
    package var first: UInt64
    package var last: UInt64
  }

  /// The parts of an event that are not text.
  package struct Fields: Equatable, Sendable {
    package var code: AuditCode
    /// Of a query; nil where an aggregate holds several types.
    package var type: RRType?
    /// Nil where there is none, or where an aggregate of connections holds several.
    package var transport: AuditTransport?
    /// Of a query.
    package var responseCode: ResponseCode
    /// Octets.
    package var payloadSize: UInt32
    /// Nil where an aggregate holds several clients, and where the service has none.
    package var client: IPAddress?
    /// Counts where there is a transport.
    package var clientPort: UInt16
    /// Nanoseconds since 1970; the line has milliseconds.
    package var wallClock: UInt64
    /// Records that it stands for.
    package var count: UInt64
    /// Of several.
    package var interval: Interval?
  }

  package var fields: Fields
  package var id: Identifier
  /// A character for each octet.
  package var server: String
  /// Of a query in presentation form; a character for each octet.
  package var destination: String
  package var members: AuditMembers

  /// The keys that stand before the members, in their order.
  package static let fixedKeys = EventKey.allCases.map(\.rawValue)
}

extension AuditTransport {
  /// As events have it.
  var name: String {
    switch self {
    case .udp: "udp"
    case .tcp: "tcp"
    case .control: "control"
    }
  }
}
