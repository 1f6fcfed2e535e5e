import LDNS

/// A key of a zone (RFC 4034 section 2).
struct PublicKey: Hashable, Sendable {
  /// The record's data, as on the wire.
  let rdata: [UInt8]
  let algorithm: SignatureAlgorithm
  /// By which signatures name it; others may have the same (RFC 4034 appendix B).
  let tag: UInt16

  /// Nil for a key that signs no records: it is none of the zone's, is revoked (RFC 5011 section 2.1), or of an algorithm or a
  /// size that is not worked with.
  init?(_ rdata: [UInt8]) {
    guard rdata.count > 4, rdata[0] & 0x01 != 0, rdata[1] & 0x80 == 0, rdata[2] == 3,
      let algorithm = SignatureAlgorithm(rawValue: rdata[3]), algorithm.isUsable(Array(rdata[4...]))
    else { return nil }
    self.rdata = rdata
    self.algorithm = algorithm
    tag = Self.tag(of: rdata)
  }

  /// The octets of the key itself.
  var octets: [UInt8] { Array(rdata[4...]) }

  static func tag(of rdata: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for (index, octet) in rdata.enumerated() { sum &+= index & 1 == 0 ? UInt32(octet) << 8 : UInt32(octet) }
    return UInt16(truncatingIfNeeded: sum &+ sum >> 16)
  }
}
