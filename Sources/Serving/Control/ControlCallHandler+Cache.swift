import AuditLog
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import GrantLedger
import IPNetwork
import Resolver
import ResponseCache
import Settings

extension ControlCallHandler {
  /// Lists answers, on another thread: there may be very many.
  func listCache(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server", "name"])
    let name = try name(request)
    let (clock, snapshot, serverIndexes) = (service.shared.clock(), service.snapshot, try serverIndexes(request))
    Background.run {
      var entries: [ControlAPI.CacheEntry] = []
      for serverIndex in serverIndexes {
        for listed in snapshot.servers[serverIndex].cache.list(name: name?.wire)
        where listed.response.expires > clock.monotonic {
          entries.append(ControlAPI.CacheEntry(listed, server: snapshot.policy.servers[serverIndex].name.text, clock))
        }
      }
      entries.sort { ($0.server, $0.name, $0.type) < ($1.server, $1.name, $1.type) }
      completion(ControlResponse(json: ControlAPI.CacheList(entries: entries)))
    }
  }

  /// Forgets answers, and ends what only they kept open.
  func flush(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server", "name"])
    let (name, serverIndexes) = (try name(request), try serverIndexes(request))
    var entries = 0
    for serverIndex in serverIndexes { entries += service.snapshot.servers[serverIndex].cache.flush(name: name?.wire) }
    let indexes = Set(serverIndexes.map { service.snapshot.servers[$0].firewallIndex })
    let flushed = entries
    service.close(servers: indexes, by: request.peer) {
      name == nil || $0.name == name
    } completion: {
      [service] closed, flows in
      service.recordChange(
        .cacheFlushed, request,
        AuditMembers(.entries, flushed).with(.addressesClosed, closed).with(.flowsCut, flows))
      completion(
        ControlResponse(json: ControlAPI.Flushed(entries: flushed, addressesClosed: closed, flowsCut: flows)))
    }
  }

  /// Lists grants; written down on another thread.
  func listGrants(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server"])
    let snapshot = service.snapshot
    let wanted = Set(try serverIndexes(request).map { snapshot.servers[$0].firewallIndex })
    let (now, wall) = (service.now, service.shared.clock().wall)
    var holdings: [Holding] = []
    var index = AddressIndex()
    service.engine.ledger.forEachHolding(now: now) { key, element, until, opened in
      index.add(key.name, at: element.address)
      guard wanted.contains(key.server) else { return }
      holdings.append(Holding(key: key, element: element, remaining: until - now, age: now > opened ? now - opened : 0))
    }
    let (held, shared) = (holdings, index)
    let prefixes = try openPrefixes(of: serverIndexes(request))
    Background.run {
      var grants = held.compactMap { $0.grant(snapshot, shared, wall: wall) }
      // A and AAAA of one name, and aliases of it, may hold the same address.
      grants.sort {
        ($0.server, $0.name, $0.address, $0.port ?? 0, $0.remainingMs)
          < ($1.server, $1.name, $1.address, $1.port ?? 0, $1.remainingMs)
      }
      completion(ControlResponse(json: ControlAPI.GrantList(grants: grants, prefixes: prefixes)))
    }
  }

  /// What is open for servers without any name; nothing where Sluice has no rule to do it with.
  private func openPrefixes(of places: [Int]) -> [ControlAPI.OpenPrefix] {
    guard settings.firewall.mode == .managed else { return [] }
    return places.flatMap { service.snapshot.policy.servers[$0].openPrefixes }
  }

  /// Closes what is open for a name, or an address, or a server; answers that promised it are forgotten.
  func revoke(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server", "name", "address"])
    guard !request.query.isEmpty else {
      throw ControlAPI.CallError(400, "say what to revoke: server, name or address")
    }
    let (name, serverIndexes) = (try name(request), try serverIndexes(request))
    var address: IPAddress?
    if let text = request.query["address"] {
      guard let parsed = IPAddress(text) else {
        throw ControlAPI.CallError(400, "address is '\(text)'; expected IPv4 or IPv6")
      }
      address = parsed.unmapped
    }
    let snapshot = service.snapshot
    let indexes = Set(serverIndexes.map { snapshot.servers[$0].firewallIndex })
    // By address: every question that holds it, so that nothing keeps promising it.
    var keys: Set<GrantLedger.Key> = []
    service.engine.ledger.forEachHolding(now: service.now) { key, element, _, _ in
      guard indexes.contains(key.server), name == nil || key.name == name, address == nil || element.address == address
      else { return }
      keys.insert(key)
    }
    for key in keys {
      guard let serverIndex = snapshot.server(firewallIndex: key.server) else { continue }
      snapshot.servers[serverIndex].cache.remove(key.name.wire.span, key.type)
    }
    service.close(servers: indexes, by: request.peer) {
      keys.contains($0)
    } completion: { [service] closed, flows in
      service.recordChange(
        .grantsRevoked, request,
        AuditMembers(.names, keys.count).with(.addressesClosed, closed).with(.flowsCut, flows))
      completion(
        ControlResponse(json: ControlAPI.Flushed(entries: keys.count, addressesClosed: closed, flowsCut: flows)))
    }
  }

