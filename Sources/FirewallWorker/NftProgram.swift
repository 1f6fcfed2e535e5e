import BridgeProcesses
import CLinux
import Glibc
import LinuxIO

/// Runs the `nft` program for the static part of the table, where text is right and speed does not matter; in a table that is
/// the worker's alone, this executable with nft's library and the worker's socket.
enum NftProgram {
  static let path = "/usr/sbin/nft"
  /// Some twenty times what a ruleset takes on a small machine: one of a thousand servers is 3 MB. A program that hangs must
  /// not hang the worker for good.
  static func patienceMilliseconds(_ text: String) -> UInt64 {
    10_000 + UInt64(text.utf8.count) / 50
  }

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
  ///
  /// - Parameter owner: the netlink socket that owns the table; nil for `nft` and its own.
  static func apply(
    _ text: String, checkOnly: Bool = false, owner: Int32? = nil, watch: Watch? = nil,
    started: (Int32) -> Void = { _ in }
  ) throws(NftError) {
    var run: NftRun
    do throws(SystemError) {
      if let owner {
        run = try NftRun(
          BridgeStart.ownExecutable, ["sluice", "bridge", BridgeStart.Role.rules.rawValue], owner: owner)
      } else {
        run = try NftRun(path, checkOnly ? [path, "-c", "-f", "-"] : [path, "-f", "-"])
      }
    } catch {
      throw NftError(text: "\(path) cannot be started: \(error)")
    }
    started(run.process.pid)
    let patience = patienceMilliseconds(text)
    let end = run.exchange(text, patience, watch: watch)
    guard run.process.wait() == 0 else {
      throw NftError(
        text: end.isLate
          ? "nft was ended: it had not done with the ruleset within \(patience / 1_000) s"
          : "nft refused the ruleset: \(end.complaint)")
    }
  }
}

/// nft at work, with our ends of what it reads and writes.
///
/// A text that is cut at the end of a line may be a ruleset all the same, and not the one that was meant: a part without the
/// rules that come later. So nft must not take the end of this process for the end of the text. It reads from a socket whose
/// other end it holds too: what nothing closes ends only by `shutdown`, which is called when all of the text was sent. And it
/// ends with the thread that started it, which it would wait for in vain.
struct NftRun: ~Copyable {
  private static let maximumComplaint = 1_500

  var process: ChildProcess
  /// `second` is this process's, and nft's too.
  private var input: DescriptorPair
  /// `first` stays in this process.
  private let output: DescriptorPair

  init(_ program: String, _ arguments: [String], owner: Int32? = nil) throws(SystemError) {
    var input = try DescriptorPair.sockets(ofMessages: false)
    var output = try DescriptorPair.pipe()
    let null = unsafe open("/dev/null", O_WRONLY | O_CLOEXEC)
    defer { close(null) }
    process = try ChildProcess.start(
      program, arguments,
      descriptors: [input.first, null, output.second] + (owner.map { [$0] } ?? []) + [input.second],
      endsWithThread: true)
    input.closeFirst()
    output.closeSecond()
    self.input = input
    self.output = output
  }

  /// Sends a part of the text, as much as there is room for. Returns the octets, or a negative error number.
  func send(_ octets: ArraySlice<UInt8>) -> Int {
    // The slice with its count.
    unsafe octets.withUnsafeBytes { Int(unsafe sluice_message_send(input.second, $0.baseAddress, UInt64($0.count), 0)) }
  }

  /// The text is whole.
  mutating func finish() {
    shutdown(input.second, Int32(SHUT_WR))
    input.closeSecond()
  }

  /// Feeds the text and collects what nft complains about, both without ever blocking for good; closes its input.
  mutating func exchange(
    _ text: String, _ patienceMilliseconds: UInt64, watch: NftProgram.Watch?
  ) -> (complaint: String, isLate: Bool) {
    let octets = Array(text.utf8)
    var written = 0
    var complaint: [UInt8] = []
    var isLate = false
    let limit = MonotonicTime.now().nanoseconds &+ patienceMilliseconds &* 1_000_000
    while true {
      let now = MonotonicTime.now().nanoseconds
      guard now < limit else {
        process.kill()
        isLate = true
        break
      }
      // poll(2) leaves out what has a negative descriptor.
      var waits = [
        pollfd(fd: output.first, events: Int16(POLLIN), revents: 0),
        pollfd(fd: watch?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
      ]
      if input.second >= 0 {
        waits.append(pollfd(fd: input.second, events: Int16(POLLOUT), revents: 0))
      }
      let rest = Int32((limit - now) / 1_000_000) + 1
      _ = unsafe poll(&waits, nfds_t(waits.count), watch == nil ? rest : min(rest, BridgeWorker.tickMilliseconds))
      watch?.tick()
      if waits[1].revents != 0 { watch?.act() }
      if input.second >= 0, waits[2].revents != 0 {
        let count = send(octets[written...])
        written += max(count, 0)
        if written == octets.count {
          finish()
        } else if count < 0, count != -Int(EAGAIN) {
          input.closeSecond()
        }
      }
      if waits[0].revents != 0 {
        var chunk = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe read(output.first, &chunk, chunk.count)
        guard count > 0 else { break }
        complaint.append(contentsOf: chunk.prefix(min(count, Self.maximumComplaint - complaint.count)))
      }
    }
    input.closeSecond()
    return (String(decoding: complaint, as: UTF8.self), isLate)
  }
}
