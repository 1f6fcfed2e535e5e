import CLinux
import DNSWire
package import EgressPolicy
package import IPNetwork
package import ResponseCache
package import Zones
import Synchronization

/// What the query path knows besides policy: fixed for as long as a configuration is in force.
package struct ResolverRules: Sendable {
  /// What a denied query gets.
  package enum Sinkhole: Sendable {
    case nxdomain
    case nodata
    case refused
    case addresses([IPAddress])
  }

  /// What a client outside every network gets.
  package enum UnknownClients: Sendable {
    case nxdomain
    case refused
    case drop
  }

  /// Which allowed answers are recorded.
  package enum AllowedEvents: Sendable {
    case none
    case grants
    case all
  }

  package var sinkhole: Sinkhole
  /// Seconds for which a denial may be cached by the client.
  package var sinkholeTTL: UInt32
  package var unknownClients: UnknownClients
  package var allowedEvents: AllowedEvents
  /// Whether answers open addresses in a firewall at all.
  package var opensFirewall: Bool
  /// Whether the firewall has sets for IPv6; without them AAAA is NODATA, never an unfed address.
  package var opensIPv6: Bool
  /// Seconds.
  package var maxTTL: UInt32
  package var maxNegativeTTL: UInt32
  /// Whether an answer that a client asks for in the last tenth of its TTL is asked for anew.
  package var prefetches: Bool
  /// For how many seconds after its end an answer is given where no upstream has another one; nil for not at all.
  package var maxStale: UInt32?

  package init(
    sinkhole: Sinkhole, sinkholeTTL: UInt32, unknownClients: UnknownClients, allowedEvents: AllowedEvents,
    opensFirewall: Bool, opensIPv6: Bool, maxTTL: UInt32, maxNegativeTTL: UInt32, prefetches: Bool = false,
    maxStale: UInt32? = nil
  ) {
    self.prefetches = prefetches
    self.maxStale = maxStale
    self.sinkhole = sinkhole
    self.sinkholeTTL = sinkholeTTL
    self.unknownClients = unknownClients
    self.allowedEvents = allowedEvents
    self.opensFirewall = opensFirewall
    self.opensIPv6 = opensIPv6
    self.maxTTL = maxTTL
    self.maxNegativeTTL = maxNegativeTTL
  }
}

