import AuditLog
import LinuxIO
import Synchronization

/// The writer thread's work: rings ─► coalescer ─► lines ─► one write ─► free what was written.
struct AuditWriter: ~Copyable {
  /// Octets of lines in one write: enough to be cheap, few enough that a rotated file stays near its size.
  static let batchOctets = 128 << 10
  /// Records between two commits: after a crash at most so many are counted twice.
  static let batchRecords = 4096
  /// Between attempts while the log cannot be written.
  static let retryMilliseconds = 100
  /// After a batch the writer looks again without having been woken: under load a wake-up would come with every burst.
  static let lingerMilliseconds = 5
  /// Nanoseconds between two looks at whether the log is still at its path.
  private static let lookRhythm: UInt64 = 1_000_000_000
  /// Windows that end within so many milliseconds are ended together.
  static let windowSlack = 250

  private let shared: AuditStore.Shared
  private var file: LogFile
  private var coalescer: Coalescer
  private var cursors: [AuditRingReader]
  private var output: [UInt8] = []
  private let batchLimit: Int
  private var firstRing = 0
  /// A record waits until windows are freed for it.
  private var isShort = false
  /// When the file at the log's path was looked at last, on the monotonic clock.
  private var lookedAt: UInt64 = 0
  /// The last batch was a large one: look again at once.
  private var isBusy = false

  init(_ shared: AuditStore.Shared, _ file: consuming LogFile, _ coalescer: consuming Coalescer, maxSize: Int) {
    self.shared = shared
    self.file = file
    self.coalescer = coalescer
    cursors = shared.rings.map { AuditRingReader($0) }
    batchLimit = min(Self.batchOctets, max(maxSize / 4, 4096))
    output.reserveCapacity(batchLimit + 65_536)
  }

  /// fchown(2) of the log; its result.
  func hand(to uid: UInt32, _ gid: UInt32) -> Int32 { file.hand(to: uid, gid) }

  /// Runs until the store is stopped, and then until everything is written or cannot be.
  mutating func run() {
    // As the user that writes from now on.
    shared.counters.rotationFault.store(file.rotationFault, ordering: .relaxed)
    while true {
      let isStopping = shared.isStopping.load(ordering: .acquiring)
      reopenIfAsked()
      shared.compressor?.settle(current: file.identity)
      switch cycle(isStopping: isStopping) {
      case .unwritten: return
      case .nothing where isStopping: return
      case .nothing: sleep()
      case .written where isStopping || isBusy: break
      case .written: shared.wakeUp.wait(milliseconds: Self.lingerMilliseconds)
      }
    }
  }

  /// What became of a batch.
  private enum Batch {
    /// There was none.
    case nothing
    case written
    /// The store was stopped while it could not be written: what it was made of is the next run's.
    case unwritten
  }

  /// Takes what there is, writes it, frees it.
  private mutating func cycle(isStopping: Bool) -> Batch {
    output.removeAll(keepingCapacity: true)
    let now = MonotonicTime.now().nanoseconds
    coalescer.wallClock = WallClock.nanoseconds()
    coalescer.retire(now: now, into: &output, limit: batchLimit)
    isShort = false
    let taken = takeRecords(now: now)
    var isDone = !isShort
    if isStopping, taken == 0, isDone { isDone = coalescer.retireEverything(into: &output, limit: batchLimit) }
    let hadLines = !output.isEmpty
    guard write() else { return .unwritten }
    coalescer.commit()
    for cursor in cursors { cursor.commit() }
    publish(taken)
    isBusy = isShort || taken >= Self.batchRecords / 2 || output.count >= batchLimit
    return taken > 0 || hadLines || !isDone ? .written : .nothing
  }

  /// Takes records in, an equal share from each ring; how many.
  private mutating func takeRecords(now: UInt64) -> Int {
    var taken = 0
    let share = max(Self.batchRecords / cursors.count, 1)
    firstRing = (firstRing + 1) % cursors.count
    for offset in cursors.indices {
      let cursor = cursors[(firstRing + offset) % cursors.count]
      let step = coalescer.absorb(cursor, atMost: share, now: now, into: &output, limit: batchLimit)
      taken += step.records
      if step.corrupt > 0 { shared.counters.corrupt.add(UInt64(step.corrupt), ordering: .relaxed) }
      if step.isShort {
        coalescer.retireForRoom(into: &output, limit: batchLimit)
        isShort = true
        break
      }
    }
    return taken
  }

