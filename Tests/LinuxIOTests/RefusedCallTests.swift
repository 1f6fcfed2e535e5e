import Foundation
import Glibc
import Synchronization
import Testing

@testable import LinuxIO

/// What the kernel refuses is thrown, with the kernel's own number, and nothing that it did not give is used.
@Suite("Refused system calls", .serialized)
struct RefusedCallTests {
  /// What was thrown by each of the attempts while a limit of the process is 0; nil where nothing was.
  private static func thrown(
    without limit: __rlimit_resource_t, _ attempts: [() throws -> Void]
  ) -> [SystemError?] {
    var before = rlimit()
    _ = unsafe getrlimit(limit, &before)
    var none = rlimit(rlim_cur: 0, rlim_max: before.rlim_max)
    var result: [SystemError?] = []
    _ = unsafe setrlimit(limit, &none)
    for attempt in attempts {
      do {
        try attempt()
        result.append(nil)
      } catch {
        result.append(error as? SystemError)
      }
    }
    _ = unsafe setrlimit(limit, &before)
    return result
  }

  private final class Found: Sendable {
    let errors = Mutex<[SystemError?]>([])
    let done = DispatchSemaphore(value: 0)
  }

  @Test("where no descriptor is to be had, nothing that needs one is made")
  func descriptors() throws {
    let socket = try Sockets.listenUDP(.v4(0x7F00_0001))
    let port = LoopbackSocket.port(of: socket.raw)
    let sandbox = try Sandbox(.serve)
    try #require(sandbox.version > 0, "this kernel has no Landlock")
    let attempts: [(name: String, make: () throws -> Void)] = [
      ("pipe", { _ = try DescriptorPair.pipe().first }),
      ("socketpair", { _ = try DescriptorPair.sockets(ofMessages: true).first }),
      ("inotify", { _ = try FolderWatcher() }),
      ("memfd", { _ = try SharedCounter.makeFile(named: "none").raw }),
      ("signalfd", { _ = try ChildSignals().readiness }),
      ("timerfd", { _ = try ClockWatcher() }),
      ("epoll", { _ = try Reactor() }),
      ("eventfd", { _ = try WakeCall() }),
      ("connect", { _ = try Sockets.connectUDP(.v4(0x7F00_0001, port: port)).raw }),
      ("bind", { _ = try Sockets.listenUDP(.v4(0x7F00_0001)).raw }),
      ("landlock_create_ruleset", { _ = try Sandbox(.serve) }),
      ("landlock_add_rule", { try sandbox.keepLibraries() }),
    ]
    // What waits for children has SIGCHLD blocked on its thread for good.
    let found = Found()
    nonisolated(unsafe) let all = attempts.map { $0.make }  // used by the thread alone, while this one waits for it
    let thread = Thread {
      let errors = unsafe Self.thrown(without: __rlimit_resource_t(RLIMIT_NOFILE.rawValue), all)
      found.errors.withLock { $0 = errors }
      found.done.signal()
    }
    thread.start()
    found.done.wait()
    let errors = found.errors.withLock { $0 }
    #expect(errors.count == attempts.count)
    for (attempt, error) in zip(attempts, errors) {
      #expect(error?.errno == EMFILE, "\(attempt.name): \(error as Any)")
    }
  }

  @Test("a shared counter is a page that may be written, of a file that holds one")
  func counters() throws {
    let file = try SharedCounter.makeFile(named: "page")
    let path = "/proc/self/fd/\(file.raw)"
    let readOnly = FileDescriptor(unsafe open(path, O_RDONLY | O_CLOEXEC))
    #expect(throws: SystemError.self) { _ = try SharedCounter(readOnly.raw) }
    #expect(throws: SystemError.self) { _ = try SharedCounter(-1) }
    try #require(ftruncate(file.raw, 8) == 0)
    #expect(throws: SystemError.self) { _ = try SharedCounter(file.raw) }
    // The kernel tells a process by a signal, too, that it may write no longer file.
    let handler = signal(SIGXFSZ, SIG_IGN)
    defer { signal(SIGXFSZ, handler) }
    let make: () throws -> Void = { _ = try SharedCounter.makeFile(named: "page").raw }
    let errors = Self.thrown(without: __rlimit_resource_t(RLIMIT_FSIZE.rawValue), [make])
    #expect(errors == [SystemError(call: "ftruncate", errno: EFBIG)])
  }

