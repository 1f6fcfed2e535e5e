import AuditLog
import ControlAPI
import DNSWire
import EgressPolicy
import Enforcement
import FirewallBridge
import FirewallModel
import GateModel
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver

/// Telling the gate what was resolved, and recording what it says of connections.
extension ResolutionService {
  /// Holdings that are told in a row; questions wait for them.
  private static let gateSlice = 2_048
  /// Milliseconds in which the gate says how many connections it cut: what it says later is done, and not counted.
  private static let gateCountPatience: UInt64 = 2_000

  func gateChanged(_ event: GateEvent) {
    switch event {
    case .up:
      inspection.connections.endAll(now: now)
      replayToGate()
    case .down:
      guard !isStopping else { return }
      // Only what starts serve can start a gate with its user.
      onFailure?("the gate is gone: sluice has to be started anew; what is open through it is closed until then")
    case .judged(let connection, let gated): judged(connection, gated)
    case .volumes(let volumes): count(volumes)
    case .inspected(let connection): inspected(connection)
    case .ended(let connection): inspection.connections.ended(connection, now: now)
    }
  }

  /// Whether connections of a server may have to say a name.
  func checksNames(_ server: UInt16) -> Bool {
    gate != nil && snapshot.server(firewallIndex: server).map { snapshot.servers[$0].checksNames } ?? false
  }

  /// What an answer that is to be promised stands for at the gate; its receipt is a part of the commit (P2).
  func openGate(for planned: ResolutionEngine.Planned, _ completion: @escaping (Bool) -> Void) {
    guard let gate else { return completion(false) }
    let holdings = engine.ledger.wanted(planned.elements, by: planned.key).compactMap { element, wish in
      holding(planned.key, element, until: wish.until)
    }
    gate.open(holdings, deadline: reactor.now.adding(milliseconds: options.commitDeadline), completion)
  }

  /// Elements are held for longer than was told.
  func tellGate(ofHolders elements: [GrantElement]) {
    guard let gate else { return }
    gate.tell(
      elements.filter { checksNames($0.server) }.flatMap { element in
        engine.ledger.holders(of: element, now: now).compactMap { holding($0, element, until: $1.until) }
      })
  }

