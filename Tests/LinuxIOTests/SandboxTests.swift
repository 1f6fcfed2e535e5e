import CLinux
import Foundation
import ForbiddenCalls
import Glibc
import Synchronization
import Testing

@testable import LinuxIO

private final class Outcome<Value: Sendable>: Sendable {
  let value = Mutex<Result<Value, any Error>?>(nil)
  let done = DispatchSemaphore(value: 0)
}

/// A sandbox is a thread's: each test enters one on a thread of its own, and tries from inside what is forbidden.
@Suite("The sandbox", .enabled(if: geteuid() == 0, "needs root: else the kernel refuses most of it anyway"))
struct SandboxTests {
  /// Runs `body` on a thread that has entered the sandbox.
  private func inside<Result: Sendable>(
    _ sandbox: Sandbox, _ body: @escaping @Sendable () -> Result
  ) throws -> Result {
    let outcome = Outcome<Result>()
    Thread {
      let result = Swift.Result {
        try sandbox.enter()
        return body()
      }
      outcome.value.withLock { $0 = result }
      outcome.done.signal()
    }.start()
    outcome.done.wait()
    return try #require(outcome.value.withLock { $0 }).get()
  }

  /// Opens as open(2) does; 0 or an errno.
  private static func opens(_ path: String, _ flags: Int32 = O_RDONLY) -> Int32 {
    let descriptor = unsafe open(path, flags | O_CLOEXEC | O_NONBLOCK, 0o600)
    guard descriptor >= 0 else { return errno }
    close(descriptor)
    return 0
  }

  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-sandbox-\(UUID().uuidString)"
    for part in ["", "/in", "/out", "/read"] {
      try FileManager.default.createDirectory(atPath: folder + part, withIntermediateDirectories: false)
      try Data("x".utf8).write(to: URL(filePath: folder + part + "/file"))
    }
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  @Test("what changes the system, other processes or the sandbox itself is refused", arguments: [0, 1, 2] as [Int32])
  func calls(of number: Int32) throws {
    let profile = try #require(Sandbox.Profile(rawValue: number))
    let results = try inside(Sandbox(profile)) { () -> [String: Int32] in
      var results = unsafe [forbidden_result](repeating: forbidden_result(), count: 128)
      let count = unsafe forbidden_calls(&results, 128)
      var named: [String: Int32] = [:]
      for index in 0..<Int(count) {
        let result = unsafe results[index]
        unsafe named[String(cString: result.name)] = result.error
      }
      return named
    }
    #expect(results.count > 50)
    for (name, error) in results.sorted(by: { $0.key < $1.key }) {
      #expect(error == EPERM, "\(name): error \(error)")
    }
  }

  @Test("serve and the validator start no process and no program, the bridge and what keeps the validator both")
  func programs() throws {
    let serve = try inside(Sandbox(.serve)) { [forbidden_fork(), unsafe forbidden_execute("/nowhere")] }
    #expect(serve == [EPERM, EPERM])
    let bridge = try inside(Sandbox(.bridge)) { [forbidden_fork(), unsafe forbidden_execute("/nowhere")] }
    #expect(bridge == [0, ENOENT])
    let validator = try inside(Sandbox(.validator)) { [forbidden_fork(), unsafe forbidden_execute("/nowhere")] }
    #expect(validator == [EPERM, EPERM])
    let keeper = try inside(Sandbox(.keeper)) { [forbidden_fork(), unsafe forbidden_execute("/nowhere")] }
    #expect(keeper == [0, ENOENT])
  }

  @Test(
    "serve has sockets of the Internet and of routing, the bridge of netfilter and of routing, the gate of the Internet, others none"
  )
  func sockets() throws {
    let all = [(AF_INET, 0), (AF_INET6, 0), (AF_NETLINK, 0), (AF_NETLINK, 12)] as [(Int32, Int32)]
    let attempt = { @Sendable () -> [Int32] in all.map { forbidden_socket($0.0, Int32(SOCK_DGRAM.rawValue), $0.1) } }
    #expect(try inside(Sandbox(.serve), attempt) == [0, 0, 0, EPERM])
    #expect(try inside(Sandbox(.bridge), attempt) == [EPERM, EPERM, 0, 0])
    #expect(try inside(Sandbox(.gate), attempt) == [0, 0, EPERM, EPERM])
    for none in [Sandbox.Profile.validator, .keeper] {
      #expect(try inside(Sandbox(none), attempt) == [EPERM, EPERM, EPERM, EPERM])
    }
  }

