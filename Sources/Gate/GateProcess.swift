import CLinux
import Glibc
import LinuxIO

/// The processes through which connections go that have to say a name: a keeper, and the worker that it keeps alive.
///
/// Both are this executable started again. They have no capability, no file and a user of their own; what a worker knows it is
/// told by serve.
package enum GateProcess {
  /// The hidden subcommand: `arguments` are what follows it. Returns the exit code.
  package static func run(_ arguments: [String]) -> Int32 {
    guard let word = arguments.first, let role = GateStart.Role(rawValue: word),
      sluice_is_message_socket(GateStart.socketDescriptor) != 0
    else { return complain("this command is for sluice itself", code: 64) }
    sluice_ignore_stop_requests()
    switch role {
    case .keeper:
      let numbers = arguments.dropFirst().compactMap { UInt32($0) }
      guard numbers.count == 2 else { return complain("this command is for sluice itself", code: 64) }
      return keep(as: GateStart.Account(user: numbers[0], group: numbers[1]))
    case .worker: return work()
    }
  }

  private static func keep(as account: GateStart.Account) -> Int32 {
    let error = lower(to: account)
    guard error == 0 else { return complain("privileges cannot be lowered: \(SystemError.text(error))", code: 1) }
    DescriptorLimit.raise()
    do throws(SystemError) {
      try enterKeepersSandbox()
      var supervision = try Supervision(owner: GateStart.socketDescriptor) { life throws(SystemError) in
        try GateStart.start(
          .worker,
          GateStart.Handed(
            socket: GateStart.socketDescriptor, listeners: GateStart.listenerDescriptors, life: life), as: nil)
      }
      supervision.run()
      return 0
    } catch {
      return complain("the gate cannot be kept: \(error)", code: 1)
    }
  }

  /// Another user, for good, and no capability. Returns 0 or an error number.
  private static func lower(to account: GateStart.Account) -> Int32 {
    if geteuid() != account.user {
      let error = sluice_privileges_leave_root(account.user, account.group)
      guard error == 0 else { return error }
    }
    return sluice_privileges_drop_all()
  }

  /// What is needed to start this executable again.
  private static func enterKeepersSandbox() throws(SystemError) {
    let sandbox = try Sandbox(.gateKeeper)
    try sandbox.keepOwnStart()
    try sandbox.enter()
  }

  private static func work() -> Int32 {
    do throws(SystemError) {
      let listeners = try GateLoop.ready(GateStart.listenerDescriptors)
      // No file at all: everything that it needs is open.
      try Sandbox(.gate).enter()
      let loop = try GateLoop(
        socket: GateStart.socketDescriptor, listeners: listeners, life: GateStart.lifeDescriptor)
      try loop.run()
      return 0
    } catch {
      return complain("the gate cannot work: \(error)", code: 1)
    }
  }

  private static func complain(_ text: String, code: Int32) -> Int32 {
    StandardError.write("sluice gate: \(text)")
    return code
  }
}
