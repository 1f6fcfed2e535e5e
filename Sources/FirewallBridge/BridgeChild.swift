package import BridgeProcesses
package import FirewallModel
import Glibc
package import LinuxIO

/// A running bridge, seen from serve: the supervisor and our end of the socketpair.
package struct BridgeChild: ~Copyable {
  let supervisor: ChildProcess
  package let socket: FileDescriptor
  /// How often the bridge saw something taken out of the table; grows before it does or says anything of it.
  package let alarms: SharedCounter

  private init(supervisor: consuming ChildProcess, socket: consuming FileDescriptor, alarms: SharedCounter) {
    self.supervisor = supervisor
    self.socket = socket
    self.alarms = alarms
  }

  /// One that was not started here.
  package init(pid: Int32, socket: consuming FileDescriptor, alarms: SharedCounter) {
    self.init(supervisor: ChildProcess(pid: pid), socket: socket, alarms: alarms)
  }

  /// Of the supervisor.
  package var pid: Int32 { supervisor.pid }

  /// Lets the supervisor go; it ends with the socket.
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
    var ends = try DescriptorPair.sockets(ofMessages: true)
    let planFile = try SharedPlanFile.make(plan, bounds?.envelope)
    defer { close(planFile.descriptor) }
    // Only the mapping is kept here. The descriptor must last until the child has it, and an owner's last use is before that.
    let file = try SharedCounter.makeFile(named: "sluice-alarms").release()
    defer { close(file) }
    let alarms = try SharedCounter(file)
    let supervisor = try BridgeStart.start(
      .supervisor, bounds?.source, executable: executable,
      BridgeStart.Descriptors(socket: ends.second, planFile: planFile, state: state, alarms: file))
    return BridgeChild(supervisor: supervisor, socket: ends.takeFirst(), alarms: alarms)
  }
}
