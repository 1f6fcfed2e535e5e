import ControlAPI
import DNSWire
import IPNetwork
import Serving

/// Which names an element is open for, and since when: as the running server says it, whose grants end by revocation and
/// policy as well as by time. The journal tells it where none runs, and of an element that the server does not know.
struct KnownOpenings {
  private struct Opening {
    let key: ListedElementKey
    let name: String
    /// Seconds since 1970.
    let opened: UInt64?
    /// Other names at the address, as the running server says it.
    var shared: [String] = []
    /// The proxy that connections for the name go through, as the running server says it.
    var inspector: String?
  }

  /// What lies at one address of one server.
  private struct Place: Hashable {
    let server: String
    let address: String

    init(_ key: ListedElementKey) { (server, address) = (key.server, key.address) }
  }

  private let granted: [Place: [Opening]]
  private let written: [Place: [Opening]]

  init(granted: [ControlAPI.Grant], journal: [JournalEntry]) {
    self.granted = Self.placed(
      granted.map {
        Opening(
          key: ListedElementKey($0), name: $0.name, opened: ControlAPI.seconds($0.opened), shared: $0.shared ?? [],
          inspector: $0.inspect)
      })
    written = Self.placed(
      journal.map { Opening(key: ListedElementKey($0), name: $0.name.description, opened: $0.opened) })
  }

  private static func placed(_ openings: [Opening]) -> [Place: [Opening]] {
    Dictionary(grouping: openings) { Place($0.key) }
  }

  /// Other names that have the address open, by the running server alone.
  func shared(_ key: ListedElementKey) -> [String] {
    Set((granted[Place(key)] ?? []).filter { key.transport == 0 || $0.key == key }.flatMap(\.shared)).sorted()
  }

  /// The proxies that connections to an element go through, by the running server alone.
  func inspectors(_ key: ListedElementKey) -> [String] {
    Set((granted[Place(key)] ?? []).filter { $0.key == key }.compactMap(\.inspector)).sorted()
  }

  /// Those of an element; of a plain address those of every port there.
  func find(_ key: ListedElementKey) -> (names: [String], opened: UInt64?) {
    func own(_ openings: [Place: [Opening]]) -> [Opening] {
      (openings[Place(key)] ?? []).filter { key.transport == 0 || $0.key == key }
    }
    let now = own(granted)
    let found = now.isEmpty ? own(written) : now
    return (Set(found.map(\.name)).sorted(), found.compactMap(\.opened).min())
  }
}

extension ListedElementKey {
  init(_ entry: JournalEntry) {
    self.init(
      server: entry.server, address: entry.address.description, transport: entry.transport, port: entry.port)
  }
}
