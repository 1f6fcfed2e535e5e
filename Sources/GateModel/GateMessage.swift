package import DNSWire
import EgressPolicy
package import FirewallModel
package import GrantLedger
package import IPNetwork

/// A connection that came to the gate, and what became of it.
package struct GatedConnection: Hashable, Sendable {
  package var verdict: GateVerdict
  package var element: GrantElement
  package var client: IPAddress
  package var clientPort: UInt16
  /// What it says, as text.
  package var said: String
  /// Octets that it had sent by then; of a cap those of its payload that were passed on.
  package var length: UInt32
  /// Nanoseconds since 1970.
  package var time: UInt64
  /// What a proxy said to it, as HTTP has it; 0 where none said anything.
  package var status: UInt16 = 0

  package init(
    verdict: GateVerdict, element: GrantElement, client: IPAddress, clientPort: UInt16, said: String, length: UInt32,
    time: UInt64
  ) {
    self.verdict = verdict
    self.element = element
    self.client = client
    self.clientPort = clientPort
    self.said = said
    self.length = length
    self.time = time
  }
}

/// The closed set of what serve and the gate say to each other. Texts of the network stand in `GatedConnection.said` alone.
package enum GateMessage: Hashable, Sendable {
  // To the gate.
  /// Which networks are whose: the first part begins anew, the last puts them in force.
  case networks(isFirst: Bool, isLast: Bool, [GateNetwork])
  /// What was resolved; answered when it is known.
  case open(request: UInt32, [GateHolding])
  /// Names stand for addresses no more; with `cuts` their connections end. Answered with how many did.
  case close(request: UInt32, cuts: Bool, [GateHolding])
  /// Answered with the names by which connections pass, whether or not their time is over.
  case review(request: UInt32)
  /// No name stands for the elements any more; their connections live on.
  case evict([GrantElement])
  /// A server's number may be another's from now on.
  case forget(server: UInt16)
  /// All is known that is to be known: the process that greeted with this number judges connections from now on. Another one has
  /// found the message of its predecessor, and knows nothing yet.
  case ready(process: UInt32)
  /// Whether the record of a connection stands: else it does not pass.
  case recorded(connection: UInt64, Bool)
  /// The record stands, and the connection goes through a proxy.
  case inspect(connection: UInt64, InspectionOrder)
  /// Ends a connection, if it still is one.
  case cut(connection: UInt64)

  // From the gate.
  /// A new process is at work, and knows nothing.
  case hello(process: UInt32)
  case received(request: UInt32)
  /// So many connections were cut.
  case closed(request: UInt32, connections: UInt32)
  /// The first part of an answer to `review`, or a further one.
  case passing(request: UInt32, isLast: Bool, [GateHolder])
  /// `connection` waits for `recorded`, unless it is refused.
  case judged(connection: UInt64, GatedConnection)
  /// Octets that went to elements since it was last said.
  case volumes([ElementVolume])
  /// A proxy has taken a connection.
  case inspected(connection: UInt64)
  /// A connection that `inspect` was said of is none any more.
  case ended(connection: UInt64)
}

/// A name by which a connection passes at an element.
package struct GateHolder: Hashable, Sendable {
  package var element: GrantElement
  package var name: Name

  package init(element: GrantElement, name: Name) {
    self.element = element
    self.name = name
  }
}

/// A network of a server.
package struct GateNetwork: Hashable, Sendable {
  package var prefix: IPPrefix
  package var server: UInt16

  package init(prefix: IPPrefix, server: UInt16) {
    self.prefix = prefix
    self.server = server
  }
}

extension GateMessage: FramedMessage {
  package static let version: UInt8 = 1
  package static let maximumOctets = 65_536
  /// 20 octets each.
  package static let maximumNetworks = 3_000
  /// 307 octets each at most.
  package static let maximumHoldings = 200
  /// 22 octets each, and with volumes 38.
  package static let maximumElements = 1_500
  private static let maximumText = 1_200

