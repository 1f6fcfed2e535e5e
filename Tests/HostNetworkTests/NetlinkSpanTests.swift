import IPNetwork
import TestSupport
import Testing

@testable import HostNetwork

struct NetlinkSpanTests {
  /// RTM_NEWROUTE to 10.1.0.0/16 over interface 5, by two next hops.
  private static let route: [UInt8] =
    [2, 16, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0] + [8, 0, 1, 0, 10, 1, 0, 0]
    + [36, 0, 9, 0] + [16, 0, 0, 0, 5, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 1]
    + [16, 0, 0, 0, 6, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 2]

  private func routes(_ octets: [UInt8]) -> [HostNetwork.Route] {
    var found: [HostNetwork.Route] = []
    RouteMessage.forEachRoute(octets.span, hops: [:]) { found.append($0) }
    return found
  }

  @Test func `a route by several next hops is one route for each`() {
    let destination = IPPrefix("10.1.0.0/16")!
    #expect(
      routes(Self.route) == [
        HostNetwork.Route(destination: destination, interface: 5, gateway: IPAddress("10.0.0.1")),
        HostNetwork.Route(destination: destination, interface: 6, gateway: IPAddress("10.0.0.2")),
      ])
  }

  @Test func `octets that are cut or changed anywhere are read without a trap`() {
    var generator = SeededRandom(seed: 12)
    for count in 0...Self.route.count { _ = routes(Array(Self.route.prefix(count))) }
    for _ in 0..<20_000 {
      var octets = Self.route
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        octets[Int.random(in: octets.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      octets.removeLast(Int.random(in: 0...octets.count, using: &generator))
      _ = routes(octets)
      _ = RouteMessage.interface(octets.span)
      _ = RouteMessage.address(octets.span)
      _ = RouteMessage.nextHop(octets.span)
      NetlinkSpan.forEachMessage(octets.span) { _, rest in NetlinkSpan.forEachAttribute(rest) { _, _ in } }
    }
  }

  /// An attribute with its header; `value` has whole words.
  private static func attribute(_ type: Int, _ value: [UInt8]) -> [UInt8] {
    [UInt8(value.count + 4), 0, UInt8(type), 0] + value
  }

  /// RTM_NEWROUTE of IPv4 by interface 5, unless `change` makes something else of it.
  private func routes(_ attributes: [UInt8] = [], _ change: (inout [UInt8]) -> Void = { _ in }) -> [HostNetwork.Route] {
    var octets: [UInt8] = [2, 16, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0] + Self.attribute(4, [5, 0, 0, 0])
    change(&octets)
    return routes(octets + attributes)
  }

  @Test func `what is no unicast route of IPv4 or IPv6, a learned exception or of the local table is none`() {
    #expect(routes().map(\.interface) == [5])
    #expect(routes { $0[7] = 3 } == [], "a broadcast")
    #expect(routes { $0[9] = 2 } == [], "cloned")
    #expect(routes { $0[0] = 28 } == [], "MPLS")
    #expect(routes { $0[4] = 255 } == [], "local")
    #expect(routes(Self.attribute(15, [255, 0, 0, 0])) == [], "local, by attribute")
  }

  @Test func `an address of another length than its family's, or of another family, is none`() {
    let long = [UInt8](repeating: 7, count: 16)
    #expect(routes(Self.attribute(1, [10, 1, 0, 0])).map(\.destination) == [IPPrefix("10.1.0.0/16")])
    #expect(routes(Self.attribute(1, long)).map(\.destination) == [IPPrefix("0.0.0.0/16")])
    #expect(routes(Self.attribute(18, [10, 0] + long + [0, 0]))[0].gateway == nil)
    #expect(routes(Self.attribute(18, [10, 0] + long))[0].gateway != nil)
    #expect(routes(Self.attribute(18, [28, 0] + long))[0].gateway == nil)
    #expect(routes(Self.attribute(18, [2, 0]))[0].gateway == nil)
  }

  @Test func `a next hop shorter than its own header, a number of two octets, and half a message say nothing`() {
    #expect(routes(Self.attribute(9, [4, 0, 0, 0, 6, 0, 0, 0])).map(\.interface) == [5])
    #expect(routes(Self.attribute(15, [255, 0])).count == 1)
    for offset in [-1, 1, Int.max] {
      let octets: [UInt8] = [1, 2, 3, 4]
      #expect(NetlinkSpan.number(octets.span, at: offset, as: UInt32.self) == nil)
    }
    let header = [UInt8](repeating: 0, count: 15)
    #expect(RouteMessage.interface(header.span) == nil)
    #expect(RouteMessage.interface((header + [0]).span) != nil)
  }
}
