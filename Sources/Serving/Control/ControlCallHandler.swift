import Enforcement
import FirewallModel
import AuditLog
import AuditStore
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import GrantLedger
import HTTP2
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache
import Settings
import TLS
import Upstream
import Validator

/// Answers the calls of the control API, on the resolver's thread.
///
/// Every process that may connect may read. What changes something is for root and for the user that the service runs as,
/// and is an event of the audit log with the caller's uid and pid.
final class ControlCallHandler {
  typealias Completion = @Sendable (ControlResponse) -> Void

  let service: ResolutionService
  let settings: Settings
  let audit: any AuditState
  /// Nanoseconds since 1970.
  let started: UInt64
  private let startedMonotonic: UInt64
  let policies: PolicyController
  /// What waits for upstream or the firewall.
  var inFlight: [UInt64: (AskedQuestion, Completion)] = [:]
  var lastID: UInt64 = 0
  let mailbox: Mailbox<ResolverMessage>

  init(
    service: ResolutionService, policies: PolicyController, settings: Settings, audit: any AuditState, started: UInt64,
    mailbox: Mailbox<ResolverMessage>
  ) {
    self.service = service
    self.policies = policies
    self.settings = settings
    self.audit = audit
    self.started = started
    startedMonotonic = service.now
    self.mailbox = mailbox
  }

  func take(_ request: ControlRequest, _ completion: @escaping Completion) {
    if observe(request, completion) { return }
    // Of a listener for metrics nothing is known of who calls.
    guard request.path.first == ControlAPI.version, request.peer != .nobody else {
      let expected = request.peer == .nobody ? "/metrics, /healthz or /readyz" : "/v1/…, /metrics, /healthz or /readyz"
      return completion(.error(404, "no such path; expected \(expected)"))
    }
    if request.method != .get, !request.peer.mayChange {
      return completion(
        .error(403, "uid \(request.peer.uid) may read only; changes are for root and the service's own user"))
    }
    // What only takes away may go on: a full disk is no reason to leave something open.
    if request.method == .post, audit.isBlocked, ControlAPI.Call(request) != .findings {
      return completion(.error(503, "the audit log cannot be written, and no change is made without a record"))
    }
    do throws(ControlAPI.CallError) {
      switch (request.method, ControlAPI.Call(request), request.path.count) {
      case (.get, .status, 2): try status(request, completion)
      case (.get, .servers, 2): try listServers(request, completion)
      case (.get, .cache, 2): try listCache(request, completion)
      case (.delete, .cache, 2): try flush(request, completion)
      case (.get, .grants, 2): try listGrants(request, completion)
      case (.delete, .grants, 2): try revoke(request, completion)
      case (.post, .reload, 2): try startReload(request, completion)
      case (.get, .permits, 2): try listPermits(request, completion)
      case (.post, .permits, 2): try permit(request, completion)
      case (.delete, .permits, 2): try withdraw(request, completion)
      case (.post, .findings, 2): try find(request, completion)
      case (.post, .query, 2): try query(request, completion)
      case (.get, .explanation, 2): try explain(request, completion)
      case (_, .some, 2):
        completion(.error(405, "\(request.path.joined(separator: "/")) does not take \(request.method.rawValue)"))
      default:
        completion(.error(404, "no such path: /\(request.path.joined(separator: "/"))"))
      }
    } catch {
      completion(error.response)
    }
  }

  func check(_ request: ControlRequest, _ parameters: Set<String>) throws(ControlAPI.CallError) {
    if let other = request.query.keys.sorted().first(where: { !parameters.contains($0) }) {
      let expected = parameters.isEmpty ? "none" : parameters.sorted().joined(separator: ", ")
      throw ControlAPI.CallError(400, "unknown parameter \(other); expected \(expected)")
    }
  }

  /// The indexes of the servers that a call is about: one, or all.
  func serverIndexes(_ request: ControlRequest) throws(ControlAPI.CallError) -> [Int] {
    let servers = service.snapshot.policy.servers
    guard let name = request.query["server"] else { return Array(servers.indices) }
    guard let serverIndex = service.snapshot.policy.server(named: name) else {
      throw unknownServer(name)
    }
    return [serverIndex]
  }

  func unknownServer(_ name: String) -> ControlAPI.CallError {
    ControlAPI.CallError(404, UnknownServer.text(name, among: service.snapshot.policy.servers.map(\.name.text)))
  }