  /// What is more than one message holds, in parts that each fit one.
  package static func parts<Item>(_ items: [Item], _ most: Int) -> [[Item]] {
    stride(from: 0, to: items.count, by: most).map { Array(items[$0..<min($0 + most, items.count)]) }
  }

  package var kind: UInt8 {
    switch self {
    case .networks: 1
    case .open: 2
    case .close: 3
    case .evict: 4
    case .forget: 5
    case .ready: 6
    case .recorded: 7
    case .review: 8
    case .inspect: 9
    case .cut: 10
    case .hello: 65
    case .received: 66
    case .judged: 67
    case .volumes: 68
    case .closed: 69
    case .passing: 70
    case .inspected: 71
    case .ended: 72
    }
  }

  /// Appends what each kind has behind it.
  package func writeFields(to writer: inout OctetWriter) {
    switch self {
    case .networks(let isFirst, let isLast, let networks):
      writer.bool(isFirst)
      writer.bool(isLast)
      writer.list(networks) {
        $0.prefix($1.prefix)
        $0.integer($1.server)
      }
    case .open(let request, let holdings):
      writer.integer(request)
      writer.list(holdings) { $0.holding($1) }
    case .close(let request, let cuts, let holdings):
      writer.integer(request)
      writer.bool(cuts)
      writer.list(holdings) { $0.holding($1) }
    case .evict(let elements): writer.list(elements) { $0.element($1) }
    case .forget(let server): writer.integer(server)
    case .ready(let process): writer.integer(process)
    case .review(let request): writer.integer(request)
    case .recorded(let connection, let isRecorded):
      writer.integer(connection)
      writer.bool(isRecorded)
    case .inspect(let connection, let order):
      writer.integer(connection)
      writer.order(order, limit: Self.maximumText)
    case .cut(let connection), .inspected(let connection), .ended(let connection): writer.integer(connection)
    case .hello(let process): writer.integer(process)
    case .received(let request): writer.integer(request)
    case .closed(let request, let connections):
      writer.integer(request)
      writer.integer(connections)
    case .passing(let request, let isLast, let holders):
      writer.integer(request)
      writer.bool(isLast)
      writer.list(holders) {
        $0.element($1.element)
        $0.name($1.name)
      }
    case .judged(let connection, let gated):
      writer.integer(connection)
      writer.gated(gated, limit: Self.maximumText)
    case .volumes(let volumes):
      writer.list(volumes) {
        $0.element($1.element)
        $0.integer($1.octets)
        $0.integer($1.packets)
      }
    }
  }

  /// Reads what is behind a kind, every field of it checked.
  package static func read(_ kind: UInt8, _ reader: inout OctetReader) throws(BridgeFormatError) -> GateMessage {
    switch kind {
    case 1:
      return .networks(
        isFirst: try reader.bool(), isLast: try reader.bool(),
        try reader.list(width: 20) { reader throws(BridgeFormatError) in
          GateNetwork(prefix: try reader.prefix(), server: try reader.integer())
        })
    case 2:
      return .open(
        request: try reader.integer(),
        try reader.list(width: 52) { reader throws(BridgeFormatError) in try reader.holding() })
    case 3:
      return .close(
        request: try reader.integer(), cuts: try reader.bool(),
        try reader.list(width: 52) { reader throws(BridgeFormatError) in try reader.holding() })
    case 4:
      return .evict(try reader.list(width: 22) { reader throws(BridgeFormatError) in try reader.element() })
    case 5: return .forget(server: try reader.integer())
    case 6: return .ready(process: try reader.integer())
    case 7: return .recorded(connection: try reader.integer(), try reader.bool())
    case 8: return .review(request: try reader.integer())
    case 9: return .inspect(connection: try reader.integer(), try reader.order(limit: maximumText))
    case 10: return .cut(connection: try reader.integer())
    case 65: return .hello(process: try reader.integer())
    case 66: return .received(request: try reader.integer())
    case 67: return .judged(connection: try reader.integer(), try reader.gated(limit: maximumText))
    case 68:
      return .volumes(
        try reader.list(width: 38) { reader throws(BridgeFormatError) in
          ElementVolume(element: try reader.element(), octets: try reader.integer(), packets: try reader.integer())
        })
    case 69: return .closed(request: try reader.integer(), connections: try reader.integer())
    case 70:
      return .passing(
        request: try reader.integer(), isLast: try reader.bool(),
        try reader.list(width: 24) { reader throws(BridgeFormatError) in
          GateHolder(element: try reader.element(), name: try reader.name())
        })
    case 71: return .inspected(connection: try reader.integer())
    case 72: return .ended(connection: try reader.integer())
    default: throw .unknownKind(kind)
    }
  }
}

