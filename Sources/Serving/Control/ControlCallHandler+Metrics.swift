import Enforcement
import AuditStore
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import GrantLedger
import Resolver
import ResponseCache
import Settings
import Upstream
import Validator

/// What `/metrics` says, read on the resolver's thread and written down on another: 10,000 servers are some megabytes.
struct MetricsReading: Sendable {
  var version: String
  /// Nanoseconds since 1970.
  var started: UInt64
  var policySince: UInt64
  /// Each listen address, and whether an interface of the host has it.
  var listen: [(address: String, isThere: Bool)]
  var snapshot: ResolverSnapshot
  var upstreams: [UpstreamPool.State]
  var upstream: UpstreamPool.Statistics
  /// By index in `snapshot.servers`.
  var openings: [Int]
  var openingLimit: Int
  var resolution: DurationHistogram
  var commits: DurationHistogram
  var commitResults: CommitResults
  var hasFirewall: Bool
  var isBridgeUp: Bool
  var isDegraded: Bool
  var incidents: UInt64
  var reloads: UInt64
  var refusedReloads: UInt64
  var inFlight: Int
  var audit: AuditCounters
  var isAuditBlocked: Bool
  var auditPending: (octets: Int, room: Int)
  var violations: PromiseViolations
  var lost: LostCounts
  var isRefusalLogRead: Bool
  /// By the name of the server.
  var refusals: [String: RefusalCounts.Total]
  var permits: Int
  /// Nil where nothing is validated.
  var validation: ValidationReading?
  /// Nil where no connection has to say a name.
  var gate: GateReading?

  /// No name that was asked for is ever a label: a client could make as many series as it likes.
  func text() -> [UInt8] {
    var text = MetricsText()
    text.family("sluice_build_info", .gauge, "Version of the running sluice.")
    text.sample("sluice_build_info", ["version": version], 1)
    text.family("sluice_start_time_seconds", .gauge, "When it started, since 1970.")
    text.sample("sluice_start_time_seconds", Double(started) / 1e9)
    text.family(
      "sluice_listen_address_present", .gauge,
      "1 while an interface of the host has a listen address; 0: not there yet.")
    for listen in listen {
      text.sample("sluice_listen_address_present", ["address": listen.address], listen.isThere ? 1 : 0)
    }
    queries(&text)
    upstreams(&text)
    firewall(&text)
    validation?.write(&text)
    gate?.write(&text)
    policy(&text)
    audit(&text)
    text.family(
      "sluice_promise_violations_total", .counter, "How often it was seen that a promise did not hold; 0 is well.")
    for (promise, kind, count) in violations.kinds {
      text.sample("sluice_promise_violations_total", ["promise": promise, "kind": kind], count)
    }
    text.family("sluice_lost_total", .counter, "What could not be told or done; 0 is well.")
    for (kind, count) in lost.kinds { text.sample("sluice_lost_total", ["kind": kind], count) }
    return text.octets
  }

  private func queries(_ text: inout MetricsText) {
    text.family("sluice_queries_total", .counter, "Queries of a server's clients, by what became of them.")
    for (policy, state) in zip(snapshot.policy.servers, snapshot.servers) {
      samples("sluice_queries_total", state.counts, server: policy.name.text, &text)
    }
    // By the former name as well, for what reads it already.
    for name in ["sluice_unknown_client_queries_total", "sluice_stranger_queries_total"] {
      text.family(name, .counter, "Queries of clients in no server's network, and messages that are no query.")
      samples(name, snapshot.unknownClients, server: nil, &text)
    }
    text.family("sluice_cache_entries", .gauge, "Answers in a server's cache.")
    for (policy, state) in zip(snapshot.policy.servers, snapshot.servers) {
      text.sample("sluice_cache_entries", ["server": policy.name.text], state.cache.count)
    }
    text.family("sluice_questions_in_flight", .gauge, "Questions that wait for upstream or firewall.")
    text.sample("sluice_questions_in_flight", inFlight)
    text.histogram(
      "sluice_resolution_seconds", "From the arrival of a question that was not in the cache to its answer.", resolution
    )
  }

  private func samples(_ name: String, _ counts: QueryCounts, server: String?, _ text: inout MetricsText) {
    for verdict in QueryOutcome.allCases {
      for code in QueryCounts.codes {
        let total = counts.total(verdict, code)
        // A server's denials and hits are there from the start, so that rates of them are.
        guard
          total > 0
            || server != nil && (verdict == .denied && code == .NXDOMAIN || verdict == .cached && code == .NOERROR)
        else {
          continue
        }
        let word = code?.description ?? "other"
        if let server {
          text.sample(name, ["server": server, "verdict": verdict.label, "code": word], total)
        } else {
          text.sample(name, ["verdict": verdict.label, "code": word], total)
        }
      }
    }
  }

