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

  /// What a packet of a server met at a time.
  package func standing(of address: IPAddress, transport: UInt8, port: UInt16, server: UInt16, at time: UInt64)
    -> GrantStatus
  {
    if let index = index(of: server),
      let standing = histories[index].standing(of: address, transport: transport, port: port, at: time)
    {
      return standing
    }
    guard let other = addresses[address], let index = index(of: other),
      let name = histories[index].standing(of: address, transport: transport, port: port, at: time)?.name
    else { return .neverResolved }
    return .resolvedByOther(name)
  }

  /// The name under whose caps an element stood at a time.
  ///
  /// - Parameter caps: the caps that count, by their bits in the server's list.
  package func cappedName(
    of element: GrantElement, caps: UInt16, at time: UInt64
  ) -> Name? {
    guard let index = index(of: element.server) else { return nil }
    return histories[index].cappedName(
      of: element.address, transport: element.transport, port: element.port, caps: caps, at: time)
  }

  /// Takes note of what was open in an earlier run and is not now.
  package mutating func remember(_ key: Key, _ element: GrantElement, opened: UInt64, now: UInt64) {
    let index = prepare(key.server, now: now)
    let span = AddressHistory.Span(
      key: key, transport: element.transport, port: element.port, caps: 0, from: min(opened, now), until: now,
      ending: .restart)
    histories[index].opened(span, at: element.address, now: now, bound: bound(index))
    addresses.record(element.address, server: key.server)
  }

  /// What was open for a server and is not any more: the latest `limit`, the latest end last.
  package func forEachClosed(
    ofServer server: UInt16, now: UInt64, limit: Int,
    _ body: (_ key: Key, _ element: GrantElement, _ closed: UInt64, _ opened: UInt64) -> Void
  ) {
    guard let index = index(of: server) else { return }
    for (address, span) in histories[index].closed(now: now, limit: limit) {
      let element = GrantElement(server: server, address: address, transport: span.transport, port: span.port)
      body(span.key, element, span.until, span.from)
    }
  }

  /// Notes what a question holds, of some elements.
  mutating func note(_ key: Key, _ elements: [GrantElement], index: Int, from: UInt64?, now: UInt64) {
    let wanted: Set<GrantElement>? = elements.count > 8 ? Set(elements) : nil
    let bound = bound(index)
    // By the array itself all that is open for the server would be copied.
    for held in servers.span[index].held(by: key)
    where held.until > now && wanted?.contains(held.element) ?? elements.contains(held.element) {
      let span = AddressHistory.Span(
        key: key, transport: held.element.transport, port: held.element.port, caps: held.caps, from: from ?? now,
        until: held.until)
      histories[index].opened(span, at: held.element.address, now: now, bound: bound)
    }
  }

  /// Addresses that are remembered of a server, those that are open among them.
  private func bound(_ index: Int) -> Int { Self.maxClosed(servers.count) + servers[index].elementCount }

  /// Addresses of a server at which nothing is open any more, with the name that held them last: connections that were
  /// made while it was open may still be there.
  package mutating func lapsed(ofServer server: UInt16, now: UInt64) -> [(address: IPAddress, name: Name)] {
    guard let index = index(of: server) else { return [] }
    servers[index].expire(now, atMost: 32 * expirySlice)
    var lapsed: [(address: IPAddress, name: Name)] = []
    servers[index].addressTable.forEachClosed { entry in
      if let name = entry.name { lapsed.append((entry.address, name)) }
    }
    return lapsed
  }

  /// The name that an address was opened for last, if it is still open for that server.
  package func name(of address: IPAddress, server: UInt16, now: UInt64) -> (name: Name, until: UInt64)? {
    guard let index = index(of: server) else { return nil }
    return servers[index].latestName(of: address, now: now)
  }
}
