package import IPNetwork

/// One thing that a server may reach: an address and a port of it.
package struct GrantElement: Hashable, Sendable {
  /// The server's index in the list of servers that the firewall bridge was given.
  package var server: UInt16
  package var address: IPAddress
  /// The IP protocol number: 6 for TCP, 17 for UDP; 0, with port 0, opens every port.
  package var transport: UInt8
  package var port: UInt16

  package init(server: UInt16, address: IPAddress, transport: UInt8, port: UInt16) {
    self.server = server
    self.address = address
    self.transport = transport
    self.port = port
  }
}

/// What the kernel is asked for: an element, how long it shall live from now on, and which byte caps bound it.
package struct GrantCommit: Hashable, Sendable {
  package var element: GrantElement
  /// From its arrival in the kernel on.
  package var lifetimeMilliseconds: UInt32
  /// Bit i stands for cap i of the server's list in the firewall plan.
  package var caps: UInt16
  /// Whether the element ends then even where an earlier run or worker opened it for longer.
  package var shortens: Bool

  package init(element: GrantElement, lifetimeMilliseconds: UInt32, caps: UInt16 = 0, shortens: Bool = false) {
    self.shortens = shortens
    self.element = element
    self.lifetimeMilliseconds = lifetimeMilliseconds
    self.caps = caps
  }
}
