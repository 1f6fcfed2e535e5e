import CLinux
import Glibc
import LinuxIO

/// Runs the `nft` program for the static part of the table, where text is right and speed does not matter.
enum NftProgram {
  static let path = "/usr/sbin/nft"
  /// Some twenty times what a ruleset takes on a small machine: one of a thousand servers is 3 MB. A program that hangs must
  /// not hang the feeder for good.
  private static func patienceMilliseconds(_ text: String) -> UInt64 {
    10_000 + UInt64(text.utf8.count) / 50
  }
  private static let maximumComplaint = 1_500

  /// Why a ruleset was not applied.
  struct NftError: Error {
    var text: String
  }

  /// A descriptor that is watched while nft works, what to do when it is readable, and what to do every 200 ms.
  struct Watch {
    var descriptor: Int32
    var act: () -> Void
    var tick: () -> Void = {}
  }

  /// Applies `text` in one transaction. `started` learns the process id before any of it can take effect.
  static func apply(
    _ text: String, checkOnly: Bool = false, watch: Watch? = nil, started: (Int32) -> Void = { _ in }
  ) throws(NftError) {
    var input: [Int32] = [-1, -1]
    var output: [Int32] = [-1, -1]
    guard unsafe sluice_pipe(&input) == 0, unsafe sluice_pipe(&output) == 0 else {
      throw NftError(text: "no pipe for nft: error \(errno)")
    }
    let null = unsafe open("/dev/null", O_WRONLY | O_CLOEXEC)
    let arguments = checkOnly ? [path, "-c", "-f", "-"] : [path, "-f", "-"]
    let pid = Subprocess.spawn(path, arguments, descriptors: [input[0], null, output[1]])
    close(input[0])
    close(output[1])
    close(null)
    defer { close(output[0]) }
    guard pid > 0 else {
      close(input[1])
      throw NftError(text: "\(path) cannot be started: error \(-pid)")
    }
    started(pid)
    let patience = patienceMilliseconds(text)
    let end = exchange(text, input: input[1], output: output[0], pid: pid, patience, watch: watch)
    var status: Int32 = 0
    while unsafe waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    guard status == 0 else {
      throw NftError(
        text: end.isLate
          ? "nft was ended: it had not done with the ruleset within \(patience / 1_000) s"
          : "nft refused the ruleset: \(end.complaint)")
    }
  }

  /// Feeds the text and collects what nft complains about, both without ever blocking for good; closes `input`.
  private static func exchange(
    _ text: String, input: Int32, output: Int32, pid: Int32, _ patienceMilliseconds: UInt64, watch: Watch?
  ) -> (complaint: String, isLate: Bool) {
    let octets = Array(text.utf8)
    var written = 0
    var complaint: [UInt8] = []
    var isLate = false
    var writer = input
    _ = fcntl(writer, F_SETFL, O_NONBLOCK)
    let limit = MonotonicTime.now().nanoseconds &+ patienceMilliseconds &* 1_000_000
    while true {
      let now = MonotonicTime.now().nanoseconds
      guard now < limit else {
        kill(pid, SIGKILL)
        isLate = true
        break
      }
      // poll(2) leaves out what has a negative descriptor.
      var waits = [
        pollfd(fd: output, events: Int16(POLLIN), revents: 0),
        pollfd(fd: watch?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
      ]
      if writer >= 0 {
        waits.append(pollfd(fd: writer, events: Int16(POLLOUT), revents: 0))
      }
      let rest = Int32((limit - now) / 1_000_000) + 1
      _ = unsafe poll(&waits, nfds_t(waits.count), watch == nil ? rest : min(rest, Feeder.tickMilliseconds))
      watch?.tick()
      if waits[1].revents != 0 { watch?.act() }
      if writer >= 0, waits[2].revents != 0 {
        let count = unsafe octets[written...].withUnsafeBytes { unsafe write(writer, $0.baseAddress, $0.count) }
        written += max(count, 0)
        if written == octets.count || (count < 0 && errno != EAGAIN) {
          close(writer)
          writer = -1
        }
      }
      if waits[0].revents != 0 {
        var chunk = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe read(output, &chunk, chunk.count)
        guard count > 0 else { break }
        complaint.append(contentsOf: chunk.prefix(min(count, maximumComplaint - complaint.count)))
      }
    }
    if writer >= 0 {
      close(writer)
    }
    return (String(decoding: complaint, as: UTF8.self), isLate)
  }
}
