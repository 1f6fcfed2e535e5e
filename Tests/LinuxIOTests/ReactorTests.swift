import CLinux
import Foundation
import Glibc
import Synchronization
import Testing

@testable import LinuxIO

@Suite("Reactor and mailbox")
struct ReactorTests {
  /// Runs a reactor until something stops it; a minute without that are a failure.
  private func run(_ reactor: Reactor, _ location: SourceLocation = #_sourceLocation) {
    let timer = reactor.schedule(at: .now().adding(milliseconds: 60_000)) {
      Issue.record("nothing stopped the reactor", sourceLocation: location)
      reactor.stop()
    }
    reactor.run()
    reactor.cancel(timer)
  }

  private func event() throws -> FileDescriptor {
    let raw = sluice_eventfd_new()
    try #require(raw >= 0)
    return FileDescriptor(raw)
  }

  private final class Time: Sendable {
    private let nanoseconds = Atomic<UInt64>(5)
    var clocks: Clocks {
      Clocks(
        monotonic: { [self] in MonotonicTime(nanoseconds: nanoseconds.load(ordering: .relaxed)) },
        wall: { [self] in 1_000 + nanoseconds.load(ordering: .relaxed) })
    }
    func set(_ time: UInt64) { nanoseconds.store(time, ordering: .relaxed) }
  }

