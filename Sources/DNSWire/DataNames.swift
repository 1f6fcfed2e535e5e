/// Where names stand in the data of a record that may be compressed: what is handed on has them written out (RFC 3597
/// section 4), since a pointer means nothing in another message.
package struct DataNames: Equatable, Sendable {
  /// Octets before the first name.
  package var head: Int
  /// Names, one behind the other.
  package var count: Int

  /// Nil for types whose data have none, or none that is ever compressed.
  package init?(_ message: Span<UInt8>, _ record: RecordHeader) {
    switch record.type.rawValue {
    // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME.
    case 2...5, 7...9, 12, 39: (head, count) = (0, 1)
    // SOA, MINFO, RP.
    case 6, 14, 17: (head, count) = (0, 2)
    // MX, AFSDB, RT, KX.
    case 15, 18, 21, 36: (head, count) = (2, 1)
    // PX.
    case 26: (head, count) = (2, 2)
    // SRV.
    case 33: (head, count) = (6, 1)
    // NAPTR: order, preference, and three strings (RFC 3403 section 4.1).
    case 35: (head, count) = (Self.headOfNAPTR(message, record.rdata), 1)
    default: return nil
    }
  }

  private static func headOfNAPTR(_ message: Span<UInt8>, _ data: Range<Int>) -> Int {
    var at = data.lowerBound + 4
    for _ in 0..<3 where at < min(data.upperBound, message.count) { at += Int(message[at]) + 1 }
    return at - data.lowerBound
  }
}
