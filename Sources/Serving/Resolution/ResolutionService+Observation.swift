import FirewallBridge
import FirewallModel
import GateModel
import AuditLog
import ControlAPI
import DNSWire
import EgressPolicy
import GrantLedger
import HTTP2
import IPNetwork
import LinuxIO
import Resolver
import TLS

/// Telling what went through the firewall and what did not.
extension ResolutionService {
  private static let second: UInt64 = 1_000_000_000
  /// How often addresses that are about to end are looked at, and how long before their end; milliseconds.
  private static let inUseRhythm: UInt64 = 5_000
  private static let inUseLead: UInt64 = 12_000_000_000
  static let inUseExtension: UInt64 = 30_000_000_000

  /// Begins what happens at a rhythm; nothing does that was not asked for.
  func startRhythms() {
    if options.keepInUse != nil { scheduleInUse() }
    if let interval = options.volumeInterval { scheduleVolumes(interval) }
  }

  /// Too many answers were not what was asked: an upstream's datagrams are not believed for a while.
  func upstreamMismatched(_ upstream: String) {
    StandardError.write("sluice: answers that were not those of \(upstream): it is asked by TCP for a minute")
    _ = push(
      AuditRecordHeader(service: .upstreamMismatch, wallClock: shared.clock().wall), server: everybody,
      destination: Array(upstream.utf8), AuditMembers(.upstream, upstream))
  }

  /// TLS with an upstream cannot be used; what it costs has an event for each question.
  func upstreamUntrusted(_ upstream: String, _ failure: TLSFailure) {
    StandardError.write("sluice: upstream \(upstream) is not asked: \(failure.text)")
  }

  /// What an upstream says by HTTP is no answer; what it costs has an event for each question.
  func upstreamFaulty(_ upstream: String, _ failure: HTTPFailure) {
    StandardError.write("sluice: upstream \(upstream) gives no answers: \(failure.text)")
  }

  /// An upstream answers every name from one network, whose addresses are refused: once, and not for each name.
  func upstreamIntercepted(_ found: InterceptionWatch.Finding) {
    StandardError.write(
      "sluice: upstream \(found.upstream) answers every name from \(found.network), as proxies and VPN clients do, and such answers "
        + "are refused; \(found.remedy.map { "where that is meant, write `\($0)`, else " } ?? "")name another upstream")
    var members = AuditMembers(.network, found.network.description)
    if let remedy = found.remedy { members.append(.remedy, remedy) }
    _ = push(
      AuditRecordHeader(service: .upstreamIntercepted, wallClock: shared.clock().wall), server: everybody,
      destination: Array(found.upstream.utf8),
      members.with(.upstream, found.upstream))
  }

  // MARK: - Refused connections

  func record(_ refusals: [RefusedConnection]) {
    // What is told of and goes on is no refusal: a cap that audits asks for its event.
    for refusal in refusals where options.recordsRefusals || !refusal.kind.isRefusal { record(refusal) }
  }

  private func record(_ refusal: RefusedConnection) {
    // What others send to a server is the server's; what a server sends is its own.
    let governed = refusal.kind == .inbound ? refusal.destination : refusal.source
    let index = refusal.server ?? snapshot.server(of: governed).map { snapshot.servers[$0].firewallIndex }
    let held = refusal.kind == .held ? heldNetwork(around: refusal.source) : nil
    let server = held?.server ?? index.flatMap(ruledName) ?? ""
    let clock = shared.clock()
    let moment = Moment(refusal.time, clock)
    let entry = index.flatMap { staticEntry(around: refusal.destination, of: $0) }
    let (met, name, closed) = meaning(of: refusal, server: index, at: moment.monotonic)
    // What an entry opens without a name is open, if not on this port.
    let isOnOtherPort = entry.map { !refusal.isOpened(by: $0) } ?? false
    let code = isOnOtherPort && (met == .rawAddress || met == .neverResolved) ? .wrongPort : met
    let named = name == nil && [.wrongPort, .maxBytes, .overMaxBytes].contains(code) ? entry : nil
    if code == .grantLost, isCommitted(refusal, index, since: moment.monotonic) { violations.refused += 1 }
    let destination = name.map { $0.description } ?? refusal.destination.description
    let isStored = push(
      AuditRecordHeader(
        connection: code, transport: refusal.transport, port: refusal.port, payloadSize: refusal.length,
        client: refusal.source, clientPort: refusal.sourcePort, wallClock: refusal.time),
      server: Array(server.utf8), destination: Array(destination.utf8),
      refusal.members(
        closed, held, entry: named, denial: denial(refusal, index),
        asksResolver: refusal.kind == .inbound && listeners.contains(refusal.destination), clock))
    if !isStored, refusal.kind.isRefusal {
      refusalCounts.untold(refusal.server.flatMap(ruledName) ?? RefusalCounts.host)
    }
  }

