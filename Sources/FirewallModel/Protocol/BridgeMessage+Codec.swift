import EgressPolicy
package import GrantLedger
import IPNetwork

extension BridgeMessage: FramedMessage {
  package static let maximumOctets = 65_536
  package static let maximumPartOctets = 60_000
  /// Fits a message together with its header: 33 octets each.
  package static let maximumGrants = 1_900
  package static let maximumElements = 2_000
  /// 38 octets each; of prefixes 36.
  package static let maximumVolumes = 1_500
  /// 55 octets each.
  package static let maximumRefusals = 1_000
  /// 96 octets each at most.
  package static let maximumBooks = 500
  package static let maximumTextOctets = 2_000

  package static let version: UInt8 = 1

  package var kind: UInt8 {
    switch self {
    case .planPart: 1
    case .grants: 2
    case .revoke: 3
    case .listServer: 5
    case .removeTable: 6
    case .ping: 7
    case .inUse: 8
    case .readAgain: 9
    case .closeBooks: 10
    case .unreachable: 11
    case .hello: 65
    case .outcome: 66
    case .done: 67
    case .page: 68
    case .foreignChange: 69
    case .broken: 70
    case .volumes: 71
    case .refusals: 72
    case .notice: 73
    case .alarm: 74
    case .enclosure: 75
    case .alive: 76
    case .books: 77
    case .refusalsRead: 78
    case .prefixVolumes: 79
    }
  }

  /// Appends what each kind has behind it.
  package func writeFields(to writer: inout OctetWriter) {
    switch self {
    case .planPart(let request, let index, let count, let octets):
      writer.integer(request)
      writer.integer(index)
      writer.integer(count)
      writer.integer(UInt32(octets.count))
      writer.bytes(octets)
    case .grants(let batch, let plan, let grants):
      writer.integer(batch)
      writer.integer(plan)
      writer.list(grants) { $0.grant($1) }
    case .revoke(let request, let plan, let cutsFlows, let elements):
      writer.integer(request)
      writer.integer(plan)
      writer.bool(cutsFlows)
      writer.list(elements) { $0.element($1) }
    case .listServer(let request, let plan, let server):
      writer.integer(request)
      writer.integer(plan)
      writer.integer(server)
    case .removeTable(let request, let table):
      writer.integer(request)
      writer.text(table, limit: ServerName.maximumLength)
    case .ping(let request), .readAgain(let request), .closeBooks(let request):
      writer.integer(request)
    case .inUse(let request, let plan, let elements), .unreachable(let request, let plan, let elements):
      writer.integer(request)
      writer.integer(plan)
      writer.list(elements) { $0.element($1) }
    default:
      encodeAnswer(into: &writer)
    }
  }

  private func encodeAnswer(into writer: inout OctetWriter) {
    switch self {
    case .hello(let greeting):
      writer.integer(greeting.incarnation)
      writer.integer(greeting.refresh.rawValue)
      writer.integer(greeting.generation)
      writer.integer(greeting.plan)
      writer.list(greeting.servers) { $0.integer($1.rawValue) }
    case .outcome(let batch, let refused):
      writer.integer(batch)
      writer.list(refused) {
        $0.integer($1.unit)
        $0.refusal($1.refusal)
      }
    case .done(let request, let refusal, let flows, let text):
      writer.integer(request)
      writer.integer(flows)
      writer.bool(refusal != nil)
      writer.refusal(refusal ?? BridgeRefusal(.failed))
      writer.text(text, limit: Self.maximumTextOctets)
    case .page(let request, let last, let elements):
      writer.integer(request)
      writer.bool(last)
      writer.list(elements) {
        $0.element($1.element)
        $0.integer($1.remainingMilliseconds)
      }
    case .foreignChange(let change, let servers):
      writer.integer(change.rawValue)
      writer.list(servers) { $0.integer($1) }
    case .volumes(let volumes):
      writer.list(volumes) {
        $0.element($1.element)
        $0.integer($1.octets)
        $0.integer($1.packets)
      }
    case .prefixVolumes(let volumes):
      writer.list(volumes) {
        $0.integer($1.server)
        $0.prefix($1.prefix)
        $0.integer($1.octets)
        $0.integer($1.packets)
      }
    case .refusals(let refusals):
      writer.list(refusals) { $0.refused($1) }
    case .books(let books):
      writer.list(books) {
        $0.text($1.server, limit: ServerName.maximumLength)
        $0.integer($1.refused)
        $0.integer($1.told)
        $0.integer($1.since)
        $0.integer($1.cutSince)
      }
    case .refusalsRead(let isRead):
      writer.bool(isRead)
    case .notice(let text):
      writer.text(text, limit: Self.maximumTextOctets)
    case .enclosure(let report):
      writer.enclosure(report)
    case .broken(let incarnation, let text):
      writer.integer(incarnation)
      writer.text(text, limit: Self.maximumTextOctets)
    default:
      break
    }
  }

