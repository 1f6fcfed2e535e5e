package import DNSWire
package import IPNetwork

/// What a server has to do with an address that it tries to reach.
package enum AddressStanding: Equatable, Sendable {
  /// Open, with this port, for this name.
  case open(Name)
  /// Open, but not with this port.
  case wrongPort(Name)
  /// Was open.
  case expired(Name)
  /// An answer to another server held it, never one to this server.
  case resolvedByOther(Name)
  case neverResolved
}

/// The name that each address was resolved for last, by server and over all of them; bounded, the oldest go first.
struct AddressHistory {
  /// Addresses remembered of one server: what it was told in the last hours, not a history of the internet.
  private static let maximumPerServer = 4_096
  /// Addresses remembered over all servers.
  private static let maximumInAll = 65_536

  /// A map that forgets its oldest entries.
  private struct Remembered<Value> {
    private var values: [IPAddress: Value] = [:]
    private var order: [IPAddress] = []
    private var oldest = 0

    subscript(address: IPAddress) -> Value? { values[address] }

    mutating func set(_ address: IPAddress, _ value: Value, limit: Int) {
      guard values.updateValue(value, forKey: address) == nil else { return }
      if order.count < limit {
        order.append(address)
        return
      }
      values[order[oldest]] = nil
      order[oldest] = address
      oldest = (oldest + 1) % limit
    }
  }

  private var byServer: [UInt16: Remembered<Name>] = [:]
  private var all = Remembered<(server: UInt16, name: Name)>()

  mutating func resolved(_ address: IPAddress, server: UInt16, name: Name) {
    byServer[server, default: Remembered()].set(address, name, limit: Self.maximumPerServer)
    all.set(address, (server, name), limit: Self.maximumInAll)
  }

  func name(of address: IPAddress, server: UInt16) -> Name? { byServer[server]?[address] }

  func nameForOther(of address: IPAddress) -> Name? { all[address]?.name }
}

extension GrantLedger {
  /// What a server has to do with an address and port that it tries to reach.
  package func standing(
    of address: IPAddress, transport: UInt8, port: UInt16, server: UInt16, now: UInt64
  ) -> AddressStanding {
    let exact = GrantElement(server: server, address: address, transport: transport, port: port)
    let any = GrantElement(server: server, address: address, transport: 0, port: 0)
    let open = name(of: address, server: server, now: now)?.name
    guard let name = open ?? history.name(of: address, server: server) else {
      return history.nameForOther(of: address).map { .resolvedByOther($0) } ?? .neverResolved
    }
    if holds(exact, now: now) || holds(any, now: now) {
      let element = holds(exact, now: now) ? exact : any
      return .open(names(of: element, now: now).contains(name) ? name : names(of: element, now: now).last ?? name)
    }
    return open == nil ? .expired(name) : .wrongPort(name)
  }
}
