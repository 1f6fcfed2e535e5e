import CLinux

/// What a descriptor is ready for.
package struct ReadyEvents: Sendable {
  package var isReadable: Bool
  package var isWritable: Bool
  /// Hung up or in error: reading or writing says how.
  package var isClosed: Bool
}

/// Names a timer of one reactor, so that it can be cancelled.
package struct TimerID: Hashable, Sendable {
  fileprivate var key: TimerHeap.Key
}

/// An epoll loop on one thread: descriptors, timers, mailboxes. It sleeps until one of them has something to say.
///
/// Everything here is called on its thread; other threads post to a `Mailbox`.
package final class Reactor {
  private final class Registration {
    let generation: UInt32
    let handler: (ReadyEvents) -> Void

    init(generation: UInt32, handler: @escaping (ReadyEvents) -> Void) {
      self.generation = generation
      self.handler = handler
    }
  }

  /// Events taken from the kernel at a time.
  private static let batch = 128
  /// Timers between two looks at descriptors: thousands that are due at once do not keep an answer waiting.
  private static let timersAtOnce = 32

  /// Read once an iteration.
  package private(set) var now: MonotonicTime
  private let clocks: Clocks
  private let epoll: FileDescriptor
  /// By descriptor: the kernel gives the lowest that is free.
  private var registrations: [Registration?] = []
  private var generation: UInt32 = 0
  private var timers = TimerHeap()
  /// How often everything that was ready was handled: what the kernel had to tell when such a look began has been told when
  /// it is counted.
  package private(set) var looks: UInt64 = 0
  /// False once `stop` was called, until it runs again.
  package private(set) var isRunning = false
  /// Does a bit of work that waits, once in each iteration; whether more of it waits.
  package var work: (() -> Bool)?

  /// - Parameter clocks: with others than the kernel's, time passes as they say and the loop is run by `turn`.
  package init(clocks: Clocks = .kernel) throws(SystemError) {
    let raw = sluice_epoll_new()
    guard raw >= 0 else { throw SystemError(call: "epoll_create1", errno: -raw) }
    epoll = FileDescriptor(raw)
    self.clocks = clocks
    now = clocks.monotonic()
  }

  /// The time of this moment; `now` is that of the iteration.
  package var time: MonotonicTime { clocks.monotonic() }

  /// Calls `handler` whenever `fd` is ready. The caller keeps `fd` open until `unregister`.
  package func register(
    _ fd: Int32, readable: Bool, writable: Bool, _ handler: @escaping (ReadyEvents) -> Void
  ) throws(SystemError) {
    generation &+= 1
    let failure = control(SLUICE_EPOLL_ADD, fd, readable, writable, generation)
    guard failure == 0 else { throw SystemError(call: "epoll_ctl", errno: failure) }
    let index = Int(fd)
    while registrations.count <= index { registrations.append(nil) }
    registrations[index] = Registration(generation: generation, handler: handler)
  }

  /// Waits for other readiness of `fd` than before; nothing where it is not registered.
  package func modify(_ fd: Int32, readable: Bool, writable: Bool) {
    guard let registration = registration(of: fd) else { return }
    // The kernel refuses a change of a descriptor alone that is not open or was never added (epoll_ctl(2)).
    _ = control(SLUICE_EPOLL_CHANGE, fd, readable, writable, registration.generation)
  }

  /// No handler of `fd` runs after this, events of the same batch included.
  ///
  /// - Parameter closes: `fd` is closed right after this and was never duplicated; then the kernel forgets it by itself.
  package func unregister(_ fd: Int32, closes: Bool = false) {
    guard registration(of: fd) != nil else { return }
    registrations[Int(fd)] = nil
    // As for a change.
    if !closes { _ = control(SLUICE_EPOLL_REMOVE, fd, false, false, 0) }
  }

  private func registration(of fd: Int32) -> Registration? {
    fd >= 0 && Int(fd) < registrations.count ? registrations[Int(fd)] : nil
  }

  /// Returns 0 or an error number.
  private func control(
    _ operation: Int, _ fd: Int32, _ readable: Bool, _ writable: Bool, _ generation: UInt32
  ) -> Int32 {
    let wanted = (readable ? SLUICE_READABLE : 0) | (writable ? SLUICE_WRITABLE : 0)
    let key = UInt64(generation) << 32 | UInt64(UInt32(bitPattern: fd))
    return -sluice_epoll_control(epoll.raw, Int32(operation), fd, UInt32(wanted), key)
  }

  /// Runs `work` once, at `time` or as soon after it as the thread is free.
  package func schedule(at time: MonotonicTime, _ work: @escaping () -> Void) -> TimerID {
    TimerID(key: timers.insert(time, work))
  }

  /// The timer's work is not done any more; nothing happens where it was done, or cancelled before.
  package func cancel(_ timer: TimerID) {
    timers.cancel(timer.key)
  }

  /// Handles messages of `mailbox` from now on.
  @inlinable
  package func attach<Message>(
    _ mailbox: Mailbox<Message>, _ handler: @escaping (Message) -> Void
  ) throws(SystemError) {
    try register(mailbox.readiness, readable: true, writable: false) { _ in
      for message in mailbox.drain() {
        handler(message)
      }
    }
  }

  /// Runs until `stop`; may be run again after it.
  package func run() {
    isRunning = true
    // Blank events; the kernel fills as many as it returns.
    var events = [sluice_event](repeating: sluice_event(), count: Self.batch)
    while isRunning { iterate(&events, isWaiting: true) }
  }

  /// Runs once, waiting for nothing.
  package func turn() {
    isRunning = true
    var events = [sluice_event](repeating: sluice_event(), count: Self.batch)
    iterate(&events, isWaiting: false)
  }

  /// - Parameter events: `batch` of them.
  private func iterate(_ events: inout [sluice_event], isWaiting: Bool) {
    now = time
    let last = timers.last
    for _ in 0..<Self.timersAtOnce {
      guard isRunning, let work = timers.takeDue(now, upTo: last) else { break }
      work()
    }
    let isLeft = isRunning && work?() ?? false
    guard isRunning else { return }
    let wait = isWaiting && !isLeft ? timeout() : 0
    let count = unsafe sluice_epoll_wait(epoll.raw, &events, Int32(Self.batch), wait)  // as many as there are
    now = time
    // After `stop` the rest of the batch stays: the kernel tells of it again.
    for index in 0..<max(0, Int(count)) where isRunning {
      dispatch(events[index])
    }
    // Of a full batch more may wait, and after an error nothing was told.
    if isRunning, count >= 0, count < Self.batch { looks &+= 1 }
  }

  /// Has `run` return when what is being done is done.
  package func stop() {
    isRunning = false
  }

  private func dispatch(_ event: sluice_event) {
    let fd = Int32(bitPattern: UInt32(truncatingIfNeeded: event.key))
    // A descriptor that was closed and opened anew in this batch has another generation.
    guard let registration = registration(of: fd), UInt64(registration.generation) == event.key >> 32 else { return }
    let ready = Int(event.ready)
    registration.handler(
      ReadyEvents(
        isReadable: ready & SLUICE_READABLE != 0, isWritable: ready & SLUICE_WRITABLE != 0,
        isClosed: ready & SLUICE_CLOSED != 0))
  }

  /// Milliseconds until the next timer, rounded up; -1 without one.
  private func timeout() -> Int32 {
    guard let next = timers.next() else { return -1 }
    let time = time
    guard next > time else { return 0 }
    return Int32(clamping: (next.nanoseconds - time.nanoseconds + 999_999) / 1_000_000)
  }
}
