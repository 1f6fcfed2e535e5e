import CLinux
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
}

/// Why a configuration makes no envelope, as a sentence.
package struct EnvelopeFault: Error {
  package var text: String

  package init(text: String) {
    self.text = text
  }
}

/// The processes that alone may change the firewall: a keeper, and the feeder that it keeps alive.
///
/// Both are this executable started again; each restarts the other, because serve itself has no privilege to do it.
/// They find their descriptors at fixed places: 3 the socketpair, 4 the plan, 5 the state folder, 6 the page in which
/// alarms are counted, 7 (feeder) what tells that the keeper lives. The socketpair's end is shared, so what serve sent waits
/// for the next feeder when one dies.
package enum BridgeProcess {
  enum Role: String {
    case keeper = "--keeper"
    case feeder = "--feeder"
    /// Reads the configuration for the feeder that started it.
    case reader = "--envelope"
  }

  package static let ownExecutable = "/proc/self/exe"
  private static let socketPlace: Int32 = 3
  private static let notebookPlace: Int32 = 4
  private static let statePlace: Int32 = 5
  private static let alarmsPlace: Int32 = 6
  private static let lifePlace: Int32 = 7

  /// The files from which a bridge reads its envelope again.
  package struct Source {
    /// Of the configuration; absolute.
    package var path: String
    /// What of the host is read for it, beside what every bridge may read.
    package var folders: [String]

    package init(path: String, folders: [String]) {
      self.path = path
      self.folders = folders
    }

    fileprivate init?(_ arguments: ArraySlice<String>) {
      guard let path = arguments.first else { return nil }
      self.init(path: path, folders: Array(arguments.dropFirst()))
    }

    fileprivate var arguments: [String] { [path] + folders }
  }

  /// Starts a bridge before privileges are lowered. Without a plan it waits for one to be installed.
  ///
  /// - Parameter bounds: what it may do at the most, and where it reads that again; without them it takes every plan, as a
  ///   command that the operator gave.
  /// - Parameter state: the state folder, which stays the caller's; without one nothing is held that no plan governs.
  /// - Throws: when a descriptor or the process cannot be made.
  package static func spawn(
    _ plan: FirewallPlan?, bounds: (envelope: Envelope, source: Source)? = nil, state: Int32? = nil,
    executable: String = ownExecutable
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
    let pid = start(
      .keeper, bounds?.source, executable: executable, socket: pair[1], notebook: notebook, state: state,
      alarms: file, life: nil)
    guard pid > 0 else { throw SystemError(call: "posix_spawn", errno: -pid) }
    return BridgeChild(pid: pid, socket: ours, alarms: alarms)
  }

  /// The hidden subcommand: `arguments` are what follows it. Returns the exit code.
  ///
  /// - Parameter read: makes the envelope of the configuration at a path.
  package static func run(
    _ arguments: [String], read: (String) -> Result<Envelope, EnvelopeFault>
  ) -> Int32 {
    let strange = "this command is for sluice itself"
    guard let word = arguments.first, let role = Role(rawValue: word) else { return complain(strange, code: 64) }
    let source = Source(arguments.dropFirst())
    if role == .reader {
      guard let source else { return complain(strange, code: 64) }
      return EnvelopeReading.run(source.path) { path in
        switch read(path) {
        case .success(let envelope): .envelope(envelope)
        case .failure(let fault): .failure(fault.text)
        }
      }
    }
    guard sluice_is_message_socket(socketPlace) != 0 else { return complain(strange, code: 64) }
    sluice_ignore_stop_requests()
    // What others do to the table must reach serve before its caches answer from it, however busy the machine is.
    sluice_prefer_latency(-10)
    // One thread of the feeder, which sleeps but for the moment in which the table is taken away, comes before all others.
    // Where only CAP_SYS_NICE lets it, which goes, it has that from the keeper.
    sluice_realtime_limit(1)
    if role == .keeper { _ = sluice_realtime_enter() }
    if role == .keeper { become(ownerOf: statePlace) }
    let error = sluice_privileges_keep_net_admin()
    guard error == 0 else { return complain("privileges cannot be lowered: error \(error)", code: 1) }
    do throws(SystemError) {
      // What a keeper started has it from there: a second one of the same would only cost.
      if role == .keeper || !Sandbox.isFiltered { try BridgeSandbox.enter(state: state, reads: source?.folders ?? []) }
    } catch {
      return complain("this process cannot be confined: \(error)", code: 1)
    }
    let notebook = PlanNotebook(descriptor: notebookPlace)
    if role == .feeder {
      switch feed(notebook, source) {
      case .success(.serveGone): return 0
      case .success(.keeperGone): close(lifePlace)
      case .failure(let error): return complain("the kernel's nf_tables cannot be used: \(error)", code: 1)
      }
    }
    return Keeper(socket: socketPlace, notebook: notebook, state: state, alarms: alarmsPlace, source: source).run()
  }

  private static var state: Int32? { StateFolder.isFolder(statePlace) ? statePlace : nil }

  /// What lies in the folder is its owner's; root without CAP_DAC_OVERRIDE could not write it.
  private static func become(ownerOf folder: Int32) {
    var status = stat()
    guard StateFolder.isFolder(folder), unsafe fstat(folder, &status) == 0, geteuid() == 0, status.st_uid != 0 else {
      return
    }
    _ = sluice_privileges_become(status.st_uid, status.st_gid)
  }

  /// The feeder's netlink sockets are closed when this returns.
  private static func feed(_ notebook: PlanNotebook, _ source: Source?) -> Result<Feeder.End, SystemError> {
    do {
      let feeder = try Feeder(
        socket: socketPlace, life: lifePlace, state: state, notebook: notebook,
        alarms: try SharedCounter(alarmsPlace), source: source?.path)
      return .success(feeder.run())
    } catch {
      let text = "the kernel's nf_tables cannot be used: \(error)"
      _ = BridgeSocket.send(BridgeMessage.broken(incarnation: 0, text: text).encoded(), socketPlace, waiting: false)
      return .failure(error)
    }
  }

  static func start(
    _ role: Role, _ source: Source?, executable: String, socket: Int32, notebook: PlanNotebook, state: Int32?,
    alarms: Int32, life: Int32?
  ) -> Int32 {
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    var descriptors = [null, null, 2, socket, notebook.descriptor, state ?? null, alarms]
    if let life {
      descriptors.append(life)
    }
    let arguments = ["sluice", "bridge", role.rawValue] + (source?.arguments ?? [])
    return Subprocess.spawn(executable, arguments, descriptors: descriptors)
  }

  private static func complain(_ text: String, code: Int32) -> Int32 {
    tell(text)
    return code
  }

  /// Says something that serve need not be believed to pass on: to the standard error that serve was started with.
  static func tell(_ text: String) {
    let line = Array("sluice bridge: \(text)\n".utf8)
    _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
  }
}
