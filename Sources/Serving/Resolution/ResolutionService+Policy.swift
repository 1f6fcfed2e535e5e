import FirewallBridge
import FirewallModel
import AuditLog
import Control
import DNSWire
import EgressPolicy
import Enforcement
import GateModel
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache
import Settings
import TLS
import Upstream

/// What became of putting another policy in force.
enum Activation {
  case inForce(Applied)
  /// The former policy stays; the text says why.
  case refused(String)
  /// The files cannot be used: what is wrong, a line each. The former policy stays.
  case unusable([String])

  struct Applied {
    var policy: String
    var former: String
    var servers: Int
    var serversChanged: Int
    /// Networks that no policy governs any more, since this change; in mode `managed` they stay closed.
    var letGo: [HeldNetwork] = []
    var isManaged = true
    var addressesClosed = 0
    var flowsCut = 0
    /// Nil where no files were read.
    var settings: SettingsDifference?
  }

  /// For the operator's terminal.
  var text: String {
    switch self {
    case .unusable(let findings): return findings.joined(separator: "\n")
    case .refused(let reason): return "refused, the former policy stays: \(reason)"
    case .inForce(let applied):
      let text = "policy \(applied.policy) is in force: \(counted(applied.servers, "server"))"
      let changed =
        applied.serversChanged == 0
        ? "\(text); no policy changed"
        : "\(text), \(applied.serversChanged) of them changed; \(counted(applied.addressesClosed, "address")) closed, "
          + "\(counted(applied.flowsCut, "connection")) cut"
      return changed + applied.settingsText + applied.letGoText
    }
  }
}

extension Activation.Applied {
  /// A line for each key beside the policies that is another one now.
  fileprivate var settingsText: String {
    guard let settings else { return "" }
    return (settings.taken.map(\.description) + settings.needsRestart.map { "needs a restart: \($0)" })
      .map { "\n\($0)" }.joined()
  }

  /// A line for each network that no policy governs any more.
  fileprivate var letGoText: String {
    letGo.map {
      "\n" + (isManaged ? EnclosureText.held($0) : "\($0.prefix) (\($0.server)) is governed by no policy now, and open")
    }
    .joined()
  }

  /// Of the event.
  var members: AuditMembers {
    var members = AuditMembers(.policy, policy)
      .with(.former, former)
      .with(.servers, servers)
      .with(.serversChanged, serversChanged)
      .with(.addressesClosed, addressesClosed)
      .with(.flowsCut, flowsCut)
    if !letGo.isEmpty {
      members.append(isManaged ? .networksHeld : .networksOpen, letGo.prefix(Self.listed).map(\.prefix.description))
    }
    return members
  }

  /// As many as fit an event that people read.
  private static let listed = 32
}

/// Putting another policy in force.
extension ResolutionService {
  /// What is put in force together.
  struct Proposed {
    var snapshot: ResolverSnapshot
    /// Whom its forwarded zones go to, in their order.
    var forwards: [UpstreamForward]
    /// What is believed of the upstreams that are asked by TLS, where it was read again.
    var trust: [UpstreamServer: TLSClient] = [:]
    /// Nil leaves rules and sets as they are.
    var plan: FirewallPlan?
    /// Servers of which nothing may stay open, because the firewall knows their caps otherwise.
    var renumbered: Set<UInt16>
  }

  /// Its sets first, then its decisions, then the end of what it no longer admits.
  ///
  /// - Parameter members: what else the event says; nil where none tells of it.
  func activate(
    _ proposed: Proposed, members: AuditMembers? = AuditMembers(), _ completion: @escaping (Activation) -> Void
  ) {
    if gate == nil, options.isManaged, proposed.snapshot.servers.contains(where: \.checksNames) {
      return completion(
        .refused(
          "connections to names go through the gate (`verify: sni`, the default for 443/tcp), and this serve was started "
            + "without one: start it anew"))
    }
    guard let bridge, let plan = proposed.plan, bridge.plan != plan || holdsOthers(beside: plan) else {
      return finishAdopting(proposed, members, completion)
    }
    advanceEnforcement(.installing)
    bridge.install(plan) { [unowned self] failure in
      advanceEnforcement(.installed)
      if let failure {
        if let members { recordRefusedPolicy(errors: 1, members: members) }
        return completion(.refused("the firewall cannot take it: \(failure)"))
      }
      finishAdopting(proposed, members, completion)
    }
  }