  /// Reads what is behind a kind, every field of it checked.
  package static func read(_ kind: UInt8, _ reader: inout OctetReader) throws(BridgeFormatError) -> BridgeMessage {
    try kind < 64 ? request(kind, &reader) : answer(kind, &reader)
  }

  private static func request(_ kind: UInt8, _ reader: inout OctetReader) throws(BridgeFormatError) -> BridgeMessage {
    let id: UInt32 = try reader.integer()
    switch kind {
    case 1:
      let index: UInt16 = try reader.integer()
      let count: UInt16 = try reader.integer()
      guard index < count else { throw .field }
      return .planPart(request: id, index: index, count: count, octets: try reader.bytes(try reader.count(width: 1)))
    case 2:
      return .grants(
        batch: id, plan: try reader.integer(),
        grants: try reader.list(width: 33) { reader throws(BridgeFormatError) in try reader.grant() })
    case 3:
      return .revoke(
        request: id, plan: try reader.integer(), cutsFlows: try reader.bool(),
        elements: try reader.list(width: 22) { reader throws(BridgeFormatError) in try reader.element() })
    case 5: return .listServer(request: id, plan: try reader.integer(), server: try reader.integer())
    case 6:
      let table = try reader.text(limit: ServerName.maximumLength)
      guard FirewallPlan.isName(table) else { throw .field }
      return .removeTable(request: id, table: table)
    case 7: return .ping(request: id)
    case 8:
      return .inUse(
        request: id, plan: try reader.integer(),
        elements: try reader.list(width: 22) { reader throws(BridgeFormatError) in try reader.element() })
    case 9: return .readAgain(request: id)
    case 10: return .closeBooks(request: id)
    case 11:
      return .unreachable(
        request: id, plan: try reader.integer(),
        elements: try reader.list(width: 22) { reader throws(BridgeFormatError) in try reader.element() })
    default: throw .unknownKind(kind)
    }
  }

  private static func answer(_ kind: UInt8, _ reader: inout OctetReader) throws(BridgeFormatError) -> BridgeMessage {
    switch kind {
    case 65: return .hello(try reader.greeting())
    case 66:
      return .outcome(
        batch: try reader.integer(),
        refused: try reader.list(width: 9) { reader throws(BridgeFormatError) in
          RefusedUnit(unit: try reader.integer(), refusal: try reader.refusal())
        })
    case 67:
      let request: UInt32 = try reader.integer()
      let flows: UInt32 = try reader.integer()
      let refused = try reader.bool()
      let refusal = try reader.refusal()
      return .done(
        request: request, refusal: refused ? refusal : nil, flows: flows,
        text: try reader.text(limit: maximumTextOctets))
    case 68:
      return .page(
        request: try reader.integer(), last: try reader.bool(),
        elements: try reader.list(width: 26) { reader throws(BridgeFormatError) in
          ListedElement(element: try reader.element(), remainingMilliseconds: try reader.integer())
        })
    case 69:
      let change = TableChange(rawValue: try reader.integer())
      guard TableChange.all.isSuperset(of: change) else { throw .field }
      return .foreignChange(
        change, servers: try reader.list(width: 2) { reader throws(BridgeFormatError) in try reader.integer() })
    case 70: return .broken(incarnation: try reader.integer(), text: try reader.text(limit: maximumTextOctets))
    default: return try news(kind, &reader)
    }
  }
}

extension BridgeMessage {
  private static func news(_ kind: UInt8, _ reader: inout OctetReader) throws(BridgeFormatError) -> BridgeMessage {
    switch kind {
    case 71:
      return .volumes(
        try reader.list(width: 38) { reader throws(BridgeFormatError) in
          ElementVolume(element: try reader.element(), octets: try reader.integer(), packets: try reader.integer())
        })
    case 72:
      return .refusals(
        try reader.list(width: 55) { reader throws(BridgeFormatError) in try reader.refused() })
    case 79:
      return .prefixVolumes(
        try reader.list(width: 36) { reader throws(BridgeFormatError) in
          PrefixVolume(
            server: try reader.integer(), prefix: try reader.prefix(), octets: try reader.integer(),
            packets: try reader.integer())
        })
    case 73: return .notice(try reader.text(limit: maximumTextOctets))
    case 74: return .alarm
    case 75: return .enclosure(try reader.enclosure())
    case 76: return .alive
    case 77:
      return .books(
        try reader.list(width: 33) { reader throws(BridgeFormatError) in
          let server = try reader.text(limit: ServerName.maximumLength)
          guard FirewallPlan.isName(server) else { throw .field }
          return RefusalBook(
            server: server, refused: try reader.integer(), told: try reader.integer(), since: try reader.integer(),
            cutSince: try reader.integer())
        })
    case 78: return .refusalsRead(try reader.bool())
    default: throw .unknownKind(kind)
    }
  }
}

