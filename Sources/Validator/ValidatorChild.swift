package import LinuxIO

/// A running validator, seen from serve: the supervisor and serve's end of the socketpair.
package struct ValidatorChild: ~Copyable {
  let supervisor: ChildProcess
  let socket: FileDescriptor

  /// Starts one before serve confines itself; it starts no program then.
  ///
  /// - Parameter account: user and group that it becomes, where root starts it.
  /// - Throws: when a socket or the process cannot be made.
  package static func spawn(
    account: (user: UInt32, group: UInt32)?, executable: String = Sandbox.ownExecutable
  ) throws(SystemError) -> ValidatorChild {
    var ends = try DescriptorPair.sockets(ofMessages: true)
    let numbers = account.map { ["\($0.user)", "\($0.group)"] } ?? []
    let supervisor = try ValidatorStart.start(.supervisor, numbers, executable: executable, socket: ends.second)
    return ValidatorChild(supervisor: supervisor, socket: ends.takeFirst())
  }

  private init(supervisor: consuming ChildProcess, socket: consuming FileDescriptor) {
    self.supervisor = supervisor
    self.socket = socket
  }

  /// Of the supervisor.
  package var pid: Int32 { supervisor.pid }
}