  /// Puts another table of clients in force: who is answered, by which server's policy. That policy, its caches, and what is
  /// open stay, and nothing is asked of the bridge.
  ///
  /// - Precondition: it is of as many servers as the policy.
  func activate(_ clients: ClientTable) {
    snapshot = snapshot.with(clients)
    shared.current.replace(snapshot)
  }

  private func finishAdopting(
    _ proposed: Proposed, _ members: AuditMembers?, _ completion: @escaping (Activation) -> Void
  ) {
    let (snapshot, renumbered) = (proposed.snapshot, proposed.renumbered)
    let former = self.snapshot
    // Before any thread decides by the new policy, and on the one thread that stores answers.
    forgetUnlisted(since: former, snapshot)
    let additions = refuseAddresses(for: snapshot)
    forgetRefused(snapshot, additions)
    shared.current.replace(snapshot)
    self.snapshot = snapshot
    inspection.watch.keep(Set(snapshot.policy.servers.flatMap(\.inspectors)))
    if !proposed.trust.isEmpty { upstream.renew(proposed.trust) }
    upstream.use(proposed.forwards)
    if members != nil { policySince = shared.clock().wall }
    let changed = Self.changedServers(from: former, to: snapshot).union(renumbered)
    let added = Set(snapshot.servers.map(\.firewallIndex)).subtracting(former.servers.map(\.firewallIndex))
    // Their numbers may have been others' before.
    for server in added {
      engine.ledger.forget(server: server)
      gate?.forget(server: server)
    }
    volumes.forget(servers: added)
    var applied = Activation.Applied(
      policy: snapshot.policy.fingerprint, former: former.policy.fingerprint, servers: snapshot.servers.count,
      serversChanged: changed.union(added).count)
    applied.letGo = letGo(since: former, snapshot)
    applied.isManaged = options.isManaged
    // What the new policy forbids to every server, as a network of its servers; then what it does not list any more.
    closeRefused(additions, since: former)
    defer { replayToGate() }
    revokeUnlisted(since: former, changed, renumbered) { [unowned self] closed, flows in
      (applied.addressesClosed, applied.flowsCut) = (closed, flows)
      guard let members else { return completion(.inForce(applied)) }
      reloads.inForce += 1
      _ = push(
        AuditRecordHeader(service: .policyReloaded, wallClock: shared.clock().wall), server: everybody, destination: [],
        applied.members.with(members))
      completion(.inForce(applied))
    }
  }

  /// Takes out of the caches that outlive a change what the new policy does not grant just as the former did.
  private func forgetUnlisted(since former: ResolverSnapshot, _ snapshot: ResolverSnapshot) {
    let unchanged = Set(former.servers.map(ObjectIdentifier.init))
    let kept = Set(former.servers.map { ObjectIdentifier($0.cache) })
    for state in snapshot.servers
    where !unchanged.contains(ObjectIdentifier(state)) && kept.contains(ObjectIdentifier(state.cache)) {
      for (name, type) in state.cache.questions()
      where !snapshot.grantsAsBefore(former, server: state.firewallIndex, name: name, type: type) {
        state.cache.remove(name.span, type)
      }
    }
  }

  /// A reload that changed nothing because what it read cannot be used.
  func recordRefusedPolicy(errors: Int, members: AuditMembers = AuditMembers()) {
    reloads.refused += 1
    _ = push(
      AuditRecordHeader(service: .policyRefused, wallClock: shared.clock().wall), server: everybody, destination: [],
      AuditMembers(.policy, snapshot.policy.fingerprint).with(.errors, errors).with(members))
  }

