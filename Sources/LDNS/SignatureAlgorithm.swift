import CLDNS

/// How a zone signs (IANA registry "DNS Security Algorithm Numbers"): those that are verified (RFC 8624 section 3.1).
package enum SignatureAlgorithm: UInt8, Sendable, CaseIterable {
  case rsaSHA1 = 5
  case rsaSHA1NSEC3 = 7
  case rsaSHA256 = 8
  case rsaSHA512 = 10
  case ecdsaP256 = 13
  case ecdsaP384 = 14
  case ed25519 = 15

  /// Octets of an RSA modulus that is worked with: below them a key is guessed, above them each signature costs more than a
  /// millisecond.
  private static let moduli = 128...512
  /// Octets of an RSA exponent: 3 and 65537 are what zones have, five octets the longest that was ever seen.
  private static let exponents = 1...5

  /// Whether a signature over `octets` is one of `key`'s. Whatever is not as the algorithm has it is no signature.
  ///
  /// - Parameters:
  ///   - key: as in a DNSKEY, behind flags, protocol and algorithm.
  ///   - signature: as in an RRSIG.
  package func verifies(_ signature: [UInt8], key: [UInt8], over octets: [UInt8]) -> Bool {
    guard isUsable(key), var written = form(signature), !octets.isEmpty else { return false }
    var (key, octets) = (key, octets)
    var buffer = unsafe ldns_buffer()
    // ldns writes to none of the three; each comes with its count, and lives until the call is over.
    let status = unsafe octets.withUnsafeMutableBufferPointer { text in
      unsafe key.withUnsafeMutableBufferPointer { key in
        unsafe written.withUnsafeMutableBufferPointer { signature in
          unsafe buffer._data = text.baseAddress
          unsafe buffer._position = text.count
          unsafe buffer._limit = text.count
          unsafe buffer._capacity = text.count
          unsafe buffer._fixed = 1
          return unsafe ldns_verify_rrsig_buffers_raw(
            signature.baseAddress, signature.count, &buffer, key.baseAddress, key.count, rawValue)
        }
      }
    }
    return status == LDNS_STATUS_OK
  }

  /// Whether a key has the size of its algorithm, or one that is worked with.
  package func isUsable(_ key: [UInt8]) -> Bool {
    switch self {
    case .ecdsaP256: return key.count == 64
    case .ecdsaP384: return key.count == 96
    case .ed25519: return key.count == 32
    case .rsaSHA1, .rsaSHA1NSEC3, .rsaSHA256, .rsaSHA512:
      // The exponent's length stands in one octet, or in two behind a 0 (RFC 3110 section 2): no exponent needs those.
      guard let first = key.first, Self.exponents.contains(Int(first)), key.count > Int(first) + 1,
        key[1] != 0, key[Int(first) + 1] != 0
      else { return false }
      return Self.moduli.contains(key.count - 1 - Int(first))
    }
  }

  /// As OpenSSL takes it; nil for one of the wrong size.
  private func form(_ signature: [UInt8]) -> [UInt8]? {
    switch self {
    case .ecdsaP256: return signature.count == 64 ? Self.sequence(signature) : nil
    case .ecdsaP384: return signature.count == 96 ? Self.sequence(signature) : nil
    case .ed25519: return signature.count == 64 ? signature : nil
    case .rsaSHA1, .rsaSHA1NSEC3, .rsaSHA256, .rsaSHA512:
      return Self.moduli.contains(signature.count) ? signature : nil
    }
  }

  /// Two numbers of the same length as a DER sequence (RFC 3279 section 2.2.3).
  private static func sequence(_ signature: [UInt8]) -> [UInt8] {
    let half = signature.count / 2
    let content = integer(signature[..<half]) + integer(signature[half...])
    return [0x30, UInt8(content.count)] + content
  }

  private static func integer(_ number: ArraySlice<UInt8>) -> [UInt8] {
    var digits = Array(number.drop { $0 == 0 })
    if digits.first.map({ $0 >= 0x80 }) ?? true { digits.insert(0, at: 0) }
    return [0x02, UInt8(digits.count)] + digits
  }
}
