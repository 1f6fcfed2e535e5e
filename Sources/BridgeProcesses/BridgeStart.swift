import Glibc
package import LinuxIO

/// The files from which a bridge reads its envelope again.
package struct BridgeSource {
  /// Of the configuration; absolute.
  package var path: String
  /// What of the host is read for it, beside what every bridge may read.
  package var folders: [String]

  package init(path: String, folders: [String]) {
    self.path = path
    self.folders = folders
  }

  /// What `arguments` says, read again; nil without a path.
  package init?(_ arguments: ArraySlice<String>) {
    guard let path = arguments.first else { return nil }
    self.init(path: path, folders: Array(arguments.dropFirst()))
  }

  var arguments: [String] { [path] + folders }
}

/// How the bridge's processes are started, by serve and by each other: this executable again, with its descriptors at fixed
/// numbers.
package enum BridgeStart {
  /// What a process of the bridge is started as: the argument behind `bridge`.
  package enum Role: String {
    case supervisor = "--supervisor"
    case worker = "--worker"
    /// Reads the configuration's files for the worker that started it, and makes the envelope of them.
    case envelope = "--envelope"
    /// Installs rules for the worker that started it, by the socket that owns the table.
    case rules = "--rules"
    /// Installs rules that were rendered earlier, for `sluice firewall install`.
    case earlierRules = "--earlier-rules"
  }

  package static let ownExecutable = Sandbox.ownExecutable
  /// The socketpair's other end, which all workers have one after the other.
  package static let socketDescriptor: Int32 = 3
  /// The netlink socket of what installs rules.
  package static let ownerDescriptor: Int32 = 3
  /// The plan and the envelope (`SharedPlanFile`).
  package static let planFileDescriptor: Int32 = 4
  /// The bridge's part of the state folder.
  package static let stateDescriptor: Int32 = 5
  /// The page in which alarms are counted (`SharedCounter`).
  package static let alarmsDescriptor: Int32 = 6
  /// What tells a worker that the supervisor lives.
  package static let lifeDescriptor: Int32 = 7

  /// What one of them finds at the numbers above; the caller keeps them open until it is started.
  package struct Descriptors {
    package var socket: Int32
    package var planFile: SharedPlanFile
    package var state: Int32?
    package var alarms: Int32

    package init(socket: Int32, planFile: SharedPlanFile, state: Int32?, alarms: Int32) {
      self.socket = socket
      self.planFile = planFile
      self.state = state
      self.alarms = alarms
    }
  }

  /// Starts one of them.
  ///
  /// - Parameter life: the worker's end of the `LifeLine`; the supervisor has none.
  package static func start(
    _ role: Role, _ source: BridgeSource?, executable: String, _ found: Descriptors, life: Int32? = nil
  ) throws(SystemError) -> ChildProcess {
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    var descriptors = [null, null, 2, found.socket, found.planFile.descriptor, found.state ?? null, found.alarms]
    if let life {
      descriptors.append(life)
    }
    let arguments = ["sluice", "bridge", role.rawValue] + (source?.arguments ?? [])
    return try ChildProcess.start(executable, arguments, descriptors: descriptors)
  }
}
