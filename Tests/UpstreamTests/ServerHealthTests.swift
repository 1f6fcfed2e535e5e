import DNSWire
import Testing

@testable import Upstream

@Suite("Server health")
struct ServerHealthTests {
  private let limits = UpstreamLimits()
  private let second: UInt64 = 1_000_000_000

  @Test("the wait starts at 400 ms and stays between 100 and 1500 ms")
  func bounds() {
    var health = ServerHealth()
    #expect(health.wait(limits) == 400)
    for _ in 0..<50 { health.answered(after: 0.05, now: 0) }
    #expect(health.wait(limits) == 100)
    for _ in 0..<50 { health.answered(after: 9000, now: 0) }
    #expect(health.wait(limits) == 1500)
  }

  @Test("a server that became slower is waited for longer until it is heard again")
  func backoff() {
    var health = ServerHealth()
    for _ in 0..<50 { health.answered(after: 10, now: 0) }
    #expect(health.wait(limits) == 100)
    var waits: [UInt64] = []
    for _ in 0..<5 {
      _ = health.failed(now: 0, limits)
      waits.append(health.wait(limits))
    }
    #expect(waits == [200, 400, 800, 1500, 1500])
    health.answered(after: nil, now: 0)
    #expect(health.wait(limits) == 100)
  }

  @Test("a server that fails is probed after 5 s, then later, and is healthy with the first thing that is heard")
  func unhealthy() {
    var health = ServerHealth()
    var now: UInt64 = 0
    for seconds in [5, 10, 20, 40, 40] as [UInt64] {
      let next = health.failed(now: now, limits)
      #expect(next == now + seconds * second)
      #expect(!health.isHealthy)
      now = next
    }
    health.heard(now: now)
    #expect(health.isHealthy && health.isTrusted)
  }

  @Test("a question without an answer makes a server suspect once, unless something else was heard since it was sent")
  func suspect() {
    var health = ServerHealth()
    health.heard(now: 10)
    var isProbed = [health.unanswered(since: 5), health.unanswered(since: 9)]
    #expect(health.isTrusted)
    isProbed += [health.unanswered(since: 11), health.unanswered(since: 12)]
    #expect(isProbed == [false, false, true, false])
    #expect(health.isHealthy && !health.isTrusted, "suspect, and not yet worse")
    #expect(health.wait(limits) == 400)
    health.heard(now: 20)
    #expect(health.isTrusted)
  }

  @Test("a server that is known to be down is not made suspect, nor probed a second time")
  func down() {
    var health = ServerHealth()
    _ = health.failed(now: 0, limits)
    #expect(!health.isHealthy)
    let isProbedAgain = health.unanswered(since: 10)
    health.heard(now: 20)
    #expect(!isProbedAgain && health.isTrusted)
    let isProbed = health.unanswered(since: 30)
    #expect(isProbed)
  }

  @Test("EDNS is left out for a minute")
  func edns() {
    var health = ServerHealth()
    #expect(health.takesEDNS(now: 0))
    health.refusedEDNS(now: 0, limits)
    #expect(!health.takesEDNS(now: 60 * second - 1))
    #expect(health.takesEDNS(now: 60 * second))
  }

  @Test("our own question decides that a server refuses everything where clients were refused, and not by itself")
  func refusesAll() {
    let late = 100 * second
    var health = ServerHealth()
    // It serves some zones, and not the root.
    _ = health.refused(.REFUSED, limits)
    health.refusedProbe(now: late, limits)
    #expect(!health.isRefusing)
    for _ in 0..<limits.refusals { _ = health.refused(.REFUSED, limits) }
    health.refusedProbe(now: late, limits)
    #expect(health.isRefusing && !health.isTrusted)
    health.answered(after: 1, now: late)
    #expect(!health.isRefusing)
    for _ in 0...limits.refusals { _ = health.refused(.REFUSED, limits) }
    health.refusedProbe(now: late + limits.unhealthy * 1_000_000 - 1, limits)
    #expect(!health.isRefusing, "something was answered of late")
    health.refusedProbe(now: late + limits.unhealthy * 1_000_000, limits)
    #expect(health.isRefusing)
  }
}
