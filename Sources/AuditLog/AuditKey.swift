/// A key of the audit event. The types that conform are the schema: no key stands in an event that is not one of theirs,
/// and `Documentation/event.md` says what each means.
package protocol AuditKey: CaseIterable, RawRepresentable, Sendable where RawValue == String {
  /// What a value begins with: nothing, a quote or a bracket.
  static var begin: StaticString { get }
}

/// The keys that stand before all others, in their order; `first_ts` and `last_ts` only of several records.
enum EventKey: String, AuditKey {
  case ts, server, destination, decision, reason
  case payloadSize = "payload_size"
  case id, code, client
  case clientPort = "client_port"
  case transport, type, rcode, count
  case firstTime = "first_ts"
  case lastTime = "last_ts"

  /// Some are strings and some are not: `EventPieces` knows.
  static var begin: StaticString { "" }
}

extension AuditMembers {
  /// Members that are strings.
  package enum Text: String, AuditKey {
    case address, `as`, began, cause, closed, cname
    case closedBy = "closed_by"
    case countedUntil = "counted_until"
    case counterLostSince = "counter_lost_since"
    case error, evidence, fault, finding, former, inspector, interface
    case justification, layer, network, opened, policy, `protocol`
    case otherType = "other_type"
    case queryType = "query_type"
    case refusedAs = "refused_as"
    case remedy, rule, since, until, upstream
    case upstreamCode = "upstream_rcode"
    case version

    package static var begin: StaticString { "\"" }
  }

  /// Members that are whole numbers from 0 on.
  package enum Number: String, AuditKey {
    case addressCount = "address_count"
    case addressesClosed = "addresses_closed"
    case bytes
    case chainLength = "chain_length"
    case countersLostMore = "counters_lost_more"
    case destinations, distinct, disturbances
    case durationMilliseconds = "duration_ms"
    case entries, errors
    case flowsCut = "flows_cut"
    case interval, lifetime, names
    case namesAdded = "names_added"
    case namesRemoved = "names_removed"
    case packets, permit, pid, port, records
    case recordsCut = "records_cut"
    case refused, servers
    case serversChanged = "servers_changed"
    case told, ttl, uid

    package static var begin: StaticString { "" }
  }

  /// Members that are arrays of strings.
  package enum List: String, AuditKey {
    case addresses, chain, changed
    case countersLost = "counters_lost"
    case entriesAdded = "entries_added"
    case entriesRemoved = "entries_removed"
    case expected
    case needsRestart = "needs_restart"
    case networksHeld = "networks_held"
    case networksOpen = "networks_open"
    case others, ports, samples
    case sharedNames = "shared_names"
    case types

    package static var begin: StaticString { "[" }
  }

  /// Members of a shape of their own.
  enum Shaped: String, AuditKey {
    /// An object: a number for each code.
    case codes
    /// An array of objects of a destination and a count.
    case top
    /// `true`, or absent.
    case membersOmitted = "members_omitted"

    static var begin: StaticString { "" }
  }
}

extension AuditKey {
  /// The key with what stands around it: `,"bytes":`, `,"cause":"`, `,"addresses":[`.
  var opening: [UInt8] {
    var octets: [UInt8] = []
    octets.append(key: self)
    octets.append(ascii: Self.begin)
    return octets
  }
}

extension [UInt8] {
  /// A key and its colon, after a comma unless it is the first.
  mutating func append(key: some AuditKey, isFirst: Bool = false) {
    if !isFirst { append(UInt8(ascii: ",")) }
    append(UInt8(ascii: "\""))
    append(octets: key.rawValue.utf8.span)
    append(UInt8(ascii: "\""))
    append(UInt8(ascii: ":"))
  }
}
