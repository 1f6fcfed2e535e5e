/// How long a window collects repeats; the windows of each span lie in an area of their own.
enum WindowSpan: Int, CaseIterable {
  /// The contract's 10 s.
  case short
  /// Of a server that is over its share of the log.
  case minute
  /// Of special-use names, and of what says that a server is over its share.
  case hour
  /// Of types that a listed name is not allowed.
  case day

  /// In which the repeats of a code are collected, where its server is not over its share.
  init(of code: AuditCode) {
    switch code {
    case .special: self = .hour
    case .typeNotAllowed: self = .day
    default: self = .short
    }
  }

  var nanoseconds: UInt64 {
    switch self {
    case .short: 10_000_000_000
    case .minute: 60_000_000_000
    case .hour: 3_600_000_000_000
    case .day: 86_400_000_000_000
    }
  }

  /// Octets for the windows of this span, where `short` ones have `octets`.
  func capacity(_ octets: Int) -> Int { self == .short ? octets : max(octets / 4, 65_536) }
}