  func name(_ request: ControlRequest) throws(ControlAPI.CallError) -> Name? {
    guard let text = request.query["name"] else { return nil }
    do throws(NameError) {
      return try Name(presentation: text)
    } catch {
      throw ControlAPI.CallError(400, "name is '\(text)': \(error)")
    }
  }

  // MARK: - status

  /// Tells how the server is; what is counted by server is added up on another thread.
  private func status(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, [])
    let (snapshot, status) = (service.snapshot, status())
    Background.run {
      var status = status
      status.queries = ControlAPI.Counts(snapshot)
      status.cacheEntries = snapshot.servers.reduce(0) { $0 + $1.cache.count }
      completion(ControlResponse(json: status))
    }
  }

  /// Tells each server's counts, added up on another thread.
  private func listServers(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server"])
    let (snapshot, serverIndexes) = (service.snapshot, try serverIndexes(request))
    let open = serverIndexes.map { service.engine.ledger.elementCount(ofServer: snapshot.servers[$0].firewallIndex) }
    Background.run {
      let servers = zip(serverIndexes, open).map { serverIndex, open in
        ControlAPI.Server(
          server: snapshot.policy.servers[serverIndex].name.text,
          queries: ControlAPI.Counts(snapshot.servers[serverIndex].counts),
          cacheEntries: snapshot.servers[serverIndex].cache.count, grants: open)
      }
      completion(ControlResponse(json: ControlAPI.ServerList(servers: servers)))
    }
  }

  var violations: PromiseViolations {
    var violations = service.violations
    violations.unrecorded = audit.counters.corrupt
    return violations
  }

  private func status() -> ControlAPI.Status {
    let policy = service.snapshot.policy
    let counters = audit.counters
    let mode = settings.firewall.mode
    let absent = HostAddresses.absent(of: settings.listen).map(\.description)
    var status = ControlAPI.Status(
      faults: faults, version: Release.version, pid: Int(getpid()), since: ControlAPI.time(nanoseconds: started),
      uptime: (service.now - startedMonotonic) / 1_000_000_000, listen: settings.listen.map(\.description),
      listenAbsent: absent.isEmpty ? nil : absent,
      policy: ControlAPI.Status.Policy(
        fingerprint: policy.fingerprint, servers: policy.servers.count,
        names: policy.nameCount, since: ControlAPI.time(nanoseconds: service.policySince)),
      needsRestart: policies.needsRestart.map(ControlAPI.Change.init),
      queries: ControlAPI.Counts(),
      upstreams: upstreams,
      upstreamExchanges: service.upstream.statistics.exchanges,
      upstreamWrongAnswers: service.upstream.statistics.wrongAnswers,
      bridge: ControlAPI.Status.Bridge(
        mode: mode.rawValue, table: mode == .off ? nil : "\(settings.firewall.family) \(settings.firewall.table)",
        state: mode == .off ? "off" : service.enforcement.isBridgeUp ? "up" : "down",
        incarnation: service.enforcement.incarnation,
        grants: service.engine.ledger.elementCount, degraded: service.enforcement.incident.isOpen,
        enclosed: service.enclosure.report.links.map(\.interface),
        others: service.enclosure.report.links.filter { !$0.others.isEmpty }.map {
          ControlAPI.Status.Others(interface: $0.interface, prefixes: $0.others.map(\.description))
        },
        exposed: service.enclosure.report.exposures.map {
          ControlAPI.Status.Exposed($0, server: service.serverName($0.server) ?? "?")
        },
        displaced: service.enclosure.report.displacements.map {
          ControlAPI.Status.Displaced($0, server: service.serverName($0.server) ?? "?")
        }, absent: service.enclosure.report.absent.map(\.description),
        held: service.enclosure.held.map(ControlAPI.Status.Held.init)),
      audit: ControlAPI.Status.Audit(
        path: settings.audit.path, blocked: audit.isBlocked,
        blockedFault: counters.blockedFault.map(SystemError.text), records: counters.records, events: counters.written,
        suppressed: counters.suppressed, recovered: counters.recovered, corrupt: counters.corrupt,
        rotationFault: counters.rotationFault.map(SystemError.text), replaced: counters.replacements,
        pending: audit.pending.octets, room: audit.pending.room),
      violations: violations, lost: service.lost, refusalLogRead: service.isRefusalLogRead,
      permits: policies.permits.count,
      cacheEntries: 0, inFlight: service.engine.resolutionCount)
    status.validator = service.validation.map(ControlAPI.Status.Validator.init)
    status.gate = GateReading(service).map(ControlAPI.Status.Gate.init)
    return status
  }
}