  @Test("with other clocks than the kernel's a turn runs what is due by them, and waits for nothing")
  func otherClocks() throws {
    let time = Time()
    let reactor = try Reactor(clocks: time.clocks)
    var done: [UInt64] = []
    for due: UInt64 in [20, 10, 30] {
      _ = reactor.schedule(at: MonotonicTime(nanoseconds: due)) {
        done.append(due)
        if due == 30 { reactor.stop() }
      }
    }
    for (now, expected) in [(5, []), (10, [10]), (29, [10, 20]), (30, [10, 20, 30])] as [(UInt64, [UInt64])] {
      time.set(now)
      reactor.turn()
      #expect(done == expected && reactor.now.nanoseconds == now && reactor.isRunning == (now < 30))
    }
    time.set(7)
    let end = EndClock(time.clocks)
    time.set(9)
    #expect(
      end.nanoseconds() == 1_009 && end.nanoseconds(wall: 500, monotonic: MonotonicTime(nanoseconds: 17)) == 1_017)
  }

  @Test("every message of every thread arrives once and in its thread's order")
  func mailbox() throws {
    let threads = 4
    let each = 4000
    let reactor = try Reactor()
    let mailbox = try Mailbox<(thread: Int, number: Int)>()
    var next = [Int](repeating: 0, count: threads)
    var total = 0
    var inOrder = true
    try reactor.attach(mailbox) { message in
      inOrder = inOrder && next[message.thread] == message.number
      next[message.thread] += 1
      total += 1
      if total == threads * each { reactor.stop() }
    }
    for thread in 0..<threads {
      Thread {
        for number in 0..<each {
          mailbox.post((thread, number))
          // Lets the reactor drain in between, so that many posts meet an empty mailbox.
          sched_yield()
        }
      }.start()
    }
    run(reactor)
    #expect(inOrder)
    #expect(next == [Int](repeating: each, count: threads))
  }

  @Test("only the first message of a burst wakes")
  func burst() throws {
    let mailbox = try Mailbox<Int>()
    for number in 0..<10 { mailbox.post(number) }
    #expect(wakeUps(mailbox.readiness) == 1)
    #expect(mailbox.drain() == Array(0..<10))
    mailbox.post(10)
    #expect(wakeUps(mailbox.readiness) == 1)
  }

  /// How often an eventfd was written since it was read last; nil if it is quiet.
  private func wakeUps(_ fd: Int32) -> UInt64? {
    var count: UInt64 = 0
    return unsafe read(fd, &count, 8) == 8 ? count : nil
  }

  @Test("a message that a handler posts to its own mailbox is handled")
  func reentrant() throws {
    let reactor = try Reactor()
    let mailbox = try Mailbox<Int>()
    var seen: [Int] = []
    try reactor.attach(mailbox) { message in
      seen.append(message)
      if message < 3 { mailbox.post(message + 1) } else { reactor.stop() }
    }
    mailbox.post(0)
    run(reactor)
    #expect(seen == [0, 1, 2, 3])
  }

  @Test("a descriptor that was unregistered by another handler of the same batch is not reported")
  func unregister() throws {
    let reactor = try Reactor()
    let first = try event()
    let second = try event()
    let (a, b) = (first.raw, second.raw)
    var reports = 0
    for (own, other) in [(a, b), (b, a)] {
      try reactor.register(own, readable: true, writable: false) { _ in
        reports += 1
        reactor.unregister(other)
        reactor.unregister(own)
        _ = reactor.schedule(at: .now().adding(milliseconds: 1)) { reactor.stop() }
      }
      sluice_eventfd_post(own)
    }
    run(reactor)
    #expect(reports == 1)
  }

  @Test("an event of a closed descriptor does not reach the next one of the same number")
  func reuse() throws {
    let reactor = try Reactor()
    let pair = [sluice_eventfd_new(), sluice_eventfd_new()]
    var stale = false
    var reports = 0
    for index in 0..<2 {
      try reactor.register(pair[index], readable: true, writable: false) { _ in
        reports += 1
        // The other one is ready in the same batch: its number now stands for a quiet descriptor.
        let other = 1 - index
        reactor.unregister(pair[other])
        let quiet = sluice_eventfd_new()
        dup2(quiet, pair[other])
        close(quiet)
        try? reactor.register(pair[other], readable: true, writable: false) { _ in stale = true }
        reactor.unregister(pair[index])
        _ = reactor.schedule(at: .now().adding(milliseconds: 1)) { reactor.stop() }
      }
      sluice_eventfd_post(pair[index])
    }
    run(reactor)
    #expect(reports == 1)
    #expect(!stale)
    for raw in pair { close(raw) }
  }

  @Test("readiness follows what is asked for")
  func modify() throws {
    let reactor = try Reactor()
    let event = try event()
    let fd = event.raw
    var seen: [String] = []
    try reactor.register(fd, readable: true, writable: true) { ready in
      seen.append("\(ready.isReadable) \(ready.isWritable) \(ready.isClosed)")
      if seen.count == 1 {
        reactor.modify(fd, readable: true, writable: false)
        sluice_eventfd_post(fd)
      } else {
        reactor.stop()
      }
    }
    run(reactor)
    #expect(seen == ["false true false", "true false false"])
  }

  @Test("a timer that makes a due timer does not keep descriptors from being served")
  func fairness() throws {
    let reactor = try Reactor()
    let event = try event()
    try reactor.register(event.raw, readable: true, writable: false) { _ in reactor.stop() }
    sluice_eventfd_post(event.raw)
    final class Again { var work: () -> Void = {} }
    let again = Again()
    var rounds = 0
    again.work = {
      rounds += 1
      guard rounds < 100_000 else { return reactor.stop() }
      _ = reactor.schedule(at: reactor.now) { again.work() }
    }
    again.work()
    run(reactor)
    again.work = {}
    #expect(rounds < 100)
  }

  @Test("thousands of timers that are due at once, and work without end, do not keep a descriptor waiting")
  func manyTimers() throws {
    let reactor = try Reactor()
    let event = try event()
    try reactor.register(event.raw, readable: true, writable: false) { _ in reactor.stop() }
    sluice_eventfd_post(event.raw)
    var (rounds, works) = (0, 0)
    for _ in 0..<5_000 { _ = reactor.schedule(at: reactor.now) { rounds += 1 } }
    reactor.work = {
      works += 1
      return works < 100_000
    }
    run(reactor)
    #expect(rounds < 100 && works < 100)
    reactor.work = nil
    // Nothing of it is lost.
    _ = reactor.schedule(at: .now()) { reactor.stop() }
    reactor.modify(event.raw, readable: false, writable: false)
    run(reactor)
    #expect(rounds == 5_000)
  }

  @Test("a cancelled timer neither runs nor wakes the thread")
  func idle() throws {
    let reactor = try Reactor()
    let start = MonotonicTime.now()
    var ran = false
    for step in 1...60 {
      let timer = reactor.schedule(at: start.adding(milliseconds: UInt64(4 * step))) { ran = true }
      reactor.cancel(timer)
    }
    _ = reactor.schedule(at: start.adding(milliseconds: 300)) { reactor.stop() }
    let before = sleeps()
    run(reactor)
    #expect(!ran)
    #expect(MonotonicTime.now() >= start.adding(milliseconds: 300))
    #expect(sleeps() - before < 20)
  }

  /// How often this thread went to sleep.
  private func sleeps() -> Int {
    var usage = rusage()
    _ = unsafe getrusage(__rusage_who_t(1), &usage)
    return usage.ru_nvcsw
  }

  @Test("the time stands still within one iteration")
  func time() throws {
    let reactor = try Reactor()
    var times: [MonotonicTime] = []
    for _ in 0..<3 { _ = reactor.schedule(at: .now()) { times.append(reactor.now) } }
    _ = reactor.schedule(at: .now()) { reactor.stop() }
    run(reactor)
    #expect(times.count == 3)
    #expect(Set(times).count == 1)
  }
}
