package import DNSWire
package import IPNetwork

/// One entry of an egress list: the names it allows and what may be asked and opened for them.
package struct EgressRule: Hashable, Sendable {
  package static let defaultTypes: [RRType] = [.A, .AAAA]

  package let pattern: NamePattern
  package let ports: PortSet
  package let types: [RRType]
  /// Addresses in these prefixes may be answered and opened although they are not public.
  package let privatePrefixes: [IPPrefix]
  package let location: SourceLocation

  package init(
    pattern: NamePattern, ports: PortSet = .https, types: [RRType] = EgressRule.defaultTypes,
    privatePrefixes: [IPPrefix] = [], location: SourceLocation
  ) {
    self.pattern = pattern
    self.ports = ports
    self.types = types
    self.privatePrefixes = privatePrefixes
    self.location = location
  }
}

/// A prefix that is open for as long as the policy says so, without any name.
package struct StaticPrefixRule: Hashable, Sendable {
  package let prefix: IPPrefix
  package let ports: PortSet
  package let location: SourceLocation

  package init(prefix: IPPrefix, ports: PortSet = .https, location: SourceLocation) {
    self.prefix = prefix
    self.ports = ports
    self.location = location
  }
}