  @Test(
    "the gate makes no socket of its own listen, at a port that the kernel chooses neither; its keeper readies what it is given"
  )
  func listening() throws {
    let attempt = { @Sendable () -> [Int32] in [forbidden_listen()] }
    #expect(try inside(Sandbox(.gate), attempt) == [EPERM])
    #expect(try inside(Sandbox(.gateKeeper), attempt) == [0])
  }

  @Test(
    "files are read, filled and emptied where that is kept and nowhere else, by each version of Landlock",
    arguments: 1...6)
  func files(_ newest: Int32) throws {
    try inFolder { folder in
      let sandbox = try Sandbox(.serve, newest: newest)
      try #require(sandbox.version == newest, "this kernel has Landlock \(sandbox.version)")
      try sandbox.keep(folder + "/in", .fill)
      // As serve and the bridge have it: init's environment is out of reach all the same.
      for path in ["/usr/share", "/proc"] { try sandbox.keep(path, .read) }
      try sandbox.keep("/nowhere", .read)
      try sandbox.keep(folder + "/read", .read)
      let found = try inside(sandbox) { () -> [String: Int32] in
        var found: [String: Int32] = [:]
        found["shadow"] = Self.opens("/etc/shadow")
        found["passwd"] = Self.opens("/etc/passwd")
        found["its folder"] = Self.opens("/etc")
        found["init's memory"] = Self.opens("/proc/1/environ")
        found["emptied as it is read"] = Self.opens(folder + "/read/file", O_RDONLY | O_TRUNC)
        found["emptied as nothing is done"] = Self.opens(folder + "/read/file", O_ACCMODE | O_TRUNC)
        found["beside"] = Self.opens(folder + "/file")
        found["out"] = Self.opens(folder + "/out/file", O_WRONLY)
        found["new out"] = Self.opens(folder + "/out/new", O_WRONLY | O_CREAT)
        found["a link out"] = Self.opens(folder + "/in/../out/file")
        found["unlink out"] = unsafe unlink(folder + "/out/file") == 0 ? 0 : errno
        found["rename out"] = unsafe rename(folder + "/in/file", folder + "/out/moved") == 0 ? 0 : errno
        found["usr written"] = Self.opens("/usr/share/sluice-test", O_WRONLY | O_CREAT)
        found["usr"] = Self.opens("/usr/share")
        found["in"] = Self.opens(folder + "/in/file", O_RDWR | O_TRUNC)
        found["new in"] = Self.opens(folder + "/in/new", O_RDWR | O_CREAT | O_EXCL)
        found["rename in"] = unsafe rename(folder + "/in/new", folder + "/in/newer") == 0 ? 0 : errno
        found["unlink in"] = unsafe unlink(folder + "/in/newer") == 0 ? 0 : errno
        return found
      }
      for name in ["usr", "in", "new in", "rename in", "unlink in"] { #expect(found[name] == 0, "\(name): \(found)") }
      for name in found.keys where !["usr", "in", "new in", "rename in", "unlink in"].contains(name) {
        // A file is not taken from one folder to another: EXDEV, so that a program copies it.
        #expect(
          found[name] == EACCES || (name == "rename out" && found[name] == EXDEV)
            || (name.hasPrefix("emptied") && found[name] == EPERM), "\(name): \(found[name] ?? 0)")
      }
      #expect(try Data(contentsOf: URL(filePath: folder + "/read/file")) == Data("x".utf8))
    }
  }

