extension IPAddress {
  /// The IPv4 addresses that a translator, a tunnel or the network stack may make of this IPv6 address: none for most.
  ///
  /// Mapped and compatible (RFC 4291 section 2.5.5), translated (RFC 2765), NAT64 (RFC 6052, and RFC 8215 with every
  /// length that its prefix has room for), 6to4 (RFC 3056), Teredo with server and client (RFC 4380), ISATAP (RFC 5214).
  package var embedded: [IPAddress] {
    guard family == .v6 else { return [] }
    var found = isatap.map { [$0] } ?? []
    let last = IPAddress(v4: UInt32(truncatingIfNeeded: low))
    switch high {
    case 0 where low > 1 && [0, 0xFFFF].contains(low >> 32), 0 where low >> 48 == 0xFFFF && low >> 32 & 0xFFFF == 0:
      found.append(last)
    case 0x64_FF9B_0000_0000 where low >> 32 == 0:
      found.append(last)
    case _ where high >> 16 == 0x64_FF9B_0001:
      // The operator of the translator chose the length; 0.0.0.0/8 is what reading by another one mostly gives.
      found += [48, 56, 64, 96].map(behind).filter { $0.low >> 24 != 0 }
    case _ where high >> 48 == 0x2002:
      found.append(IPAddress(v4: UInt32(truncatingIfNeeded: high >> 16)))
    case _ where high >> 32 == 0x2001_0000:
      found.append(IPAddress(v4: UInt32(truncatingIfNeeded: high)))
      found.append(IPAddress(v4: ~UInt32(truncatingIfNeeded: low)))
    default: break
    }
    return found
  }

  /// The prefixes of `embedded`; ISATAP has none, it may stand behind any.
  package static let embeddingPrefixes: [IPPrefix] = [
    "::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",
  ].compactMap { (text: String) in IPPrefix(text) }

  /// An interface identifier of 5efe behind 0000 or 0200.
  private var isatap: IPAddress? {
    [0x0000_5EFE, 0x0200_5EFE].contains(low >> 32) ? IPAddress(v4: UInt32(truncatingIfNeeded: low)) : nil
  }

  /// The address behind an RFC 6052 prefix of 48, 56, 64 or 96 bits: octet 8 is no part of it.
  private func behind(_ length: Int) -> IPAddress {
    let octets = octets
    let positions = (length / 8..<16).filter { $0 != 8 }.prefix(4)
    return IPAddress(v4: positions.reduce(UInt32(0)) { $0 << 8 | UInt32(octets[$1]) })
  }
}
