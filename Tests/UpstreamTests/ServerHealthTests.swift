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
    for _ in 0..<50 { health.answered(after: 0.05) }
    #expect(health.wait(limits) == 100)
    for _ in 0..<50 { health.answered(after: 9000) }
    #expect(health.wait(limits) == 1500)
  }

  @Test("a server that became slower is waited for longer until it is heard again")
  func backoff() {
    var health = ServerHealth()
    for _ in 0..<50 { health.answered(after: 10) }
    #expect(health.wait(limits) == 100)
    var waits: [UInt64] = []
    for _ in 0..<5 {
      health.failed(now: 0, limits)
      waits.append(health.wait(limits))
    }
    #expect(waits == [200, 400, 800, 1500, 1500])
    health.answered(after: nil)
    #expect(health.wait(limits) == 100)
  }

  @Test("a server that fails is asked last for 5 s, then longer, and is healthy with its first answer")
  func unhealthy() {
    var health = ServerHealth()
    var now: UInt64 = 0
    for seconds in [5, 10, 20, 40, 40] as [UInt64] {
      health.failed(now: now, limits)
      #expect(!health.isHealthy(now: now + seconds * second - 1))
      #expect(health.isHealthy(now: now + seconds * second))
      now += seconds * second
    }
    health.failed(now: now, limits)
    health.answered(after: nil)
    #expect(health.isHealthy(now: now))
  }

  @Test("EDNS is left out for a minute")
  func edns() {
    var health = ServerHealth()
    #expect(health.takesEDNS(now: 0))
    health.refusedEDNS(now: 0, limits)
    #expect(!health.takesEDNS(now: 60 * second - 1))
    #expect(health.takesEDNS(now: 60 * second))
  }
}