extension ControlAPI.Status.Validator {
  fileprivate init(_ validation: AnswerValidation) {
    let counts = validation.link.statistics
    self.init(
      state: validation.link.isUp ? "up" : "down", judgements: counts.judgements, bogus: counts.bogus,
      failures: counts.failures, restarts: counts.restarts, questions: validation.questions)
  }
}

extension ControlAPI.Status.Gate {
  fileprivate init(_ gate: GateReading) {
    let counts = gate.counts
    self.init(
      state: gate.isAnswering ? "up" : "down", restarts: gate.restarts, verified: counts.verified,
      refused: counts.refused, unreachable: counts.unreachable, cut: counts.cut, told: counts.told)
    inspection = gate.inspection.isUsed ? Inspection(gate.inspection) : nil
  }
}

extension ControlAPI.Status.Gate.Inspection {
  fileprivate init(_ reading: InspectionReading) {
    self.init(
      inspected: reading.counts.inspected, refused: reading.counts.refused, blocked: reading.counts.blocked,
      flagged: reading.counts.flagged,
      inspectors: reading.inspectors.map {
        ControlAPI.Status.Gate.Inspector(address: $0.inspector.description, state: $0.isUp ? "up" : "down")
      })
  }
}

extension ControlAPI.Status.Exposed {
  fileprivate init(_ exposure: EnclosureReport.Exposure, server: String) {
    self.init(
      network: exposure.network.description, server: server, interface: exposure.interface,
      cause: EnclosureText.cause(of: exposure.gap))
  }
}

extension ControlAPI.Status.Displaced {
  fileprivate init(_ displacement: EnclosureReport.Displacement, server: String) {
    self.init(
      network: displacement.network.description, server: server, interface: displacement.interface,
      pinned: displacement.pinned)
  }
}

extension ControlAPI.Change {
  init(_ change: ChangedValue) { self.init(entry: change.entry, key: change.key, was: change.was, now: change.now) }
}

extension ControlAPI.Status.Held {
  init(_ held: HeldNetwork) { self.init(network: held.prefix.description, server: held.server) }
}

extension ControlResponse {
  init(json value: some Encodable, status: Int = 200) {
    self.init(status: status, body: ControlAPI.encode(value))
  }
}

extension ControlPeer {
  /// As members of an audit event.
  var members: AuditMembers { AuditMembers(.uid, uid).with(.pid, pid) }
}

extension ControlAPI.Call {
  /// Nil for a path of no call.
  fileprivate init?(_ request: ControlRequest) { self.init(rawValue: request.path.dropFirst().first ?? "") }
}

extension ControlAPI {
  /// A call that cannot be carried out as it is.
  struct CallError: Error {
    var response: ControlResponse

    init(_ status: Int, _ text: String, findings: [String]? = nil) {
      response = ControlResponse(json: Failure(error: text, findings: findings), status: status)
    }
  }
}

extension ControlAPI.Counts {
  /// Of all servers, and of unknown clients.
  init(_ snapshot: ResolverSnapshot) {
    self.init()
    for counts in snapshot.servers.map(\.counts) + [snapshot.unknownClients] { add(counts) }
  }

  init(_ counts: QueryCounts) {
    self.init()
    add(counts)
  }

  private mutating func add(_ counts: QueryCounts) {
    // A failure that is remembered is a failure.
    let remembered = counts.total(.cached, .SERVFAIL)
    cached += counts.total(.cached) - remembered
    resolved += counts.total(.resolved)
    denied += counts.total(.denied)
    special += counts.total(.special)
    failed += counts.total(.failed) + remembered
    malformed += counts.total(.malformed)
    total = cached + resolved + denied + special + failed + malformed
  }
}

extension ControlCallHandler {
  private var upstreams: [ControlAPI.Status.Upstream] {
    service.upstream.states.map { state in
      var upstream = ControlAPI.Status.Upstream(state)
      upstream.intercepted = service.engine.interceptions.network(of: state.address)?.description
      return upstream
    }
  }
}

extension ControlAPI.Status.Upstream {
  init(_ state: UpstreamPool.State) {
    self.init(
      address: state.address, zone: state.zone?.description, healthy: state.isHealthy, answered: state.hasAnswered,
      latencyMs: state.latency,
      failures: state.failures, byTcp: state.isByStream)
    (refusing, refusals, refusedAs) = (state.isRefusing, state.refusals, state.lastRefusal?.description)
    (tlsFault, tlsFaultText) = (state.fault?.rawValue, state.fault?.text)
    (httpFault, httpFaultText) = (state.httpFault?.token, state.httpFault?.text)
  }
}
