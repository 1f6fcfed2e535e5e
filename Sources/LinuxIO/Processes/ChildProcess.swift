import CLinux
import Glibc

/// A program that this process started.
///
/// It has one owner and is reaped once. Until then the kernel gives its id to no other process, so that `kill` meets none.
/// One that is let go lives on.
package struct ChildProcess: ~Copyable, Sendable {
  /// What became of the program, as waitpid(2) tells.
  package enum Change: Hashable, Sendable {
    case stopped
    case continued
    case ended
  }

  /// The whole environment of what is started.
  private static let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]

  package let pid: Int32
  private var isReaped = false

  /// One that was started otherwise, by its process id.
  package init(pid: Int32) {
    self.pid = pid
  }

  /// Starts a program with nothing inherited but what is named.
  ///
  /// - Parameters:
  ///   - descriptors: `descriptors[i]` becomes descriptor i; eight at the most, which stay the caller's here.
  ///   - endsWithThread: the kernel kills it when the calling thread ends, in whatever way.
  /// - Throws: when there is no process; what a program cannot do after its start its end tells.
  package static func start(
    _ path: String, _ arguments: [String], descriptors: [Int32], endsWithThread: Bool = false
  ) throws(SystemError) -> ChildProcess {
    var argv = unsafe arguments.map { unsafe strdup($0) } + [nil]
    var envp = unsafe environment.map { unsafe strdup($0) } + [nil]
    defer {
      unsafe argv.forEach { unsafe free($0) }
      unsafe envp.forEach { unsafe free($0) }
    }
    // Both lists end with nil, and the descriptors come with their count.
    let count = Int32(descriptors.count)
    let pid =
      endsWithThread
      ? unsafe sluice_spawn_dependent(path, &argv, &envp, descriptors, count)
      : unsafe sluice_spawn(path, &argv, &envp, descriptors, count)
    guard pid > 0 else { throw SystemError(call: "posix_spawn", errno: -pid) }
    return ChildProcess(pid: pid)
  }

  /// Ends it without asking it; nothing where its end was taken note of.
  package func kill() {
    if !isReaped { Glibc.kill(pid, SIGKILL) }
  }

  /// What became of it, one thing after the other; nil where nothing did. With `ended` it is reaped.
  package mutating func change() -> Change? {
    guard !isReaped else { return nil }
    var state: Int32 = 0
    // The number is written to the variable beside it.
    guard unsafe sluice_child_state(pid, &state) == pid else { return nil }
    switch state {
    case 2: return .stopped
    case 3: return .continued
    default:
      isReaped = true
      return .ended
    }
  }

  /// Whether it has ended; then it is reaped.
  package mutating func hasEnded() -> Bool {
    while change() != nil {}
    return isReaped
  }

  /// Waits for its end. Returns the status of waitpid(2): 0 for a program that says it succeeded.
  ///
  /// - Precondition: its end was not taken note of.
  package mutating func wait() -> Int32 {
    precondition(!isReaped)
    isReaped = true
    var status: Int32 = 0
    // The status is written to the variable above.
    while unsafe waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    return status
  }
}