  /// The entry that denies what a packet was sent to.
  private func denial(_ refusal: RefusedConnection, _ server: UInt16?) -> PrefixDenial? {
    guard refusal.kind == .denied, let place = server.flatMap({ snapshot.server(firewallIndex: $0) }) else {
      return nil
    }
    return snapshot.policy.denial(of: refusal.destination, server: place)
  }

  /// The entry of a server's policy that opens an address without a name; of several the one that stands first.
  private func staticEntry(around address: IPAddress, of server: UInt16) -> StaticPrefixRule? {
    guard let place = snapshot.server(firewallIndex: server) else { return nil }
    return snapshot.policy.servers[place].prefixes.first { $0.prefix.contains(address) }
  }

  /// The name of the server whose rules the kernel had, also where the policy in force has it no more.
  private func ruledName(_ index: UInt16) -> String? {
    if let name = serverName(index) { return name }
    guard let plan = bridge?.plan, Int(index) < plan.servers.count else { return nil }
    return plan.servers[Int(index)].name
  }

  /// The books of a minute: where they do not balance, or a counter was taken away, is an event.
  func close(_ books: [RefusalBook]) {
    let wall = shared.clock().wall
    for book in books {
      let told = options.recordsRefusals ? refusalCounts.close(book) : 0
      guard options.recordsRefusals, told != book.refused || book.cutSince != 0 else { continue }
      _ = push(
        AuditRecordHeader(service: .refusals, wallClock: wall), server: Array(book.server.utf8), destination: [],
        AuditMembers(.refused, book.refused)
          .with(.told, told)
          .with(.since, Timestamp.text(book.since))
          .with(.counterLostSince, book.cutSince == 0 ? nil : Timestamp.text(book.cutSince)))
    }
  }

  private func isCommitted(_ refusal: RefusedConnection, _ server: UInt16?, since: UInt64) -> Bool {
    guard let server else { return false }
    return engine.ledger.isCommitted(refusal.element(of: server), since: since, now: now, epoch: shared.epoch.current)
  }

  /// Why the table refused it, and the name that the server had this address for last, both as of the packet's time.
  private func meaning(
    of refusal: RefusedConnection, server: UInt16?, at time: UInt64
  ) -> (AuditCode, Name?, GrantLedger.Closed?) {
    let standing = server.map {
      engine.ledger.standing(
        of: refusal.destination, transport: refusal.transport, port: refusal.port, server: $0, at: time)
    }
    let name = standing?.name
    func capped(_ kind: ByteCap.Kind, _ excess: ByteBound.Excess) -> Name? {
      server.flatMap { cappedName(of: refusal.element(of: $0), kind, excess, at: time) }
    }
    switch refusal.kind {
    case .maxBytes: return (.maxBytes, capped(.perConnection, .block) ?? name, nil)
    case .maxBytesPerHour: return (.maxBytesPerHour, capped(.perHour, .block) ?? name, nil)
    case .overMaxBytes: return (.overMaxBytes, capped(.perConnection, .audit) ?? name, nil)
    case .overMaxBytesPerHour: return (.overMaxBytesPerHour, capped(.perHour, .audit) ?? name, nil)
    case .spoofed: return (.spoofedSource, nil, nil)
    case .denied: return (.deniedAddress, name, nil)
    case .held: return (.networkHeld, nil, nil)
    case .inbound: return (.inboundRefused, nil, nil)
    case .unconnected: return (.noConnection, name, nil)
    case .unreachable: return (.unreachable, name, nil)
    case .host: return (refusal.port == 53 ? .otherResolver : .hostFence, nil, nil)
    case .closed: break
    }
    switch (refusal.port, standing) {
    case (53, _) where refusal.hasPorts: return (.otherResolver, name, nil)
    case (853, _) where refusal.hasPorts: return (.dnsOverTLS, name, nil)
    case (443, _) where refusal.hasPorts && PublicResolvers.contains(refusal.destination):
      return (.dnsOverHTTPS, name, nil)
    case (_, .wrongPort): return (.wrongPort, name, nil)
    case (_, .closed(let closed)): return (closed.isWithdrawn ? .withdrawn : .expired, name, closed)
    // Open in the ledger and refused all the same: the kernel let go of it first.
    case (_, .open): return (.grantLost, name, nil)
    case (_, .resolvedByOther): return (.neverResolved, nil, nil)
    case (_, .neverResolved), (_, nil): return (.rawAddress, nil, nil)
    }
  }

