import ControlAPI
import Testing

@testable import sluice

@Suite("What doctor says of the gate")
struct GateFindingTests {
  private func gate(_ state: String, restarts: UInt64) -> ControlAPI.Status.Gate {
    ControlAPI.Status.Gate(state: state, restarts: restarts, verified: 1, refused: 0, unreachable: 0)
  }

  @Test("one that does not answer is serious, one that was started again a warning, and else there is nothing to say")
  func findings() {
    #expect(HostDiagnosis.gate(nil).isEmpty)
    #expect(HostDiagnosis.gate(gate("up", restarts: 0)).isEmpty)
    #expect(HostDiagnosis.gate(gate("up", restarts: 2)).map(\.kind) == [.gateRestarted])
    #expect(HostDiagnosis.gate(gate("down", restarts: 2)).map(\.kind) == [.gateDown])
    var inspecting = gate("up", restarts: 0)
    inspecting.inspection = ControlAPI.Status.Gate.Inspection(
      inspected: 1, refused: 1, blocked: 0, flagged: 0,
      inspectors: [("http://127.0.0.1:8080", "up"), ("http://127.0.0.1:8081", "down")].map {
        ControlAPI.Status.Gate.Inspector(address: $0, state: $1)
      })
    let found = HostDiagnosis.gate(inspecting)
    #expect(found.map(\.kind) == [.inspectorDown] && found.allSatisfy { $0.text.contains(":8081 does not") })
  }
}
