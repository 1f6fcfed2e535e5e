import BridgeProcesses
import LinuxIO

/// The process that keeps a worker alive for as long as serve lives.
struct BridgeSupervisor {
  /// What it found itself, and a worker finds: see `BridgeProcess`.
  let found: BridgeStart.Descriptors
  let source: BridgeSource?

  /// Returns when serve's end of the socketpair is closed.
  func run() -> Int32 {
    do throws(SystemError) {
      var supervision = try Supervision(owner: found.socket) { life throws(SystemError) in
        try BridgeStart.start(
          .worker, source, executable: BridgeStart.ownExecutable, found, life: life)
      }
      supervision.run()
      return 0
    } catch {
      return 1
    }
  }
}