  private func upstreams(_ text: inout MetricsText) {
    text.family("sluice_upstream_healthy", .gauge, "1 while an upstream answers.")
    for state in upstreams {
      text.sample("sluice_upstream_healthy", state.labels, state.isHealthy ? 1 : 0)
    }
    text.family("sluice_upstream_refusing", .gauge, "1 while an upstream is there and refuses whatever it is asked.")
    for state in upstreams {
      text.sample("sluice_upstream_refusing", state.labels, state.isRefusing ? 1 : 0)
    }
    text.family("sluice_upstream_latency_seconds", .gauge, "Round trip to an upstream, smoothed.")
    for state in upstreams {
      if let latency = state.latency {
        text.sample("sluice_upstream_latency_seconds", state.labels, latency / 1000)
      }
    }
    for (name, help, value) in [
      ("exchanges", "Questions sent upstream.", upstream.exchanges),
      (
        "messages", "Messages sent upstream, as an upstream counts them: questions, repetitions and probes.",
        upstream.messages
      ),
      ("refusals", "Answers of upstreams that were none: SERVFAIL, REFUSED and the like.", upstream.refusals),
      ("probes", "Questions of our own, by which an upstream is judged.", upstream.probes),
      ("joined", "Questions that joined one in flight.", upstream.joined),
      (
        "hedges", "Questions of which a second upstream was asked early, since the first one is mostly faster.",
        upstream.hedges
      ),
      ("failures", "Questions that no upstream answered.", upstream.failures),
      (
        "wrong_answers", "Datagrams that were no answer to what was asked: forged, late or broken.",
        upstream.wrongAnswers
      ),
      ("mismatches", "How often there were so many that an upstream was asked by TCP alone.", upstream.mismatches),
      (
        "overloads", "Questions that ended, or were not sent, because others had a right to the place.",
        upstream.overloads
      ),
    ] {
      text.family("sluice_upstream_\(name)_total", .counter, help)
      text.sample("sluice_upstream_\(name)_total", value)
    }
  }

  private func firewall(_ text: inout MetricsText) {
    guard hasFirewall else { return }
    text.family("sluice_open_elements", .gauge, "Addresses with port that are open, or asked for, of a server.")
    for (policy, open) in zip(snapshot.policy.servers, openings) {
      text.sample("sluice_open_elements", ["server": policy.name.text], open)
    }
    text.family("sluice_open_elements_limit", .gauge, "How many a server may have.")
    text.sample("sluice_open_elements_limit", openingLimit)
    text.family("sluice_commits_total", .counter, "Grants handed to the firewall bridge, by what became of them.")
    let results = [
      ("committed", commitResults.committed), ("refused", commitResults.refused), ("late", commitResults.late),
      ("outside", commitResults.outside),
    ]
    for (result, count) in results {
      text.sample("sluice_commits_total", ["result": result], count)
    }
    text.histogram("sluice_commit_seconds", "From asking the firewall bridge to its answer.", commits)
    text.family("sluice_bridge_up", .gauge, "1 while the firewall bridge lives and can feed the kernel.")
    text.sample("sluice_bridge_up", isBridgeUp ? 1 : 0)
    text.family(
      "sluice_refusal_log_read", .gauge, "0 while another program reads what the kernel tells of refused packets.")
    text.sample("sluice_refusal_log_read", isRefusalLogRead ? 1 : 0)
    for (name, help, value) in [
      ("refused", "Packets that the kernel refused of a server, as of the last minute.", \RefusalCounts.Total.refused),
      ("told", "Those of them that have an event.", \RefusalCounts.Total.told),
    ] {
      text.family("sluice_packets_\(name)_total", .counter, help)
      for (server, total) in refusals.sorted(by: { $0.key < $1.key }) {
        text.sample("sluice_packets_\(name)_total", ["server": server], total[keyPath: value])
      }
    }
    text.family("sluice_enforcement_degraded", .gauge, "1 while the kernel may not hold what was granted, or more.")
    text.sample("sluice_enforcement_degraded", isDegraded ? 1 : 0)
    text.family("sluice_enforcement_incidents_total", .counter, "How often it began to be so.")
    text.sample("sluice_enforcement_incidents_total", incidents)
  }

  private func policy(_ text: inout MetricsText) {
    text.family("sluice_policy_info", .gauge, "The policy in force.")
    text.sample("sluice_policy_info", ["policy": snapshot.policy.fingerprint], 1)
    text.family("sluice_policy_since_seconds", .gauge, "Since when, in seconds since 1970.")
    text.sample("sluice_policy_since_seconds", Double(policySince) / 1e9)
    text.family("sluice_permits", .gauge, "Names that an operator allowed for a time.")
    text.sample("sluice_permits", permits)
    text.family("sluice_reloads_total", .counter, "Reloads, by what became of them.")
    text.sample("sluice_reloads_total", ["result": "in_force"], reloads)
    text.sample("sluice_reloads_total", ["result": "refused"], refusedReloads)
  }

