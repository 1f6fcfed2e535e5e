import CLinux
import Glibc
import LinuxIO
import Validation

/// The processes that verify signatures for serve: a supervisor, and the worker that it keeps alive.
///
/// The worker is the only process that hands octets of the network to libldns and OpenSSL. It has one socket, no capability, no
/// file and no network; an end of it costs the judgement that it was at.
package enum ValidatorProcess {
  /// The hidden subcommand: `arguments` are what follows it. Returns the exit code.
  package static func run(_ arguments: [String]) -> Int32 {
    guard let word = arguments.first, let role = ValidatorStart.Role(rawValue: word),
      sluice_is_message_socket(ValidatorStart.socketDescriptor) != 0
    else { return complain("this command is for sluice itself", code: 64) }
    sluice_ignore_stop_requests()
    let error = lower(arguments.dropFirst().compactMap { UInt32($0) })
    guard error == 0 else { return complain("privileges cannot be lowered: error \(error)", code: 1) }
    do throws(SystemError) {
      switch role {
      case .supervisor: return try supervise()
      case .worker: return try work()
      }
    } catch {
      return complain("this process cannot be confined, or cannot wait for another: \(error)", code: 1)
    }
  }

  /// - Parameter account: user and group, where they are given.
  private static func lower(_ account: [UInt32]) -> Int32 {
    if account.count == 2, geteuid() == 0 {
      let error = sluice_privileges_leave_root(account[0], account[1])
      guard error == 0 else { return error }
    }
    return sluice_privileges_drop_all()
  }

  /// Returns when serve's end of the socketpair is closed.
  private static func supervise() throws(SystemError) -> Int32 {
    let sandbox = try Sandbox(.keeper)
    try sandbox.keepOwnStart()
    // OpenSSL's configuration, read at a worker's start.
    for path in ["/etc/ssl", "/usr/lib/ssl"] { try sandbox.keep(path, .read) }
    try sandbox.enter()
    let socket = ValidatorStart.socketDescriptor
    var supervision = try Supervision(owner: socket) { life throws(SystemError) in
      try ValidatorStart.start(.worker, executable: Sandbox.ownExecutable, socket: socket, life: life)
    }
    supervision.run()
    return 0
  }

  /// Returns when serve or the supervisor is gone.
  private static func work() throws(SystemError) -> Int32 {
    // What the libraries read and allocate for the first signature of each kind, they read before nothing can be read.
    guard ValidatorTrial.passes() else { return complain("the cryptographic library fails its trial", code: 1) }
    try Sandbox(.validator).enter()
    let socket = ValidatorStart.socketDescriptor
    guard case .sent = MessageSocket.send(ValidatorMessage.greeting, socket, waiting: true) else { return 0 }
    let life = LifeLine(ValidatorStart.lifeDescriptor)
    var buffer = [UInt8](repeating: 0, count: ValidatorMessage.maxOctets)
    while true {
      var waits = [
        pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
        pollfd(fd: life.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      // The list with its count.
      _ = unsafe poll(&waits, nfds_t(waits.count), -1)
      guard life.answer() else { return 0 }
      switch MessageSocket.receive(socket, into: &buffer) {
      case .nothing: continue
      case .closed: return 0
      case .octets(let octets):
        guard let (id, judgement) = ValidatorMessage.judgement(octets) else {
          return complain("serve asked what is no question", code: 1)
        }
        _ = MessageSocket.send(ValidatorMessage.encode(id, judgement.verdict()), socket, waiting: true)
      }
    }
  }

  private static func complain(_ text: String, code: Int32) -> Int32 {
    StandardError.write("sluice validator: \(text)")
    return code
  }
}
