import DNSWire
import Zones

/// Replies from the local zones.
enum LocalReply {
  /// Writes a local answer: its records, or its denial with the zone's SOA.
  static func write(
    _ local: LocalAnswer, _ query: Query, _ message: Span<UInt8>, error: ReplyWriter.ExtendedError? = nil,
    into reply: inout OutputSpan<UInt8>
  ) {
    ReplyWriter.begin(query, message, local.responseCode, into: &reply)
    var answers: UInt16 = 0
    for record in local.records where append(record, into: &reply) {
      answers += 1
    }
    var authorities: UInt16 = 0
    if local.records.isEmpty, let soa = local.soa, append(soa, into: &reply) {
      authorities = 1
    }
    reply.patch16(answers, at: 6)
    reply.patch16(authorities, at: 8)
    ReplyWriter.appendOPT(query, error, into: &reply)
  }

  /// Keeps every local reply inside 512 octets, with room for an OPT.
  private static let limit = 512 - 11

  private static func append(_ record: LocalRecord, into reply: inout OutputSpan<UInt8>) -> Bool {
    let size = record.owner.count + 10 + record.rdata.count
    guard reply.count + size <= limit, reply.freeCapacity >= size else { return false }
    reply.append(contentsOf: record.owner.span)
    reply.append(bigEndian: record.type.rawValue)
    reply.append(bigEndian: UInt16(1))
    reply.append(bigEndian: record.ttl)
    reply.append(bigEndian: UInt16(truncatingIfNeeded: record.rdata.count))
    reply.append(contentsOf: record.rdata.span)
    return true
  }
}
