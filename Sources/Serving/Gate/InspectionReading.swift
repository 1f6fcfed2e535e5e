import EgressPolicy
import Resolver

/// Inspection as status and metrics tell it.
struct InspectionReading: Sendable {
  /// Those that the policy in force names, and whether they take what is sent to them, as far as is known.
  var inspectors: [(inspector: Inspector, isUp: Bool)]
  var counts: Inspection.Counts
  /// Incidents in which one did not.
  var incidents: UInt64

  init(_ service: ResolutionService) {
    let down = Set(service.inspection.watch.down)
    inspectors = Set(service.snapshot.policy.servers.flatMap(\.inspectors)).sorted().map { ($0, !down.contains($0)) }
    counts = service.inspection.counts
    incidents = service.inspection.watch.count
  }

  /// Whether there is anything to tell.
  var isUsed: Bool { !inspectors.isEmpty || counts.inspected + counts.refused > 0 }

  func write(_ text: inout MetricsText) {
    text.family("sluice_inspector_up", .gauge, "1 unless the last connection that was to be inspected was not taken.")
    for (inspector, isUp) in inspectors {
      text.sample("sluice_inspector_up", ["inspector": inspector.endpoint], isUp ? 1 : 0)
    }
    text.family("sluice_inspector_incidents_total", .counter, "How often an inspector began not to take connections.")
    text.sample("sluice_inspector_incidents_total", incidents)
    text.family("sluice_inspected_connections_total", .counter, "Connections that an inspector took.")
    text.sample("sluice_inspected_connections_total", counts.inspected)
    text.family("sluice_findings_total", .counter, "What inspectors found, by what they asked for.")
    text.sample("sluice_findings_total", ["action": "block"], counts.blocked)
    text.sample("sluice_findings_total", ["action": "flag"], counts.flagged)
  }
}
