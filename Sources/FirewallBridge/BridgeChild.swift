package import BridgeProcesses
import CLinux
package import FirewallModel
import Glibc
package import LinuxIO

/// A running bridge, seen from serve: the keeper's process id and our end of the socketpair.
package struct BridgeChild: ~Copyable {
  package let pid: Int32
  package let socket: FileDescriptor
  /// How often the bridge saw something taken out of the table; grows before it does or says anything of it.
  package let alarms: SharedCounter

  package init(pid: Int32, socket: consuming FileDescriptor, alarms: SharedCounter) {
    self.pid = pid
    self.socket = socket
    self.alarms = alarms
  }

  consuming func takeSocket() -> FileDescriptor { socket }

  /// Starts a bridge before privileges are lowered. Without a plan it waits for one to be installed.
  ///
  /// - Parameter bounds: what it may do at the most, and where it reads that again; without them it takes every plan, as a
  ///   command that the operator gave.
  /// - Parameter state: the state folder, which stays the caller's; without one nothing is held that no plan governs.
  /// - Throws: when a descriptor or the process cannot be made.
  package static func spawn(
    _ plan: FirewallPlan?, bounds: (envelope: Envelope, source: BridgeSource)? = nil, state: Int32? = nil,
    executable: String = BridgeStart.ownExecutable
  ) throws(SystemError) -> BridgeChild {
    var pair: [Int32] = [-1, -1]
    let error = unsafe sluice_socket_pair(1, &pair)
    guard error == 0 else { throw SystemError(call: "socketpair", errno: error) }
    let ours = FileDescriptor(pair[0])
    defer { close(pair[1]) }
    let notebook = try PlanNotebook.make(plan, bounds?.envelope)
    defer { close(notebook.descriptor) }
    // Only the mapping is kept here. The descriptor must last until the child has it, and an owner's last use is before that.
    let file = try SharedCounter.makeFile(named: "sluice-alarms").release()
    defer { close(file) }
    let alarms = try SharedCounter(file)
    let pid = BridgeStart.start(
      .keeper, bounds?.source, executable: executable, socket: pair[1], notebook: notebook, state: state,
      alarms: file, life: nil)
    guard pid > 0 else { throw SystemError(call: "posix_spawn", errno: -pid) }
    return BridgeChild(pid: pid, socket: ours, alarms: alarms)
  }
}
