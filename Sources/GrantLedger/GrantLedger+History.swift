package import DNSWire
package import IPNetwork

extension GrantLedger {
  /// Closed addresses remembered for one server: more than an agent meets in an hour, some hundred kilobytes.
  static let maxClosedPerServer = 4096
  /// Closed addresses remembered for all servers together, as long as each may keep `minClosedPerServer`.
  static let maxClosedInAll = 262_144
  static let minClosedPerServer = 64

  static func maxClosed(_ servers: Int) -> Int {
    min(maxClosedPerServer, max(minClosedPerServer, maxClosedInAll / max(servers, 1)))
  }

  /// What a packet from `server` that the firewall refused met.
  package func standing(of address: IPAddress, transport: UInt8, port: UInt16, server: UInt16, now: UInt64) -> Standing
  {
    if let index = index(of: server),
      let standing = servers[index].standing(of: address, transport: transport, port: port, now: now)
    {
      return standing
    }
    guard let other = addresses[address], other != server, let index = index(of: other),
      let name = servers[index].lastName(of: address, now: now)
    else { return .neverResolved }
    return .resolvedByOther(name)
  }

  /// Addresses of a server at which nothing is open any more, with the name that held them last: connections that were
  /// made while it was open may still be there.
  package mutating func lapsed(ofServer server: UInt16, now: UInt64) -> [(address: IPAddress, name: Name)] {
    guard let index = index(of: server) else { return [] }
    servers[index].expire(now)
    var lapsed: [(address: IPAddress, name: Name)] = []
    servers[index].places.forEachClosed { place in
      if let name = place.name { lapsed.append((place.address, name)) }
    }
    return lapsed
  }

  /// The name that an address was opened for last, if it is still open for that server.
  package func name(of address: IPAddress, server: UInt16, now: UInt64) -> (name: Name, until: UInt64)? {
    guard let index = index(of: server) else { return nil }
    return servers[index].latestName(of: address, now: now)
  }
}
