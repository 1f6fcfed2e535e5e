import AuditLog
import ControlAPI
import DNSWire
import EgressPolicy
import FirewallModel
import GateModel
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver

/// What is known of inspected connections, of those who inspect them, and what they found.
struct Inspection {
  var connections = InspectedConnections()
  var watch = InspectorWatch()
  var counts = Counts()

  /// Since the start.
  struct Counts: Sendable {
    /// Connections that an inspector took.
    var inspected: UInt64 = 0
    /// Those that none took, or that one said no to.
    var refused: UInt64 = 0
    /// Findings, by what they asked for.
    var blocked: UInt64 = 0
    var flagged: UInt64 = 0
  }
}

/// Sending connections through inspectors, and recording what these find.
extension ResolutionService {
  /// Where a connection goes that says a right name.
  private enum Way {
    case straight
    case through(Inspector, rule: String)
    /// Policy opens its address for the name no more.
    case none
  }

  /// Octets of an entry's place that are handed on, its end.
  private static let placeOctets = 512

  /// Lets a connection pass whose record stands: straight, or through the inspector that policy names now.
  func admit(_ connection: UInt64, _ gated: GatedConnection) {
    switch way(of: gated) {
    case .straight: gate?.record(connection, true)
    case .none:
      _ = record(gated, as: .withdrawn)
      gate?.record(connection, false)
    case .through(let inspector, let rule):
      let entry = InspectedConnections.Entry(
        connection: connection, inspector: inspector, gated: gated, rule: rule, ended: nil)
      guard let id = inspection.connections.enter(entry, now: now) else {
        _ = record(gated, as: .gateFull)
        gate?.record(connection, false)
        return
      }
      gate?.inspect(
        connection,
        InspectionOrder(
          inspector: inspector, id: id, server: serverName(gated.element.server) ?? "",
          rule: String(decoding: rule.utf8.suffix(Self.placeOctets), as: UTF8.self)))
    }
  }

  private func way(of gated: GatedConnection) -> Way {
    guard let place = snapshot.server(firewallIndex: gated.element.server) else { return .none }
    guard !snapshot.policy.servers[place].inspectors.isEmpty else { return .straight }
    // That the name holds the address the gate has judged already.
    let types = Self.types(opening: gated.element)
    // What is no name was not judged as one.
    guard let name = Name(written: gated.said),
      let rule = types.lazy.compactMap({ [snapshot] in
        snapshot.rule(server: gated.element.server, name: name.wire, type: $0)
      }).first
    else { return .none }
    guard let check = rule.check, check.covers(transport: gated.element.transport, port: gated.element.port),
      let inspector = check.inspector
    else { return .straight }
    return .through(inspector, rule: rule.location.description)
  }

  /// An inspector has taken a connection.
  func inspected(_ connection: UInt64) {
    guard let inspector = inspection.connections.entry(of: connection)?.inspector else { return }
    inspection.counts.inspected += 1
    guard let settled = inspection.watch.passed(inspector) else { return }
    _ = reactor.schedule(at: MonotonicTime(nanoseconds: max(settled, now))) { [unowned self] in settle(inspector) }
  }

  private func settle(_ inspector: Inspector) {
    guard let ended = inspection.watch.settle(inspector, now: now) else { return }
    StandardError.write("sluice: inspector \(inspector) takes connections again; \(ended.refused) were refused")
    _ = push(
      AuditRecordHeader(service: .inspectorRestored, wallClock: shared.clock().wall), server: everybody,
      destination: Array(inspector.description.utf8),
      AuditMembers(.inspector, inspector.description).with(.refused, ended.refused)
        .with(.durationMilliseconds, ended.milliseconds))
  }

  /// An inspector did not let a connection through, which is refused with a record of its own; of the first in a row there is one of the
  /// inspector besides.
  func refusedByInspector(_ connection: UInt64, _ gated: GatedConnection) {
    inspection.counts.refused += 1
    guard let inspector = inspection.connections.entry(of: connection)?.inspector,
      let fault = gated.verdict.inspectorFault,
      // Of one that policy names no more nothing would tell the end.
      snapshot.policy.servers.contains(where: { $0.inspectors.contains(inspector) }),
      inspection.watch.failed(inspector, now: now)
    else { return }
    StandardError.write(
      "sluice: inspector \(inspector) does not take connections (\(fault.rawValue)): names that it inspects cannot be reached"
    )
    _ = push(
      AuditRecordHeader(service: .inspectorDown, wallClock: shared.clock().wall), server: everybody,
      destination: Array(inspector.description.utf8),
      AuditMembers(.inspector, inspector.description).with(.cause, fault.rawValue))
  }

  /// What the event of a connection says besides that an inspector did not let through.
  func inspectorMembers(_ connection: UInt64, _ gated: GatedConnection) -> AuditMembers? {
    guard gated.verdict.isOfInspector, let entry = inspection.connections.entry(of: connection) else { return nil }
    let cause =
      gated.verdict == .inspectorRefused ? "http-\(gated.status)" : gated.verdict.inspectorFault?.rawValue
    return AuditMembers(.inspector, entry.inspector.description).with(.cause, cause).with(.rule, entry.rule)
  }

  // MARK: - Findings

  /// Why a finding is not taken.
  enum FindingRefusal: Error {
    case unknownConnection
    /// What it asked for is done all the same.
    case unrecorded(wasCut: Bool)
  }

  /// Records what an inspector found in a connection, and cuts that where it says so and it lives.
  ///
  /// - Returns: whether it lived.
  func take(_ finding: ControlAPI.Finding) throws(FindingRefusal) -> Bool {
    guard let entry = inspection.connections[finding.connection] else { throw .unknownConnection }
    let lives = entry.ended == nil
    let cuts = finding.action == .block && lives
    // First, whatever comes of the record: what only takes away may go on.
    if cuts { gate?.cut(entry.connection) }
    if finding.action == .block { inspection.counts.blocked += 1 } else { inspection.counts.flagged += 1 }
    let gated = entry.gated
    let members = AuditMembers(.address, gated.element.address).with(.protocol, "tcp")
      .with(.port, gated.element.port).with(.inspector, entry.inspector.description)
      .with(.finding, finding.kind).with(.evidence, finding.evidence).with(.rule, entry.rule)
    let header = AuditRecordHeader(
      connection: meaning(of: finding.action).code,
      transport: gated.element.transport, port: gated.element.port,
      payloadSize: UInt32(clamping: finding.octets ?? 0), client: gated.client, clientPort: gated.clientPort,
      wallClock: shared.clock().wall)
    guard !shared.audit.isBlocked,
      push(
        header, server: Array((serverName(gated.element.server) ?? "").utf8), destination: Array(gated.said.utf8),
        members)
    else { throw .unrecorded(wasCut: cuts) }
    return lives
  }
}
