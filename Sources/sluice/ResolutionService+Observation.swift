import AuditLog
import DNSWire
import FirewallBridge
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver
import Transport

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
      destination: Array(upstream.utf8), ",\"upstream\":\"\(upstream)\"")
  }

  // MARK: - Refused connections

  func record(_ refusals: [RefusedConnection]) {
    guard options.recordsRefusals else { return }
    for refusal in refusals { record(refusal) }
  }

  private func record(_ refusal: RefusedConnection) {
    // What others send to a server is the server's; what a server sends is its own.
    let governed = refusal.kind == .inbound ? refusal.destination : refusal.source
    let index = refusal.server ?? snapshot.server(of: governed).map { snapshot.servers[$0].firewallIndex }
    let held = refusal.kind == .held ? heldNetwork(around: refusal.source) : nil
    let server =
      held.map { Array($0.server.utf8) }
      ?? index.flatMap { snapshot.server(firewallIndex: $0) }.map { snapshot.servers[$0].name } ?? []
    let (code, name) = meaning(of: refusal, server: index)
    if refusal.kind == .closed, code == .expired, isOpen(refusal, index) { violations.refused += 1 }
    let destination = name.map { $0.description } ?? refusal.destination.description
    let protocolName =
      switch refusal.transport {
      case 6: "\"tcp\""
      case 17: "\"udp\""
      case 1: "\"icmp\""
      case 58: "\"icmpv6\""
      default: "\"\(refusal.transport)\""
      }
    let port = refusal.transport == 6 || refusal.transport == 17 ? ",\"port\":\(refusal.port)" : ""
    let isStored = push(
      AuditRecordHeader(
        connection: code, transport: refusal.transport, port: refusal.port, payloadSize: refusal.length,
        client: refusal.source, clientPort: refusal.sourcePort, wallClock: refusal.time),
      server: server, destination: Array(destination.utf8),
      ",\"address\":\"\(refusal.destination)\",\"protocol\":\(protocolName)\(port)\(Self.remedy(refusal, held))")
    if !isStored { refusalCounts.untold(refusal.server.flatMap { serverName($0) } ?? RefusalCounts.host) }
  }

  /// The books of a minute: where they do not balance, or a counter was taken away, is an event.
  func close(_ books: [RefusalBook]) {
    let wall = shared.clock().wall
    for book in books {
      let told = options.recordsRefusals ? refusalCounts.close(book) : 0
      guard options.recordsRefusals, told != book.refused || book.cutSince != 0 else { continue }
      let cut = book.cutSince == 0 ? "" : ",\"counter_lost_since\":\"\(Timestamp.text(book.cutSince))\""
      _ = push(
        AuditRecordHeader(service: .refusals, wallClock: wall), server: Array(book.server.utf8), destination: [],
        ",\"refused\":\(book.refused),\"told\":\(told),\"since\":\"\(Timestamp.text(book.since))\"\(cut)")
    }
  }

  /// What would let it pass, if it should.
  private static func remedy(_ refusal: RefusedConnection, _ held: HeldNetwork?) -> String {
    if let held { return ",\"network\":\"\(held.prefix)\",\"remedy\":\"\(EnclosureText.release(held))\"" }
    guard refusal.kind == .inbound else { return "" }
    let port = refusal.hasPorts ? "[ \(refusal.port)/\(refusal.transport == 6 ? "tcp" : "udp") ]" : "any"
    return ",\"remedy\":\"inbound: \(port)\""
  }

  private func isOpen(_ refusal: RefusedConnection, _ server: UInt16?) -> Bool {
    guard let server else { return false }
    let element = GrantElement(
      server: server, address: refusal.destination, transport: refusal.transport, port: refusal.port)
    let since = now - min(now, Self.slowestNews)
    return engine.ledger.isCommitted(element, since: since, now: now, epoch: shared.epoch.current)
  }

  /// What the kernel tells of was up to so long ago, in nanoseconds: a packet may have come before its address was open.
  private static let slowestNews: UInt64 = 1_000_000_000

  /// Why the table refused it, and the name that the server last got this address for.
  private func meaning(of refusal: RefusedConnection, server: UInt16?) -> (AuditCode, Name?) {
    let standing = server.map {
      engine.ledger.standing(
        of: refusal.destination, transport: refusal.transport, port: refusal.port, server: $0, now: now)
    }
    let name: Name? =
      switch standing {
      case .open(let name), .wrongPort(let name), .expired(let name): name
      case .resolvedByOther, .neverResolved, nil: nil
      }
    switch refusal.kind {
    case .maxBytes: return (.maxBytes, name)
    case .maxBytesPerHour: return (.maxBytesPerHour, name)
    case .spoofed: return (.spoofedSource, nil)
    case .held: return (.networkHeld, nil)
    case .inbound: return (.inboundRefused, nil)
    case .host: return (refusal.port == 53 ? .otherResolver : .hostFence, nil)
    case .closed: break
    }
    switch (refusal.port, standing) {
    case (53, _) where refusal.hasPorts: return (.otherResolver, name)
    case (853, _) where refusal.hasPorts: return (.dnsOverTLS, name)
    case (443, _) where refusal.hasPorts && PublicResolvers.contains(refusal.destination):
      return (.dnsOverHTTPS, name)
    case (_, .wrongPort): return (.wrongPort, name)
    // Open for us and refused all the same: the kernel let go of it before we did.
    case (_, .expired), (_, .open): return (.expired, name)
    case (_, .resolvedByOther): return (.neverResolved, nil)
    case (_, .neverResolved), (_, nil): return (.rawAddress, nil)
    }
  }

  // MARK: - Volumes

  func count(_ news: [ElementVolume]) {
    guard options.volumeInterval != nil else { return }
    let now = now
    for volume in news {
      let element = volume.element
      let standing = engine.ledger.standing(
        of: element.address, transport: element.transport, port: element.port, server: element.server, now: now)
      let name: Name? =
        switch standing {
        case .open(let name), .expired(let name), .wrongPort(let name): name
        case .resolvedByOther, .neverResolved: nil
        }
      volumes.add(
        VolumeTotals.Destination(
          server: element.server, name: name?.description ?? "", address: element.address,
          transport: element.transport, port: element.port),
        octets: volume.octets, packets: volume.packets)
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
        ",\"address\":\"\(destination.address)\",\"protocol\":\"\(transport)\",\"port\":\(destination.port)"
          + ",\"bytes\":\(total.octets),\"packets\":\(total.packets),\"interval\":\(interval)")
    }
  }

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
    for start in stride(from: 0, to: due.count, by: BridgeMessage.maximumElements) {
      let part = Array(due[start..<min(start + BridgeMessage.maximumElements, due.count)])
      bridge.inUse(part) { [unowned self] result in
        guard case .success(let used) = result, !used.isEmpty else { return }
        extend(used, bound)
      }
    }
  }

  private func extend(_ elements: [GrantElement], _ bound: UInt64) {
    let (askedAt, epoch) = (now, shared.epoch.current)
    let commits = engine.ledger.extend(elements, by: Self.inUseExtension, bound: bound, now: askedAt)
    for start in stride(from: 0, to: commits.count, by: 256) {
      let unit = Array(commits[start..<min(start + 256, commits.count)])
      commit(unit) { [unowned self] result in
        if case .committed = result { engine.ledger.committed(unit, askedAt: askedAt, epoch: epoch) }
      }
    }
  }
}

extension RefusedConnection {
  fileprivate var hasPorts: Bool { transport == 6 || transport == 17 }
}
