import FirewallModel
import LinuxIO
import NFTables
import Synchronization

/// Holds the closing rules ready in the kernel, asleep, and wakes them at the first word of a foreign change.
///
/// The table belongs to the socket here: a foreign `flush ruleset` leaves it, and whatever way the process ends the kernel
/// takes it away. Waking it is one send of a small batch, four messages between those that begin and end it, so that no
/// encoding, program or lookup lies between the notification and the first packet that is dropped.
///
/// Two threads of the worker use its socket in turns: the alarm wakes it, and the worker, which knows when the table is whole, lets it sleep again. A number
/// counts the wakings, so that the worker never undoes one that it has not looked behind: when a waking returns, the kernel
/// has told every listener of the change before it, because both are transactions.
final class ClosingTable: Sendable {
  private struct State {
    let socket: NetlinkSocket
    var rules: ClosingRules?
    var isAwake = false
    var wakings: UInt64 = 0
    /// Packets that tables dropped which this one came in place of, and all together as they were read last.
    var droppedBefore: UInt64 = 0
    var dropped: UInt64 = 0
    /// Encoded ahead.
    var waking: (octets: [UInt8], last: UInt32) = ([], 0)
  }

  /// The socket is used by one thread at a time: sending is what the lock is for.
  private let state: Mutex<State>
  /// Tells the worker that the table was woken.
  let woken: Mailbox<Bool>

  init() throws(SystemError) {
    let socket = try NetlinkSocket()
    // A bound, for the networks of thousands of servers.
    socket.setSendBuffer(octets: 32 << 20)
    state = Mutex(State(socket: socket))
    woken = try Mailbox()
  }

  /// Brings the kernel's table in line with `rules`, awake or asleep as it is; nil and rules that close nothing remove it.
  ///
  /// - Parameter kernel: reads what the former rules dropped, on another socket than the alarm's.
  /// - Returns: 0, or the error number of nf_tables; then the former rules stand.
  func prepare(_ rules: ClosingRules?, reading kernel: KernelSets) -> Int32 {
    let rules = rules.flatMap { $0.isEmpty ? nil : $0 }
    guard state.withLock({ rules != $0.rules }) else { return 0 }
    // Its counter goes with the table.
    _ = dropped(reading: kernel)
    return state.withLock { state in
      var error: Int32 = 0
      if let former = state.rules, former.table != rules?.table {
        error = state.socket.carryOut(former.removal())
        guard error == 0 else { return error }
        state.rules = nil
        state.droppedBefore = state.dropped
      }
      guard let rules else {
        state.isAwake = false
        return 0
      }
      error = state.socket.carryOut(rules.creation(awake: state.isAwake, replaces: state.rules != nil))
      guard error == 0 else { return error }
      state.droppedBefore = state.dropped
      state.rules = rules
      let waking = rules.waking()
      state.waking = (waking.encoded(), waking.acknowledged)
      return 0
    }
  }

  /// Packets that were dropped since this began; nil where the kernel cannot be asked. The caller prepares on the same thread;
  /// the alarm never waits for it.
  func dropped(reading kernel: KernelSets) -> UInt64? {
    guard let table = state.withLock({ $0.rules?.table }) else { return state.withLock { $0.dropped } }
    // Without an answer the number is not known, which is not that it is 0.
    guard let counters = try? kernel.counters(family: .inet, table: table) else { return nil }
    return state.withLock { state in
      state.dropped = state.droppedBefore + (counters[ClosingRules.counter]?.packets ?? 0)
      return state.dropped
    }
  }

  /// Closes: the plan's table may not be whole.
  func wake() {
    let isNew = state.withLock { state in
      state.wakings += 1
      guard state.rules != nil, !state.isAwake else { return false }
      state.isAwake = state.socket.carryOut(state.waking.octets, acknowledged: state.waking.last) == 0
      return state.isAwake
    }
    if isNew { woken.post(true) }
  }

  /// How often it was woken, if it is awake.
  var wakings: UInt64? {
    state.withLock { $0.isAwake ? $0.wakings : nil }
  }

  /// Opens what the plan's table opens, unless it was woken again since `wakings` was read.
  func sleep(since wakings: UInt64) {
    let isLate = state.withLock { state in
      guard state.isAwake, let rules = state.rules else { return false }
      guard state.wakings == wakings else { return true }
      // Where it is refused the loop comes by again.
      state.isAwake = state.socket.carryOut(rules.sleeping()) != 0
      return false
    }
    if isLate { woken.post(true) }
  }
}
