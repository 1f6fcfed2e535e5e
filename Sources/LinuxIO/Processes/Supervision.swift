import CLinux
import Glibc

/// Keeps one helper process alive for as long as its owner lives. Performs what `Supervisor` decides.
package struct Supervision: ~Copyable {
  /// Starts a helper, which finds its end of the `LifeLine` at the place where the closure puts that descriptor.
  package typealias Start = (_ life: Int32) throws(SystemError) -> ChildProcess

  /// Milliseconds between two looks at a helper that is ending.
  private static let endingRhythm: Int32 = 20

  private let owner: Int32
  private let start: Start
  private let signals: ChildSignals
  private var supervisor: Supervisor
  private var child: ChildProcess?
  /// Our end of the child's.
  private var life: FileDescriptor?

  /// - Parameter owner: a socket whose other end is the owner's alone; stays the caller's.
  package init(
    owner: Int32, limits: Supervisor.Limits = Supervisor.Limits(), start: @escaping Start
  ) throws(SystemError) {
    self.owner = owner
    self.start = start
    signals = try ChildSignals()
    supervisor = Supervisor(limits, now: .now())
  }

  /// Returns when the owner's end is closed and the helper, which sees that itself, has shown that it runs: then it is left to
  /// its own end.
  package mutating func run() {
    var hasOwner = true
    while !supervisor.hasLeft {
      // Before the clock is asked: the echo may wait for longer than we ran.
      listen()
      let now = MonotonicTime.now()
      // What became supervisor when both ended has not looked yet; a helper without an owner would only start and end.
      if hasOwner, !isOwned {
        hasOwner = false
        observe()
        supervisor.leave(now)
      }
      switch supervisor.due(now) {
      case .start:
        begin(now)
        continue
      case .kill: child?.kill()
      case .probe:
        if let line { line.speak() }
        continue
      case nil: break
      }
      guard !supervisor.hasLeft else { return }
      wait(until: supervisor.nextWake, watchesOwner: hasOwner)
      observe()
    }
  }

  private var line: LifeLine? {
    switch life {
    case .some(let end): LifeLine(end.raw)
    case nil: nil
    }
  }

  /// The helper has closed its end of the line, and its own end was not told yet. A signal tells that an instant later, which
  /// another thread may get where there are several.
  private var isEnding: Bool {
    switch child {
    case .some: if case nil = line { true } else { false }
    case nil: false
    }
  }

  private var isOwned: Bool {
    var wait = pollfd(fd: owner, events: 0, revents: 0)
    // One place, and its count.
    return unsafe poll(&wait, 1, 0) == 0
  }

  private mutating func begin(_ now: MonotonicTime) {
    life = nil
    do throws(SystemError) {
      var ends = try LifeLine.pair()
      child = try start(ends.second)
      life = ends.takeFirst()
      // From here on it sleeps, mostly for good.
      sluice_unmap_code()
    } catch {
      supervisor.ended(now)
    }
  }

  /// Waits for a child, a deadline or the end of the owner.
  private func wait(until: MonotonicTime?, watchesOwner: Bool) {
    // poll(2) leaves out what has a negative descriptor.
    var waits = [
      pollfd(fd: watchesOwner ? owner : -1, events: 0, revents: 0),
      pollfd(fd: signals.readiness, events: Int16(POLLIN), revents: 0),
      pollfd(fd: line?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
    ]
    let now = MonotonicTime.now().nanoseconds
    let timeout = until.map { Int32(clamping: ($0.nanoseconds - min(now, $0.nanoseconds)) / 1_000_000 + 1) } ?? -1
    // The list with its count.
    _ = unsafe poll(&waits, nfds_t(waits.count), isEnding ? Self.endingRhythm : timeout)
    signals.drain()
  }

  /// Takes the helper's echoes.
  private mutating func listen() {
    switch line?.listen() {
    case .said: supervisor.heard()
    // It ended; what the kernel tells of its child follows.
    case .gone: life = nil
    case .nothing, nil: break
    }
  }

  private mutating func observe() {
    while let change = child?.change() {
      switch change {
      case .stopped: supervisor.stopped(.now())
      case .continued: supervisor.continued()
      case .ended:
        child = nil
        supervisor.ended(.now())
      }
    }
  }
}
