import IPNetwork
import Testing

@testable import Resolver

@Suite struct InterceptionWatchTests {
  private let proxy = "udp://192.0.2.54:53"
  private let own: Set<IPPrefix> = [prefix("192.168.1.0/24"), prefix("192.168.0.0/16")]

  /// Refuses an answer of so many names, one after the other; how often something was told.
  private func told(
    _ watch: inout InterceptionWatch, _ names: Range<UInt8>, _ addresses: (UInt8) -> String, by upstream: String? = nil,
    now: UInt64 = 0
  ) -> [InterceptionWatch.Finding] {
    names.compactMap { number in
      watch.refused(
        [address(addresses(number))], of: [1, number, 0], by: upstream ?? proxy, own: own, now: now)
    }
  }

  @Test(
    "four names in a row from one network are told once, with the line that admits it",
    arguments: [("198.18.0.", "198.18.0.0/15"), ("100.64.7.", "100.64.0.0/10"), ("192.168.1.", "192.168.1.0/24")])
  func once(start: String, network: String) {
    var watch = InterceptionWatch()
    #expect(told(&watch, 1..<4) { "\(start)\($0)" } == [])
    #expect(watch.network(of: proxy) == nil)
    let found = told(&watch, 4..<40) { "\(start)\($0)" }
    #expect(found.map(\.network.description) == [network] && found.map(\.upstream) == [proxy])
    // Which of the host's own networks servers may reach is not for an upstream to say.
    #expect(found.first?.remedy == (start == "192.168.1." ? nil : "private: [ \(network) ]"))
    #expect(watch.network(of: proxy)?.description == network)
  }

  @Test("one name asked again and again is no pattern, nor are addresses of several networks or of none of these")
  func noPattern() {
    var watch = InterceptionWatch()
    for _ in 0..<20 { #expect(told(&watch, 1..<2) { "198.18.0.\($0)" } == []) }
    #expect(told(&watch, 10..<30) { $0 % 3 == 0 ? "100.64.0.1" : "198.18.0.\($0)" } == [])
    #expect(told(&watch, 30..<60) { "10.9.0.\($0)" } == [])
    #expect(watch.refused([address("198.18.0.1"), address("10.9.0.1")], of: [0], by: proxy, own: own, now: 0) == nil)
  }

  @Test("what the names of one domain have is their owner's")
  func oneDomain() {
    var watch = InterceptionWatch()
    for number in 0..<20 as Range<UInt8> {
      let name = [2, 97, 97 + number, 7] + Array("example".utf8) + [3] + Array("com".utf8) + [0]
      #expect(watch.refused([address("198.18.0.1")], of: name, by: proxy, own: own, now: 0) == nil)
    }
    #expect(watch.network(of: proxy) == nil)
  }

  @Test("an answer that was given out ends the suspicion of its upstream, and of no other")
  func answered() {
    var watch = InterceptionWatch()
    let other = "udp://192.0.2.55:53"
    _ = told(&watch, 1..<4) { "198.18.0.\($0)" }
    _ = told(&watch, 1..<4, { "198.18.0.\($0)" }, by: other)
    watch.answered(by: proxy)
    #expect(told(&watch, 4..<7) { "198.18.0.\($0)" } == [])
    #expect(told(&watch, 4..<5, { "198.18.0.\($0)" }, by: other).count == 1)
  }

  @Test("what goes on is told again after a day, and what comes back within it is not")
  func again() {
    var watch = InterceptionWatch()
    let hour: UInt64 = 3_600_000_000_000
    #expect(told(&watch, 1..<9, { "198.18.0.\($0)" }, now: hour).count == 1)
    watch.answered(by: proxy)
    #expect(watch.network(of: proxy) == nil)
    #expect(told(&watch, 1..<9, { "198.18.0.\($0)" }, now: 2 * hour) == [])
    #expect(watch.network(of: proxy) != nil)
    #expect(told(&watch, 1..<9, { "198.18.0.\($0)" }, now: 25 * hour).count == 1)
  }
}