  /// What ended before its time; connections that said a name end with it, unless a question for another type holds it there.
  ///
  /// - Parameters:
  ///   - withdrawn: whether a connection that passes by a name may no more, also where nothing held the name any longer; nil asks of
  ///     none.
  ///   - completion: learns how many connections were cut there.
  func closeGate(
    released: [(key: GrantLedger.Key, element: GrantElement)], cutting withdrawn: ((GateHolder) -> Bool)?,
    _ completion: @escaping (Int) -> Void
  ) {
    guard let gate else { return completion(0) }
    var (gone, stays) = ([GateHolding](), [GateHolding]())
    for (key, element) in released {
      let holding = GateHolding(element: element, name: key.name, until: 0, isChecked: true)
      let isHeld = engine.ledger.names(of: element, now: now).contains(key.name)
      if isHeld { stays.append(holding) } else { gone.append(holding) }
    }
    // What holds it still is told anew: its end may be an earlier one.
    gate.close(stays)
    tellGate(ofHolders: Array(Set(stays.map(\.element))))
    guard options.cutsFlows else {
      gate.close(gone)
      return completion(0)
    }
    let tally = GateTally(withdrawn == nil ? 1 : 2, completion)
    _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.gateCountPatience)) { tally.end() }
    gate.cut(gone) { tally.add($0) }
    guard let withdrawn else { return }
    gate.review { [unowned self] holders in
      let lost = holders.filter(withdrawn).map {
        GateHolding(element: $0.element, name: $0.name, until: 0, isChecked: true)
      }
      self.gate?.cut(lost) { tally.add($0) }
      // What was resolved again meanwhile stands as it was told.
      tellGate(ofHolders: Array(Set(lost.map(\.element))))
    }
  }

  /// Whether a connection that passes by a name may no more: whatever type of question opened it, policy does not grant it as it
  /// did.
  func isWithdrawn(
    _ holder: GateHolder, since former: ResolverSnapshot, _ changed: Set<UInt16>, _ renumbered: Set<UInt16>
  ) -> Bool {
    let element = holder.element
    guard changed.contains(element.server) else { return false }
    let types = Self.types(opening: element)
    return renumbered.contains(element.server)
      || !types.contains { type in
        let key = GrantLedger.Key(server: element.server, name: holder.name, type: type)
        // By a rule of every port its connections are of one of them.
        return snapshot.keepsOpen(former, key, element)
      }
  }

  /// The types of questions whose answers open an element.
  static func types(opening element: GrantElement) -> [RRType] {
    [element.address.family == .v4 ? .A : .AAAA, .HTTPS, .SVCB]
  }

  /// All that the gate has to know, from the beginning.
  func replayToGate() {
    guard let gate else { return }
    gate.use(
      snapshot.policy.servers.indices.flatMap { place in
        snapshot.policy.servers[place].networks.map {
          GateNetwork(prefix: $0.prefix, server: snapshot.servers[place].firewallIndex)
        }
      })
    gateReplay &+= 1
    replayToGate(gateReplay, from: GrantLedger.HoldingCursor())
  }

  private func replayToGate(_ number: UInt64, from start: GrantLedger.HoldingCursor) {
    guard let gate, number == gateReplay else { return }
    var (cursor, holdings) = (start, [GateHolding]())
    let isLeft = engine.ledger.forEachHolding(now: now, from: &cursor, atMost: Self.gateSlice) {
      key, element, wish in
      if checksNames(element.server), let holding = holding(key, element, until: wish.until) {
        holdings.append(holding)
      }
    }
    gate.tell(holdings)
    guard isLeft else { return gate.ready() }
    _ = reactor.schedule(at: reactor.now) { [unowned self] in replayToGate(number, from: cursor) }
  }

  /// Nil where policy does not open the element for the name any more.
  private func holding(_ key: GrantLedger.Key, _ element: GrantElement, until: UInt64) -> GateHolding? {
    guard let rule = snapshot.rule(server: key.server, name: key.name.wire, type: key.type) else { return nil }
    let check = rule.check.flatMap { $0.covers(transport: element.transport, port: element.port) ? $0 : nil }
    return GateHolding(
      element: element, name: key.name, until: until, isChecked: check != nil, allowsHiding: check?.hiding == .allow,
      isInspected: check?.inspector != nil, limits: rule.limits)
  }

  // MARK: - Records

  /// Records what became of a connection; one whose record does not stand does not pass (P6).
  private func judged(_ connection: UInt64, _ gated: GatedConnection) {
    gateCounts.count(gated.verdict)
    let isStored = record(gated, as: meaning(of: gated.verdict), inspectorMembers(connection, gated))
    if gated.verdict == .verified, isStored {
      admit(connection, gated)
    } else if gated.verdict.waits {
      gate?.record(connection, isStored)
    }
    if gated.verdict.isOfInspector { refusedByInspector(connection, gated) }
    // Whether its address can be reached an inspector knows, and says so itself. Where the kernel may not hold what was promised the
    // gate's own way may be missing.
    if gated.verdict == .unreachable, !enforcement.incident.isOpen, inspection.connections.entry(of: connection) == nil
    {
      bridge?.refuseUnreachable([gated.element])
    }
  }

  func record(_ gated: GatedConnection, as code: AuditCode) -> Bool { record(gated, as: (code, nil)) }

  private func record(
    _ gated: GatedConnection, as meaning: (code: AuditCode, remedy: String?), _ others: AuditMembers? = nil
  ) -> Bool {
    let (code, remedy) = meaning
    // What is refused is told as long as there is room for it.
    guard !gated.verdict.waits || !shared.audit.isBlocked else {
      lost.countUnrecorded(isConnection: code.isConnection)
      return false
    }
    let element = gated.element
    // Of most connections, which say a right name, nobody asks which else there are.
    let isPlain = !gated.verdict.isOfName && !gated.said.isEmpty
    let names = isPlain ? [] : engine.ledger.names(of: element, now: now).map(\.description)
    let unsaid = isPlain ? "" : capped(gated.verdict, element) ?? names.last ?? element.address.description
    let destination = gated.said.isEmpty ? unsaid : gated.said
    var members = AuditMembers(.address, element.address).with(.protocol, "tcp").with(.port, element.port)
    if gated.verdict.isOfName {
      members.append(.expected, Array(names.suffix(Self.expectedNames)))
    }
    return push(
      AuditRecordHeader(
        connection: code, transport: element.transport, port: element.port,
        payloadSize: gated.length, client: gated.client, clientPort: gated.clientPort, wallClock: gated.time),
      server: Array((serverName(element.server) ?? "").utf8), destination: Array(destination.utf8),
      members.with(others).with(.remedy, remedy))
  }

  /// The name whose cap a connection is beyond that said none.
  private func capped(_ verdict: GateVerdict, _ element: GrantElement) -> String? {
    let cap: (ByteCap.Kind, ByteBound.Excess)? =
      switch verdict {
      case .overConnection: (.perConnection, .block)
      case .overHour: (.perHour, .block)
      case .toldConnection: (.perConnection, .audit)
      case .toldHour: (.perHour, .audit)
      case .verified, .mismatch, .nameMissing, .notTLS, .mayHide, .unreachable, .crowded, .ended, .inspectorRefused,
        .inspectorGone, .inspectorSilent, .inspectorGarbled:
        nil
      }
    return cap.flatMap { cappedName(of: element, $0, $1, at: now)?.description }
  }

  /// As many as fit a line that people read.
  private static let expectedNames = 8
}
