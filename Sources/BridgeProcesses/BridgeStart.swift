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
/// places.
package enum BridgeStart {
  package enum Role: String {
    case keeper = "--keeper"
    case feeder = "--feeder"
    /// Reads the configuration for the feeder that started it.
    case reader = "--envelope"
    /// Writes rules for the feeder that started it, by the socket that owns the table.
    case writer = "--rules"
  }

  package static let ownExecutable = "/proc/self/exe"
  /// The socketpair's other end, which all feeders have one after the other.
  package static let socketPlace: Int32 = 3
  /// The netlink socket of a writer.
  package static let ownerPlace: Int32 = 3
  /// The plan and the envelope (`PlanNotebook`).
  package static let notebookPlace: Int32 = 4
  /// The state folder.
  package static let statePlace: Int32 = 5
  /// The page in which alarms are counted (`SharedCounter`).
  package static let alarmsPlace: Int32 = 6
  /// What tells a feeder that the keeper lives.
  package static let lifePlace: Int32 = 7

  /// Starts one of them.
  package static func start(
    _ role: Role, _ source: BridgeSource?, executable: String, socket: Int32, notebook: PlanNotebook, state: Int32?,
    alarms: Int32, life: Int32?
  ) throws(SystemError) -> ChildProcess {
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    var descriptors = [null, null, 2, socket, notebook.descriptor, state ?? null, alarms]
    if let life {
      descriptors.append(life)
    }
    let arguments = ["sluice", "bridge", role.rawValue] + (source?.arguments ?? [])
    return try ChildProcess.start(executable, arguments, descriptors: descriptors)
  }
}
