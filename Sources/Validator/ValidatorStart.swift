import Glibc
import LinuxIO

/// How the validator's processes are started: this executable again, with its descriptors at fixed numbers.
enum ValidatorStart {
  /// What one of them is started as: the argument behind `validator`.
  enum Role: String {
    /// Keeps a worker alive; reads nothing that comes from outside.
    case supervisor = "--supervisor"
    /// Verifies.
    case worker = "--worker"
  }

  /// The socketpair's other end, which all workers have one after the other.
  static let socketDescriptor: Int32 = 3
  /// What tells a worker that its supervisor lives.
  static let lifeDescriptor: Int32 = 4

  /// Starts one of them; the descriptors stay the caller's.
  static func start(
    _ role: Role, _ arguments: [String] = [], executable: String, socket: Int32, life: Int32? = nil
  ) throws(SystemError) -> ChildProcess {
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    let descriptors = [null, null, 2, socket] + (life.map { [$0] } ?? [])
    return try ChildProcess.start(
      executable, ["sluice", "validator", role.rawValue] + arguments, descriptors: descriptors)
  }
}
