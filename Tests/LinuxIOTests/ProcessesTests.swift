import Foundation
import Glibc
import LinuxIO
import Synchronization
import TestSupport
import Testing

@Suite("Helper processes", .serialized)
struct ProcessesTests {
  private static func start(_ path: String, _ arguments: String...) throws(SystemError) -> ChildProcess {
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    return try ChildProcess.start(path, [path] + arguments, descriptors: [null, null, null])
  }

  private static func poll(_ condition: () -> Bool) -> Bool {
    let end = MonotonicTime.now().adding(milliseconds: 20_000)
    while !condition() {
      guard MonotonicTime.now() < end else { return false }
      usleep(1_000)
    }
    return true
  }

  // MARK: ChildProcess

  @Test("a program's end is its own, and one that is not there is an error")
  func ends() throws {
    var good = try Self.start("/bin/true")
    let success = good.wait()
    #expect(success == 0)
    var bad = try Self.start("/bin/false")
    let failure = bad.wait()
    #expect(failure != 0)
    #expect(throws: SystemError(call: "posix_spawn", errno: ENOENT)) { _ = try Self.start("/nowhere/at/all").pid }
  }

  @Test("what becomes of a child is told once, and after its end its id is not signalled")
  func changes() throws {
    var child = try Self.start("/bin/sleep", "1000")
    let pid = child.pid
    var seen: [ChildProcess.Change?] = [child.change()]
    func wait(for change: ChildProcess.Change) -> Bool {
      Self.poll {
        if let change = child.change() { seen.append(change) }
        return seen.last == change
      }
    }
    kill(pid, SIGSTOP)
    #expect(wait(for: .stopped))
    kill(pid, SIGCONT)
    #expect(wait(for: .continued))
    var isOver = child.hasEnded()
    #expect(!isOver)
    child.kill()
    #expect(wait(for: .ended))
    #expect(seen == [nil, .stopped, .continued, .ended])
    isOver = child.hasEnded()
    #expect(isOver)
    child.kill()
    let later = child.change()
    #expect(later == nil)
    #expect(kill(pid, 0) != 0, "it was reaped")
  }

  @Test("a helper that is stopped when its owner goes is not left behind")
  func abandoned() throws {
    var owner = try DescriptorPair.sockets(ofMessages: true)
    let started = Started()
    var limits = Supervisor.Limits()
    limits.standstill = 50
    var supervision = try Supervision(owner: owner.second, limits: limits) { _ throws(SystemError) in
      let child = try Self.start("/bin/sleep", "1000")
      started.pid.store(child.pid, ordering: .releasing)
      kill(child.pid, SIGSTOP)
      return child
    }
    owner.closeFirst()
    // What became supervisor of an owner that is gone starts none.
    supervision.run()
    #expect(started.pid.load(ordering: .acquiring) == -1)
    var another = try DescriptorPair.sockets(ofMessages: true)
    let end = another.takeFirst().release()
    var keeping = try Supervision(owner: another.second, limits: limits) { _ throws(SystemError) in
      let child = try Self.start("/bin/sleep", "1000")
      started.pid.store(child.pid, ordering: .releasing)
      kill(child.pid, SIGSTOP)
      close(end)
      return child
    }
    keeping.run()
    let pid = started.pid.load(ordering: .acquiring)
    #expect(pid > 0 && kill(pid, 0) != 0, "it was killed and reaped")
  }

  /// The process that a thread started.
  private final class Started: Sendable {
    let pid = Atomic<Int32>(-1)
  }

  @Test(
    "a program that is to end with the thread that started it does, and another one does not", arguments: [false, true])
  func dependent(endsWithThread: Bool) throws {
    let started = Started()
    let thread = try NamedThread("short") {
      let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
      defer { close(null) }
      do throws(SystemError) {
        let child = try ChildProcess.start(
          "/bin/sleep", ["sleep", endsWithThread ? "1000" : "0.2"], descriptors: [null, null, null],
          endsWithThread: endsWithThread)
        started.pid.store(child.pid, ordering: .releasing)
      } catch {
        // Without a process the number is asked for in vain.
      }
    }
    thread.join()
    let pid = started.pid.load(ordering: .acquiring)
    try #require(pid > 0)
    var child = ChildProcess(pid: pid)
    #expect(child.wait() & 0x7F == (endsWithThread ? SIGKILL : 0))
  }

