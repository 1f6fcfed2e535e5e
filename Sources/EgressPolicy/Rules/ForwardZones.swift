package import DNSWire
package import IPNetwork

/// A zone whose names, the apex and all below, are asked of upstreams of its own and of no others (split DNS).
package struct ForwardZone: Hashable, Sendable {
  package let zone: Name
  /// As in the configuration, in its order.
  package let upstreams: [String]
  /// Addresses in these prefixes may be answered and opened for names of the zone although they are not public.
  package let privatePrefixes: [IPPrefix]

  package init(zone: Name, upstreams: [String], privatePrefixes: [IPPrefix] = []) {
    self.zone = zone
    self.upstreams = upstreams
    self.privatePrefixes = privatePrefixes
  }
}

/// The forwarded zones of a configuration; of several that hold a name the longest decides.
package struct ForwardZones: Equatable, Sendable {
  package let zones: [ForwardZone]
  /// Places in `zones` by canonical wire names.
  private let places: [[UInt8]: Int]

  /// Of a zone that stands twice the first counts.
  package init(_ zones: [ForwardZone] = []) {
    self.zones = zones
    places = Dictionary(
      zones.enumerated().map { ($1.zone.wire, $0) }, uniquingKeysWith: { first, _ in first })
  }

  package static func == (left: Self, right: Self) -> Bool { left.zones == right.zones }

  /// The place in `zones` of the one that a canonical wire name belongs to; nil for a name of none.
  package func place(of name: [UInt8]) -> Int? {
    guard !places.isEmpty else { return nil }
    var at = 0
    while at < name.count {
      if let place = places[Array(name[at...])] { return place }
      at += Int(name[at]) + 1
    }
    return nil
  }

  /// The zone that a canonical wire name belongs to; nil for a name of none.
  package func zone(of name: [UInt8]) -> ForwardZone? { place(of: name).map { zones[$0] } }

  /// What the zones of a question's names admit beside public addresses: of all of them, since each name of a chain has a say
  /// in where it leads. A name of no zone admits nothing.
  ///
  /// - Parameter names: canonical wire names: the one that was asked for, and those of the chain behind it.
  package func privatePrefixes(of names: [[UInt8]]) -> [IPPrefix] {
    guard let first = names.first, let zone = zone(of: first) else { return [] }
    var admitted = zone.privatePrefixes
    for name in names.dropFirst() where !admitted.isEmpty {
      let others = self.zone(of: name)?.privatePrefixes ?? []
      admitted = admitted.flatMap { one in others.compactMap { one.intersection($0) } }
    }
    return admitted
  }

  /// Whether addresses that other zones admitted for a question are admitted by these: of a name whose zone admits any, the
  /// chain may lead through each of the others, and is not known any more.
  ///
  /// - Parameter name: the canonical wire name that was asked for.
  package func admitAsBefore(_ former: ForwardZones, _ name: [UInt8]) -> Bool {
    let (now, before) = (privatePrefixes(of: [name]), former.privatePrefixes(of: [name]))
    guard now == before, !now.isEmpty else { return now == before }
    return zones.count == former.zones.count
      && zones.allSatisfy { zone in
        former.zones.contains { $0.zone == zone.zone && $0.privatePrefixes == zone.privatePrefixes }
      }
  }

  /// Every prefix that some zone admits.
  package var privatePrefixes: Set<IPPrefix> { Set(zones.flatMap(\.privatePrefixes)) }
}

extension IPPrefix {
  /// What both hold: the longer one, or nothing.
  fileprivate func intersection(_ other: IPPrefix) -> IPPrefix? {
    guard overlaps(other) else { return nil }
    return length >= other.length ? self : other
  }
}
