package import DNSWire

/// What the local zones say about a question.
package struct LocalAnswer: Equatable, Sendable {
  package var responseCode: ResponseCode
  /// The answer section, an alias before its target; empty for NODATA and NXDOMAIN.
  package var records: [LocalRecord]
  /// The SOA of the zone that denies, with the TTL of a denial (RFC 2308 sections 3 and 5).
  package var soa: LocalRecord?
  /// Whether the zone holds nothing but its SOA, as those of special-use names do. A policy that lists a name in such
  /// a zone means it (RFC 6761 lets configuration override); a zone with data of its own is authoritative.
  package var isEmptyZone: Bool

  /// Whether an address outside the loopback networks would be handed out.
  package var holdsRoutableAddress: Bool { records.contains(where: \.isRoutableAddress) }
}
