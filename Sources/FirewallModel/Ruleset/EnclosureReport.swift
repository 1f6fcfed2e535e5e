package import IPNetwork

/// What the bridge tells of the enclosure: as much of it as fits one message.
package struct EnclosureReport: Hashable, Sendable {
  /// Links and exposures that are told of, each at most; 200 octets each fit a message.
  package static let maximumEntries = 120

  /// An interface from which nothing passes but what its servers may.
  package struct Link: Hashable, Sendable {
    package var interface: String
    /// Indexes in the plan's list of servers, some of them.
    package var servers: [UInt16]
    /// What else lies behind it, some of it.
    package var others: [IPPrefix]
  }

  /// A network that is closed by its source alone, although an interface leads to it, and why.
  package struct Exposure: Hashable, Sendable {
    /// Index in the plan's list of servers.
    package var server: UInt16
    package var network: IPPrefix
    package var interface: String
    package var gap: Enclosure.Gap
  }

  /// A network that lies behind another interface than the pinned one.
  package struct Displacement: Hashable, Sendable {
    /// Place in the plan's list of servers.
    package var server: UInt16
    package var network: IPPrefix
    package var pinned: String
    package var interface: String
  }

  package var links: [Link] = []
  package var exposures: [Exposure] = []
  package var displacements: [Displacement] = []
  /// Networks of servers to which no interface leads now.
  package var absent: [IPPrefix] = []

  package init(_ enclosure: Enclosure) {
    links = enclosure.links.prefix(Self.maximumEntries).map { link in
      Link(
        interface: link.interface, servers: link.servers.prefix(8).map { UInt16($0) },
        others: Array(link.others.prefix(8)))
    }
    exposures = enclosure.exposures.prefix(Self.maximumEntries).map { exposure in
      Exposure(
        server: UInt16(exposure.server), network: exposure.network, interface: exposure.interface, gap: exposure.gap)
    }
    displacements = enclosure.displacements.prefix(Self.maximumEntries).map { displacement in
      Displacement(
        server: UInt16(displacement.server), network: displacement.network, pinned: displacement.pinned,
        interface: displacement.interface)
    }
    absent = Array(enclosure.absent.prefix(Self.maximumEntries))
  }

  package init(
    links: [Link] = [], exposures: [Exposure] = [], displacements: [Displacement] = [], absent: [IPPrefix] = []
  ) {
    self.links = links
    self.exposures = exposures
    self.displacements = displacements
    self.absent = absent
  }
}

extension OctetWriter {
  mutating func enclosure(_ report: EnclosureReport) {
    list(report.links) { writer, link in
      writer.text(link.interface, limit: FirewallPlan.maximumInterfaceOctets)
      writer.list(link.servers) { $0.integer($1) }
      writer.list(link.others) { $0.prefix($1) }
    }
    list(report.exposures) { writer, exposure in
      writer.integer(exposure.server)
      writer.prefix(exposure.network)
      writer.text(exposure.interface, limit: FirewallPlan.maximumInterfaceOctets)
      switch exposure.gap {
      case .defaultRoute: writer.integer(UInt8(1))
      case .upstream(let address):
        writer.integer(UInt8(2))
        writer.address(address)
      case .name: writer.integer(UInt8(3))
      }
    }
    list(report.displacements) { writer, displacement in
      writer.integer(displacement.server)
      writer.prefix(displacement.network)
      writer.text(displacement.pinned, limit: FirewallPlan.maximumInterfaceOctets)
      writer.text(displacement.interface, limit: FirewallPlan.maximumInterfaceOctets)
    }
    list(report.absent) { $0.prefix($1) }
  }
}

extension OctetReader {
  mutating func enclosure() throws(BridgeFormatError) -> EnclosureReport {
    let links = try list(width: 10) { reader throws(BridgeFormatError) in
      EnclosureReport.Link(
        interface: try reader.text(limit: FirewallPlan.maximumInterfaceOctets),
        servers: try reader.list(width: 2) { reader throws(BridgeFormatError) in try reader.integer() },
        others: try reader.list(width: 18) { reader throws(BridgeFormatError) in try reader.prefix() })
    }
    let exposures = try list(width: 23) { reader throws(BridgeFormatError) in
      EnclosureReport.Exposure(
        server: try reader.integer(), network: try reader.prefix(),
        interface: try reader.text(limit: FirewallPlan.maximumInterfaceOctets), gap: try reader.gap())
    }
    let displacements = try list(width: 24) { reader throws(BridgeFormatError) in
      EnclosureReport.Displacement(
        server: try reader.integer(), network: try reader.prefix(),
        pinned: try reader.text(limit: FirewallPlan.maximumInterfaceOctets),
        interface: try reader.text(limit: FirewallPlan.maximumInterfaceOctets))
    }
    let absent = try list(width: 18) { reader throws(BridgeFormatError) in try reader.prefix() }
    return EnclosureReport(
      links: links, exposures: exposures, displacements: displacements, absent: absent)
  }

  private mutating func gap() throws(BridgeFormatError) -> Enclosure.Gap {
    switch try integer(UInt8.self) {
    case 1: .defaultRoute
    case 2: .upstream(try address())
    case 3: .name
    default: throw .field
    }
  }
}