extension OctetWriter {
  /// Appends a count, and so many items.
  package mutating func list<T>(_ items: [T], _ write: (inout OctetWriter, T) -> Void) {
    integer(UInt32(items.count))
    for item in items {
      write(&self, item)
    }
  }

  /// Appends an element in 22 octets.
  package mutating func element(_ element: GrantElement) {
    integer(element.server)
    address(element.address)
    integer(element.transport)
    integer(element.port)
  }

  mutating func grant(_ grant: UnitGrant) {
    integer(grant.unit)
    element(grant.commit.element)
    integer(grant.commit.lifetimeMilliseconds)
    integer(grant.commit.caps)
    bool(grant.commit.shortens)
  }

  mutating func refused(_ connection: RefusedConnection) {
    bool(connection.server != nil)
    integer(connection.server ?? 0)
    integer(connection.kind.rawValue)
    address(connection.source)
    integer(connection.sourcePort)
    address(connection.destination)
    integer(connection.transport)
    integer(connection.port)
    integer(connection.length)
    integer(connection.time)
  }

  mutating func refusal(_ refusal: BridgeRefusal) {
    integer(refusal.reason.rawValue)
    integer(UInt32(bitPattern: refusal.errno))
  }
}

extension OctetReader {
  /// As many items as their count says, each of `width` octets at least.
  package mutating func list<T>(
    width: Int, _ read: (inout OctetReader) throws(BridgeFormatError) -> T
  ) throws(BridgeFormatError) -> [T] {
    let count = try count(width: width)
    var items: [T] = []
    items.reserveCapacity(count)
    for _ in 0..<count {
      items.append(try read(&self))
    }
    return items
  }

  /// An element of a transport that has ports, or of every port.
  package mutating func element() throws(BridgeFormatError) -> GrantElement {
    let server: UInt16 = try integer()
    let address = try address()
    let transport: UInt8 = try integer()
    let port: UInt16 = try integer()
    let any = transport == 0 && port == 0
    guard any || ((transport == 6 || transport == 17) && port != 0) else { throw .field }
    return GrantElement(server: server, address: address, transport: transport, port: port)
  }

  mutating func grant() throws(BridgeFormatError) -> UnitGrant {
    let unit: UInt32 = try integer()
    let element = try element()
    let lifetime: UInt32 = try integer()
    // Without a lifetime the kernel would keep the element for ever.
    guard lifetime > 0 else { throw .field }
    let commit = GrantCommit(
      element: element, lifetimeMilliseconds: lifetime, caps: try integer(), shortens: try bool())
    return UnitGrant(unit: unit, commit: commit)
  }

  mutating func refused() throws(BridgeFormatError) -> RefusedConnection {
    let isKnown = try bool()
    let server: UInt16 = try integer()
    guard let kind = RefusedConnection.Kind(rawValue: try integer()) else { throw .field }
    return RefusedConnection(
      server: isKnown ? server : nil, kind: kind, source: try address(), sourcePort: try integer(),
      destination: try address(), transport: try integer(), port: try integer(), length: try integer(),
      time: try integer())
  }

  mutating func refusal() throws(BridgeFormatError) -> BridgeRefusal {
    guard let reason = BridgeRefusal.Reason(rawValue: try integer()) else { throw .field }
    return BridgeRefusal(reason, errno: Int32(bitPattern: try integer()))
  }

  mutating func greeting() throws(BridgeFormatError) -> BridgeGreeting {
    let incarnation: UInt64 = try integer()
    guard let refresh = RefreshMethod(rawValue: try integer()) else { throw .field }
    return BridgeGreeting(
      incarnation: incarnation, refresh: refresh, generation: try integer(), plan: try integer(),
      servers: try list(width: 1) { reader throws(BridgeFormatError) in
        let sets = ServerSets(rawValue: try reader.integer())
        guard ServerSets.all.isSuperset(of: sets) else { throw .field }
        return sets
      })
  }
}
