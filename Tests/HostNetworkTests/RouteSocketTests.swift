import Glibc
import IPNetwork
import LinuxIO
import TestSupport
import Testing

@testable import HostNetwork

@Suite(.enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct RouteSocketTests {
  private func prefix(_ text: String) -> IPPrefix { IPPrefix(text)! }
  private func address(_ text: String) -> IPAddress { IPAddress(text)! }

  /// Whether the socket tells of a change within two seconds; takes all of it.
  private func tells(_ socket: RouteSocket) -> Bool {
    var wanted = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&wanted, 1, 2_000) == 1 else { return false }
    return socket.drain()
  }

  /// A bridge with an address of each family, and a veth that is its port.
  private func makeBridge() throws {
    try Kernel.run("sysctl -q -w net.ipv6.conf.default.accept_dad=0")
    try Kernel.run("ip link set lo up")
    try Kernel.run("ip link add br-mcp type bridge")
    try Kernel.run("ip link add port0 type veth peer name far0")
    try Kernel.run("ip link set port0 master br-mcp up")
    try Kernel.run("ip link set far0 up")
    try Kernel.run("ip link set br-mcp up")
    try Kernel.run("ip addr add 10.77.1.1/24 dev br-mcp")
    try Kernel.run("ip addr add fd00:77:1::1/64 dev br-mcp")
  }

  @Test func `interfaces are told with kind, controller and state`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      try Kernel.run("ip link add idle0 type bridge")
      let network = try RouteSocket().read()
      let bridge = try #require(network.interface(named: "br-mcp"))
      #expect(bridge.kind == "bridge" && bridge.controller == 0 && bridge.isUp && !bridge.isLoopback)
      #expect(network.interface(index: bridge.index) == bridge)
      let port = try #require(network.interface(named: "port0"))
      #expect(port.kind == "veth" && port.controller == bridge.index)
      let loopback = try #require(network.interface(named: "lo"))
      #expect(loopback.isLoopback && loopback.kind.isEmpty)
      #expect(network.interface(named: "idle0")?.isUp == false)
      #expect(network.interface(named: "none") == nil)
    }
  }

  @Test
  func `a bridge tells whether its packets pass the hooks, a port whether it is isolated, a macvlan on what it stands`()
    throws
  {
    try Kernel.inNamespace {
      try makeBridge()
      try Kernel.run("ip link add port1 type veth peer name far1")
      try Kernel.run("ip link set port1 master br-mcp up")
      try Kernel.run("ip link set port1 type bridge_slave isolated on")
      try Kernel.run("ip link add br-other type bridge nf_call_iptables 1 nf_call_ip6tables 1")
      try Kernel.run("ip link add shim0 link br-mcp type macvlan mode bridge")
      let network = try RouteSocket().read { _ in false }
      let bridge = try #require(network.interface(named: "br-mcp"))
      let other = try #require(network.interface(named: "br-other"))
      #expect(!bridge.callsIPTables && !bridge.callsIP6Tables && other.callsIPTables && other.callsIP6Tables)
      #expect(network.interface(named: "port0")?.isIsolated == false)
      #expect(network.interface(named: "port1")?.isIsolated == true)
      let shim = try #require(network.interface(named: "shim0"))
      #expect(shim.kind == "macvlan" && shim.lower == bridge.index && bridge.lower == 0)
    }
  }

  @Test func `addresses are told with the prefix on their link, a peer's with the peer's`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      try Kernel.run("ip link add tun0 type bridge")
      try Kernel.run("ip addr add 10.9.0.1 peer 10.9.0.2/32 dev tun0")
      try Kernel.run("ip addr add fd09::1 peer fd09::2/128 dev tun0")
      try Kernel.run("ip link set tun0 up")
      let network = try RouteSocket().read()
      let bridge = try #require(network.interface(named: "br-mcp")).index
      let tunnel = try #require(network.interface(named: "tun0")).index
      for (index, own, onLink) in [
        (bridge, "10.77.1.1", "10.77.1.0/24"), (bridge, "fd00:77:1::1", "fd00:77:1::/64"),
        (tunnel, "10.9.0.1", "10.9.0.2/32"), (tunnel, "fd09::1", "fd09::2/128"),
      ] {
        let wanted = HostNetwork.Address(interface: index, address: address(own), network: prefix(onLink))
        #expect(network.addresses.contains(wanted))
        #expect(network.ownAddresses.contains(address(own)))
        #expect(network.onLinkNetworks.contains(prefix(onLink)))
      }
      #expect(!network.ownAddresses.contains(address("10.9.0.2")))
      #expect(network.ownAddresses.contains(address("127.0.0.1")))
    }
  }

  @Test func `unicast routes of every table but local are told, one for each next hop`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      try Kernel.run("ip link add up0 type bridge")
      try Kernel.run("ip addr add 192.0.2.1/24 dev up0")
      try Kernel.run("ip link set up0 up")
      try Kernel.run("ip route add default via 192.0.2.254")
      try Kernel.run("ip route add 10.50.0.0/16 dev br-mcp scope link")
      try Kernel.run("ip route add 10.60.0.0/16 via 10.77.1.9 table 1000")
      try Kernel.run("ip route add 10.70.0.0/16 nexthop via 10.77.1.9 nexthop via 192.0.2.254")
      try Kernel.run("ip -6 route add fd70::/32 nexthop via fd00:77:1::9 nexthop via fe80::9 dev up0")
      try Kernel.run("ip route add 10.80.0.0/16 via inet6 fd00:77:1::9 dev br-mcp")
      try Kernel.run("ip route add blackhole 10.90.0.0/16")
      let network = try RouteSocket().read()
      let bridge = try #require(network.interface(named: "br-mcp")).index
      let up = try #require(network.interface(named: "up0")).index
      func has(_ destination: String, _ interface: UInt32, _ gateway: String?, table: UInt32 = 254) -> Bool {
        network.routes.contains(
          HostNetwork.Route(
            destination: prefix(destination), interface: interface, gateway: gateway.map { address($0) }, table: table))
      }
      #expect(has("0.0.0.0/0", up, "192.0.2.254"))
      #expect(has("10.77.1.0/24", bridge, nil))
      #expect(has("fd00:77:1::/64", bridge, nil))
      #expect(has("10.50.0.0/16", bridge, nil))
      #expect(has("10.60.0.0/16", bridge, "10.77.1.9", table: 1000))
      #expect(has("10.70.0.0/16", bridge, "10.77.1.9"))
      #expect(has("10.70.0.0/16", up, "192.0.2.254"))
      #expect(has("fd70::/32", bridge, "fd00:77:1::9"))
      #expect(has("fd70::/32", up, "fe80::9"))
      #expect(has("10.80.0.0/16", bridge, "fd00:77:1::9"))
      #expect(!network.routes.contains { $0.destination == prefix("10.90.0.0/16") || $0.table == 255 })
      #expect(network.onLinkNetworks.contains(prefix("10.50.0.0/16")))
      #expect(!network.onLinkNetworks.contains(prefix("10.60.0.0/16")))
      #expect(!network.onLinkNetworks.contains(prefix("0.0.0.0/0")))
    }
  }

  @Test func `what a tunnel leads to is on no link`() throws {
    try Kernel.inNamespace {
      try Kernel.run("ip tuntap add wide0 mode tun")
      try Kernel.run("ip addr add 10.9.0.1/24 dev wide0")
      try Kernel.run("ip link set wide0 up")
      try Kernel.run("ip route add 128.0.0.0/1 dev wide0")
      let network = try RouteSocket().read()
      #expect(network.interface(named: "wide0")?.isPointToPoint == true)
      #expect(network.routes.contains { $0.destination == prefix("128.0.0.0/1") && $0.gateway == nil })
      #expect(network.onLinkNetworks.filter { $0.address.family == .v4 } == [prefix("10.9.0.0/24")])
    }
  }

  @Test func `next hops that are objects are looked up, alone and in groups, in both modes of the kernel`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      try Kernel.run("ip nexthop add id 1 via 10.77.1.9 dev br-mcp")
      try Kernel.run("ip nexthop add id 2 via 10.77.1.10 dev br-mcp")
      try Kernel.run("ip nexthop add id 7 group 1/2")
      try Kernel.run("ip route add 10.50.0.0/16 nhid 1")
      try Kernel.run("ip route add 10.60.0.0/16 nhid 7")
      for mode in ["1", "0"] {
        try Kernel.run("sysctl -q -w net.ipv4.nexthop_compat_mode=\(mode)")
        let network = try RouteSocket().read()
        let bridge = try #require(network.interface(named: "br-mcp")).index
        let ways = { (destination: String) in
          Set(network.routes.filter { $0.destination == prefix(destination) }.map { [$0.interface == bridge ? 1 : 0] })
        }
        #expect(ways("10.50.0.0/16") == [[1]] && ways("10.60.0.0/16") == [[1]])
        let gateways = network.routes.filter { $0.destination == prefix("10.60.0.0/16") }.compactMap(\.gateway)
        #expect(Set(gateways) == [address("10.77.1.9"), address("10.77.1.10")])
      }
    }
  }

  @Test func `links, addresses, routes and next hops that come and go are told and then read`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      let socket = try RouteSocket()
      _ = socket.drain()
      #expect(!socket.drain())
      func changed(_ line: String, _ holds: (HostNetwork) -> Bool) throws {
        try Kernel.run("ip \(line)")
        #expect(tells(socket), "\(line)")
        #expect(holds(try socket.read()), "\(line)")
      }
      try changed("link add new0 type bridge") { $0.interface(named: "new0") != nil }
      try changed("link set new0 up") { $0.interface(named: "new0")?.isUp == true }
      try changed("addr add 10.88.0.1/24 dev new0") { $0.ownAddresses.contains(address("10.88.0.1")) }
      try changed("addr add fd88::1/64 dev new0") { $0.onLinkNetworks.contains(prefix("fd88::/64")) }
      try changed("route add 10.99.0.0/24 via 10.88.0.9") { network in
        network.routes.contains { $0.destination == prefix("10.99.0.0/24") }
      }
      try changed("route del 10.99.0.0/24") { network in
        !network.routes.contains { $0.destination == prefix("10.99.0.0/24") }
      }
      try changed("nexthop add id 3 via 10.88.0.9 dev new0") { _ in true }
      try changed("addr del 10.88.0.1/24 dev new0") { !$0.ownAddresses.contains(address("10.88.0.1")) }
      try changed("link del new0") { $0.interface(named: "new0") == nil }
    }
  }

  @Test func `notifications that were lost count as a change`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      let socket = try RouteSocket()
      _ = socket.drain()
      var size: Int32 = 2_048
      _ = unsafe setsockopt(socket.descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
      try Kernel.run(
        "for i in $(seq 2 254); do echo addr add 10.77.1.$i/24 dev br-mcp; done | ip -batch -")
      #expect(tells(socket))
      #expect(try socket.read().ownAddresses.contains(address("10.77.1.254")))
      _ = socket.drain()
      #expect(!socket.drain())
    }
  }

  @Test func `routes that do not matter are left out while reading`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      try Kernel.run(
        "for i in $(seq 0 255); do for j in $(seq 0 4 252); do echo route add 10.$i.$j.0/24 dev br-mcp; done; done"
          + " | ip -batch -")
      let socket = try RouteSocket()
      #expect(try socket.read().routes.count > 16_000)
      let kept = try socket.read { $0.destination == prefix("10.200.100.0/24") }
      #expect(kept.routes.count == 1)
    }
  }

  @Test func `a process without any privilege reads as much`() throws {
    try Kernel.inNamespace {
      try makeBridge()
      let asRoot = try RouteSocket().read()
      let asNobody = try Unprivileged.perform { try RouteSocket().read() }
      #expect(asNobody == asRoot)
    }
  }
}