  @Test(
    "a program that ends with its thread has the descriptors that it is given, no others, and its signals at their defaults"
  )
  func dependentStart() throws {
    var pipe = try DescriptorPair.pipe()
    var child = try ChildProcess.start(
      "/bin/sh", ["sh", "-c", "ls -m /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status"],
      descriptors: [pipe.first, pipe.second, pipe.second], endsWithThread: true)
    pipe.closeSecond()
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1_024)
    while case let count = unsafe read(pipe.first, &chunk, chunk.count), count > 0 { text += chunk.prefix(count) }
    let status = child.wait()
    #expect(status == 0)
    // 3 is the folder that is listed.
    let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
    #expect(lines.map { $0.prefix(7) } == ["0, 1, 2", "SigBlk:", "SigIgn:"] && lines.first == "0, 1, 2, 3", "\(lines)")
    // But for 32 and 33, which are the C library's own: a program that ignores them, as swift test does, hands that on.
    for line in lines.dropFirst() {
      let signals = try #require(UInt64(line.dropFirst(8), radix: 16))
      #expect(signals & ~(3 << 31) == 0, "\(line)")
    }
    #expect(throws: SystemError(call: "posix_spawn", errno: ENOENT)) {
      _ = try ChildProcess.start("/nowhere/at/all", ["all"], descriptors: [], endsWithThread: true).pid
    }
  }

  // MARK: Descriptors and life lines

  @Test("a pair closes what it still has when it goes, and what was taken stays open")
  func pairs() throws {
    func hangsUp(_ descriptor: Int32) -> Bool {
      var wait = pollfd(fd: descriptor, events: 0, revents: 0)
      return unsafe Glibc.poll(&wait, 1, 0) == 1 && Int32(wait.revents) & POLLHUP != 0
    }
    var pair = try DescriptorPair.sockets(ofMessages: true)
    let kept = pair.takeFirst().release()
    defer { close(kept) }
    #expect(!hangsUp(kept))
    let rest = [pair.first, pair.second]
    #expect(rest[0] == -1 && rest[1] >= 0)
    _ = consume pair
    #expect(hangsUp(kept))
    var pipe = try DescriptorPair.pipe()
    let reader = pipe.first
    #expect(!hangsUp(reader))
    pipe.closeSecond()
    pipe.closeSecond()
    #expect(hangsUp(reader))
    _ = consume pipe
  }

  @Test("a helper answers as often as it is asked, and sees that its supervisor is gone")
  func lifeLine() throws {
    var ends = try LifeLine.pair()
    let (supervisor, helper) = (LifeLine(ends.first), LifeLine(ends.second))
    #expect(helper.answer())
    #expect(supervisor.listen() == .nothing)
    supervisor.speak()
    #expect(helper.answer())
    #expect(supervisor.listen() == .said)
    #expect(supervisor.listen() == .nothing)
    ends.closeFirst()
    #expect(!helper.answer())
  }

  // MARK: Supervision

  /// Runs a supervision on a thread of its own, since it blocks SIGCHLD there, until the owner is gone.
  ///
  /// - Parameter most: with so many starts the owner goes.
  /// - Returns: the ids of what was started, and whether the last of them lived on.
  private func supervise(_ command: [String], most: Int) throws -> (pids: [Int32], livesOn: Bool) {
    let outcome = Outcome()
    let isDone = DispatchSemaphore(value: 0)
    let thread = Thread {
      outcome.run(command, most: most)
      isDone.signal()
    }
    thread.start()
    #expect(isDone.wait(timeout: .now() + 60) == .success)
    return try outcome.end()
  }

  private final class Outcome: Sendable {
    private let state = Mutex<(pids: [Int32], livesOn: Bool, error: SystemError?)>(([], false, nil))

    /// Quicker than the bridge's, so that a test need not wait.
    private static var limits: Supervisor.Limits {
      var limits = Supervisor.Limits()
      limits.beat = 10
      limits.tolerance = 60
      return limits
    }

    func run(_ command: [String], most: Int) {
      do throws(SystemError) {
        let owner = try DescriptorPair.sockets(ofMessages: true)
        let end = owner.second
        if most == 0 { shutdown(end, Int32(SHUT_RDWR)) }
        var supervision = try Supervision(owner: owner.first, limits: Self.limits) { life throws(SystemError) in
          let child = try ChildProcess.start(command[0], command, descriptors: [life, life, life])
          let count = self.state.withLock {
            $0.pids.append(child.pid)
            return $0.pids.count
          }
          if count == most { shutdown(end, Int32(SHUT_RDWR)) }
          return child
        }
        supervision.run()
        _ = consume owner
        state.withLock { state in
          state.livesOn = state.pids.last.flatMap { Kernel.process($0)?.state }.map { $0 != "Z" } ?? false
        }
      } catch {
        state.withLock { $0.error = error }
      }
    }

    /// Ends what was started.
    func end() throws(SystemError) -> (pids: [Int32], livesOn: Bool) {
      let (pids, livesOn, error) = state.withLock { $0 }
      for pid in pids {
        kill(pid, SIGKILL)
        var status: Int32 = 0
        _ = unsafe waitpid(pid, &status, 0)
      }
      if let error { throw error }
      return (pids, livesOn)
    }
  }

  @Test("without an owner nothing is started")
  func noOwner() throws {
    #expect(try supervise(["/bin/sleep", "1000"], most: 0).pids.isEmpty)
  }

  @Test("a helper that ends is started again, until the owner goes")
  func restarts() throws {
    #expect(try supervise(["/bin/true"], most: 3).pids.count == 3)
  }

  @Test("a helper that gives no echo is killed and started again")
  func silent() throws {
    #expect(try supervise(["/bin/sleep", "1000"], most: 2).pids.count == 2)
  }

  @Test("a helper that runs when its owner goes is left to its own end")
  func leftAlone() throws {
    // It gives an echo of all that it hears.
    let found = try supervise(["/bin/sh", "-c", "cat; exec sleep 1000"], most: 1)
    #expect(found.pids.count == 1 && found.livesOn)
    let silent = try supervise(["/bin/sleep", "1000"], most: 1)
    #expect(silent.pids.count == 1 && !silent.livesOn, "one that gives none is not left behind")
  }
}
