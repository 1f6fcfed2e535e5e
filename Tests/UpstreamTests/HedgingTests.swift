import DNSWire
import TestSupport
import Testing

@testable import Upstream

/// One slow upstream does not delay a good one.
@Suite("Hedging")
struct HedgingTests {
  private let limits = UpstreamLimits()

  @Test("nineteen of twenty answers are faster than the quantile, whatever their times", arguments: [1.0, 30, 700])
  func quantile(scale: Double) throws {
    var random = SeededRandom(seed: 9)
    var quantile = LatencyQuantile()
    func sample() -> Double { scale * (1 + 9 * Double(random.next() % 1000) / 1000) }
    for _ in 1..<LatencyQuantile.fewest { quantile.add(sample()) }
    #expect(quantile.value == nil)
    for _ in 0..<2000 { quantile.add(sample()) }
    var slower = 0
    for _ in 0..<4000 {
      let next = sample()
      if next > (try #require(quantile.value)) { slower += 1 }
      quantile.add(next)
    }
    #expect(slower > 120 && slower < 320, "\(slower) of 4000")
  }

  @Test("one question in ten may be hedged, and twenty at once")
  func budget() {
    var budget = HedgeBudget()
    var hedged = 0
    for _ in 0..<1000 {
      budget.asked()
      if budget.isLeft {
        budget.hedged()
        hedged += 1
      }
    }
    #expect(hedged >= 110 && hedged <= 121, "\(hedged)")
  }

  @Test("a server that another one overtakes is known to be slower, and a faster one is not made faster by it")
  func overtaken() {
    var health = ServerHealth()
    health.overtaken(after: 50, now: 1)
    #expect(!health.isMeasured && health.hedge(limits) == nil)
    for _ in 0..<30 { health.answered(after: 12, now: 2) }
    health.overtaken(after: 3, now: 3)
    #expect(health.latency == 12 && health.measuredAt == 2)
    // It wavers by a tenth.
    #expect((11...14).contains(health.hedge(limits) ?? 0))
    for _ in 0..<40 { health.overtaken(after: 80, now: 4) }
    #expect(health.latency > 60 && health.measuredAt == 4)
    #expect(health.hedge(limits) ?? 0 > 60)
    var quick = ServerHealth()
    for _ in 0..<30 { quick.answered(after: 0.1, now: 0) }
    #expect(quick.hedge(limits) == limits.shortestHedge)
  }

  @Test("the second server is asked when the first mostly has answered, and is waited for; the first is heard still")
  func exchange() {
    let name = Messages.name("www.example.com")
    var candidates = (0..<2).map { Exchange.Candidate(server: $0, wait: 400, withEDNS: true) }
    candidates[0].hedge = 15
    var exchange = Exchange((name, .A), candidates: candidates, limits: limits, now: 0)
    guard case .send(let first) = exchange.start(now: 0, id: 1) else {
      Issue.record("nothing is sent")
      return
    }
    #expect(first.lapse == 15_000_000 && first.isHedged && first.server == 0)
    guard case .send(let second) = exchange.lapsed(first.attempt, now: first.lapse, id: 2) else {
      Issue.record("the second is not asked")
      return
    }
    #expect(second.lapse == 415_000_000 && !second.isHedged && second.server == 1)
    let answer = Messages.response("www.example.com", .A, id: 1)
    guard
      case .finish(message: _, server: 0, attempt: 0) = exchange.received(answer.span, for: 0, now: 20_000_000, id: 3)
    else {
      Issue.record("the first is not heard")
      return
    }
  }

  @Test("an answer that is late costs no more than the other upstream's, and makes no one suspect")
  func late() throws {
    let quick = try FakeUpstream { $0.asks("z") ? [] : [.message($0.answer([1]))] }
    let other = try FakeUpstream { [.message($0.answer([2]))] }
    defer {
      quick.stop()
      other.stop()
    }
    var limits = Asker.patient
    // Each is asked first now and then; a loaded machine is not late.
    (limits.exploration, limits.shortestHedge) = (2, 100)
    let asker = try Asker([quick, other].map { Asker.server($0.port) }, clients: [:], limits: limits)
    /// Whether enough is known of both: what was asked of two may have measured one alone.
    func isMeasured() -> Bool {
      let measured = min(quick.arrivals.count, other.arrivals.count) - Int(asker.pool.statistics.hedges)
      return measured >= LatencyQuantile.fewest
    }
    for number in 0..<1000 where !isMeasured() { #expect(try asker.ask("n\(number).example").failure == nil) }
    try #require(isMeasured())
    let before = asker.pool.statistics.hedges
    for number in 0..<10 { #expect(try asker.ask("z\(number).example").mark == 2) }
    #expect(asker.pool.states.allSatisfy { !$0.isSuspect && $0.isHealthy })
    #expect(asker.pool.statistics.probes == 0)
    #expect((1...10).contains(asker.pool.statistics.hedges - before))
  }

  @Test("each upstream is measured now and then, though another one is faster")
  func exploration() throws {
    let first = try FakeUpstream { [.message($0.answer([1]))] }
    let second = try FakeUpstream { [.message($0.answer([2]))] }
    defer {
      first.stop()
      second.stop()
    }
    var limits = Asker.patient
    limits.exploration = 8
    let asker = try Asker([first, second].map { Asker.server($0.port) }, clients: [:], limits: limits)
    for number in 0..<400 { #expect(try asker.ask("n\(number).example").failure == nil) }
    for upstream in [first, second] { #expect(upstream.arrivals.count >= 30) }
  }
}
