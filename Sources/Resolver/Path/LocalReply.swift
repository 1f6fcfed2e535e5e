import DNSWire
import Zones

/// Replies from the local zones.
enum LocalReply {
  /// Writes a local answer: its records, or its denial with the zone's SOA. Records that do not fit are left out and TC set.
  static func write(
    _ local: LocalAnswer, _ writer: ReplyWriter, _ message: Span<UInt8>, error: ReplyWriter.ExtendedError? = nil,
    into reply: inout OutputSpan<UInt8>
  ) {
    let query = writer.query
    ReplyWriter.begin(query, message, local.responseCode, into: &reply)
    let room = min(writer.limit, reply.count + reply.freeCapacity) - (query.edns == nil ? 0 : ReplyWriter.optWithError)
    var answers: UInt16 = 0
    for record in local.records where append(record, isAsked: owns(record, query, message), room, into: &reply) {
      answers += 1
    }
    if Int(answers) < local.records.count { ReplyWriter.setTruncated(&reply) }
    var authorities: UInt16 = 0
    if local.records.isEmpty, let soa = local.soa, append(soa, isAsked: false, room, into: &reply) {
      authorities = 1
    }
    reply.patch16(answers, at: 6)
    reply.patch16(authorities, at: 8)
    ReplyWriter.appendOPT(query, error, limit: writer.limit, into: &reply)
  }

  /// Whether a record is of the asked name.
  private static func owns(_ record: LocalRecord, _ query: Query, _ message: Span<UInt8>) -> Bool {
    guard record.owner.count == query.questionEnd - 4 - Header.octetCount else { return false }
    for index in record.owner.indices
    where NameWire.lowercased(message[Header.octetCount + index]) != record.owner[index] {
      return false
    }
    return true
  }

  /// - Parameters:
  ///   - isAsked: whether the asked name is the owner, which is a pointer then.
  ///   - room: octets that the reply may have with it.
  private static func append(
    _ record: LocalRecord, isAsked: Bool, _ room: Int, into reply: inout OutputSpan<UInt8>
  ) -> Bool {
    let size = (isAsked ? 2 : record.owner.count) + 10 + record.rdata.count
    guard reply.count + size <= room else { return false }
    if isAsked {
      reply.append(bigEndian: 0xC000 | UInt16(Header.octetCount))
    } else {
      reply.append(contentsOf: record.owner.span)
    }
    reply.append(bigEndian: record.type.rawValue)
    reply.append(bigEndian: UInt16(1))
    reply.append(bigEndian: record.ttl)
    reply.append(bigEndian: UInt16(truncatingIfNeeded: record.rdata.count))
    reply.append(contentsOf: record.rdata.span)
    return true
  }
}
