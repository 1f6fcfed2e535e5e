import BridgeProcesses
import CLinux
import Glibc
import LinuxIO

/// The process that keeps a feeder alive for as long as serve lives.
struct Keeper {
  /// The descriptors that a feeder finds: see `BridgeProcess`.
  let socket: Int32
  let notebook: PlanNotebook
  let state: Int32?
  let alarms: Int32
  let source: BridgeSource?

  /// Returns when serve's end of the socketpair is closed.
  func run() -> Int32 {
    let signals = sluice_child_signals()
    guard signals >= 0 else { return 1 }
    defer { close(signals) }
    var watch = FeederWatch(now: .now())
    var feeder: Int32 = 0
    var life: Int32 = -1
    while true {
      // Before the clock is asked: the echo may wait for longer than this process ran.
      listen(&life, &watch)
      let now = MonotonicTime.now()
      switch watch.due(now) {
      case .start:
        if life >= 0 { close(life) }
        (feeder, life) = startFeeder()
        if feeder <= 0 { watch.ended(now) }
        continue
      case .kill:
        if feeder > 0 { kill(feeder, SIGKILL) }
      case .probe:
        if life >= 0 { _ = MessageSocket.send([1], life, waiting: false) }
        continue
      case nil:
        break
      }
      if !wait(signals, life, until: watch.nextWake) { return 0 }
      observe(&feeder, &watch)
    }
  }

  /// Waits for a child, a deadline or the end; false when serve is gone.
  private func wait(_ signals: Int32, _ life: Int32, until: MonotonicTime?) -> Bool {
    // poll(2) leaves out what has a negative descriptor.
    var waits = [
      pollfd(fd: socket, events: 0, revents: 0), pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
      pollfd(fd: life, events: Int16(POLLIN), revents: 0),
    ]
    let now = MonotonicTime.now().nanoseconds
    let timeout = until.map { Int32(clamping: ($0.nanoseconds - min(now, $0.nanoseconds)) / 1_000_000 + 1) } ?? -1
    _ = unsafe poll(&waits, nfds_t(waits.count), timeout)
    while sluice_child_signals_take(signals) != 0 {}
    return waits[0].revents == 0
  }

  /// Takes the feeder's echoes.
  private func listen(_ life: inout Int32, _ watch: inout FeederWatch) {
    guard life >= 0 else { return }
    var octets = [UInt8](repeating: 0, count: 16)
    switch MessageSocket.receive(life, into: &octets) {
    case .octets: watch.heard()
    case .nothing: break
    case .closed:
      // It ended; what the kernel tells of its child follows.
      close(life)
      life = -1
    }
  }

  private func observe(_ feeder: inout Int32, _ watch: inout FeederWatch) {
    var state: Int32 = 0
    while feeder > 0, unsafe sluice_child_state(feeder, &state) == feeder {
      switch state {
      case 2: watch.stopped(.now())
      case 3: watch.continued()
      default:
        feeder = 0
        watch.ended(.now())
      }
    }
  }

  /// Starts a feeder; it holds one end of a pair whose other end tells it that the keeper lives.
  private func startFeeder() -> (pid: Int32, life: Int32) {
    var pair: [Int32] = [-1, -1]
    guard unsafe sluice_socket_pair(0, &pair) == 0 else {
      return (-1, -1)
    }
    let pid = BridgeStart.start(
      .feeder, source, executable: BridgeStart.ownExecutable, socket: socket, notebook: notebook, state: state,
      alarms: alarms, life: pair[1])
    close(pair[1])
    return (pid, pair[0])
  }
}
