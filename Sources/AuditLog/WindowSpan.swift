/// How long a window collects repeats; the windows of each span lie in an area of their own.
enum WindowSpan: Int, CaseIterable {
  /// The contract's 10 s.
  case short
  /// Of a server that is over its share of the log.
  case minute
  case hour

  var nanoseconds: UInt64 {
    switch self {
    case .short: 10_000_000_000
    case .minute: 60_000_000_000
    case .hour: 3_600_000_000_000
    }
  }

  /// Octets for the windows of this span, where `short` ones have `octets`.
  func capacity(_ octets: Int) -> Int { self == .short ? octets : max(octets / 4, 65_536) }
}
