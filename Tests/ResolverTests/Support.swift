import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork
import ResponseCache
import TestSupport
import Zones

@testable import Resolver

let second: UInt64 = 1_000_000_000

func makeRing(_ capacity: Int = 1 << 16) -> AuditRing { .onHeap(capacity) }

func address(_ text: String) -> IPAddress {
  guard let address = IPAddress(text) else { fatalError("no address: \(text)") }
  return address
}

func prefix(_ text: String) -> IPPrefix {
  guard let prefix = IPPrefix(text) else { fatalError("no prefix: \(text)") }
  return prefix
}

func a(_ owner: String, _ text: String, ttl: Int = 300) -> [UInt8] {
  let address = address(text)
  return Messages.record(owner, address.family == .v4 ? .A : .AAAA, ttl: ttl, address.octets)
}

func cname(_ owner: String, _ target: String, ttl: Int = 300) -> [UInt8] {
  Messages.record(owner, .CNAME, ttl: ttl, Messages.name(target))
}

private func location(_ line: Int) -> SourceLocation { SourceLocation(file: "policy.yaml", line: line, column: 5) }

func rule(
  _ pattern: String, ports: PortSet = .https, types: [RRType] = EgressRule.defaultTypes,
  private prefixes: [IPPrefix] = [], until: UInt64? = nil
) throws -> EgressRule {
  EgressRule(
    pattern: try NamePattern(pattern), ports: ports, types: types, privatePrefixes: prefixes, until: until,
    location: location(7))
}

/// The configuration of most tests: server `mcp` in 10.77.1.0/24, `pinned` in 10.77.2.0/24 on interface `br-pinned`.
struct World {
  var sinkhole = ResolverRules.Sinkhole.nxdomain
  var unknownClients = ResolverRules.UnknownClients.nxdomain
  var allowedEvents = ResolverRules.AllowedEvents.grants
  var opensFirewall = true
  var opensIPv6 = true
  var maxTTL: UInt32 = 3600
  var maxNegativeTTL: UInt32 = 300
  var maxStale: UInt32?
  var forbidden = ForbiddenAddresses()
  var zoneText = ""
  var rules: [EgressRule]

  init(_ patterns: [String] = ["api.example.com", "*.cdn.example.net", "**.deep.example.org"]) throws {
    rules = try patterns.map { try rule($0) }
  }

  private func policy(_ name: String, _ network: String, interface: String?) throws -> ServerPolicy {
    let name = try ServerName(name)
    return ServerPolicy(
      name: name, networks: [ServerNetwork(prefix: prefix(network), location: location(1))], interface: interface,
      rules: RuleList(rules), location: location(1))
  }

  func snapshot() throws -> ResolverSnapshot {
    // A zone of the root takes the place of the shipped one.
    var files = LocalZones.shippedFiles.filter { $0.path != "sinkhole.zone" || !zoneText.hasPrefix(". ") }
    if !zoneText.isEmpty { files.append((path: "local.zone", text: Array(zoneText.utf8))) }
    let mcp = try policy("mcp", "10.77.1.0/24", interface: nil)
    let pinned = try policy("pinned", "10.77.2.0/24", interface: "br-pinned")
    let policies = [mcp, pinned]
    return ResolverSnapshot(
      policy: PolicySnapshot(policies, hash: NameHash(seed: 1)), zones: try LocalZones(files: files),
      rules: ResolverRules(
        sinkhole: sinkhole, sinkholeTTL: 5, unknownClients: unknownClients, allowedEvents: allowedEvents,
        opensFirewall: opensFirewall, opensIPv6: opensIPv6, maxTTL: maxTTL, maxNegativeTTL: maxNegativeTTL,
        maxStale: maxStale),
      servers: policies.enumerated().map { index, policy in
        ServerState(
          name: policy.name.text, cache: ResponseCache(maxEntries: 1000, hash: NameHash(seed: 1)),
          firewallIndex: UInt16(index),
          interface: policy.interface)
      })
  }
}

/// A reply taken apart by the bounded reader.
struct Reply {
  struct Record {
    var owner: String
    var header: RecordHeader
    var rdata: [UInt8]
  }

  let octets: [UInt8]
  let header: Header
  let records: [Record]
  /// The octets of the question.
  let question: [UInt8]

  init(_ octets: [UInt8]) throws {
    let span = octets.span
    var reader = try ResponseReader(span)
    var budget = 1000
    var records: [Record] = []
    while let record = try reader.next(span) {
      let owner = try wireName(span, at: record.owner, &budget)
      records.append(
        Record(owner: NameWire.presentation(owner.span), header: record, rdata: Array(octets[record.rdata])))
    }
    self.octets = octets
    self.header = reader.header
    self.records = records
    self.question = reader.question.map { Array(octets[12..<$0.end]) } ?? []
  }

  var code: ResponseCode { header.responseCode }
  var opt: Record? { records.first { $0.header.type == .OPT } }

  func section(_ section: RecordHeader.Section) -> [Record] {
    records.filter { $0.header.section == section && $0.header.type != .OPT }
  }

  var answers: [Record] { section(.answer) }