  @Test("a process outside gets no signal, one of the same sandbox does")
  func signals() throws {
    let sandbox = try Sandbox(.bridge)
    try #require(sandbox.version >= 6, "this kernel has Landlock \(sandbox.version)")
    let outside = Process()
    outside.executableURL = URL(filePath: "/bin/sleep")
    outside.arguments = ["60"]
    try outside.run()
    defer { outside.terminate() }
    let pid = outside.processIdentifier
    #expect(kill(pid, 0) == 0)
    #expect(try inside(sandbox) { kill(pid, 0) == 0 ? 0 : errno } == EPERM)
  }

  @Test("serve sends no signal to another process, whatever version of Landlock there is")
  func threadSignals() throws {
    let parent = getppid()
    #expect(forbidden_signal(parent) == 0)
    #expect(
      try inside(Sandbox(.serve, newest: 1)) { [forbidden_signal(parent), forbidden_signal(getpid())] } == [EPERM, 0])
  }

  @Test("a thread that did not enter is found by its name, one that a confined thread starts is confined")
  func strays() throws {
    let (ready, go, end) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let sandbox = try Sandbox(.serve)
    try sandbox.keep("/proc/self", .read)
    #expect(try inside(sandbox) { () -> Bool in Sandbox.stray != nil }, "the test's own threads have not entered")
    // A confined thread of a former step is there for a moment after it was waited for.
    for _ in 0..<200 where Set(Self.filters()).count > 1 { usleep(10_000) }
    let filters = try inside(sandbox) { () -> [Int] in
      let thread = Thread {
        ready.signal()
        go.wait()
        end.signal()
      }
      thread.start()
      ready.wait()
      let filters = Self.filters()
      go.signal()
      end.wait()
      return filters
    }
    let fewest = try #require(filters.min())
    #expect(filters.filter { $0 == fewest + 1 }.count == 2, "\(filters)")
  }

  @Test("where all threads are confined alike, there is no stray")
  func noStrays() {
    // A confined thread of a former test is there for a moment after it was waited for.
    for _ in 0..<200 where Sandbox.stray != nil { usleep(10_000) }
    #expect(Sandbox.stray == nil)
  }

  @Test("what can't be kept is said, but for a path that is not there")
  func keeping() throws {
    let sandbox = try Sandbox(.serve)
    #expect(throws: SystemError(call: "landlock_add_rule", errno: ENAMETOOLONG)) {
      try sandbox.keep("/" + String(repeating: "a", count: 5_000), .read)
    }
    #expect(throws: SystemError(call: "landlock_add_rule", errno: EBADF)) { try sandbox.keep(descriptor: -1, .read) }
    try sandbox.keep("/etc/passwd/nothing", .read)
  }

  @Test("one that can't be entered says so: a confined thread enters no other one")
  func entering() throws {
    let (withFiles, withoutFiles) = (try Sandbox(.serve), try Sandbox(.serve, newest: 0))
    #expect(withoutFiles.version == 0)
    let errors = try inside(withoutFiles) { () -> [SystemError?] in
      [withFiles, withoutFiles].map { sandbox in
        do throws(SystemError) {
          try sandbox.enter()
          return nil
        } catch {
          return error
        }
      }
    }
    #expect(
      errors == [
        SystemError(call: "landlock_restrict_self", errno: EPERM), SystemError(call: "seccomp", errno: EPERM),
      ])
  }

  @Test("without Landlock system calls are confined, and files are as they were")
  func withoutLandlock() throws {
    let opened = try inside(Sandbox(.serve, newest: 0)) { [Self.opens("/etc/passwd"), forbidden_fork()] }
    #expect(opened == [0, EPERM])
  }

  /// The number of filters of each thread.
  private static func filters() -> [Int] {
    // The folder stands for this process; a confined thread reads no other.
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return threads.compactMap { thread in
      let text = try? String(contentsOfFile: "/proc/self/task/\(thread)/status", encoding: .utf8)
      let line = text?.split(separator: "\n").first { $0.hasPrefix("Seccomp_filters:") }
      return line?.split(separator: "\t").last.flatMap { Int($0) }
    }
  }
}
