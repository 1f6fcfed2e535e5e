import Glibc
import LinuxIO
import Synchronization
import Testing

@Suite("Threads and what wakes them")
struct ThreadsTests {
  @Test("a thread has its name, takes no signals, and has ended when it was joined")
  func named() throws {
    let before = blockedSignals
    let seen = Mutex<(name: String, blocksSignals: Bool)?>(nil)
    let thread = try NamedThread("sluice-test") {
      let file = unsafe open("/proc/thread-self/comm", O_RDONLY)
      var name = [UInt8](repeating: 0, count: 16)
      let count = unsafe read(file, &name, name.count)
      close(file)
      var mask = sigset_t()
      unsafe pthread_sigmask(SIG_SETMASK, nil, &mask)
      let text = String(decoding: name.prefix(max(count - 1, 0)), as: UTF8.self)
      let blocks = unsafe sigismember(&mask, SIGTERM) == 1
      seen.withLock { $0 = (text, blocks) }
    }
    thread.join()
    let found = try #require(seen.withLock { $0 })
    #expect(found.name == "sluice-test")
    #expect(found.blocksSignals)
    #expect(blockedSignals == before, "the thread that starts another keeps its signals")
  }

  private var blockedSignals: [Bool] {
    var mask = sigset_t()
    unsafe pthread_sigmask(SIG_SETMASK, nil, &mask)
    return (Int32(1)...31).map { unsafe sigismember(&mask, $0) == 1 }
  }

  @Test("a call wakes the thread that waits, and one that comes before it waits is not lost")
  func wake() throws {
    let (call, answer) = (try WakeCall(), try WakeCall())
    call.call()
    let thread = try NamedThread("waits") {
      call.wait(milliseconds: nil)
      answer.call()
    }
    answer.wait(milliseconds: nil)
    thread.join()
    #expect(!isReadable(call), "what was waited for was taken")
  }

  @Test("calls are one until they are taken")
  func together() throws {
    let call = try WakeCall()
    #expect(!isReadable(call))
    call.call()
    call.call()
    #expect(isReadable(call))
    call.take()
    #expect(!isReadable(call))
    call.wait(milliseconds: 0)
  }

  private func isReadable(_ call: WakeCall) -> Bool {
    var entry = pollfd(fd: call.descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 0) == 1
  }
}
