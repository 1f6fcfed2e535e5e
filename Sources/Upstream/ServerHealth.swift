import DNSWire

/// What is known of one upstream: how fast it answers, and whether it does.
///
/// A question that is not answered says nothing of the server: the zone may be silent, and a client that may ask for a name may
/// choose such a zone. If nothing at all was heard since that question was sent, the server is suspect, and a question of
/// our own decides:
///
///     healthy ── unanswered ─► suspect ── probe failed ─► unhealthy ──┐ a probe again, after 5 s, 10 s, … 40 s
///        ▲                        │                        │  ▲       │
///        └──────── heard ─────────┴────────────────────────┘  └───────┘
///
/// Nor does a question that is refused say anything: the name's own servers may be broken. After several one after the other a
/// question of our own decides whether the server refuses whatever it is asked.
struct ServerHealth {
  /// Smoothed round trip and its deviation in milliseconds (RFC 6298 section 2); nil before the first answer.
  private var roundTrip: (mean: Double, deviation: Double)?
  private var quantile = LatencyQuantile()
  /// When an answer was measured last.
  private(set) var measuredAt: UInt64 = 0
  /// Probes without an answer since the last thing that was heard.
  private(set) var failures: UInt64 = 0
  /// Being probed, because a question was not answered.
  private(set) var isSuspect = false
  private var heardAt: UInt64 = 0
  private var answeredAt: UInt64 = 0
  /// Refusals since the last answer, and what was said last.
  private(set) var refusals: UInt64 = 0
  private(set) var lastRefusal: ResponseCode?
  /// Whether our own question was refused too: it lives, and answers nothing.
  private(set) var isRefusing = false
  private var plainUntil: UInt64 = 0

  /// Whether the server is to be asked with an OPT.
  func takesEDNS(now: UInt64) -> Bool { now >= plainUntil }

  var isHealthy: Bool { failures == 0 }

  /// Whether it is asked before those that may not answer.
  var isTrusted: Bool { isHealthy && !isSuspect && !isRefusing }

  var hasAnswered: Bool { heardAt > 0 }

  var isMeasured: Bool { roundTrip != nil }

  /// Milliseconds; servers that were never asked come first, so that they get measured.
  var latency: Double { roundTrip?.mean ?? 0 }

  /// How long to wait for an answer, in milliseconds. Doubled with every failed probe (RFC 6298 section 5.5): a server that
  /// became slower is measured only if it is waited for.
  func wait(_ limits: UpstreamLimits) -> UInt64 {
    var wait = limits.firstTry
    if let roundTrip {
      wait = UInt64(min(roundTrip.mean + max(4 * roundTrip.deviation, 20), Double(limits.longestTry)))
    }
    return min(max(wait, limits.shortestTry) << min(failures, 8), limits.longestTry)
  }

  /// For how many milliseconds TCP alone is waited for, where the server has just answered by a datagram: until a connection,
  /// a question and its answer are mostly there.
  func proof(_ limits: UpstreamLimits) -> UInt64 {
    guard let roundTrip else { return limits.firstTry }
    let wait = 2 * (roundTrip.mean + max(4 * roundTrip.deviation, 20))
    return UInt64(min(wait, Double(limits.longestTry)))
  }

  /// After how long another server is to be asked as well: nineteen of twenty answers are there by then. Milliseconds; nil
  /// before enough was measured.
  func hedge(_ limits: UpstreamLimits) -> UInt64? {
    quantile.value.map { min(max(UInt64($0.rounded(.up)), limits.shortestHedge), wait(limits)) }
  }

  /// Another server answered the same question first: this one needs longer than so many milliseconds.
  mutating func overtaken(after milliseconds: Double, now: UInt64) {
    guard let known = roundTrip, milliseconds > known.mean else { return }
    measure(milliseconds, now: now)
  }

  /// - Parameter milliseconds: nil for an answer that says nothing about the round trip.
  mutating func answered(after milliseconds: Double?, now: UInt64) {
    heard(now: now)
    (refusals, lastRefusal, isRefusing, answeredAt) = (0, nil, false, now)
    if let milliseconds { measure(milliseconds, now: now) }
  }

  private mutating func measure(_ milliseconds: Double, now: UInt64) {
    quantile.add(milliseconds)
    measuredAt = now
    guard let known = roundTrip else {
      roundTrip = (milliseconds, milliseconds / 2)
      return
    }
    let deviation = 0.75 * known.deviation + 0.25 * abs(known.mean - milliseconds)
    roundTrip = (0.875 * known.mean + 0.125 * milliseconds, deviation)
  }

  /// The server said something that was an answer to a question, whatever it said.
  mutating func heard(now: UInt64) {
    heardAt = now
    failures = 0
    isSuspect = false
  }

  /// A question was answered with a code that is no answer; whether a question of our own is to decide now.
  mutating func refused(_ code: ResponseCode, _ limits: UpstreamLimits) -> Bool {
    refusals += 1
    lastRefusal = code
    return !isRefusing && refusals % limits.refusals == 0
  }

  /// Our own question was refused. That alone says nothing, there are upstreams that serve some zones only: it decides where
  /// clients were refused too, and nothing was answered of late. The refusal of our own is counted already.
  mutating func refusedProbe(now: UInt64, _ limits: UpstreamLimits) {
    isRefusing = refusals > limits.refusals && now - min(answeredAt, now) >= limits.unhealthy * 1_000_000
  }

  func wasHeard(since time: UInt64) -> Bool { heardAt >= time }

  /// A question that was sent then was not answered; whether the server is to be probed.
  mutating func unanswered(since sent: UInt64) -> Bool {
    guard heardAt < sent, isHealthy, !isSuspect else { return false }
    isSuspect = true
    return true
  }

  /// A probe was not answered. Returns when to probe again.
  mutating func failed(now: UInt64, _ limits: UpstreamLimits) -> UInt64 {
    defer { failures += 1 }
    isSuspect = false
    return now + (limits.unhealthy << min(failures, 3)) * 1_000_000
  }

  mutating func refusedEDNS(now: UInt64, _ limits: UpstreamLimits) {
    plainUntil = now + limits.withoutEDNS * 1_000_000
  }
}
