import DNSWire
import LDNS

/// A signature over the records of one name and type (RFC 4034 section 3).
struct Signature: Sendable {
  let type: RRType
  /// Nil for one that is not verified.
  let algorithm: SignatureAlgorithm?
  /// Of the name that was signed, without the root and a leading `*`.
  let labels: Int
  /// Seconds, as the zone has it.
  let originalTTL: UInt32
  /// Seconds since 1970, by the arithmetic of serial numbers (RFC 4034 section 3.1.5).
  let expiration: UInt32
  let inception: UInt32
  let keyTag: UInt16
  let signer: Name
  let octets: [UInt8]
  /// What of its record is signed too: all but the signature, in canonical form.
  let head: [UInt8]

  private static let fixedCount = 18

  init(_ message: Span<UInt8>, _ rdata: Range<Int>) throws(FormatError) {
    let start = rdata.lowerBound
    guard rdata.count > Self.fixedCount, let type = message.read16(start), let ttl = message.read32(start + 4),
      let expiration = message.read32(start + 8), let inception = message.read32(start + 12),
      let tag = message.read16(start + 16)
    else { throw FormatError(.recordData, at: start) }
    self.type = RRType(rawValue: type)
    algorithm = SignatureAlgorithm(rawValue: message[start + 2])
    labels = Int(message[start + 3])
    originalTTL = ttl
    self.expiration = expiration
    self.inception = inception
    keyTag = tag
    var at = start + Self.fixedCount
    signer = try Name(message, at: &at)
    guard at < rdata.upperBound else { throw FormatError(.recordData, at: start) }
    octets = message.octets(at..<rdata.upperBound)
    head = message.octets(start..<(start + Self.fixedCount)) + signer.wire
  }

  /// Whether `now`, in seconds since 1970, is before its time or after it; nil where it is neither.
  func timeFault(_ now: UInt32) -> ValidationFault? {
    if Int32(bitPattern: now &- inception) < 0 { return .notYetValid }
    return Int32(bitPattern: expiration &- now) < 0 ? .expired : nil
  }

  /// Seconds for which it holds from `now` on.
  func remaining(_ now: UInt32) -> UInt32 { UInt32(clamping: Int64(Int32(bitPattern: expiration &- now))) }
}
