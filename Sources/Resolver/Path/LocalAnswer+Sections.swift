import DNSWire
import IPNetwork
import ResponseCache
import Zones

extension ScrubbedAnswer {
  /// A local zone's answer in the form of an upstream's, so that its addresses are granted like any other.
  init(local: LocalAnswer, name: [UInt8]) {
    var writer = SectionWriter(question: name)
    var addresses: [IPAddress] = []
    var ttl = UInt32.max
    for record in local.records {
      writer.append(owner: record.owner, record.type, ttl: record.ttl, rdata: record.rdata)
      ttl = min(ttl, record.ttl)
      if record.type == .A || record.type == .AAAA, let address = IPAddress(octets: record.rdata.span) {
        addresses.append(address)
      }
    }
    self.init(
      responseCode: local.responseCode, chain: [], addresses: addresses, ttl: local.records.isEmpty ? 0 : ttl,
      sections: writer.octets, ttlOffsets: writer.ttlOffsets,
      answerCount: UInt16(truncatingIfNeeded: local.records.count), authorityCount: 0)
  }
}

extension CachedResponse {
  /// A local zone's answer that opens nothing.
  init(local: LocalAnswer, _ question: PendingQuery, now: UInt64) {
    var writer = SectionWriter(question: question.name)
    var ttl = UInt32.max
    let records = local.records
    for record in records {
      writer.append(owner: record.owner, record.type, ttl: record.ttl, rdata: record.rdata)
      ttl = min(ttl, record.ttl)
    }
    if records.isEmpty, let soa = local.soa {
      writer.append(owner: soa.owner, .SOA, ttl: soa.ttl, rdata: soa.rdata)
      ttl = soa.ttl
    }
    self.init(
      responseCode: local.responseCode, answerCount: UInt16(truncatingIfNeeded: records.count),
      authorityCount: records.isEmpty && local.soa != nil ? 1 : 0, sections: writer.octets,
      ttlOffsets: writer.ttlOffsets, expires: now + UInt64(ttl) * 1_000_000_000,
      extendedError: local.responseCode == .NXDOMAIN ? .blocked : nil)
  }
}