extension OctetWriter {
  fileprivate mutating func holding(_ holding: GateHolding) {
    element(holding.element)
    name(holding.name)
    integer(holding.until)
    bool(holding.isChecked)
    bool(holding.allowsHiding)
    bool(holding.isInspected)
    bound(holding.limits.maxBytes)
    bound(holding.limits.maxBytesPerHour)
  }

  fileprivate mutating func name(_ name: Name) {
    integer(UInt8(truncatingIfNeeded: name.wire.count))
    bytes(name.wire)
  }

  /// 0 octets for none.
  private mutating func bound(_ bound: ByteBound?) {
    integer(bound?.bytes ?? 0)
    bool(bound?.excess == .audit)
  }

  fileprivate mutating func gated(_ gated: GatedConnection, limit: Int) {
    integer(gated.verdict.rawValue)
    element(gated.element)
    address(gated.client)
    integer(gated.clientPort)
    text(gated.said, limit: limit)
    integer(gated.length)
    integer(gated.time)
    integer(gated.status)
  }

  fileprivate mutating func order(_ order: InspectionOrder, limit: Int) {
    address(order.inspector.address)
    integer(order.inspector.port)
    text(order.id, limit: limit)
    text(order.server, limit: limit)
    text(order.rule, limit: limit)
  }
}

extension OctetReader {
  fileprivate mutating func holding() throws(BridgeFormatError) -> GateHolding {
    GateHolding(
      element: try element(), name: try name(), until: try integer(), isChecked: try bool(), allowsHiding: try bool(),
      isInspected: try bool(), limits: ByteLimits(maxBytes: try bound(), maxBytesPerHour: try bound()))
  }

  fileprivate mutating func name() throws(BridgeFormatError) -> Name {
    let wire = try bytes(Int(try integer(UInt8.self)))
    guard let name = Name(whole: wire.span) else { throw .field }
    return name
  }

  private mutating func bound() throws(BridgeFormatError) -> ByteBound? {
    let (bytes, isAudit) = (try integer(UInt64.self), try bool())
    guard bytes > 0 || !isAudit else { throw .field }
    return bytes == 0 ? nil : ByteBound(bytes, isAudit ? .audit : .block)
  }

  fileprivate mutating func gated(limit: Int) throws(BridgeFormatError) -> GatedConnection {
    guard let verdict = GateVerdict(rawValue: try integer()) else { throw .field }
    var gated = GatedConnection(
      verdict: verdict, element: try element(), client: try address(), clientPort: try integer(),
      said: try text(limit: limit), length: try integer(), time: try integer())
    gated.status = try integer()
    return gated
  }

  fileprivate mutating func order(limit: Int) throws(BridgeFormatError) -> InspectionOrder {
    let (address, port) = (try address(), try integer(UInt16.self))
    guard port > 0 else { throw .field }
    return InspectionOrder(
      inspector: Inspector(address: address, port: port), id: try text(limit: limit), server: try text(limit: limit),
      rule: try text(limit: limit))
  }
}