  /// What the event of a connection says that came to the gate, and what would let it pass, if it should.
  func meaning(of verdict: GateVerdict) -> (code: AuditCode, remedy: String?) {
    switch verdict {
    case .verified: (.nameVerified, nil)
    case .mismatch: (.sniMismatch, nil)
    case .nameMissing: (.sniMissing, "verify: address")
    case .notTLS: (.notTLS, "verify: address")
    case .mayHide: (.echRefused, "ech: allow")
    case .unreachable, .ended: (.unreachable, nil)
    case .overConnection: (.maxBytes, nil)
    case .overHour: (.maxBytesPerHour, nil)
    case .toldConnection: (.overMaxBytes, nil)
    case .toldHour: (.overMaxBytesPerHour, nil)
    case .crowded: (.gateFull, nil)
    case .inspectorRefused, .inspectorGone, .inspectorSilent, .inspectorGarbled: (.inspectorRefused, nil)
    }
  }

  /// The same of what an inspector found in one.
  func meaning(of action: ControlAPI.Finding.Action) -> (code: AuditCode, remedy: String?) {
    switch action {
    case .block: (.inspectorRefused, nil)
    case .flag: (.inspectorFlagged, nil)
    }
  }

  /// The name whose cap was met at an element: another one at the same address may have none.
  func cappedName(
    of element: GrantElement, _ kind: ByteCap.Kind, _ excess: ByteBound.Excess, at time: UInt64
  ) -> Name? {
    guard let serverIndex = snapshot.server(firewallIndex: element.server) else { return nil }
    var bits: UInt16 = 0
    for (index, cap) in snapshot.servers[serverIndex].byteCaps.enumerated()
    where cap.kind == kind && cap.excess == excess {
      bits |= 1 << index
    }
    return engine.ledger.cappedName(of: element, caps: bits, at: time)
  }

  // MARK: - Volumes

  func count(_ news: [ElementVolume]) {
    guard options.volumeInterval != nil else { return }
    let now = now
    for volume in news {
      let element = volume.element
      let standing = engine.ledger.standing(
        of: element.address, transport: element.transport, port: element.port, server: element.server, at: now)
      volumes.add(
        VolumeTotals.Destination(
          server: element.server, name: standing.name?.description ?? "", address: element.address,
          transport: element.transport, port: element.port),
        octets: volume.octets, packets: volume.packets)
    }
  }

  func count(_ news: [PrefixVolume]) {
    guard options.volumeInterval != nil else { return }
    for volume in news {
      volumes.add(
        VolumeTotals.Prefix(server: volume.server, prefix: volume.prefix), octets: volume.octets,
        packets: volume.packets)
    }
  }

  private func scheduleVolumes(_ interval: UInt64) {
    _ = reactor.schedule(at: reactor.now.adding(milliseconds: interval * 1_000)) { [unowned self] in
      tellVolumes(interval)
      scheduleVolumes(interval)
    }
  }

  /// At the end of a run: what was counted since the last events.
  func tellVolumes() {
    if let interval = options.volumeInterval { tellVolumes(interval) }
  }

