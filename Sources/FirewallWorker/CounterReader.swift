import FirewallModel
import Dispatch
import Glibc
import LinuxIO
import NFTables
import Synchronization

/// Reads element counters and keeps their books on a thread and a netlink socket of its own: the dump of a full set takes
/// longer than a grant may.
///
/// One set at a time. While it is dumped the worker opens and closes elements, and has the last reading of each that it
/// closes from the kernel. It tells these in the order in which they happened, so what waits when it has heard of the end of
/// a dump, and says `settle`, is all that was closed since the beginning; of these the dump says nothing that counts.
final class CounterReader: Sendable {
  enum Task: Sendable {
    /// The sets of a plan from now on, and what was counted before this bridge counted.
    case keep([String: CounterReadings.Readings])
    /// - Parameter horizon: what ends before is not read again (`CounterPollSchedule`).
    case read(KernelSet, SetShape, horizon: UInt64)
    case closed(set: String, ElementKey, ElementCounts)
    /// Whatever was closed until `dumped` was told.
    case settle
  }

  enum Outcome: Sendable {
    /// Asks for `settle`.
    case dumped
    /// At most `newsAtOnce`.
    case news(set: String, [(ElementKey, ElementCounts)])
    /// The news are out; nil where the set could not be read.
    case read(set: String, CounterPollSchedule.Ends?)
  }

  /// So few that what the worker does with them delays no commit.
  static let newsAtOnce = 256

  private struct Dump {
    var set: String
    /// Nil where the set could not be read.
    var readings: CounterReadings.Readings?
    var ends = CounterPollSchedule.Ends()
    var closed: Set<ElementKey> = []
  }

  private let tasks = Mutex<(queue: [Task], isOver: Bool)>(([], false))
  private let wake = DispatchSemaphore(value: 0)
  private let thread = Mutex<NamedThread?>(nil)
  /// Becomes readable when something was read.
  let outcomes: Mailbox<Outcome>

  /// - Throws: where there is no netlink socket, or no room for its wakings.
  init() throws(SystemError) {
    outcomes = try Mailbox()
    let kernel = KernelReader(sets: KernelSets(try NetlinkSocket()))
    let started = try NamedThread("counters") { [self] in
      // As urgent as any other program. The bridge as a whole is more: grants wait for it.
      _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 0)
      run(kernel.sets)
    }
    thread.withLock { $0 = started }
  }

  func submit(_ more: [Task]) {
    let wasEmpty = tasks.withLock { state in
      state.queue += more
      return state.queue.count == more.count
    }
    if wasEmpty { wake.signal() }
  }

  /// Waits for the dump at hand and ends the thread; what still waits is not done.
  func stop() {
    tasks.withLock { $0.isOver = true }
    wake.signal()
    thread.withLock { $0.take() }?.join()
  }

  private func run(_ kernel: KernelSets) {
    var book = CounterReadings()
    var dump: Dump?
    while true {
      wake.wait()
      let (queue, isOver) = tasks.withLock { state -> ([Task], Bool) in
        defer { state.queue = [] }
        return (state.queue, state.isOver)
      }
      if isOver { return }
      for task in queue {
        switch task {
        case .keep(let sets): book.retain(sets)
        case .read(let set, let shape, let horizon):
          dump = read(set, shape, horizon, book, kernel)
          outcomes.post(.dumped)
        case .closed(let set, let key, let counts):
          if dump?.set == set { dump?.closed.insert(key) }
          post(set, [(key, book.close(set, key, counts))].filter { $0.1.packets > 0 })
        case .settle:
          guard let read = dump else { continue }
          dump = nil
          if let readings = read.readings { post(read.set, book.read(read.set, readings, closed: read.closed)) }
          outcomes.post(.read(set: read.set, read.readings == nil ? nil : read.ends))
        }
      }
    }
  }

  private func read(
    _ set: KernelSet, _ shape: SetShape, _ horizon: UInt64, _ book: CounterReadings, _ kernel: KernelSets
  ) -> Dump {
    var dump = Dump(set: set.name)
    do {
      let now = MonotonicTime.now().nanoseconds
      var readings: CounterReadings.Readings = [:]
      func take(_ found: KernelSets.Found, _ key: ElementKey) {
        if let octets = found.octets, let packets = found.packets {
          readings[key] = ElementCounts(octets: octets, packets: packets)
        }
        if let remaining = found.remainingMilliseconds {
          dump.ends.add(now &+ remaining &* 1_000_000, horizon: horizon)
        }
      }
      for found in try kernel.elements(set, shape: shape) {
        take(found, shape.key(address: found.address, transport: found.transport, port: found.port))
      }
      for key in book.missing(set.name, in: readings) {
        guard let parts = shape.element(of: key.bytes),
          let found = try kernel.element(
            set, shape: shape, address: parts.address, transport: parts.transport, port: parts.port)
        else { continue }
        take(found, key)
      }
      dump.readings = readings
    } catch {
      // It is read again when it is due again; what it counts until then is told then.
    }
    return dump
  }

  private func post(_ set: String, _ news: [(ElementKey, ElementCounts)]) {
    for start in stride(from: 0, to: news.count, by: Self.newsAtOnce) {
      outcomes.post(.news(set: set, Array(news[start..<min(start + Self.newsAtOnce, news.count)])))
    }
  }

  /// Goes to the thread, which alone uses it from then on.
  private struct KernelReader: @unchecked Sendable {
    let sets: KernelSets
  }
}
