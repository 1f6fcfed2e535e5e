import BridgeProcesses
import LinuxIO

/// The process that keeps a worker alive for as long as serve lives.
struct BridgeSupervisor {
  /// The descriptors that a worker finds: see `BridgeProcess`.
  let socket: Int32
  let planFile: SharedPlanFile
  let state: Int32?
  let alarms: Int32
  let source: BridgeSource?

  /// Returns when serve's end of the socketpair is closed.
  func run() -> Int32 {
    do throws(SystemError) {
      var supervision = try Supervision(owner: socket) { life throws(SystemError) in
        try BridgeStart.start(
          .worker, source, executable: BridgeStart.ownExecutable, socket: socket, planFile: planFile, state: state,
          alarms: alarms, life: life)
      }
      supervision.run()
      return 0
    } catch {
      return 1
    }
  }
}
