import DNSWire

/// All records of one name and type in a section, with their signatures.
struct RecordSet: Sendable {
  let owner: Name
  let type: RRType
  /// The least of its records, in seconds.
  var ttl: UInt32
  /// In canonical form (RFC 4034 section 6.2).
  var records: [[UInt8]]
  var signatures: [Signature] = []

  /// Who says to have signed it: the first signer whose zone can hold it.
  var signer: Name? { signatures.first { owner.isSubdomain(of: $0.signer) }?.signer }

  /// What a signature is made over (RFC 4034 section 3.1.8.1).
  ///
  /// - Parameter name: the owner as it was signed.
  func signedOctets(_ signature: Signature, name: Name) -> [UInt8] {
    var octets = signature.head
    let ttl = signature.originalTTL
    let head =
      name.wire + [
        UInt8(type.rawValue >> 8), UInt8(truncatingIfNeeded: type.rawValue), 0, 1, UInt8(ttl >> 24),
        UInt8(truncatingIfNeeded: ttl >> 16), UInt8(truncatingIfNeeded: ttl >> 8), UInt8(truncatingIfNeeded: ttl),
      ]
    var last: [UInt8]?
    for record in records.sorted(by: { $0.lexicographicallyPrecedes($1) }) where record != last {
      octets += head
      octets += [UInt8(truncatingIfNeeded: record.count >> 8), UInt8(truncatingIfNeeded: record.count)]
      octets += record
      last = record
    }
    return octets
  }
}