  func startReload(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, [])
    policies.reload(
      ReloadCall(peer: request.peer) { activation, difference in
        switch activation {
        case .unusable(let findings):
          let text = "the configuration cannot be used; the policy in force stays"
          completion(ControlAPI.CallError(422, text, findings: findings).response)
        case .refused: completion(.error(503, activation.text))
        case .inForce(let applied): completion(ControlResponse(json: ControlAPI.Reload(applied, difference)))
        }
      })
  }
}

/// An element that a question holds open; times are nanoseconds.
struct Holding: Sendable {
  var key: GrantLedger.Key
  var element: GrantElement
  var remaining: UInt64
  var age: UInt64

  /// Nil for a server that is gone.
  func grant(_ snapshot: ResolverSnapshot, _ index: AddressIndex = AddressIndex(), wall: UInt64) -> ControlAPI.Grant? {
    guard let serverIndex = snapshot.server(firewallIndex: key.server) else { return nil }
    var grant = ControlAPI.Grant(
      server: snapshot.policy.servers[serverIndex].name.text, address: element.address.description,
      protocol: TransportName.text(element.transport), port: element.transport == 0 ? nil : element.port,
      name: key.name.description, opened: ControlAPI.time(nanoseconds: wall > age ? wall - age : 0),
      remainingMs: remaining / 1_000_000)
    let rule = snapshot.rule(server: key.server, name: key.name.wire, type: key.type)
    if rule?.checkBit(transport: element.transport, port: element.port) ?? 0 != 0 {
      (grant.verify, grant.inspect) = ("sni", rule?.check?.inspector?.description)
    }
    grant.shared = index.others(than: key.name, at: element.address)
    return grant
  }
}

extension ControlAPI.Reload {
  init(_ applied: Activation.Applied, _ difference: PolicyDifference?) {
    self.init(
      policy: applied.policy, former: applied.former, servers: applied.servers,
      changes: (difference?.servers ?? []).map {
        ControlAPI.ServerDifference(
          server: $0.name, kind: $0.kind.rawValue, added: $0.added, removed: $0.removed,
          altered: $0.altered.map(ControlAPI.Change.init))
      },
      settings: (applied.settings?.taken ?? []).map(ControlAPI.Change.init),
      needsRestart: (applied.settings?.needsRestart ?? []).map(ControlAPI.Change.init),
      addressesClosed: applied.addressesClosed, flowsCut: applied.flowsCut,
      letGo: applied.letGo.map(ControlAPI.Status.Held.init), held: applied.isManaged)
  }
}

extension ControlAPI.CacheEntry {
  init(_ listed: ResponseCache.Listed, server: String, _ clock: QueryClock) {
    let records = CachedRecords(listed)
    self.init(
      server: server, name: Name(canonical: listed.name.span).description, type: listed.type.description,
      rcode: listed.response.responseCode.description,
      remainingMs: (listed.response.expires - min(clock.monotonic, listed.response.expires)) / 1_000_000,
      hits: listed.hits,
      addresses: records.addresses.map(\.description), chain: records.chain,
      held: !listed.response.isServable(at: clock.monotonic, epoch: clock.epoch))
  }
}

/// The records of an answer in the cache, read back from its sections.
struct CachedRecords {
  var addresses: [IPAddress] = []
  /// Owner names along the CNAMEs; empty without any.
  var chain: [String] = []

  init(_ listed: ResponseCache.Listed) {
    addresses = listed.response.addresses
    let targets = listed.response.chain(of: listed.name, listed.type)
    if !targets.isEmpty { chain = ([listed.name] + targets).map { Name(canonical: $0.span).description } }
  }
}
