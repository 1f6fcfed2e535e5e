import CLDNS

/// A message as libldns reads it, for comparison. Give it only what our own reader accepted: release 1.8.3 aborts on some
/// of the rest, for example on an A record without data.
struct LDNSMessage: Equatable {
  struct Record: Equatable {
    var owner: [UInt8]
    var type: UInt16
    var klass: UInt16
    var ttl: UInt32
    var rdata: [UInt8]
  }

  var id: UInt16
  var question: Record?
  /// Answer, authority, additional without an OPT.
  var sections: [[Record]] = []
  /// What the OPT says, if there is one.
  var edns: (size: UInt16, version: UInt8, extendedCode: UInt8)?

  static func == (left: LDNSMessage, right: LDNSMessage) -> Bool {
    left.id == right.id && left.question == right.question && left.sections == right.sections
      && left.edns?.size == right.edns?.size && left.edns?.version == right.edns?.version
      && left.edns?.extendedCode == right.edns?.extendedCode
  }

  init(id: UInt16) {
    self.id = id
    sections = [[], [], []]
  }

  /// Nil if libldns refuses the octets. Names come in lower case, TTLs as RFC 2181 section 8 reads them.
  init?(libldns octets: [UInt8]) {
    var pointer: UnsafeMutablePointer<ldns_pkt>?
    let status = unsafe octets.withUnsafeBufferPointer { buffer in
      unsafe ldns_wire2pkt(&pointer, buffer.baseAddress, buffer.count)
    }
    guard status == LDNS_STATUS_OK, let packet = unsafe pointer else { return nil }
    defer { unsafe ldns_pkt_free(packet) }
    id = unsafe ldns_pkt_id(packet)
    question = unsafe Self.records(ldns_pkt_question(packet), isQuestion: true).first
    sections = unsafe [ldns_pkt_answer(packet), ldns_pkt_authority(packet), ldns_pkt_additional(packet)]
      .map { unsafe Self.records($0, isQuestion: false) }
    if unsafe ldns_pkt_edns(packet) != 0 {
      edns = unsafe (
        ldns_pkt_edns_udp_size(packet), ldns_pkt_edns_version(packet), ldns_pkt_edns_extended_rcode(packet)
      )
    }
  }

  /// Whether libldns takes the octets; nothing of what it made of them is looked at.
  static func accepts(_ octets: [UInt8]) -> Bool {
    var packet: UnsafeMutablePointer<ldns_pkt>?
    let status = unsafe octets.withUnsafeBufferPointer { buffer in
      unsafe ldns_wire2pkt(&packet, buffer.baseAddress, buffer.count)
    }
    guard status == LDNS_STATUS_OK else { return false }
    unsafe ldns_pkt_free(packet)
    return true
  }

  private static func records(_ list: UnsafeMutablePointer<ldns_rr_list>?, isQuestion: Bool) -> [Record] {
    guard let list = unsafe list else { return [] }
    return unsafe (0..<ldns_rr_list_rr_count(list)).compactMap { index in
      guard let record = unsafe ldns_rr_list_rr(list, index) else { return nil }
      return unsafe Record(
        owner: octets(ldns_rr_owner(record)), type: UInt16(truncatingIfNeeded: ldns_rr_get_type(record).rawValue),
        klass: UInt16(truncatingIfNeeded: ldns_rr_get_class(record).rawValue),
        ttl: isQuestion || ldns_rr_ttl(record) > Int32.max ? 0 : ldns_rr_ttl(record),
        rdata: (0..<ldns_rr_rd_count(record)).flatMap { unsafe octets(ldns_rr_rdf(record, $0)) })
    }
  }

  /// ASCII only; length octets are below 64.
  private static func lowercased(_ octet: UInt8) -> UInt8 {
    (65...90).contains(octet) ? octet + 32 : octet
  }

  private static func octets(_ field: UnsafeMutablePointer<ldns_rdf>?) -> [UInt8] {
    guard let field = unsafe field, let start = unsafe ldns_rdf_data(field) else { return [] }
    let octets = unsafe Array(UnsafeBufferPointer(start: start, count: ldns_rdf_size(field)))
    return unsafe ldns_rdf_get_type(field) == LDNS_RDF_TYPE_DNAME ? octets.map(lowercased) : octets
  }
}
