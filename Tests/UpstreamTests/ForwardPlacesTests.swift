import DNSWire
import IPNetwork
import LinuxIO
import TestSupport
import Testing

@testable import Upstream

/// Servers of zones that come and go by reloads.
@Suite struct ForwardPlacesTests {
  private func forward(_ number: Int, to upstream: FakeUpstream) -> UpstreamForward {
    UpstreamForward(
      zone: Name(canonical: Messages.name("zone\(number).example").span), servers: [Asker.server(upstream.port)])
  }

  @Test("the places of servers that are asked no more are used again, and what was known of one is not another's")
  func places() throws {
    let general = try FakeUpstream { [.message($0.answer([1]))] }
    let zoned = try FakeUpstream { [.message($0.answer([2]))] }
    defer { for upstream in [general, zoned] { upstream.stop() } }
    let asker = try Asker([general])
    for number in 0..<100 {
      asker.pool.use([forward(number, to: zoned)])
      #expect(!asker.pool.states[1].hasAnswered, "of zone \(number) nothing is known yet")
      var mark: UInt8?
      asker.pool.ask(name: Messages.name("a.zone\(number).example").span, type: .A, for: 1, as: .init(by: 0)) {
        [asker] in
        mark = $0.mark
        asker.reactor.stop()
      }
      asker.run()
      #expect(mark == 2 && asker.pool.states.count == 2)
    }
    #expect(asker.pool.placeCount <= 3)
    #expect(try asker.ask().mark == 1)
  }

  @Test("a place is nobody's before what is in flight to its former server is over")
  func inFlight() throws {
    let general = try FakeUpstream { [.message($0.answer([1]))] }
    let silent = try FakeUpstream { _ in [] }
    defer { for upstream in [general, silent] { upstream.stop() } }
    let asker = try Asker([general], limits: Asker.impatient)
    asker.pool.use([forward(0, to: silent)])
    var failure: UpstreamFailure?
    asker.pool.ask(name: Messages.name("a.zone0.example").span, type: .A, for: 1, as: .init(by: 0)) { [asker] in
      failure = $0.failure
      asker.reactor.stop()
    }
    for number in 1..<4 { asker.pool.use([forward(number, to: general)]) }
    let places = asker.pool.placeCount
    asker.run()
    #expect(failure == .timeout)
    #expect(general.arrivals.allSatisfy { !$0.asks("zone0") }, "what is in flight stays with its server")
    #expect(places == 4)
  }
}