/// What one server has of its own: its cache, and how many of its queries wait for an answer.
package final class ServerState: Sendable {
  // What the query path reads comes first, on one line of the processor's cache.
  package let name: [UInt8]
  /// `cache` without a count of its references.
  let cacheReader: ResponseCache.Reader
  /// The index by which the firewall bridge knows this server.
  package let firewallIndex: UInt16
  /// Whether `interface` names one; without it the query path need not ask.
  let hasInterface: Bool
  /// Whether the firewall has a set for this server's IPv6 addresses.
  package let opensIPv6: Bool
  let cells: QueryCounts.Cells
  package let counts: QueryCounts
  package let cache: ResponseCache
  /// The interface its queries must arrive on, if the policy names one.
  let interface: String?
  /// The families whose set holds plain addresses: all ports of an address are one grant.
  package let plainFamilies: Set<IPAddress.Family>
  /// The bounds by whose index in this list the firewall knows them.
  package let byteCaps: [ByteCap]
  /// Whether connections to some of its addresses have to say a name.
  package let checksNames: Bool
  private let interfaceIndex = Atomic<UInt32>(0)
  private let waiting = Atomic<Int>(0)

  /// Queries of one server that may wait for upstream or firewall at a time: Docker's embedded DNS has at most 1,024
  /// in flight for a container, and a server is seldom more than a few containers.
  package static let maxWaiting = 2048

  package init(
    name: String, cache: ResponseCache, firewallIndex: UInt16, interface: String?, opensIPv6: Bool = true,
    plainFamilies: Set<IPAddress.Family> = [], byteCaps: [ByteCap] = [], checksNames: Bool = false,
    counts: QueryCounts = QueryCounts(shards: 1)
  ) {
    self.counts = counts
    cells = counts.cells
    self.name = Array(name.utf8)
    self.cache = cache
    cacheReader = cache.reader
    self.firewallIndex = firewallIndex
    self.interface = interface
    hasInterface = interface != nil
    self.opensIPv6 = opensIPv6
    self.plainFamilies = plainFamilies
    self.byteCaps = byteCaps
    self.checksNames = checksNames
  }

  /// What a rule opens at an address of this family.
  package func targets(of ports: PortSet, family: IPAddress.Family) -> [(transport: UInt8, port: UInt16)] {
    plainFamilies.contains(family) ? [(0, 0)] : ports.targets
  }

  /// Takes a slot among the waiting queries; false when all are taken (P8).
  package func enter() -> Bool {
    let now = waiting.wrappingAdd(1, ordering: .relaxed).newValue
    guard now <= Self.maxWaiting else {
      waiting.wrappingSubtract(1, ordering: .relaxed)
      return false
    }
    return true
  }

  /// Gives back a slot that `enter` took.
  package func leave() {
    waiting.wrappingSubtract(1, ordering: .relaxed)
  }

  /// Whether a query that came in by the interface with this index may be this server's.
  ///
  /// `resolve` turns a name into an index (0 for none). It is asked only when the index differs from the known one:
  /// an interface that was made anew has another index.
  func admits(interface index: UInt32, resolve: (String) -> UInt32) -> Bool {
    guard let interface else { return true }
    guard index != 0 else { return false }
    if interfaceIndex.load(ordering: .relaxed) == index { return true }
    let current = resolve(interface)
    interfaceIndex.store(current, ordering: .relaxed)
    return current == index
  }
}

