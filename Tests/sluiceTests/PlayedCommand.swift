import Control
import Foundation
import Glibc
import LinuxIO
import Synchronization
import Testing

@testable import sluice

/// The executable itself, run with words of a command line; what it prints and how it ends is what is tested.
enum PlayedCommand {
  struct Failure: Error, CustomStringConvertible { var description: String }

  struct Output: CustomStringConvertible {
    /// The exit status, or 128 and the number of the signal that ended it.
    var status: Int32
    var text: String
    var errors: String

    var description: String { "exit \(status)\n\(text)\n\(errors)" }
    var lines: [String] { text.split(separator: "\n").map(String.init) }
  }

  /// The `sluice` built with the tests; `SLUICE_EXECUTABLE` names another one.
  static let executable: String? = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let bundles = CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
    let paths = ([own] + bundles).map { ($0 as NSString).deletingLastPathComponent + "/sluice" }
    let named = ProcessInfo.processInfo.environment["SLUICE_EXECUTABLE"]
    return ((named.map { [$0] } ?? []) + paths).first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  /// Runs a command to its end, without a terminal.
  static func run(_ words: String...) throws -> Output { try run(words) }

  static func run(_ words: [String]) throws -> Output {
    try run(host: [try path()] + words)
  }

  /// Runs lines of a shell in namespaces of their own, with an empty `/etc`: what they do there no other process sees. `$0` is
  /// the executable. Needs root.
  static func run(alone script: String, _ words: String...) throws -> Output {
    let whole = "set -e; mount -t tmpfs none /etc; " + script
    return try run(
      host: ["/usr/bin/unshare", "--mount", "--net", "/bin/sh", "-c", whole, try path()] + words)
  }

  /// Runs it without any privilege that the kernel knows, as uid 0.
  static func run(withoutCapabilities words: [String]) throws -> Output {
    try run(
      host: ["/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", try path()] + words)
  }

  /// Runs it as a user that is none here: in a user namespace without one.
  static func run(withoutUser words: [String]) throws -> Output {
    try run(host: ["/usr/bin/unshare", "--user", try path()] + words)
  }

  static func path() throws -> String {
    guard let executable else { throw Failure(description: "no executable: swift build --build-tests") }
    return executable
  }

  private static func run(host words: [String]) throws -> Output {
    let (status, text, errors) = try HostProgram.run(words, input: "")
    return Output(status: exitStatus(status), text: text, errors: errors)
  }

  static func exitStatus(_ status: Int32) -> Int32 { status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + (status & 0x7F) }
}

/// A control socket at which what a test says is answered.
final class ScriptedControl {
  let socket: String
  private let folder: String
  private let server: ControlServer

  /// - Parameter answers: by method and path, `GET /v1/status`: a status and a body; everything else is 404.
  init(_ answers: [String: (status: Int, body: String)], takes milliseconds: UInt32 = 0) throws {
    folder = NSTemporaryDirectory() + "sluice-played-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    socket = folder + "/s"
    let log = Asked()
    server = try ControlServer(ControlSocket(path: socket)) { request, completion in
      let call = "\(request.method.rawValue) /\(request.path.joined(separator: "/"))"
      log.add(call)
      usleep(milliseconds * 1_000)
      let answer = answers[call] ?? (404, #"{"error":"nothing there"}"#)
      completion(ControlResponse(status: answer.status, body: Array(answer.body.utf8)))
    }
    calls = log
  }

  final class Asked: Sendable {
    private let calls = Mutex<[String]>([])
    func add(_ call: String) { calls.withLock { $0.append(call) } }
    var all: [String] { calls.withLock { $0 } }
  }

  /// What was asked, in order.
  let calls: Asked

  deinit {
    server.stop()
    try? FileManager.default.removeItem(atPath: folder)
  }
}

/// A command at a terminal of its own, with a person's hands at the other end.
final class CommandAtTerminal {
  private let pid: Int32
  private var hand: Int32
  private var seen: [UInt8] = []
  /// The exit status; nil while it runs.
  private(set) var status: Int32?

  /// - Parameters:
  ///   - output: what the command has for its standard output; nil for the terminal.
  ///   - size: of the terminal, columns and rows.
  init(_ words: [String], output: Int32? = nil, size: (columns: UInt16, rows: UInt16) = (100, 30)) throws {
    hand = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    // Unlocked, and then opened, whatever is mounted at /dev/pts (TIOCSPTLCK and TIOCGPTPEER of ioctl_tty(2)).
    var unlocked: Int32 = 0
    guard hand >= 0, unsafe ioctl(hand, 0x4004_5431, &unlocked) == 0 else {
      throw PlayedCommand.Failure(description: "no terminal")
    }
    let terminal = ioctl(hand, 0x5441, O_RDWR | O_NOCTTY | O_CLOEXEC)
    guard terminal >= 0 else { throw PlayedCommand.Failure(description: "no terminal") }
    defer { close(terminal) }
    var window = winsize(ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0)
    _ = unsafe ioctl(hand, UInt(TIOCSWINSZ), &window)
    let path = try PlayedCommand.path()
    pid = try ChildProcess.start(path, [path] + words, descriptors: [terminal, output ?? terminal, terminal]).pid
  }

  deinit {
    if status == nil {
      kill(pid, SIGKILL)
      var status: Int32 = 0
      _ = unsafe waitpid(pid, &status, 0)
    }
    if hand >= 0 { close(hand) }
  }

  /// All that appeared.
  var text: String { String(decoding: seen, as: UTF8.self) }

  func type(_ keys: String) {
    let octets = Array(keys.utf8)
    _ = unsafe write(hand, octets, octets.count)
  }

  /// Takes the terminal away.
  func hangUp() {
    close(hand)
    hand = -1
  }

  /// Reads what appears until something holds of it, or the command has ended.
  ///
  /// - Returns: whether it holds.
  func wait(seconds: UInt64 = 20, until holds: (String) -> Bool) -> Bool {
    let end = MonotonicTime.now().adding(milliseconds: seconds * 1_000)
    while MonotonicTime.now() < end, !hasEnded() {
      read()
      if holds(text) { return true }
    }
    read()
    return holds(text)
  }

  /// The exit status; nil where it does not end in time.
  func end(within seconds: UInt64 = 20) -> Int32? {
    _ = wait(seconds: seconds) { _ in false }
    return status
  }

  private func hasEnded() -> Bool {
    var state: Int32 = 0
    if status == nil, unsafe waitpid(pid, &state, WNOHANG) == pid { status = PlayedCommand.exitStatus(state) }
    return status != nil
  }

  /// Takes what is there, and waits ten milliseconds where nothing is.
  private func read() {
    var entry = pollfd(fd: hand, events: Int16(POLLIN), revents: 0)
    var octets = [UInt8](repeating: 0, count: 65_536)
    guard hand >= 0, unsafe poll(&entry, 1, 10) > 0 else { return _ = usleep(10_000) }
    let count = unsafe Glibc.read(hand, &octets, octets.count)
    if count > 0 { seen += octets.prefix(count) } else { usleep(10_000) }
  }
}
