package import IPNetwork

/// What the kernel says of the host's own network at one moment: a pure value.
package struct HostNetwork: Hashable, Sendable {
  package struct Interface: Hashable, Sendable {
    package var index: UInt32
    package var name: String
    /// What the link's driver calls it: `bridge`, `veth`, `tun`, `macvlan`, …; empty for hardware.
    package var kind: String
    /// The index of the bridge or bond that it is a port of; 0 for none.
    package var controller: UInt32
    package var isLoopback: Bool
    package var isUp: Bool

    package init(
      index: UInt32, name: String, kind: String = "", controller: UInt32 = 0, isLoopback: Bool = false,
      isUp: Bool = true
    ) {
      self.index = index
      self.name = name
      self.kind = kind
      self.controller = controller
      self.isLoopback = isLoopback
      self.isUp = isUp
    }
  }

  package struct Address: Hashable, Sendable {
    /// The interface's index.
    package var interface: UInt32
    package var address: IPAddress
    /// The on-link prefix; of a point-to-point link the peer's.
    package var network: IPPrefix

    package init(interface: UInt32, address: IPAddress, network: IPPrefix) {
      self.interface = interface
      self.address = address
      self.network = network
    }
  }

  /// A unicast route of any table but `local`; one with several next hops is several routes.
  package struct Route: Hashable, Sendable {
    package var destination: IPPrefix
    /// The interface's index.
    package var interface: UInt32
    package var gateway: IPAddress?
    package var table: UInt32

    package init(destination: IPPrefix, interface: UInt32, gateway: IPAddress? = nil, table: UInt32 = 254) {
      self.destination = destination
      self.interface = interface
      self.gateway = gateway
      self.table = table
    }
  }

  package var interfaces: [Interface]
  package var addresses: [Address]
  package var routes: [Route]

  package init(interfaces: [Interface] = [], addresses: [Address] = [], routes: [Route] = []) {
    self.interfaces = interfaces
    self.addresses = addresses
    self.routes = routes
  }

  package func interface(index: UInt32) -> Interface? { interfaces.first { $0.index == index } }
  package func interface(named name: String) -> Interface? { interfaces.first { $0.name == name } }
  package var ownAddresses: Set<IPAddress> { Set(addresses.map(\.address)) }
  package var onLinkNetworks: [IPPrefix] { Set(addresses.map(\.network)).sorted() }
}
