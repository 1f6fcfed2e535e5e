import GrantLedger
import IPNetwork

/// What each server sent to each destination since it was last said, bounded in size.
struct VolumeTotals {
  struct Destination: Hashable {
    var server: UInt16
    /// The name that the address was opened for, or empty.
    var name: String
    var address: IPAddress
    var transport: UInt8
    var port: UInt16
  }

  /// What is open without a name.
  struct Prefix: Hashable {
    var server: UInt16
    var prefix: IPPrefix
  }

  struct Total {
    var octets: UInt64 = 0
    var packets: UInt64 = 0
  }

  /// More destinations than a host's servers reach in an interval; what comes beyond is put to no name.
  private static let maximumDestinations = 131_072

  private(set) var totals: [Destination: Total] = [:]
  /// Of as many as policies have.
  private var prefixes: [Prefix: Total] = [:]

  mutating func add(_ destination: Destination, octets: UInt64, packets: UInt64) {
    var destination = destination
    if totals.count >= Self.maximumDestinations, totals[destination] == nil {
      destination.name = ""
      destination.address = IPAddress(v4: 0)
      (destination.transport, destination.port) = (0, 0)
    }
    totals[destination, default: Total()].octets &+= octets
    totals[destination, default: Total()].packets &+= packets
  }

  mutating func add(_ prefix: Prefix, octets: UInt64, packets: UInt64) {
    prefixes[prefix, default: Total()].octets &+= octets
    prefixes[prefix, default: Total()].packets &+= packets
  }

  /// Forgets what servers sent whose numbers are others' now.
  mutating func forget(servers: Set<UInt16>) {
    guard !servers.isEmpty else { return }
    totals = totals.filter { !servers.contains($0.key.server) }
    prefixes = prefixes.filter { !servers.contains($0.key.server) }
  }

  /// Takes everything, the largest first.
  mutating func take() -> [(Destination, Total)] {
    defer { totals.removeAll() }
    return totals.map { ($0.key, $0.value) }.sorted { $0.1.octets > $1.1.octets }
  }

  /// Takes everything that went to prefixes, the largest first.
  mutating func takePrefixes() -> [(Prefix, Total)] {
    defer { prefixes.removeAll() }
    return prefixes.map { ($0.key, $0.value) }.sorted { $0.1.octets > $1.1.octets }
  }
}
