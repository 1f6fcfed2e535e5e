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

  @Test func `a next hop that is shorter than its own header ends what is read of them`() {
    for length in 0..<UInt8(8) {
      var octets = Self.route
      octets[40] = length
      #expect(routes(octets).map(\.interface) == [5], "\(length)")
    }
  }

  @Test func `a number that does not fit is none`() {
    let octets: [UInt8] = [1, 2, 3, 4]
    #expect(NetlinkSpan.number(octets.span, at: 0, as: UInt32.self) == UInt32(littleEndian: 0x0403_0201))
    #expect(NetlinkSpan.number(octets.span, at: 2, as: UInt16.self) == UInt16(littleEndian: 0x0403))
    for offset in [-1, 1, 4, 5] { #expect(NetlinkSpan.number(octets.span, at: offset, as: UInt32.self) == nil) }
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
}
