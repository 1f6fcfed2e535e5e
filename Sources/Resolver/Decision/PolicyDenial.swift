package import AuditLog
package import DNSWire
package import IPNetwork

/// How a query is turned away.
package struct PolicyDenial: Equatable, Sendable {
  /// What the client is answered.
  package enum Answer: Equatable, Sendable {
    /// What the configuration's `sinkhole` says.
    case sinkhole
    case nodata
    /// No records at all.
    case empty(ResponseCode)
  }

  package var code: AuditCode
  package var answer: Answer
  package var error: ExtendedErrorCode
  /// The server's rule that denies; nil where none does.
  package var rule: Int?

  // Computed, not stored: a stored one is asked each time whether it has been made.
  static var notListed: PolicyDenial { PolicyDenial(code: .notListed, answer: .sinkhole, error: .blocked) }
  @inline(__always)
  static func denied(by rule: Int) -> PolicyDenial {
    PolicyDenial(code: .denied, answer: .sinkhole, error: .blocked, rule: rule)
  }
  static var typeNotAllowed: PolicyDenial { PolicyDenial(code: .typeNotAllowed, answer: .nodata, error: .blocked) }
  static var classNotAllowed: PolicyDenial {
    PolicyDenial(code: .classNotAllowed, answer: .empty(.REFUSED), error: .blocked)
  }
}

/// What a query that is turned away gets.
package enum SinkholeAnswer: Equatable, Sendable {
  case nxdomain
  case nodata
  /// Those of the type that is asked for; NODATA where there is none.
  case addresses([IPAddress])
  /// No records at all.
  case empty(ResponseCode)

  package var code: ResponseCode {
    switch self {
    case .nxdomain: .NXDOMAIN
    case .nodata, .addresses: .NOERROR
    case .empty(let code): code
    }
  }
}

extension ResolverRules {
  /// What a denial gets under this configuration.
  @inline(__always)
  package func answer(to denial: PolicyDenial) -> SinkholeAnswer {
    switch denial.answer {
    case .nodata: return .nodata
    case .empty(let code): return .empty(code)
    case .sinkhole:
      switch sinkhole {
      case .nxdomain: return .nxdomain
      case .nodata: return .nodata
      case .refused: return .empty(.REFUSED)
      case .addresses(let addresses): return .addresses(addresses)
      }
    }
  }
}

extension IPAddress {
  /// The type of the record that holds it.
  package var type: RRType { family == .v4 ? .A : .AAAA }
}
