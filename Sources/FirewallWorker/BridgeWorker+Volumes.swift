import FirewallModel
import LinuxIO

/// Telling serve what was sent to open addresses, where it asks for that.
extension BridgeWorker {
  struct Volumes {
    /// nil where no plan asked for counters yet.
    var reader: CounterReader?
    /// A set is being read; there is one at a time.
    var isReading = false
    /// What serve had no room or the loop no turn for yet. What a set told is told before the next one is read.
    var untold: [(set: String, news: [(ElementKey, ElementCounts)])] = []
    /// When the next of it may be told, nanoseconds.
    private var nextTelling: UInt64 = 0
    private static let tellingPause: UInt64 = 1_000_000

    /// Tells a part of what was counted: one message in a millisecond, as commits must not wait for serve, and whatever
    /// else serve does not for all that a full set tells.
    ///
    /// - Parameters:
    ///   - named: what elements of a set counted, by their names in the plan; nothing of a set that it does not have.
    ///   - send: whether there was room.
    mutating func tell(
      now: UInt64, named: (String, [(ElementKey, ElementCounts)]) -> [ElementVolume],
      _ send: ([ElementVolume]) -> Bool
    ) {
      guard now >= nextTelling else { return }
      while let (set, news) = untold.first {
        let told = named(set, news)
        guard told.isEmpty || send(told) else {
          nextTelling = now &+ 10 * Self.tellingPause
          return
        }
        untold.removeFirst()
        nextTelling = now &+ Self.tellingPause
        if !told.isEmpty { return }
      }
    }
  }

  /// What reads the counters for a plan; nil where it asks for none.
  func counterReader(for plan: FirewallPlan) -> CounterReader? {
    guard plan.harvestSeconds > 0 else { return nil }
    if let reader = volumes.reader { return reader }
    do throws(SystemError) {
      volumes.reader = try CounterReader()
    } catch {
      answer(.notice("what is sent to open addresses is not counted: \(error)"))
    }
    return volumes.reader
  }

  /// When a set is to be read next, nanoseconds; nil while another one is.
  var nextCounting: UInt64? { volumes.isReading || !volumes.untold.isEmpty ? nil : writer?.nextReading }

  func readCounters() {
    let now = MonotonicTime.now().nanoseconds
    guard let writer, let next = nextCounting, next <= now else { return }
    volumes.isReading = writer.startReading(now: now)
  }

  func takeReadings() {
    for outcome in volumes.reader?.outcomes.drain() ?? [] {
      switch outcome {
      case .dumped: volumes.reader?.submit([.settle])
      case .news(let set, let news): volumes.untold.append((set, news))
      case .read(let set, let ends):
        volumes.isReading = false
        writer?.wasRead(set, ends)
      }
    }
  }

  /// Tells a part of what was counted, where it is time.
  func tellVolumes() {
    volumes.tell(now: MonotonicTime.now().nanoseconds) {
      writer?.volumes(of: $0, $1) ?? []
    } _: {
      sendNotice(.volumes($0))
    }
  }

  /// Tells all that was counted by now.
  func tellAllVolumes() {
    takeReadings()
    for (set, news) in volumes.untold {
      let told = writer?.volumes(of: set, news) ?? []
      if !told.isEmpty { answer(.volumes(told)) }
    }
    volumes.untold.removeAll()
  }
}
