package import IPNetwork

/// A proxy of this host through which connections go that say a name (`inspect: http://127.0.0.1:8080`): what they say behind their
/// hellos is for it to judge.
package struct Inspector: Hashable, Sendable, Comparable, CustomStringConvertible {
  package let address: IPAddress
  /// TCP.
  package let port: UInt16

  package init(address: IPAddress, port: UInt16) {
    self.address = address
    self.port = port
  }

  /// Reads what the files have: an address and a port, never a name, for nothing is resolved on this way (P4).
  ///
  /// - Returns: nil for anything else, and for what no process of a host listens at.
  package init?(_ text: String) {
    let scheme = "http://"
    guard text.lowercased().hasPrefix(scheme) else { return nil }
    var place = text.dropFirst(scheme.count)
    if place.last == "/" { place = place.dropLast() }
    guard let colon = place.lastIndex(of: ":") else { return nil }
    let (host, number) = (place[..<colon], place[place.index(after: colon)...])
    guard number.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(number), port > 0,
      let address = Self.address(host), Self.canListen(address)
    else { return nil }
    self.init(address: address, port: port)
  }

  private static func address(_ host: Substring) -> IPAddress? {
    let isV6 = host.first == "["
    guard isV6 == (host.last == "]") else { return nil }
    guard let address = IPAddress(String(isV6 ? host.dropFirst().dropLast() : host)) else { return nil }
    return address.family == (isV6 ? .v6 : .v4) ? address : nil
  }

  /// Not the address of every interface or of many hosts, none of a link, and none of one family within the other.
  private static func canListen(_ address: IPAddress) -> Bool {
    switch address.family {
    case .v4: address.low >> 24 != 0 && address.low >> 28 < 0xE && address.low >> 16 != 0xA9FE
    case .v6:
      (address.high != 0 || address.low == 1) && address.high >> 56 != 0xFF && address.high >> 54 != 0xFE80 >> 6
    }
  }

  /// All of 127.0.0.0/8, and `::1`.
  package var isLoopback: Bool { address.family == .v4 ? address.low >> 24 == 127 : address.high == 0 }

  /// Address and port: `127.0.0.1:8080`, `[::1]:8080`.
  package var endpoint: String { address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)" }

  /// As the files have it.
  package var description: String { "http://\(endpoint)" }

  package static func < (left: Self, right: Self) -> Bool {
    (left.address, left.port) < (right.address, right.port)
  }
}

extension ServerPolicy {
  /// Through which proxies connections to its names may have to go, those of permits too; ascending.
  package var inspectors: [Inspector] {
    Set(rules.profiles.compactMap(\.check?.inspector) + [nameChecks.inspector].compactMap(\.self)).sorted()
  }
}