  /// The name that stands somewhere in the message.
  func name(at offset: Int) throws -> String {
    var budget = 64
    let name = try wireName(octets.span, at: offset, &budget)
    return NameWire.presentation(name.span)
  }

  /// `owner TYPE value` of the answer section.
  var summaries: [String] {
    answers.map { record in
      let value: String =
        switch record.header.type {
        case .A, .AAAA: IPAddress(octets: record.rdata.span)?.description ?? "?"
        case .CNAME, .PTR: (try? name(at: record.header.rdata.lowerBound)) ?? "?"
        default: "\(record.rdata.count) octets"
        }
      return "\(record.owner) \(record.header.type) \(value)"
    }
  }

  /// Code and text of the extended error.
  var extendedError: (code: Int, text: String)? {
    guard let data = opt?.rdata, data.count >= 6, data[0] == 0, data[1] == 15 else { return nil }
    return (Int(data[4]) << 8 | Int(data[5]), String(decoding: data[6...], as: UTF8.self))
  }

  /// Whether the reply is a denial or NODATA with the sinkhole's SOA and nothing else.
  var isSinkhole: Bool {
    let authority = section(.authority)
    return answers.isEmpty && authority.count == 1 && authority[0].header.type == .SOA && authority[0].owner == "."
      && authority[0].header.ttl == 5
  }
}

/// The query in a message.
func screen(_ message: [UInt8]) throws -> Query {
  var screened = ScreenedQueries(slots: 1)
  screened.screen(0, message.span, hash: NameHash(seed: 1)) { nil }
  return try screened.query.get()
}

/// A query path with its own ring and what it says to one message.
final class Asker {
  var path: QueryPath
  let reader: AuditRingReader
  var snapshot: ResolverSnapshot
  var clock = QueryClock(monotonic: 1000 * second, wall: 1_763_630_062 * second, epoch: 1)

  convenience init(
    _ world: World, ringCapacity: Int = 1 << 16, interfaces: [String: UInt32] = ["br-pinned": 7]
  ) throws {
    self.init(try world.snapshot(), ringCapacity: ringCapacity, interfaces: interfaces)
  }

  init(_ snapshot: ResolverSnapshot, ringCapacity: Int, interfaces: [String: UInt32]) {
    self.snapshot = snapshot
    let ring = makeRing(ringCapacity)
    path = QueryPath(ring: ring) { interfaces[$0] ?? 0 }
    reader = AuditRingReader(ring)
  }

  enum Said {
    case reply(Reply)
    case drop
    case pending(PendingQuery)
  }

  func ask(
    _ message: [UInt8], from client: String = "10.77.1.2", port: UInt16 = 40188, interface: UInt32 = 3,
    transport: AuditTransport = .udp
  ) throws -> Said {
    let source = QuerySource(client: address(client), port: port, transport: transport, interface: interface)
    var outcome = QueryPath.Disposition.drop
    let capacity = transport == .udp ? ReplyWriter.maxDatagram : ReplyWriter.maxStream
    let octets = [UInt8](capacity: capacity) { out in
      path.clock = clock
      path.screen(0, message.span, from: source.client, with: snapshot)
      outcome = path.answer(0, message.span, from: source, with: snapshot, into: &out)
    }
    switch outcome {
    case .reply: return .reply(try Reply(octets))
    case .drop: return .drop
    case .pending: return .pending(try question())
    }
  }

  /// The reply to a message as it is, or what becomes of it; of one that was screened before, at its slot.
  func outcome(_ message: [UInt8], from client: String, screenedAt slot: Int? = nil) throws -> [UInt8] {
    let source = QuerySource(client: address(client), port: 40188, transport: .udp, interface: 3)
    var outcome = QueryPath.Disposition.drop
    let octets = [UInt8](capacity: ReplyWriter.maxDatagram) { out in
      path.clock = clock
      if slot == nil { path.screen(0, message.span, from: source.client, with: snapshot) }
      outcome = path.answer(slot ?? 0, message.span, from: source, with: snapshot, into: &out)
    }
    switch outcome {
    case .reply: return octets
    case .drop: return [0]
    case .pending:
      let question = try question()
      question.state.leave()
      return [1] + question.name + [UInt8(truncatingIfNeeded: question.type.rawValue)]
    }
  }

  private func question() throws -> PendingQuery {
    guard case .pending(let question) = path.takeQuestion() else { throw NoReply() }
    return question
  }

  struct NoReply: Error {}

  /// The reply to a message that must get one.
  func reply(
    _ message: [UInt8], from client: String = "10.77.1.2", interface: UInt32 = 3, transport: AuditTransport = .udp
  ) throws -> Reply {
    guard case .reply(let reply) = try ask(message, from: client, interface: interface, transport: transport) else {
      throw NoReply()
    }
    return reply
  }

  /// How many queries came to this.
  func counted(_ verdict: QueryOutcome) -> UInt64 {
    snapshot.servers.reduce(snapshot.unknownClients.total(verdict)) { $0 + $1.counts.total(verdict) }
  }

  /// The codes recorded since the last call.
  func recorded() -> [AuditCode] {
    var record = AuditRecord()
    var codes: [AuditCode] = []
    while case .record = reader.next(into: &record) {
      codes.append(record.header.code)
    }
    reader.commit()
    return codes
  }
}