  private func publish(_ taken: Int) {
    let counters = shared.counters
    counters.records.add(UInt64(taken), ordering: .relaxed)
    counters.written.store(coalescer.events, ordering: .relaxed)
    counters.suppressed.store(coalescer.suppressed, ordering: .relaxed)
  }

  // MARK: - Writing

  /// Writes the batch, however long that takes; false when stopped while it cannot be written.
  private mutating func write() -> Bool {
    var done = 0
    lookForFile()
    rotateIfFull()
    while done < output.count {
      do throws(SystemError) {
        done += try file.write(output, from: done)
      } catch {
        block(error)
        if shared.isStopping.load(ordering: .acquiring) { return false }
        shared.wakeUp.wait(milliseconds: Self.retryMilliseconds)
        if reopenIfAsked() { done = LogFile.startOfLine(output, done) }
      }
    }
    unblock()
    return true
  }

  private func block(_ cause: SystemError) {
    shared.counters.blockedFault.store(cause.errno, ordering: .relaxed)
    guard !shared.isBlocked.load(ordering: .relaxed) else { return }
    shared.counters.blockedSince.store(WallClock.nanoseconds(), ordering: .relaxed)
    shared.isBlocked.store(true, ordering: .releasing)
  }

  private func unblock() {
    guard shared.isBlocked.load(ordering: .relaxed) else { return }
    shared.isBlocked.store(false, ordering: .releasing)
    shared.counters.blockedSince.store(0, ordering: .relaxed)
    shared.counters.blockedFault.store(0, ordering: .relaxed)
  }

  private mutating func rotateIfFull() {
    guard !output.isEmpty, file.mustRotate(for: output.count) else { return }
    do throws(SystemError) {
      try file.rotate()
      shared.compressor?.look()
      shared.counters.rotations.add(1, ordering: .relaxed)
      shared.counters.rotationFault.store(0, ordering: .relaxed)
    } catch {
      shared.counters.rotationFailures.add(1, ordering: .relaxed)
      shared.counters.rotationFault.store(error.errno, ordering: .relaxed)
    }
  }

  /// What is written to a file that was taken away cannot be read any more: where another one is at the path, or none,
  /// goes on there.
  private mutating func lookForFile() {
    let now = MonotonicTime.now().nanoseconds
    guard !output.isEmpty, now >= lookedAt &+ Self.lookRhythm else { return }
    lookedAt = now
    guard !file.isCurrent else { return }
    if let fault = reopen() {
      shared.counters.rotationFault.store(fault.errno, ordering: .relaxed)
    } else {
      shared.counters.replacements.add(1, ordering: .relaxed)
      shared.counters.rotationFault.store(file.rotationFault, ordering: .relaxed)
    }
  }

  /// Goes on in the file at the log's path; why not, where it cannot.
  private mutating func reopen() -> SystemError? {
    do throws(SystemError) {
      try file.reopen()
      shared.compressor?.look()
      return nil
    } catch {
      shared.counters.rotationFailures.add(1, ordering: .relaxed)
      return error
    }
  }

  @discardableResult
  private mutating func reopenIfAsked() -> Bool {
    guard shared.mustReopen.exchange(false, ordering: .acquiringAndReleasing) else { return false }
    return reopen() == nil
  }

  // MARK: - Sleeping

  /// Sleeps until a push, a request, or the end of a window with something to tell.
  private mutating func sleep() {
    var isIdle = true
    for cursor in cursors where !cursor.declareAsleep() { isIdle = false }
    if isIdle { shared.wakeUp.wait(milliseconds: millisecondsToSleep()) }
    for cursor in cursors { cursor.declareAwake() }
  }

  private mutating func millisecondsToSleep() -> Int? {
    guard let deadline = coalescer.nextDeadline() else { return nil }
    let now = MonotonicTime.now().nanoseconds
    let left = deadline > now ? Int((deadline - now) / 1_000_000) + 1 : 0
    return max(left, Self.windowSlack)
  }
}