  @Test("a descriptor that is none, or of another kind, is refused by its number")
  func otherDescriptors() throws {
    #expect(throws: SystemError(call: "fcntl", errno: EBADF)) { _ = try Sockets.duplicate(-1).raw }
    #expect(throws: SystemError(call: "setsockopt", errno: EBADF)) {
      _ = try Sockets.prepareUDP(-1, tellsInterface: false)
    }
    #expect(throws: SystemError(call: "setsockopt", errno: EBADF)) { try Sockets.tellInterface(-1) }
    #expect(throws: SystemError(call: "SO_ATTACH_REUSEPORT_CBPF", errno: EBADF)) {
      try Sockets.steer(-1, [Sockets.Network(high: 0, low: 0, isV6: false, length: 8)], workers: 1)
    }
    // No process of the tests has so many open.
    for (variable, value) in [("LISTEN_PID", "\(getpid())"), ("LISTEN_FDS", "4096")] {
      _ = unsafe setenv(variable, value, 1)
    }
    #expect(throws: SystemError(call: "a descriptor of LISTEN_FDS", errno: EBADF)) { _ = try PassedSocket.take() }
    let reactor = try Reactor()
    let file = FileDescriptor(unsafe open("/etc/passwd", O_RDONLY | O_CLOEXEC))
    #expect(throws: SystemError(call: "epoll_ctl", errno: EPERM), "a file is always ready") {
      try reactor.register(file.raw, readable: true, writable: false) { _ in }
    }
    reactor.unregister(file.raw)
    reactor.unregister(60_000)
  }

  @Test("a datagram that the batch does not hold has no way back")
  func returnAddresses() throws {
    let receiver = try Sockets.listenUDP(.v4(0x7F00_0001))
    let sender = try Sockets.connectUDP(.v4(0x7F00_0001, port: LoopbackSocket.port(of: receiver.raw)))
    #expect(LoopbackSocket.send([1], on: sender.raw) && LoopbackSocket.isReadable(receiver.raw))
    var batch = DatagramBatch()
    try #require(try batch.receive(receiver.raw, block: false) == 1)
    let known = [-1, 0, 1].map { batch.returnAddress($0) != nil }
    #expect(known == [false, true, false])
  }

  @Test("a message without an octet is one, and what is sent is said to be")
  func messages() throws {
    let pair = try DescriptorPair.sockets(ofMessages: true)
    let (first, second) = (pair.first, pair.second)
    var buffer = [UInt8](repeating: 0, count: 16)
    for message in [[], [1, 2, 3]] as [[UInt8]] {
      guard case .sent = MessageSocket.send(message, first, waiting: false) else {
        Issue.record("\(message) was not sent")
        return
      }
      guard case .octets(message) = MessageSocket.receive(second, into: &buffer) else {
        Issue.record("\(message) did not arrive")
        return
      }
    }
    guard case .nothing = MessageSocket.receive(second, into: &buffer) else {
      Issue.record("something arrived that was not sent")
      return
    }
  }

  @Test("of the timers that are due together none runs any more once one of them stopped the reactor")
  func stopped() throws {
    let reactor = try Reactor()
    var ran: [Int] = []
    let now = MonotonicTime.now()
    for number in 0..<3 {
      _ = reactor.schedule(at: now) {
        ran.append(number)
        reactor.stop()
      }
    }
    reactor.run()
    #expect(ran == [0])
  }

  @Test("one is one, and every other number is several")
  func counts() {
    #expect(counted(1, "address") == "1 address")
    #expect(counted(0, "address") == "0 addresses")
    #expect(counted(2, "entry") == "2 entries")
    #expect(counted(3, "name") == "3 names")
  }

  @Test(
    "a process that is not root opens a regular file however many names it has, and of whichever user",
    .enabled(if: geteuid() == 0, "needs root: becomes another user"))
  func otherUser() throws {
    let path = NSTemporaryDirectory() + "sluice-names-\(UUID().uuidString)"
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o755])
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data("x".utf8).write(to: URL(filePath: path + "/file"))
    try #require(unsafe chmod(path + "/file", 0o644) == 0 && link(path + "/file", path + "/other") == 0)
    let folder = try Folder(path)
    #expect(throws: SystemError(call: "open a file of a single name", errno: EPERM)) {
      _ = try folder.open("file", O_RDONLY).raw
    }
    try #require(seteuid(65_534) == 0)
    let isOpen = (try? folder.open("file", O_RDONLY).raw) != nil
    try #require(seteuid(0) == 0)
    #expect(isOpen)
  }
}
