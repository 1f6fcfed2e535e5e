import BridgeProcesses
import CLinux
package import FirewallModel
import Glibc
import LinuxIO

/// The processes that alone may change the firewall: a supervisor, the worker that it keeps alive, and what those start.
///
/// All are this executable started again, each in its role (`BridgeStart.Role`). Supervisor and worker restart each other,
/// because serve itself has no privilege to do it. The socketpair's end is shared, so what serve sent waits for the next
/// worker when one dies.
package enum BridgeProcess {
  /// The hidden subcommand: `arguments` are what follows it. Returns the exit code.
  ///
  /// - Parameter read: makes the envelope of the configuration at a path.
  package static func run(
    _ arguments: [String], read: (String) -> Result<Envelope, EnvelopeError>
  ) -> Int32 {
    let strange = "this command is for sluice itself"
    guard let word = arguments.first, let role = BridgeStart.Role(rawValue: word) else {
      return complain(strange, code: 64)
    }
    let source = BridgeSource(arguments.dropFirst())
    if role == .envelope {
      guard let source else { return complain(strange, code: 64) }
      return EnvelopeReading.run(source.path) { path in
        switch read(path) {
        case .success(let envelope): .envelope(envelope)
        case .failure(let fault): .failure(fault.text)
        }
      }
    }
    // The worker's, which is confined already.
    if role == .rules { return sluice_nftables_apply(BridgeStart.ownerDescriptor) }
    if role == .earlierRules {
      guard let table = arguments.dropFirst().first else { return complain(strange, code: 64) }
      return installEarlierRules(table)
    }
    guard sluice_is_message_socket(BridgeStart.socketDescriptor) != 0 else { return complain(strange, code: 64) }
    sluice_ignore_stop_requests()
    // What others do to the table must reach serve before its caches answer from it, however busy the machine is.
    sluice_prefer_latency(-10)
    // One thread of the worker, which sleeps but for the moment in which the table is taken away, comes before all others.
    // Where only CAP_SYS_NICE lets it, which goes, it has that from the supervisor.
    sluice_realtime_limit(1)
    if role == .supervisor { _ = sluice_realtime_enter() }
    if role == .supervisor { become(ownerOf: BridgeStart.stateDescriptor) }
    let error = sluice_privileges_keep_net_admin()
    guard error == 0 else { return complain("privileges cannot be lowered: error \(error)", code: 1) }
    do throws(SystemError) {
      // What a supervisor started has it from there: a second one of the same would only cost.
      if role == .supervisor || !Sandbox.isFiltered {
        try BridgeSandbox.enter(state: state, reads: source?.folders ?? [])
      }
    } catch {
      return complain("this process cannot be confined: \(error)", code: 1)
    }
    let planFile = SharedPlanFile(descriptor: BridgeStart.planFileDescriptor)
    if role == .worker {
      switch feed(planFile, source) {
      case .success(.serveGone): return 0
      case .success(.supervisorGone): close(BridgeStart.lifeDescriptor)
      case .failure(let error): return complain("the kernel's nf_tables cannot be used: \(error)", code: 1)
      }
    }
    let found = BridgeStart.Descriptors(
      socket: BridgeStart.socketDescriptor, planFile: planFile, state: state, alarms: BridgeStart.alarmsDescriptor)
    return BridgeSupervisor(found: found, source: source).run()
  }

  /// Confined like a supervisor, whatever the caller of the command may do; what goes wrong is told as a sentence.
  private static func installEarlierRules(_ table: String) -> Int32 {
    let error = sluice_privileges_keep_net_admin()
    guard error == 0 else { return complain("privileges cannot be lowered: error \(error)", code: 1) }
    do throws(SystemError) {
      try BridgeSandbox.enter(state: nil, reads: [])
    } catch {
      return complain("this process cannot be confined: \(error)", code: 1)
    }
    do throws(EarlierRuleset.InstallationError) {
      try EarlierRuleset.apply(try EarlierRuleset.standardInput(), table: table)
      return 0
    } catch {
      return complain(error.text, code: 1)
    }
  }

  private static var state: Int32? {
    StateFolder.isFolder(BridgeStart.stateDescriptor) ? BridgeStart.stateDescriptor : nil
  }

  /// What lies in the folder is its owner's; root without CAP_DAC_OVERRIDE could not write it.
  private static func become(ownerOf folder: Int32) {
    var status = stat()
    guard StateFolder.isFolder(folder), unsafe fstat(folder, &status) == 0, geteuid() == 0, status.st_uid != 0 else {
      return
    }
    _ = sluice_privileges_become_with_capabilities(status.st_uid, status.st_gid)
  }

  /// The worker's netlink sockets are closed when this returns.
  private static func feed(_ planFile: SharedPlanFile, _ source: BridgeSource?) -> Result<BridgeWorker.End, SystemError>
  {
    do {
      let worker = try BridgeWorker(
        socket: BridgeStart.socketDescriptor, life: BridgeStart.lifeDescriptor, state: state, planFile: planFile,
        alarms: try SharedCounter(BridgeStart.alarmsDescriptor), source: source?.path)
      return .success(worker.run())
    } catch {
      let text = "the kernel's nf_tables cannot be used: \(error)"
      _ = MessageSocket.send(
        BridgeMessage.broken(incarnation: 0, text: text).encoded(), BridgeStart.socketDescriptor, waiting: false)
      return .failure(error)
    }
  }

  private static func complain(_ text: String, code: Int32) -> Int32 {
    writeError(text)
    return code
  }

  /// What its lines on the standard error begin with.
  static let beginning = "sluice bridge: "

  /// Says something that serve need not be believed to pass on: to the standard error that serve was started with.
  static func writeError(_ text: String) {
    let line = Array("\(beginning)\(text)\n".utf8)
    _ = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
  }
}
