extension IPAddress {
  /// 0.0.0.0 or `::`: no address of anything (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.2).
  package var isUnspecified: Bool { family == .v4 ? low & 0xFFFF_FFFF == 0 : high == 0 && low == 0 }

  /// Of the machine or container that says it (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).
  package var isLoopback: Bool { family == .v4 ? low >> 24 == 127 : high == 0 && low == 1 }

  /// Whether the address is an ordinary public unicast address: the only kind that an answer may open by itself.
  ///
  /// Refused: the special-purpose registries of RFC 6890 and what came later, multicast, and every IPv6 form that
  /// carries an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo), whatever address it carries.
  package var isPublic: Bool {
    switch family {
    case .v4: SpecialPrefixes.v4.lookup(self) == nil
    case .v6: high >> 61 == 0b001 && SpecialPrefixes.v6.lookup(self) == nil
    }
  }
}

/// The prefixes that are not public; 2000::/3 is the only IPv6 block given out for global unicast (RFC 4291).
private enum SpecialPrefixes {
  static let v4 = table([
    "0.0.0.0/8",  // "this network", RFC 791
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  // private, RFC 1918
    "100.64.0.0/10",  // shared address space, RFC 6598
    "127.0.0.0/8",  // loopback, RFC 1122
    "169.254.0.0/16",  // link-local and cloud metadata, RFC 3927
    "192.0.0.0/24",  // IETF protocol assignments, RFC 6890
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  // documentation, RFC 5737
    "192.88.99.0/24",  // 6to4 relays, RFC 7526
    "198.18.0.0/15",  // benchmarking, RFC 2544
    "224.0.0.0/4",  // multicast, RFC 5771
    "240.0.0.0/4",  // reserved and broadcast, RFC 1112
    "168.63.129.16/32", "192.80.8.124/32",  // metadata services in public space (`CloudMetadata`)
  ])

  static let v6 = table([
    "2001::/23",  // IETF protocol assignments with Teredo and ORCHID, RFC 2928, RFC 4380
    "2001:db8::/32", "3fff::/20",  // documentation, RFC 3849, RFC 9637
    "2002::/16",  // 6to4, RFC 3056
  ])

  private static func table(_ prefixes: [String]) -> PrefixTable {
    PrefixTable(prefixes.compactMap { IPPrefix($0) }.map { ($0, 1) })
  }
}