  /// One event for each destination that got anything.
  private func tellVolumes(_ interval: UInt64) {
    let wall = shared.clock().wall
    for (destination, total) in volumes.take() {
      let transport =
        switch destination.transport {
        case 6: "tcp"
        case 17: "udp"
        default: "any"
        }
      let text = destination.name.isEmpty ? destination.address.description : destination.name
      _ = push(
        AuditRecordHeader(service: .egressVolume, wallClock: wall),
        server: Array((serverName(destination.server) ?? "").utf8),
        destination: Array(text.utf8),
        AuditMembers(.address, destination.address)
          .with(.protocol, transport)
          .with(.port, destination.port)
          .with(.bytes, total.octets)
          .with(.packets, total.packets)
          .with(.interval, interval)
          .with(otherNames(of: destination)))
    }
    for (prefix, total) in volumes.takePrefixes() {
      _ = push(
        AuditRecordHeader(service: .egressVolume, wallClock: wall),
        server: Array((serverName(prefix.server) ?? "").utf8),
        destination: Array(prefix.prefix.description.utf8),
        AuditMembers(.bytes, total.octets)
          .with(.packets, total.packets)
          .with(.interval, interval)
          .with(.rule, entry(of: prefix)))
    }
  }

  /// The entry of the policy in force that opens a prefix; nil where it has none any more, or several, of which the kernel
  /// does not say by which one a packet went.
  private func entry(of prefix: VolumeTotals.Prefix) -> String? {
    guard let place = snapshot.server(firewallIndex: prefix.server) else { return nil }
    let entries = snapshot.policy.servers[place].prefixes.filter { $0.prefix == prefix.prefix }
    return entries.count == 1 ? entries[0].location.description : nil
  }

  /// The names besides for which the server has the address open now: what was sent may have been for each of them.
  private func otherNames(of destination: VolumeTotals.Destination) -> AuditMembers? {
    let element = GrantElement(
      server: destination.server, address: destination.address, transport: destination.transport,
      port: destination.port)
    let others = engine.ledger.names(of: element, now: now).map(\.description).filter { $0 != destination.name }
    return others.isEmpty ? nil : AuditMembers(.sharedNames, Array(others.suffix(Self.listedNames)))
  }

  /// As many as fit a line that people read.
  private static let listedNames = 8

  // MARK: - Addresses in use

  private func scheduleInUse() {
    _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.inUseRhythm)) { [unowned self] in
      refreshInUse()
      scheduleInUse()
    }
  }

  /// What is about to end and still carries connections stays open a little longer, up to its bound.
  private func refreshInUse() {
    guard let bridge, let bound = options.keepInUse else { return }
    let due = engine.ledger.due(within: Self.inUseLead, bound: bound, now: now)
    bridge.inUse(due) { [unowned self] result in
      guard case .success(let used) = result, !used.isEmpty else { return }
      extend(used, bound)
    }
  }

  private func extend(_ elements: [GrantElement], _ bound: UInt64) {
    let (askedAt, epoch) = (now, shared.epoch.current)
    let commits = engine.ledger.extend(elements, by: Self.inUseExtension, bound: bound, now: askedAt)
    for start in stride(from: 0, to: commits.count, by: FirewallOptions.unit) {
      let unit = Array(commits[start..<min(start + FirewallOptions.unit, commits.count)])
      commit(unit) { [unowned self] result in
        guard case .committed = result else { return }
        engine.ledger.committed(unit, askedAt: askedAt, epoch: epoch)
        keepRecord(ofHolders: unit.map(\.element))
        tellGate(ofHolders: unit.map(\.element))
      }
    }
  }
}

/// A time that the kernel told on the wall clock, on the monotonic one.
private struct Moment {
  let monotonic: UInt64

  init(_ wall: UInt64, _ clock: QueryClock) {
    monotonic = clock.monotonic - min(clock.monotonic, clock.wall - min(clock.wall, wall))
  }
}

extension RefusedConnection {
  /// What it was meant for, as the server whose it is may have it open.
  fileprivate func element(of server: UInt16) -> GrantElement {
    GrantElement(server: server, address: destination, transport: transport, port: port)
  }
}

extension GrantLedger.Closed {
  /// Closed by a decision, and not by the end of its time or of a run.
  fileprivate var isWithdrawn: Bool { ending != nil && ending != .restart }
}
