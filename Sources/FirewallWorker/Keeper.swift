import BridgeProcesses
import LinuxIO

/// The process that keeps a feeder alive for as long as serve lives.
struct Keeper {
  /// The descriptors that a feeder finds: see `BridgeProcess`.
  let socket: Int32
  let notebook: PlanNotebook
  let state: Int32?
  let alarms: Int32
  let source: BridgeSource?

  /// Returns when serve's end of the socketpair is closed.
  func run() -> Int32 {
    do throws(SystemError) {
      var supervision = try Supervision(owner: socket) { life throws(SystemError) in
        try BridgeStart.start(
          .feeder, source, executable: BridgeStart.ownExecutable, socket: socket, notebook: notebook, state: state,
          alarms: alarms, life: life)
      }
      supervision.run()
      return 0
    } catch {
      return 1
    }
  }
}
