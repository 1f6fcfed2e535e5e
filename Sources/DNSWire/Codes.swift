/// A record class (RFC 1035 section 3.2.4). Sluice sends and caches class IN only.
package struct RRClass: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  package static let IN = RRClass(rawValue: 1)
  package static let CH = RRClass(rawValue: 3)
  package static let HS = RRClass(rawValue: 4)
  package static let NONE = RRClass(rawValue: 254)
  package static let ANY = RRClass(rawValue: 255)
}

/// What kind of query a message is (RFC 1035 section 4.1.1, RFC 6895 section 2.2).
package struct Opcode: RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  package static let QUERY = Opcode(rawValue: 0)
  package static let IQUERY = Opcode(rawValue: 1)
  package static let STATUS = Opcode(rawValue: 2)
  package static let NOTIFY = Opcode(rawValue: 4)
  package static let UPDATE = Opcode(rawValue: 5)
}

/// A response code with the eight bits that an OPT adds (RFC 6891 section 6.1.3, RFC 6895 section 2.3).
package struct ResponseCode: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  package static let NOERROR = ResponseCode(rawValue: 0)
  package static let FORMERR = ResponseCode(rawValue: 1)
  package static let SERVFAIL = ResponseCode(rawValue: 2)
  package static let NXDOMAIN = ResponseCode(rawValue: 3)
  package static let NOTIMP = ResponseCode(rawValue: 4)
  package static let REFUSED = ResponseCode(rawValue: 5)
  package static let BADVERS = ResponseCode(rawValue: 16)
}

extension ResponseCode: CustomStringConvertible {
  /// The mnemonic, or `RCODE12`.
  package var description: String {
    switch self {
    case .NOERROR: "NOERROR"
    case .FORMERR: "FORMERR"
    case .SERVFAIL: "SERVFAIL"
    case .NXDOMAIN: "NXDOMAIN"
    case .NOTIMP: "NOTIMP"
    case .REFUSED: "REFUSED"
    case .BADVERS: "BADVERS"
    default: "RCODE\(rawValue)"
    }
  }
}

/// An extended error (RFC 8914 section 4).
package struct ExtendedErrorCode: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  package static let otherError = ExtendedErrorCode(rawValue: 0)
  package static let blocked = ExtendedErrorCode(rawValue: 15)
  package static let prohibited = ExtendedErrorCode(rawValue: 18)
  package static let noReachableAuthority = ExtendedErrorCode(rawValue: 22)
  package static let networkError = ExtendedErrorCode(rawValue: 23)
}
