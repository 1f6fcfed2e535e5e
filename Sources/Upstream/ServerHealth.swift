import DNSWire

/// What is known of one upstream: how fast it answers, and whether it does.
struct ServerHealth {
  /// Smoothed round trip and its deviation in milliseconds (RFC 6298 section 2); nil before the first answer.
  private var roundTrip: (mean: Double, deviation: Double)?
  /// Tries without an answer since the last one.
  private(set) var failures: UInt64 = 0
  private var unhealthyUntil: UInt64 = 0
  private var plainUntil: UInt64 = 0

  /// Whether the server is to be asked with an OPT.
  func takesEDNS(now: UInt64) -> Bool { now >= plainUntil }

  func isHealthy(now: UInt64) -> Bool { now >= unhealthyUntil }

  var isMeasured: Bool { roundTrip != nil }

  /// Milliseconds; servers that were never asked come first, so that they get measured.
  var latency: Double { roundTrip?.mean ?? 0 }

  /// How long to wait for an answer, in milliseconds. Doubled with every failure (RFC 6298 section 5.5): a server that
  /// became slower is measured only if it is waited for.
  func wait(_ limits: UpstreamLimits) -> UInt64 {
    var wait = limits.firstTry
    if let roundTrip {
      wait = UInt64(min(roundTrip.mean + max(4 * roundTrip.deviation, 20), Double(limits.longestTry)))
    }
    return min(max(wait, limits.shortestTry) << min(failures, 8), limits.longestTry)
  }

  /// - Parameter milliseconds: nil for an answer that says nothing about the round trip.
  mutating func answered(after milliseconds: Double?) {
    failures = 0
    unhealthyUntil = 0
    guard let milliseconds else { return }
    guard let known = roundTrip else {
      roundTrip = (milliseconds, milliseconds / 2)
      return
    }
    let deviation = 0.75 * known.deviation + 0.25 * abs(known.mean - milliseconds)
    roundTrip = (0.875 * known.mean + 0.125 * milliseconds, deviation)
  }

  mutating func failed(now: UInt64, _ limits: UpstreamLimits) {
    unhealthyUntil = now + (limits.unhealthy << min(failures, 3)) * 1_000_000
    failures += 1
  }

  mutating func refusedEDNS(now: UInt64, _ limits: UpstreamLimits) {
    plainUntil = now + limits.withoutEDNS * 1_000_000
  }
}