/// The immutable state that a worker reads once per batch: policy, zones and the caches of its servers.
package final class ResolverSnapshot: Sendable {
  package let policy: PolicySnapshot
  package let zones: LocalZones
  package let rules: ResolverRules
  /// Parallel to `policy.servers`.
  package let servers: [ServerState]
  /// Whether the policy asks of any server by which interface its queries come.
  package let asksInterface: Bool
  /// Queries of unknown clients, and messages that are no query.
  package let unknownClients: QueryCounts
  let unknownClientCells: QueryCounts.Cells
  /// The same once more, for the query path.
  private let uncountedServers: [Uncounted<ServerState>]
  let uncountedPolicy: Uncounted<PolicySnapshot>
  /// How the policy and every cache hash a name.
  let nameHash: NameHash
  let uncountedZones: Uncounted<LocalZones>
  /// The SOA of denials as a record of the root: what follows the question of a denial.
  let denialRecord: FlatOctets
  /// What the events of denials say.
  let denialMembers: DenialMembers
  /// Index in `servers` by the firewall's index.
  private let serverIndexes: [UInt16: Int]
  /// Which clients are which server's.
  package let clients: ClientTable
  let uncountedClients: Uncounted<ClientTable>
  /// Zones whose names have upstreams of their own.
  package let forwards: ForwardZones

  /// - Parameter clients: nil for those of the policy's networks.
  /// - Precondition: `clients` is of as many servers as the policy.
  package init(
    policy: PolicySnapshot, zones: LocalZones, rules: ResolverRules, servers: [ServerState],
    unknownClients: QueryCounts = QueryCounts(shards: 1), clients: ClientTable? = nil,
    forwards: ForwardZones = ForwardZones(), denialMembers: DenialMembers? = nil
  ) {
    self.denialMembers = denialMembers ?? DenialMembers(policy)
    let clients = clients ?? policy.clients
    precondition(clients.serverCount == policy.servers.count, "clients of another policy")
    self.clients = clients
    self.forwards = forwards
    uncountedClients = Uncounted(clients)
    self.unknownClients = unknownClients
    unknownClientCells = unknownClients.cells
    nameHash = policy.nameHash
    precondition(servers.allSatisfy { $0.cache.nameHash == policy.nameHash }, "tables with different hashes")
    self.policy = policy
    self.zones = zones
    self.rules = rules
    self.servers = servers
    uncountedServers = servers.map { Uncounted($0) }
    uncountedPolicy = Uncounted(policy)
    uncountedZones = Uncounted(zones)
    denialRecord = FlatOctets(Self.record(zones.sinkholeSOA, ttl: rules.sinkholeTTL))
    asksInterface = servers.contains { $0.hasInterface }
    serverIndexes = Dictionary(
      servers.enumerated().map { ($1.firewallIndex, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// Lends a server to `body`; `servers` keeps it alive meanwhile.
  @inline(__always)
  borrowing func withServer<Result>(_ index: Int, _ body: (ServerState) -> Result) -> Result {
    uncountedServers[index].with(body)
  }

  /// Prefetches what the query path reads of a server, one step after the other.
  borrowing func prefetch(_ index: Int, hash: UInt64, _ type: RRType, shard: Int, step: Int) {
    let server = uncountedServers[index]
    switch step {
    case 0: server.prefetch()
    case 1:
      server.with {
        $0.cacheReader.prefetchShard(hash: hash, type)
        $0.cells.prefetch(shard: shard)
      }
    default: server.with { $0.cacheReader.prefetchEntry(hash: hash, type) }
    }
  }

  private static func record(_ soa: LocalRecord, ttl: UInt32) -> [UInt8] {
    [UInt8](capacity: 11 + soa.rdata.count) { out in
      out.append(0)
      out.append(bigEndian: RRType.SOA.rawValue)
      out.append(bigEndian: RRClass.IN.rawValue)
      out.append(bigEndian: min(ttl, soa.ttl))
      out.append(bigEndian: UInt16(truncatingIfNeeded: soa.rdata.count))
      out.append(contentsOf: soa.rdata.span)
    }
  }

  /// The index in `servers` of the server that the firewall knows by this index.
  package func server(firewallIndex index: UInt16) -> Int? { serverIndexes[index] }

  /// The index in `servers` of the server that a client belongs to.
  package func server(of client: IPAddress) -> Int? {
    clients.server(of: client)
  }

  /// The same with other clients: policy, caches and counts are the same objects.
  ///
  /// - Precondition: `clients` is of as many servers as the policy.
  package func with(_ clients: ClientTable) -> ResolverSnapshot {
    ResolverSnapshot(
      policy: policy, zones: zones, rules: rules, servers: servers, unknownClients: unknownClients, clients: clients,
      forwards: forwards, denialMembers: denialMembers)
  }
}

/// Octets behind one pointer: reading them counts no reference.
@safe
struct FlatOctets: ~Copyable, @unchecked Sendable {
  private let base: UnsafeMutablePointer<UInt8>
  let count: Int

  init(_ octets: [UInt8]) {
    unsafe base = .allocate(capacity: max(octets.count, 1))
    count = octets.count
    for (index, octet) in octets.enumerated() { unsafe base[index] = octet }  // index < count
  }

  deinit { unsafe base.deallocate() }

  /// Appends all of them, if there is room.
  func append(to output: inout OutputSpan<UInt8>) {
    let octets = unsafe UnsafeBufferPointer(start: base, count: count)
    unsafe output.append(contentsOf: octets.span)
  }
}

/// An unretained reference: the owner of the object must outlive it.
@safe
struct Uncounted<Object: AnyObject & Sendable>: Sendable {
  private let object: Unmanaged<Object>

  init(_ object: Object) {
    unsafe self.object = Unmanaged.passUnretained(object)
  }

  @inline(__always)
  func with<Result>(_ body: (Object) -> Result) -> Result {
    unsafe object._withUnsafeGuaranteedRef { body($0) }  // the owner holds it
  }

  /// Prefetches the object.
  func prefetch() {
    unsafe sluice_prefetch(object.toOpaque())
  }
}
