/// A resource record type (IANA registry "DNS Parameters"); unknown values are as good as known ones (RFC 3597).
@usableFromInline
package struct RRType: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  @usableFromInline package let rawValue: UInt16

  @inlinable
  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  @inlinable package static var A: Self { Self(rawValue: 1) }
  @inlinable package static var NS: Self { Self(rawValue: 2) }
  @inlinable package static var CNAME: Self { Self(rawValue: 5) }
  @inlinable package static var SOA: Self { Self(rawValue: 6) }
  @inlinable package static var PTR: Self { Self(rawValue: 12) }
  @inlinable package static var HINFO: Self { Self(rawValue: 13) }
  @inlinable package static var MX: Self { Self(rawValue: 15) }
  @inlinable package static var TXT: Self { Self(rawValue: 16) }
  @inlinable package static var AAAA: Self { Self(rawValue: 28) }
  @inlinable package static var SRV: Self { Self(rawValue: 33) }
  @inlinable package static var NAPTR: Self { Self(rawValue: 35) }
  @inlinable package static var DNAME: Self { Self(rawValue: 39) }
  @inlinable package static var OPT: Self { Self(rawValue: 41) }
  @inlinable package static var DS: Self { Self(rawValue: 43) }
  @inlinable package static var SSHFP: Self { Self(rawValue: 44) }
  @inlinable package static var RRSIG: Self { Self(rawValue: 46) }
  @inlinable package static var NSEC: Self { Self(rawValue: 47) }
  @inlinable package static var DNSKEY: Self { Self(rawValue: 48) }
  @inlinable package static var NSEC3: Self { Self(rawValue: 50) }
  @inlinable package static var TLSA: Self { Self(rawValue: 52) }
  @inlinable package static var SVCB: Self { Self(rawValue: 64) }
  @inlinable package static var HTTPS: Self { Self(rawValue: 65) }
  @inlinable package static var SPF: Self { Self(rawValue: 99) }
  @inlinable package static var TKEY: Self { Self(rawValue: 249) }
  @inlinable package static var TSIG: Self { Self(rawValue: 250) }
  @inlinable package static var IXFR: Self { Self(rawValue: 251) }
  @inlinable package static var AXFR: Self { Self(rawValue: 252) }
  @inlinable package static var MAILB: Self { Self(rawValue: 253) }
  @inlinable package static var MAILA: Self { Self(rawValue: 254) }
  @inlinable package static var ANY: Self { Self(rawValue: 255) }
  @inlinable package static var URI: Self { Self(rawValue: 256) }
  @inlinable package static var CAA: Self { Self(rawValue: 257) }

  /// AAAA for A, and A for AAAA.
  package var otherFamily: RRType? {
    switch self {
    case .A: .AAAA
    case .AAAA: .A
    default: nil
    }
  }

  /// Types that no record has: 0, OPT, and the query and meta types 128–255 (RFC 6895 section 3.1).
  package var isMeta: Bool {
    rawValue == 0 || self == .OPT || (128...255).contains(rawValue)
  }
}

extension RRType: CustomStringConvertible {
  private static let mnemonics: [(RRType, String)] = [
    (.A, "A"), (.NS, "NS"), (.CNAME, "CNAME"), (.SOA, "SOA"), (.PTR, "PTR"), (.HINFO, "HINFO"), (.MX, "MX"),
    (.TXT, "TXT"), (.AAAA, "AAAA"), (.SRV, "SRV"), (.NAPTR, "NAPTR"), (.DNAME, "DNAME"), (.OPT, "OPT"), (.DS, "DS"),
    (.SSHFP, "SSHFP"), (.RRSIG, "RRSIG"), (.NSEC, "NSEC"), (.DNSKEY, "DNSKEY"), (.NSEC3, "NSEC3"), (.TLSA, "TLSA"),
    (.SVCB, "SVCB"), (.HTTPS, "HTTPS"), (.SPF, "SPF"), (.TKEY, "TKEY"), (.TSIG, "TSIG"), (.IXFR, "IXFR"),
    (.AXFR, "AXFR"), (.MAILB, "MAILB"), (.MAILA, "MAILA"), (.ANY, "ANY"), (.URI, "URI"), (.CAA, "CAA"),
  ]

  /// The mnemonic, or `TYPE123` (RFC 3597 section 5).
  @usableFromInline package var description: String {
    Self.mnemonics.first { $0.0 == self }?.1 ?? "TYPE\(rawValue)"
  }

  /// Reads an upper-case mnemonic or `TYPE123`.
  package init?(mnemonic: some StringProtocol) {
    if let known = Self.mnemonics.first(where: { mnemonic == $0.1 }) {
      self = known.0
    } else if mnemonic.hasPrefix("TYPE"), mnemonic.dropFirst(4).utf8.allSatisfy({ (48...57).contains($0) }),
      let value = UInt16(mnemonic.dropFirst(4))
    {
      self.init(rawValue: value)
    } else {
      return nil
    }
  }
}
