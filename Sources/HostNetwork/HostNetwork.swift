package import IPNetwork

/// What the kernel says of the host's own network, at one moment.
package struct HostNetwork: Hashable, Sendable {
  /// A network interface (RTM_NEWLINK).
  package struct Interface: Hashable, Sendable {
    /// Of the kernel; from 1.
    package var index: UInt32
    package var name: String
    /// IFLA_INFO_KIND: `bridge`, `veth`, `tun`, `macvlan`, `ipvlan` …; empty for hardware and loopback.
    package var kind: String
    /// The interface that this one is a port of (IFLA_MASTER); 0 without one.
    package var controller: UInt32
    /// The interface that this one stands on (IFLA_LINK), as a macvlan or a VLAN does; of a veth its peer. 0 without one and
    /// where that one is in another network namespace.
    package var lower: UInt32 = 0
    /// A bridge's port to and from which the bridge passes no frame of another such port (IFLA_BRPORT_ISOLATED).
    package var isIsolated = false
    /// Whether a bridge itself has its IPv4 and IPv6 packets pass the IP hooks, where br_netfilter is there
    /// (IFLA_BR_NF_CALL_IPTABLES, IFLA_BR_NF_CALL_IP6TABLES); the host may have it so for every bridge.
    package var callsIPTables = false
    package var callsIP6Tables = false
    package var isLoopback: Bool
    /// A tunnel without a link behind it (IFF_POINTOPOINT): WireGuard, PPP, tun.
    package var isPointToPoint: Bool
    /// Set up by the administrator (IFF_UP), with or without a carrier.
    package var isUp: Bool

    package init(
      index: UInt32, name: String, kind: String = "", controller: UInt32 = 0, isLoopback: Bool = false,
      isPointToPoint: Bool = false, isUp: Bool = true
    ) {
      self.index = index
      self.name = name
      self.kind = kind
      self.controller = controller
      self.isLoopback = isLoopback
      self.isPointToPoint = isPointToPoint
      self.isUp = isUp
    }
  }

  /// An address of the host (RTM_NEWADDR).
  package struct Address: Hashable, Sendable {
    /// Its index.
    package var interface: UInt32
    package var address: IPAddress
    /// The prefix that the address puts on the link; of a point-to-point address that of its peer.
    package var network: IPPrefix

    package init(interface: UInt32, address: IPAddress, network: IPPrefix) {
      self.interface = interface
      self.address = address
      self.network = network
    }
  }

  /// One way that a unicast route leads, in any table but `local` (RTM_NEWROUTE). A route with several next hops is
  /// several of these; next hops that are objects of their own are looked up, by group.
  package struct Route: Hashable, Sendable {
    package var destination: IPPrefix
    /// 0 where the kernel names none: a next hop that was gone when it was looked up.
    package var interface: UInt32
    /// nil for a destination on the link; of the other family for a route of RFC 5549.
    package var gateway: IPAddress?
    package var table: UInt32

    package init(destination: IPPrefix, interface: UInt32, gateway: IPAddress? = nil, table: UInt32 = 254) {
      self.destination = destination
      self.interface = interface
      self.gateway = gateway
      self.table = table
    }
  }

  /// By index.
  package var interfaces: [Interface]
  package var addresses: [Address]
  package var routes: [Route]

  package init(interfaces: [Interface] = [], addresses: [Address] = [], routes: [Route] = []) {
    self.interfaces = interfaces
    self.addresses = addresses
    self.routes = routes
  }

  /// The interface that the kernel numbers so, if there is one.
  package func interface(index: UInt32) -> Interface? {
    interfaces.first { $0.index == index }
  }

  /// The interface of that name, if there is one.
  package func interface(named name: String) -> Interface? {
    interfaces.first { $0.name == name }
  }

  /// Every address that the host answers to itself, on any interface.
  package var ownAddresses: Set<IPAddress> {
    Set(addresses.map(\.address))
  }

  /// The prefixes that are on a link: those of addresses, and those of routes without a gateway; each once, in order.
  ///
  /// No route into a tunnel is one, since half of the Internet may lie behind it, and no default route.
  package var onLinkNetworks: [IPPrefix] {
    let tunnels = Set(interfaces.filter(\.isPointToPoint).map(\.index))
    let routed = routes.lazy.filter {
      $0.gateway == nil && $0.interface != 0 && $0.destination.length > 0 && !tunnels.contains($0.interface)
    }
    return Set(addresses.map(\.network) + routed.map(\.destination)).sorted()
  }
}
