import AuditLog
import GateModel

/// What became of connections that came to the gate, since the start.
struct GateCounts: Sendable {
  private(set) var verified: UInt64 = 0
  private(set) var refused: UInt64 = 0
  private(set) var unreachable: UInt64 = 0
  /// Those that passed and were cut at a cap, and those that were told of as beyond one.
  private(set) var cut: UInt64 = 0
  private(set) var told: UInt64 = 0
  /// Those that had no place.
  private(set) var crowded: UInt64 = 0
  /// Those that an inspector did not take.
  private(set) var uninspected: UInt64 = 0

  mutating func count(_ verdict: GateVerdict) {
    switch verdict {
    case .verified: verified += 1
    case .mismatch, .nameMissing, .notTLS, .mayHide: refused += 1
    case .unreachable, .ended: unreachable += 1
    case .overConnection, .overHour: cut += 1
    case .toldConnection, .toldHour: told += 1
    case .crowded: crowded += 1
    case .inspectorRefused, .inspectorGone, .inspectorSilent, .inspectorGarbled: uninspected += 1
    }
  }

  /// Each with its label.
  var results: [(result: String, count: UInt64)] {
    [
      ("verified", verified), ("refused", refused), ("unreachable", unreachable), ("cut", cut), ("told", told),
      ("crowded", crowded), ("uninspected", uninspected),
    ]
  }
}

/// The gate as metrics tell it.
struct GateReading: Sendable {
  var isAnswering: Bool
  var restarts: UInt64
  var counts: GateCounts
  var inspection: InspectionReading

  init?(_ service: ResolutionService) {
    guard let gate = service.gate else { return nil }
    (isAnswering, restarts, counts) = (gate.isAnswering, gate.restarts, service.gateCounts)
    inspection = InspectionReading(service)
  }

  func write(_ text: inout MetricsText) {
    text.family("sluice_gate_up", .gauge, "1 while the gate takes what it is told.")
    text.sample("sluice_gate_up", isAnswering ? 1 : 0)
    text.family("sluice_gate_restarts_total", .counter, "How often its process was started again.")
    text.sample("sluice_gate_restarts_total", restarts)
    text.family(
      "sluice_gate_connections_total", .counter, "Connections that had to say a name, by what became of them.")
    for (result, count) in counts.results {
      text.sample("sluice_gate_connections_total", ["result": result], count)
    }
    if inspection.isUsed { inspection.write(&text) }
  }
}
