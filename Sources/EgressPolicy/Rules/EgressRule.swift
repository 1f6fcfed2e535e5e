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
  /// Which chains of CNAMEs an answer may have.
  package let cname: ChainPolicy
  /// Octets that the server may send over a connection to one of its addresses.
  package let maxBytes: ByteBound?
  /// Octets that the server may send to each of its addresses in an hour.
  package let maxBytesPerHour: ByteBound?
  /// What answers have to show by their signatures.
  package let dnssec: ValidationMode
  /// Seconds since 1970 from which on it allows nothing.
  package let until: UInt64?
  /// When the first of what it is made of ends: what it opens is opened for no longer.
  package let firstEnd: UInt64?
  /// Which of its connections have to say the name; nil for none.
  package let check: NameCheck?
  package let location: SourceLocation
  /// The layer above the documents of servers in which it stands; nil for an entry of a document, and for a permit.
  package var layer: String?

  package init(
    pattern: NamePattern, ports: PortSet = .https, types: [RRType] = EgressRule.defaultTypes,
    privatePrefixes: [IPPrefix] = [], cname: ChainPolicy = .follow, maxBytes: ByteBound? = nil,
    maxBytesPerHour: ByteBound? = nil, dnssec: ValidationMode = .off, until: UInt64? = nil, firstEnd: UInt64? = nil,
    check: NameCheck? = nil, location: SourceLocation
  ) {
    self.pattern = pattern
    self.cname = cname
    self.ports = ports
    self.types = types
    self.privatePrefixes = privatePrefixes
    self.maxBytes = maxBytes
    self.maxBytesPerHour = maxBytesPerHour
    self.dnssec = dnssec
    self.until = until
    self.firstEnd = firstEnd ?? until
    self.check = check
    self.location = location
  }
}

/// A prefix that is open for as long as the policy says so, without any name.
package struct StaticPrefixRule: Hashable, Sendable {
  package let prefix: IPPrefix
  package let ports: PortSet
  /// Octets that the server may send over a connection into it.
  package let maxBytes: ByteBound?
  /// Seconds since 1970 from which on it opens nothing.
  package let until: UInt64?
  package let location: SourceLocation
  /// The layer above the documents of servers in which it stands; nil for an entry of a document.
  package var layer: String?

  package init(
    prefix: IPPrefix, ports: PortSet = .https, maxBytes: ByteBound? = nil, until: UInt64? = nil,
    location: SourceLocation
  ) {
    self.prefix = prefix
    self.ports = ports
    self.maxBytes = maxBytes
    self.until = until
    self.location = location
  }
}
