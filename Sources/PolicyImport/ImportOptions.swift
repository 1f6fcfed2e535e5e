package import EgressPolicy
package import IPNetwork

/// What is said beside the files.
package struct ImportOptions: Sendable {
  /// The server that is written: which of those in the files, or how the only one is called.
  package var server: ServerName?
  /// Where its queries come from.
  package var networks: [IPPrefix]
  /// What is opened where the source opens every port of a host.
  package var ports: PortSet
  /// Entries of a plain list are denied.
  package var isDenied: Bool

  package init(
    server: ServerName? = nil, networks: [IPPrefix] = [], ports: PortSet = .https, isDenied: Bool = false
  ) {
    self.server = server
    self.networks = networks
    self.ports = ports
    self.isDenied = isDenied
  }
}
