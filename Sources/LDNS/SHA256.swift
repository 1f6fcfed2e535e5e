import CLDNS

/// SHA-256 (FIPS 180-4), computed by ldns.
package enum SHA256 {
  /// Octets of a digest.
  package static let octetCount = 32

  /// The 32 octets of a message's digest.
  package static func digest(of octets: [UInt8]) -> [UInt8] {
    var context = ldns_sha256_CTX()
    var digest = [UInt8](repeating: 0, count: octetCount)
    unsafe ldns_sha256_init(&context)
    // As many octets as there are; the digest has room for its 32.
    unsafe ldns_sha256_update(&context, octets, octets.count)
    unsafe ldns_sha256_final(&digest, &context)
    return digest
  }
}