  /// The servers, by the firewall's index, that have another policy now, or none any more.
  private static func changedServers(from former: ResolverSnapshot, to current: ResolverSnapshot) -> Set<UInt16> {
    var unchanged: Set<ObjectIdentifier> = []
    for server in current.servers { unchanged.insert(ObjectIdentifier(server)) }
    return Set(former.servers.filter { !unchanged.contains(ObjectIdentifier($0)) }.map(\.firewallIndex))
  }

  /// Ends the grants of names that policy no longer lists, or lists with other ports, prefixes or caps.
  private func revokeUnlisted(
    since former: ResolverSnapshot, _ changed: Set<UInt16>, _ renumbered: Set<UInt16>,
    _ completion: @escaping (Int, Int) -> Void
  ) {
    let lapsed = lapsed(since: former, changed, renumbered)
    let rejudged = changed.filter { !snapshot.judgesAsBefore(former, server: $0) }
    engine.endInFlight(of: rejudged)
    let mixed = outlived(since: former, rejudged)
    let ended = engine.end(now: now, servers: changed) { [snapshot] key in
      renumbered.contains(key.server) || mixed.contains(key)
        || !snapshot.grantsAsBefore(former, server: key.server, name: key.name.wire, type: key.type)
    } keeping: { [snapshot] key, element in
      !renumbered.contains(key.server) && snapshot.keepsOpen(former, key, element)
    }
    close(
      ended, since: former,
      Cutting(
        lapsed: lapsed,
        atGate: { [unowned self] in isWithdrawn($0, since: former, changed, renumbered) }), completion: completion)
  }

  /// The questions of which something is open that the policy in force would not take: an earlier answer than the one that is
  /// known led elsewhere perhaps. All of the known one stays, so that it may be given on.
  private func outlived(since former: ResolverSnapshot, _ rejudged: Set<UInt16>) -> Set<GrantLedger.Key> {
    guard !rejudged.isEmpty else { return [] }
    return engine.heldQuestions(now: now) { [snapshot] key, element in
      rejudged.contains(key.server) && !snapshot.keepsOpen(former, key, element)
    }
  }

  /// What closed by itself and whose connections are cut as well.
  struct Cutting {
    var lapsed: [GrantElement] = []
    /// Of those that pass the gate; nil for none.
    var atGate: ((GateHolder) -> Bool)?
  }

  /// What was open for a name that is not granted as before, and closed by itself: its connections live on until they are
  /// cut.
  private func lapsed(
    since former: ResolverSnapshot, _ changed: Set<UInt16>, _ renumbered: Set<UInt16>
  ) -> [GrantElement] {
    var elements: [GrantElement] = []
    for server in changed {
      guard let serverIndex = former.server(firewallIndex: server) else { continue }
      for (address, name) in engine.ledger.lapsed(ofServer: server, now: now) {
        let key = GrantLedger.Key(server: server, name: name, type: address.family == .v4 ? .A : .AAAA)
        guard let rule = former.rule(server: server, name: name.wire, type: key.type) else { continue }
        for target in former.servers[serverIndex].targets(of: rule.ports, family: address.family) {
          let element = GrantElement(server: server, address: address, transport: target.transport, port: target.port)
          if renumbered.contains(server) || !snapshot.keepsOpen(former, key, element) { elements.append(element) }
        }
      }
    }
    return elements
  }

  /// Ends the grants that an operator wants ended; how many addresses closed, and how many connections were cut.
  func close(
    servers: Set<UInt16>, by peer: ControlPeer, where condition: (GrantLedger.Key) -> Bool,
    completion: @escaping (Int, Int) -> Void
  ) {
    close(
      engine.end(now: now, servers: servers, as: .operator, where: condition), since: snapshot, members: peer.members,
      completion: completion)
  }

