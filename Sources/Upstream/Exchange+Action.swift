import DNSWire

/// What an exchange has its pool do.
extension Exchange {
  /// A message to be sent, and how long to wait for its answer. Times are nanoseconds of the monotonic clock.
  struct Sending: Equatable {
    /// By which the exchange is told what comes of it.
    var attempt: Int
    var server: Int
    var kind: TransportKind
    var message: [UInt8]
    /// When `lapsed` is to be told.
    var lapse: UInt64
    /// Whether that is before the server has been waited for.
    var isHedged: Bool
    /// When nothing is waited for any more.
    var deadline: UInt64
  }

  enum Action: Equatable {
    /// Keep waiting.
    case wait
    case send(Sending)
    /// Two ways at once.
    case sendBoth(Sending, Sending)
    case finish(message: [UInt8], server: Int, attempt: Int)
    case fail(UpstreamFailure)
  }

  /// What a server said instead of an answer.
  struct Refusal: Equatable {
    var server: Int
    var code: ResponseCode
  }
}
