import Glibc
package import LinuxIO

/// How the gate's processes are started, by serve and by each other: this executable again, with its descriptors at fixed
/// numbers.
package enum GateStart {
  /// What a process of the gate is started as: the argument behind `gate`.
  package enum Role: String {
    case keeper = "--keeper"
    case worker = "--worker"
  }

  package static let ownExecutable = "/proc/self/exe"
  /// The other end of serve's socket, which all workers have one after the other.
  package static let socketDescriptor: Int32 = 3
  /// The sockets that listen, of IPv4 and IPv6; what stands for none takes no connection.
  package static let listenerDescriptors: [Int32] = [4, 5]
  /// What tells a worker that its keeper lives.
  package static let lifeDescriptor: Int32 = 6

  /// The account that the gate becomes: another one's number than serve's, by which the firewall knows it.
  package struct Account: Hashable, Sendable {
    package var user: UInt32
    package var group: UInt32

    package init(user: UInt32, group: UInt32) {
      self.user = user
      self.group = group
    }
  }

  /// Starts a keeper, which becomes `account` before anything else.
  ///
  /// - Returns: serve's end of the socket.
  package static func start(
    listeners: [Int32], as account: Account, executable: String = GateStart.ownExecutable
  ) throws(SystemError) -> FileDescriptor {
    var ends = try DescriptorPair.sockets(ofMessages: true)
    // It ends by itself when serve's end of the socket is closed, and its parent is whoever is left then.
    let keeper = try start(
      .keeper, Handed(socket: ends.second, listeners: listeners), as: account, executable: executable)
    _ = consume keeper
    return ends.takeFirst()
  }

  /// The descriptors that a process has.
  struct Handed {
    var socket: Int32
    var listeners: [Int32]
    /// A worker's end of the `LifeLine`; a keeper has none.
    var life: Int32?
  }

  static func start(
    _ role: Role, _ handed: Handed, as account: Account?, executable: String = GateStart.ownExecutable
  ) throws(SystemError) -> ChildProcess {
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    let sockets = (handed.listeners + [null, null]).prefix(listenerDescriptors.count)
    let descriptors = [null, null, 2, handed.socket] + sockets + (handed.life.map { [$0] } ?? [])
    let numbers = account.map { ["\($0.user)", "\($0.group)"] } ?? []
    return try ChildProcess.start(
      executable, ["sluice", "gate", role.rawValue] + numbers, descriptors: descriptors)
  }
}
