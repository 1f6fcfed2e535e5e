import CLinux
import FirewallModel
import Glibc
import LinuxIO
import NFTables
import Synchronization

/// Closes the governed networks and tells serve the moment another program takes something out of the table, on a thread
/// that does nothing else: the worker may be in the middle of a commit, a listing or an installation, while packets pass and
/// answers leave serve's caches (P2).
///
/// It tells that something is amiss and no more; what, and when it is mended, is told by the worker.
final class TableChangeNotifier: Sendable {
  struct WatchedTable {
    var family: FirewallPlan.Family
    var table: String
    /// Whether the rules in it are Sluice's, and closed when they are touched; those of others change as they like.
    var isManaged: Bool

    init(_ plan: FirewallPlan) {
      (family, table, isManaged) = (plan.family, plan.table, plan.mode == .managed)
    }
  }

  private let watcher: ChangeWatcher
  private let watched = Mutex<WatchedTable?>(nil)
  private let alarms: SharedCounter
  private let closing: ClosingTable
  private let socket: Int32
  /// Something in it ends the thread.
  private let over: Mailbox<Bool>
  private let thread = Mutex<NamedThread?>(nil)

  /// - Parameters:
  ///   - ownPort: the feeding socket's port: its changes are Sluice's own.
  ///   - alarms: ends serve's epoch before anything else is done.
  ///   - closing: what is woken when the table may not be whole.
  ///   - socket: serve's end; a message is one send, so that two threads may.
  init(ignoring ownPort: UInt32, counting alarms: SharedCounter, closing: ClosingTable, socket: Int32)
    throws(SystemError)
  {
    watcher = try ChangeWatcher(ignoring: ownPort)
    self.alarms = alarms
    self.closing = closing
    self.socket = socket
    over = try Mailbox()
    let started = try NamedThread("alarm") { [self] in run() }
    thread.withLock { $0 = started }
  }

  /// The table that counts from now on; nil where there is none.
  func watch(_ plan: FirewallPlan?) {
    watched.withLock { $0 = plan.map { WatchedTable($0) } }
  }

  /// As `ChangeWatcher.ignore`.
  func ignore(process: Int32?) { watcher.ignore(process: process) }

  /// Ends the thread: a process that goes on as the supervisor starts others, and is alone then.
  func stop() {
    over.post(true)
    thread.withLock { $0.take() }?.join()
  }

  /// Reads what waits. Before anything is closed serve's epoch ends, once: of a flush the kernel tells its rules first.
  static func drain(
    _ watcher: ChangeWatcher, _ watched: WatchedTable, ending: () -> Void, closing: () -> Void
  ) -> TableChange {
    var hasEnded = false
    func end() {
      if !hasEnded { ending() }
      hasEnded = true
    }
    return watcher.drain(family: watched.family, table: watched.table, removed: end) {
      guard watched.isManaged else { return }
      end()
      closing()
    }.changes
  }

  private func run() {
    // The program that took the table away holds nf_tables up for a grace period of RCU when it ends: who is first closes
    // some tenths of a millisecond after it, who is not some milliseconds.
    _ = sluice_realtime_enter()
    while true {
      var waits = [watcher.descriptor, over.readiness].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard unsafe poll(&waits, 2, -1) > 0 else { continue }
      if waits[1].revents != 0 { return }
      guard let watched = watched.withLock({ $0 }) else {
        _ = watcher.drain(family: .inet, table: "")
        continue
      }
      let changes = Self.drain(watcher, watched, ending: alarms.add, closing: closing.wake)
      guard !changes.isDisjoint(with: .removal) else { continue }
      // Where serve does not read there is no use in a warning: it answers nothing either.
      _ = MessageSocket.send(BridgeMessage.alarm.encoded(), socket, waiting: false)
    }
  }
}

// What it holds is fixed; only its one thread reads from the socket.
extension ChangeWatcher: @unchecked Sendable {}
