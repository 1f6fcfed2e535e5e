import DNSWire

/// Who is asked for which names. What is in flight names a server by its place.
///
/// The place of a server that a reload takes away is another's as soon as nothing in flight is about it, and then nothing is
/// known of the one that has it now.
struct UpstreamPlaces {
  /// Who is asked for a name: the general servers, or those of a forwarded zone, and no others.
  struct Way {
    /// Never another way's: a question that is in flight to servers which are not asked any more is joined by none.
    var number: Int
    var zone: Name?
    /// By their places.
    var servers: [Int]
  }

  private(set) var general: Way
  private(set) var forwards: [Way] = []
  private var known: [KnownUpstream]
  private var wayCount = 1

  /// - Parameter chance: eight octets, other ones each time.
  init(_ servers: [UpstreamServer], chance: () -> UInt64) {
    known = servers.map { KnownUpstream($0, zone: nil, chance: chance()) }
    general = Way(number: 0, zone: nil, servers: Array(servers.indices))
  }

  subscript(place: Int) -> KnownUpstream {
    _read { yield known[place] }
    _modify { yield &known[place] }
  }

  /// How many servers there is room for: those that are asked, and those that may still be heard.
  var count: Int { known.count }

  /// Those that are asked now: the general ones first.
  var used: [Int] { general.servers + forwards.flatMap(\.servers) }

  /// From now on these zones' names are asked of their servers.
  ///
  /// - Parameters:
  ///   - chance: eight octets, other ones each time.
  ///   - isFree: whether nothing in flight may still be about the server at a place.
  /// - Returns: the places that other servers have now.
  mutating func use(_ zones: [UpstreamForward], chance: () -> UInt64, isFree: (Int) -> Bool) -> [Int] {
    var taken = Set(used).union(
      known.indices.filter { place in
        zones.contains { $0.zone == known[place].zone && $0.servers.contains(known[place].server) }
      })
    var changed: [Int] = []
    let former = forwards
    forwards = zones.map { forward in
      let servers = forward.servers.map { server in
        if let place = known.indices.first(where: { known[$0].server == server && known[$0].zone == forward.zone }) {
          return place
        }
        let place = known.indices.first { !taken.contains($0) && isFree($0) } ?? known.count
        taken.insert(place)
        changed.append(place)
        put(KnownUpstream(server, zone: forward.zone, chance: chance()), at: place)
        return place
      }
      if let way = former.first(where: { $0.zone == forward.zone && $0.servers == servers }) { return way }
      wayCount += 1
      return Way(number: wayCount, zone: forward.zone, servers: servers)
    }
    return changed
  }

  private mutating func put(_ upstream: KnownUpstream, at place: Int) {
    if place == known.count { known.append(upstream) } else { known[place] = upstream }
  }
}
