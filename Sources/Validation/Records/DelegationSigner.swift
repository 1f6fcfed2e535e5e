package import DNSWire
import LDNS

/// What a parent says of its child's keys (RFC 4034 section 5).
package struct DelegationSigner: Hashable, Sendable {
  /// The record's data, as on the wire.
  package let rdata: [UInt8]

  /// Nil for data that is none.
  package init?(_ rdata: [UInt8]) {
    guard rdata.count > 4 else { return nil }
    self.rdata = rdata
  }

  /// Of one that an operator trusts; nil for one that no key can be held against.
  package init?(trusted rdata: [UInt8]) {
    self.init(rdata)
    guard isSupported else { return nil }
  }

  /// Of a key that an operator trusts; nil for one that signs no records.
  package init?(trustedKey rdata: [UInt8], zone: Name) {
    guard let key = PublicKey(rdata) else { return nil }
    self.rdata =
      [UInt8(key.tag >> 8), UInt8(truncatingIfNeeded: key.tag), key.algorithm.rawValue, 2]
      + SHA256.digest(of: zone.wire + rdata)
  }

  private var tag: UInt16 { UInt16(rdata[0]) << 8 | UInt16(rdata[1]) }
  private var algorithm: SignatureAlgorithm? { SignatureAlgorithm(rawValue: rdata[2]) }
  private var digest: ArraySlice<UInt8> { rdata[4...] }

  /// Whether a key can be held against it.
  var isSupported: Bool { algorithm != nil && count(ofDigest: rdata[3]) == digest.count }

  var isSHA1: Bool { rdata[3] == 1 }

  private func count(ofDigest type: UInt8) -> Int? {
    switch type {
    case 1: SHA1.octetCount
    case 2: SHA256.octetCount
    case 4: SHA384.octetCount
    default: nil
    }
  }

  /// Whether it is about this key, if the digest is the key's.
  func means(_ key: PublicKey) -> Bool { isSupported && key.tag == tag && key.algorithm == algorithm }

  /// - Precondition: it `means` the key.
  func names(_ key: PublicKey, of zone: Name) -> Bool {
    let octets = zone.wire + key.rdata
    return switch rdata[3] {
    case 1: digest.elementsEqual(SHA1.digest(of: octets))
    case 2: digest.elementsEqual(SHA256.digest(of: octets))
    default: digest.elementsEqual(SHA384.digest(of: octets))
    }
  }

  /// Those that are gone by: SHA-1 only where there is nothing better (RFC 4509 section 3).
  static func usable(_ signers: [DelegationSigner]) -> [DelegationSigner] {
    let supported = signers.filter(\.isSupported)
    let better = supported.filter { !$0.isSHA1 }
    return better.isEmpty ? supported : better
  }
}
