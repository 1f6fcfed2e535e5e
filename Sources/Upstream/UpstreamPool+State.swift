package import DNSWire
package import HTTP2
package import TLS

/// What is told of the upstreams.
extension UpstreamPool {
  /// What came by, for `status`.
  package struct Statistics: Sendable {
    package var exchanges: UInt64 = 0
    /// Messages sent to upstreams: the questions, their repetitions, and probes.
    package var messages: UInt64 = 0
    package var joined: UInt64 = 0
    package var wrongAnswers: UInt64 = 0
    /// How often there were so many that a server was asked by TCP alone.
    package var mismatches: UInt64 = 0
    package var failures: UInt64 = 0
    /// Answers that were none: SERVFAIL, REFUSED and the like.
    package var refusals: UInt64 = 0
    /// Questions of our own, by which an upstream is judged.
    package var probes: UInt64 = 0
    /// Exchanges that ended unanswered, or did not begin, because others had a right to the slot.
    package var overloads: UInt64 = 0
    /// Questions of which a second upstream was asked before the first one had been waited for.
    package var hedges: UInt64 = 0
  }

  /// What is known of one upstream, for `status`.
  package struct State: Sendable {
    package var address: String
    /// The forwarded zone for which alone it is asked; nil for a general one.
    package var zone: Name?
    package var isHealthy: Bool
    /// Whether it said anything since the start.
    package var hasAnswered: Bool
    /// Whether it is being probed, because it did not answer a question.
    package var isSuspect: Bool
    /// Milliseconds of a round trip, smoothed; nil before the first answer.
    package var latency: Double?
    /// Probes without an answer since the last one.
    package var failures: UInt64
    /// Whether it is asked by TCP alone, because of answers that were not its own.
    package var isByStream: Bool
    /// Whether it refuses whatever it is asked, though it is there.
    package var isRefusing: Bool
    /// Refusals since its last answer, and the code of the last one.
    package var refusals: UInt64
    package var lastRefusal: ResponseCode?
    /// Why TLS with it is not used.
    package var fault: TLSFailure?
    /// Why what it says by HTTP is no answer.
    package var httpFault: HTTPFailure?

    /// - Parameter now: nanoseconds of the monotonic clock.
    init(_ upstream: KnownUpstream, now: UInt64) {
      let health = upstream.health
      (address, zone) = (upstream.text, upstream.zone)
      (isHealthy, hasAnswered, isSuspect) = (health.isHealthy, health.hasAnswered, health.isSuspect)
      latency = health.isMeasured ? health.latency : nil
      failures = health.failures
      isByStream = upstream.watch.asksByStream(now: now)
      (isRefusing, refusals, lastRefusal) = (health.isRefusing, health.refusals, health.lastRefusal)
      (fault, httpFault) = (upstream.fault, upstream.httpFault)
    }
  }
}
