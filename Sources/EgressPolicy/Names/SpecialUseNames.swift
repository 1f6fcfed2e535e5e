/// Names with a meaning of their own (RFC 6761, 6762, 7686, 8375, 9462, 9476), answered on the host for every client.
package enum SpecialUseNames {
  /// What an entry for such a name does.
  enum Treatment {
    /// Nothing: no name of this kind ever leaves the host.
    case staysHere
    /// It forwards the name for this server, as RFC 6761 lets configuration do.
    case forwardedIfListed
  }

  /// Whether the wire name is one label long.
  static func isSingleLabel(_ wire: some RandomAccessCollection<UInt8>) -> Bool {
    guard let first = wire.first else { return true }
    return wire.count <= Int(first) + 2
  }

  /// What listing the wire name does; nil for an ordinary name.
  static func treatment(of wire: some RandomAccessCollection<UInt8>) -> Treatment? {
    func lies(in zones: [[UInt8]]) -> Bool {
      zones.contains { zone in wire.count >= zone.count && wire.suffix(zone.count).elementsEqual(zone) }
    }
    if lies(in: hostZones) { return .staysHere }
    return lies(in: emptyZones) ? .forwardedIfListed : nil
  }

  /// Whether listing a name forwards it although it is answered here for everyone else; nil for an ordinary name.
  package static func forwards(_ wire: [UInt8]) -> Bool? {
    treatment(of: wire).map { $0 == .forwardedIfListed }
  }

  private static let hostZones = wire(["localhost", "in-addr.arpa", "ip6.arpa"])
  // `.internal` is set aside for private use and may be listed.
  private static let emptyZones = wire([
    "local", "invalid", "test", "onion", "alt", "home.arpa", "resolver.arpa", "use-application-dns.net",
  ])

  private static func wire(_ zones: [String]) -> [[UInt8]] {
    zones.map { zone in zone.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0] }
  }
}
