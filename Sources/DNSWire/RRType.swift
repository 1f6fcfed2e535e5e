/// A resource record type (IANA registry "DNS Parameters"); unknown values are as good as known ones (RFC 3597).
package struct RRType: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  package static let A = RRType(rawValue: 1)
  package static let NS = RRType(rawValue: 2)
  package static let CNAME = RRType(rawValue: 5)
  package static let SOA = RRType(rawValue: 6)
  package static let PTR = RRType(rawValue: 12)
  package static let HINFO = RRType(rawValue: 13)
  package static let MX = RRType(rawValue: 15)
  package static let TXT = RRType(rawValue: 16)
  package static let AAAA = RRType(rawValue: 28)
  package static let SRV = RRType(rawValue: 33)
  package static let NAPTR = RRType(rawValue: 35)
  package static let DNAME = RRType(rawValue: 39)
  package static let OPT = RRType(rawValue: 41)
  package static let DS = RRType(rawValue: 43)
  package static let SSHFP = RRType(rawValue: 44)
  package static let RRSIG = RRType(rawValue: 46)
  package static let NSEC = RRType(rawValue: 47)
  package static let DNSKEY = RRType(rawValue: 48)
  package static let NSEC3 = RRType(rawValue: 50)
  package static let TLSA = RRType(rawValue: 52)
  package static let SVCB = RRType(rawValue: 64)
  package static let HTTPS = RRType(rawValue: 65)
  package static let SPF = RRType(rawValue: 99)
  package static let TKEY = RRType(rawValue: 249)
  package static let TSIG = RRType(rawValue: 250)
  package static let IXFR = RRType(rawValue: 251)
  package static let AXFR = RRType(rawValue: 252)
  package static let MAILB = RRType(rawValue: 253)
  package static let MAILA = RRType(rawValue: 254)
  package static let ANY = RRType(rawValue: 255)
  package static let URI = RRType(rawValue: 256)
  package static let CAA = RRType(rawValue: 257)

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
  package var description: String {
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
