/// A record class (RFC 1035 section 3.2.4). Sluice sends and caches class IN only.
@usableFromInline
package struct RRClass: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  @usableFromInline package let rawValue: UInt16

  @inlinable
  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  @inlinable package static var IN: Self { Self(rawValue: 1) }
  @inlinable package static var CH: Self { Self(rawValue: 3) }
  @inlinable package static var HS: Self { Self(rawValue: 4) }
  @inlinable package static var NONE: Self { Self(rawValue: 254) }
  @inlinable package static var ANY: Self { Self(rawValue: 255) }
}

/// What kind of query a message is (RFC 1035 section 4.1.1, RFC 6895 section 2.2).
@usableFromInline
package struct Opcode: RawRepresentable, Hashable, Sendable {
  @usableFromInline package let rawValue: UInt8

  @inlinable
  package init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  @inlinable package static var QUERY: Self { Self(rawValue: 0) }
  @inlinable package static var IQUERY: Self { Self(rawValue: 1) }
  @inlinable package static var STATUS: Self { Self(rawValue: 2) }
  @inlinable package static var NOTIFY: Self { Self(rawValue: 4) }
  @inlinable package static var UPDATE: Self { Self(rawValue: 5) }
}

/// A response code with the eight bits that an OPT adds (RFC 6891 section 6.1.3, RFC 6895 section 2.3).
@usableFromInline
package struct ResponseCode: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  @usableFromInline package let rawValue: UInt16

  @inlinable
  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  @inlinable package static var NOERROR: Self { Self(rawValue: 0) }
  @inlinable package static var FORMERR: Self { Self(rawValue: 1) }
  @inlinable package static var SERVFAIL: Self { Self(rawValue: 2) }
  @inlinable package static var NXDOMAIN: Self { Self(rawValue: 3) }
  @inlinable package static var NOTIMP: Self { Self(rawValue: 4) }
  @inlinable package static var REFUSED: Self { Self(rawValue: 5) }
  @inlinable package static var BADVERS: Self { Self(rawValue: 16) }
  @inlinable package static var BADCOOKIE: Self { Self(rawValue: 23) }
}

extension ResponseCode: CustomStringConvertible {
  /// The mnemonic, or `RCODE12`.
  @usableFromInline package var description: String {
    switch self {
    case .NOERROR: "NOERROR"
    case .FORMERR: "FORMERR"
    case .SERVFAIL: "SERVFAIL"
    case .NXDOMAIN: "NXDOMAIN"
    case .NOTIMP: "NOTIMP"
    case .REFUSED: "REFUSED"
    case .BADVERS: "BADVERS"
    case .BADCOOKIE: "BADCOOKIE"
    default: "RCODE\(rawValue)"
    }
  }
}

/// An extended error (RFC 8914 section 4).
@usableFromInline
package struct ExtendedErrorCode: BitwiseCopyable, RawRepresentable, Hashable, Sendable {
  @usableFromInline package let rawValue: UInt16

  @inlinable
  package init(rawValue: UInt16) {
    self.rawValue = rawValue
  }

  @inlinable package static func == (left: Self, right: Self) -> Bool { left.rawValue == right.rawValue }

  @inlinable package static var otherError: Self { Self(rawValue: 0) }
  @inlinable package static var dnssecIndeterminate: Self { Self(rawValue: 5) }
  @inlinable package static var dnssecBogus: Self { Self(rawValue: 6) }
  @inlinable package static var rrsigsMissing: Self { Self(rawValue: 10) }
  @inlinable package static var blocked: Self { Self(rawValue: 15) }
  @inlinable package static var prohibited: Self { Self(rawValue: 18) }
  @inlinable package static var noReachableAuthority: Self { Self(rawValue: 22) }
  @inlinable package static var networkError: Self { Self(rawValue: 23) }
}
