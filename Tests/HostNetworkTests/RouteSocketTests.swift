import CLinux
import Foundation
import Glibc
import IPNetwork
import LinuxIO
import Testing

@testable import HostNetwork

@Suite(.enabled(if: geteuid() == 0, "needs root: makes network namespaces"), .serialized)
struct RouteSocketTests {
  /// Runs `body` on this thread in a network namespace of its own.
  private func inNamespace(_ body: () throws -> Void) throws {
    let home = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    try #require(home >= 0 && sluice_new_network_namespace() == 0)
    defer {
      precondition(sluice_enter_network_namespace(home) == 0)
      close(home)
    }
    try body()
  }

  private func ip(_ words: String) throws {
    let status = unsafe system("PATH=/usr/sbin:/usr/bin:/sbin:/bin ip \(words)")
    try #require(status == 0, "ip \(words)")
  }

  private func isReadable(_ descriptor: Int32) -> Bool {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&wait, 1, 5_000) == 1
  }

  @Test("links, addresses and routes are those of the kernel, and changes are told")
  func reads() throws {
    try inNamespace {
      let socket = try RouteSocket()
      try ip("link set lo up")
      try ip("link add br-mcp type bridge")
      try ip("link add port type veth peer name other")
      try ip("link set port master br-mcp")
      try ip("address add 10.77.1.1/24 dev br-mcp")
      try ip("address add fd00:77:1::1/64 dev br-mcp nodad")
      try ip("address add 192.0.2.1 peer 192.0.2.9/32 dev other")
      try ip("link set br-mcp up")
      try ip("link set other up")
      try ip("route add 10.78.0.0/16 via 10.77.1.9")
      try ip("route add default via 10.77.1.254 table 77")
      try ip("route add 10.79.0.0/16 nexthop via 10.77.1.9 nexthop dev other")
      try ip("route add unreachable 10.80.0.0/16")
      #expect(isReadable(socket.descriptor))
      #expect(socket.drain())
      let host = try socket.read()
      let bridge = try #require(host.interface(named: "br-mcp"))
      let other = try #require(host.interface(named: "other"))
      #expect(bridge.kind == "bridge" && bridge.isUp && !bridge.isLoopback)
      #expect(host.interface(named: "port")?.controller == bridge.index)
      #expect(host.interface(named: "lo")?.isLoopback == true)
      #expect(host.onLinkNetworks.contains(IPPrefix("10.77.1.0/24")!))
      #expect(host.onLinkNetworks.contains(IPPrefix("fd00:77:1::/64")!))
      #expect(host.onLinkNetworks.contains(IPPrefix("192.0.2.9/32")!))
      #expect(host.ownAddresses.contains(IPAddress("192.0.2.1")!))
      func routes(_ text: String) -> Set<HostNetwork.Route> {
        Set(host.routes.filter { $0.destination == IPPrefix(text)! })
      }
      let gateway = IPAddress("10.77.1.9")!
      #expect(
        routes("10.78.0.0/16") == [
          HostNetwork.Route(destination: IPPrefix("10.78.0.0/16")!, interface: bridge.index, gateway: gateway)
        ])
      #expect(routes("0.0.0.0/0").map(\.table) == [77])
      #expect(Set(routes("10.79.0.0/16").map(\.interface)) == [bridge.index, other.index])
      #expect(routes("10.80.0.0/16").isEmpty)
      #expect(try socket.read { $0.destination.length == 0 }.routes.count == 1)
    }
  }

  @Test("what goes is told as well, and is gone from the next reading")
  func changes() throws {
    try inNamespace {
      try ip("link add br-mcp type bridge")
      try ip("address add 10.77.1.1/24 dev br-mcp")
      let socket = try RouteSocket()
      #expect(!socket.drain())
      try ip("link delete br-mcp")
      #expect(isReadable(socket.descriptor))
      #expect(socket.drain())
      #expect(try socket.read().interface(named: "br-mcp") == nil)
      #expect(try socket.read().addresses.isEmpty)
    }
  }
}

@Suite("Messages whose lengths lie")
struct RouteMessageTests {
  @Test("no reading goes beyond the octets, whatever they say")
  func lying() {
    var seed: UInt64 = 0x5EED
    for _ in 0..<20_000 {
      var octets: [UInt8] = []
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      for _ in 0..<Int(seed >> 58) {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        octets.append(UInt8(truncatingIfNeeded: seed >> 61))
      }
      var host = HostNetwork()
      RouteMessage.link(octets[...], into: &host)
      RouteMessage.address(octets[...], into: &host)
      host.routes += RouteMessage.routes(octets[...])
      var rest = octets[...]
      while let message = NetlinkMessage(from: &rest) { #expect(message.payload.count <= octets.count) }
    }
  }
}