  private func audit(_ text: inout MetricsText) {
    for (name, help, value) in [
      ("records", "Decisions that were recorded.", audit.records),
      ("events", "Events that were written.", audit.written),
      ("suppressed", "Records that another record's event counts.", audit.suppressed),
      ("corrupt", "Damaged stretches of the rings.", audit.corrupt),
      ("rotation_failures", "Rotations that failed.", audit.rotationFailures),
      ("replacements", "Times that the log's file was gone from its path, or another one there.", audit.replacements),
      ("compressions", "Rotated files that were compressed.", audit.compressions),
      ("compression_failures", "Rotated files that stay as they were.", audit.compressionFailures),
    ] {
      text.family("sluice_audit_\(name)_total", .counter, help)
      text.sample("sluice_audit_\(name)_total", value)
    }
    text.family("sluice_audit_pending_bytes", .gauge, "Records that wait to be written, in the fullest ring.")
    text.sample("sluice_audit_pending_bytes", auditPending.octets)
    text.family("sluice_audit_room_bytes", .gauge, "What a ring holds; full, queries get SERVFAIL.")
    text.sample("sluice_audit_room_bytes", auditPending.room)
    text.family(
      "sluice_audit_blocked", .gauge, "1 while the log cannot be written, and nothing is answered that has to be.")
    text.sample("sluice_audit_blocked", isAuditBlocked ? 1 : 0)
    text.family("sluice_audit_unrotatable", .gauge, "1 while the log cannot be rotated, and grows beyond max-size.")
    text.sample("sluice_audit_unrotatable", audit.rotationFault == nil ? 0 : 1)
  }
}

extension ControlCallHandler {
  /// `/metrics`, `/healthz`, `/readyz`; nil for any other path.
  func observe(_ request: ControlRequest, _ completion: @escaping Completion) -> Bool {
    guard request.method == .get, request.path.count == 1 else { return false }
    switch request.path[0] {
    case "metrics":
      let reading = reading()
      Background.run {
        completion(ControlResponse(contentType: MetricsText.contentType, body: reading.text()))
      }
    case "healthz":
      completion(ControlResponse(contentType: "text/plain", body: Array("ok\n".utf8)))
    case "readyz":
      let faults = self.faults.filter { $0.isOfAll }
      let text = faults.isEmpty ? "ready\n" : faults.map { "\($0.text)\n" }.joined()
      completion(
        ControlResponse(status: faults.isEmpty ? 200 : 503, contentType: "text/plain", body: Array(text.utf8)))
    default:
      return false
    }
    return true
  }

  /// Why allowed names may not be answered now.
  var faults: [ControlAPI.Status.Fault] {
    let hasFirewall = settings.firewall.mode != .off
    var faults: [ControlAPI.Status.Fault] = []
    if audit.isBlocked { faults.append(.auditBlocked) }
    if hasFirewall, !service.enforcement.isBridgeUp { faults.append(.bridgeDown) }
    if hasFirewall, settings.audit.drops, !service.isRefusalLogRead { faults.append(.refusalLogTaken) }
    if hasFirewall, service.enforcement.incident.isOpen { faults.append(.enforcementDegraded) }
    // A forwarded zone that is silent takes its own names along and no others.
    let answering = service.upstream.states.filter { $0.zone == nil && $0.isHealthy && $0.hasAnswered }
    if answering.isEmpty {
      faults.append(.noUpstream)
    } else if answering.allSatisfy(\.isRefusing) {
      faults.append(.upstreamsRefuse)
    }
    if service.validation?.link.isUp == false { faults.append(.validatorDown) }
    if service.gate?.isAnswering == false { faults.append(.gateDown) }
    if InspectionReading(service).inspectors.contains(where: { !$0.isUp }) { faults.append(.inspectorDown) }
    return faults
  }

  private func reading() -> MetricsReading {
    let snapshot = service.snapshot
    let absent = HostAddresses.absent(of: settings.listen)
    return MetricsReading(
      version: Release.version, started: started, policySince: service.policySince,
      listen: settings.listen.map { ($0.description, !absent.contains($0)) }, snapshot: snapshot,
      upstreams: service.upstream.states, upstream: service.upstream.statistics,
      openings: snapshot.servers.map { service.engine.ledger.elementCount(ofServer: $0.firewallIndex) },
      openingLimit: settings.firewall.maxElementsPerServer, resolution: service.resolutionTimes,
      commits: service.commitTimes, commitResults: service.commitResults,
      hasFirewall: settings.firewall.mode != .off, isBridgeUp: service.enforcement.isBridgeUp,
      isDegraded: service.enforcement.incident.isOpen, incidents: service.incidentCount,
      reloads: service.reloads.inForce,
      refusedReloads: service.reloads.refused, inFlight: service.engine.resolutionCount, audit: audit.counters,
      isAuditBlocked: audit.isBlocked, auditPending: audit.pending, violations: violations,
      lost: service.lost, isRefusalLogRead: service.isRefusalLogRead, refusals: service.refusalCounts.totals,
      permits: policies.permits.count, validation: service.validation.map(ValidationReading.init),
      gate: GateReading(service))
  }
}

extension UpstreamPool.State {
  /// A zone is told of one that is asked for its names alone.
  fileprivate var labels: KeyValuePairs<String, String> {
    guard let zone else { return ["upstream": address] }
    return ["upstream": address, "zone": zone.description]
  }
}