  /// Closes what the engine has ended; how many addresses closed, and how many connections were cut.
  ///
  /// - Parameter cutting: what besides.
  func close(
    _ ended: ResolutionEngine.Closing, since former: ResolverSnapshot, _ cutting: Cutting = Cutting(),
    members: AuditMembers = AuditMembers(), completion: @escaping (Int, Int) -> Void
  ) {
    // An answer that leaves after what it was promised has ended would be none.
    sendHeld()
    keepRecord(released: ended.released, since: former)
    openReports += 1
    let report = ClosingReport { [unowned self] closed, flows in
      openReports -= 1
      if closed > 0 { record(revoked: ended.closed, since: former, flows: flows, members) }
      completion(closed, flows)
      stopIfIdle()
    }
    closeGate(released: ended.released, cutting: cutting.atGate) { report.gateCut($0) }
    shorten(ended.shortened.map(\.element))
    let all = ended.closed + (options.cutsFlows ? cutting.lapsed : [])
    guard let bridge, !all.isEmpty else { return report.bridgeClosed(0, flows: 0) }
    bridge.revoke(all, cutsFlows: options.cutsFlows) { [unowned self] failure, flows in
      if let failure { revocationFailed(ended.closed, failure) }
      report.bridgeClosed(failure == nil ? ended.closed.count : 0, flows: flows)
    }
  }

  /// What came of closing: the bridge tells of addresses and of connections that pass by, the gate of its own.
  private final class ClosingReport {
    private var gate: Int?
    private var bridge: (closed: Int, flows: Int)?
    private let completion: (_ closed: Int, _ flows: Int) -> Void

    init(_ completion: @escaping (Int, Int) -> Void) { self.completion = completion }

    func gateCut(_ connections: Int) {
      gate = connections
      tell()
    }

    func bridgeClosed(_ closed: Int, flows: Int) {
      bridge = (closed, flows)
      tell()
    }

    private func tell() {
      if let gate, let bridge { completion(bridge.closed, bridge.flows + gate) }
    }
  }

  /// What others still hold ends with them and not with the name that is gone.
  func shorten(_ elements: [GrantElement]) {
    for start in stride(from: 0, to: elements.count, by: FirewallOptions.unit) {
      let part = Array(elements[start..<min(start + FirewallOptions.unit, elements.count)])
      let (askedAt, epoch) = (now, shared.epoch.current)
      let unit = engine.ledger.shortening(of: part, now: askedAt)
      commit(unit) { [unowned self] result in
        guard case .committed = result else { return shortenLater(part) }
        engine.ledger.committed(unit, askedAt: askedAt, epoch: epoch)
        advanceEnforcement(.shortened(part))
      }
    }
  }

  /// The kernel has not taken it: until it does, what a name left open that is gone stays open for longer than anything
  /// that is listed. What is closed meanwhile needs it no more.
  private func shortenLater(_ elements: [GrantElement]) {
    if enforcement.overlongCount == 0 {
      StandardError.write(
        "sluice: \(counted(elements.count, "address")) should end sooner than the kernel knows; trying again")
    }
    advanceEnforcement(.notShortened(elements))
  }

  /// One event for each server that lost addresses.
  private func record(
    revoked elements: [GrantElement], since former: ResolverSnapshot, flows: Int, _ members: AuditMembers
  ) {
    for (server, elements) in Dictionary(grouping: elements, by: \.server) {
      guard let serverIndex = former.server(firewallIndex: server) else { continue }
      let addresses = Set(elements.map(\.address)).sorted()
      _ = push(
        AuditRecordHeader(service: .revoked, wallClock: shared.clock().wall), server: former.servers[serverIndex].name,
        destination: [],
        AuditMembers(.addresses, Array(addresses.prefix(Self.listedAddresses)))
          .with(.addressCount, addresses.count)
          .with(.flowsCut, flows)
          .with(.policy, snapshot.policy.fingerprint)
          .with(members))
    }
  }

  /// Records what an operator changed.
  ///
  /// - Parameter server: whom it is about, where the request does not say.
  func recordChange(_ code: AuditCode, _ request: ControlRequest, server: String? = nil, _ members: AuditMembers) {
    let server = (request.query["server"] ?? server).map { Array($0.utf8) } ?? everybody
    let destination = request.query["name"] ?? request.query["address"] ?? ""
    _ = push(
      AuditRecordHeader(service: code, wallClock: shared.clock().wall), server: server,
      destination: Array(destination.utf8), members.with(request.peer.members))
  }

  /// As many as fit a line that people read.
  private static let listedAddresses = 32
}
