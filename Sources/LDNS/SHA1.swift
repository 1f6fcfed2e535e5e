import CLDNS

/// SHA-1 (FIPS 180-4), computed by ldns: what hashed denials are made with (RFC 5155), and older delegations.
package enum SHA1 {
  /// Octets of a digest.
  package static let octetCount = 20

  /// The 20 octets of a message's digest.
  package static func digest(of octets: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: octetCount)
    // As many octets as there are; the digest has room for its 20.
    _ = unsafe ldns_sha1(octets, UInt32(clamping: octets.count), &digest)
    return digest
  }
}

/// SHA-384 (FIPS 180-4), computed by ldns.
package enum SHA384 {
  /// Octets of a digest.
  package static let octetCount = 48

  /// The 48 octets of a message's digest.
  package static func digest(of octets: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: octetCount)
    // As many octets as there are; the digest has room for its 48.
    _ = unsafe ldns_sha384(octets, UInt32(clamping: octets.count), &digest)
    return digest
  }
}
