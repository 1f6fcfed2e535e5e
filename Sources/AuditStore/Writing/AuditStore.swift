package import AuditLog
import Glibc
import LinuxIO
import Synchronization

/// The audit log of one `sluice serve`: rings that workers push to, one thread that writes them to the file, and if
/// asked for one that compresses rotated files.
///
/// Order of use: make it (opens the files, writes what a killed run left), `hand(to:)` if privileges are lowered,
/// `start` on the lowered side, `begin` once it serves, and `stop` last. After privileges are lowered the writer still renames and makes files
/// in the log's directory: the directory must belong to that user. One that was made here is handed over too.
///
/// **At least once.** A record is freed when the line that tells or counts it was written. After SIGKILL at any point
/// the next run writes what is left; records of the one batch under way (at most `AuditWriter.batchRecords`) and the
/// windows that ended in it may be counted twice, none is lost. A torn last line is cut off: its records are still in
/// the ring.
package final class AuditStore: Sendable {
  /// What the writer thread and all other threads share.
  final class Shared: Sendable {
    let rings: [AuditRing]
    let wakeUp: WakeCall
    /// Nil where rotated files stay as they are.
    let compressor: LogCompressor?
    let counters = LiveCounters()
    let isBlocked = Atomic<Bool>(false)
    let isStopping = Atomic<Bool>(false)
    let mustReopen = Atomic<Bool>(false)

    init(rings: [AuditRing], compressor: LogCompressor?) throws(SystemError) {
      self.rings = rings
      self.compressor = compressor
      wakeUp = try WakeCall()
    }
  }

  private let shared: Shared
  private let path: String
  private let directory: LogDirectory
  private let ringFile: RingFile
  /// How the last run that began ended.
  package let former: FormerRun
  private let hasBegun = Atomic<Bool>(false)
  /// Held open for its lock.
  private let ringDescriptor: FileDescriptor
  private let waiting: Mutex<AuditWriter?>
  private let thread = Mutex<NamedThread?>(nil)
  private let compressing = Mutex<NamedThread?>(nil)
  /// For the operator, at start.
  package let warnings: [String]

  /// Opens log and ring file, and brings the log up to date with what a killed run left.
  ///
  /// - Throws: when another `serve` has the log, when a file is a link or no file of this log, or when it cannot be
  ///   written.
  package init(settings: AuditStoreSettings) throws(AuditStoreError) {
    path = settings.path
    directory = try LogDirectory(of: settings.path)
    var setAside: String?
    ringDescriptor = try Self.lock(settings.path + ".ring", settings.owner, log: settings.path, &setAside)
    do throws(SystemError) {
      var file = try LogFile(
        path: settings.path, maxSize: settings.maxSize, keep: settings.keep, owner: settings.owner)
      try file.repair()
      warnings = [file.warning, setAside].compactMap { $0 }
      let leftovers = try RingFile.existing(ringDescriptor)
      former = leftovers?.former ?? .unknown
      var run = WallClock.seconds()
      var recovered: (events: UInt64, corrupt: UInt64) = (0, 0)
      if let leftovers {
        run = max(run, leftovers.run &+ 1)
        if var recovery = Recovery(leftovers, run: run) {
          try recovery.run(into: &file)
          recovered = (recovery.events, recovery.corruptRings)
        }
      }
      // The run that recovers and the run that serves make ids of their own.
      let ringFile = try RingFile.empty(ringDescriptor, settings.geometry, run: run + 1, former: former)
      self.ringFile = ringFile
      let compressor =
        settings.compress && settings.keep > 0
        ? try LogCompressor(path: settings.path, maxSize: settings.maxSize, keep: settings.keep) : nil
      shared = try Shared(
        rings: (0..<settings.geometry.rings).compactMap { ringFile.ring($0) }, compressor: compressor)
      guard let coalescer = ringFile.coalescer(run: run + 1, bounds: settings.bounds) else {
        throw SystemError(call: "lay out the ring file", errno: EINVAL)
      }
      shared.counters.recovered.store(recovered.events, ordering: .relaxed)
      shared.counters.corrupt.store(recovered.corrupt, ordering: .relaxed)
      waiting = Mutex(AuditWriter(shared, file, coalescer, maxSize: settings.maxSize))
    } catch {
      throw AuditStoreError(settings.path, error)
    }
  }

  private static func lock(
    _ path: String, _ owner: UInt32?, log: String, _ setAside: inout String?
  ) throws(AuditStoreError) -> FileDescriptor {
    let file: FileDescriptor
    let folder = try folder(of: path)
    let name = Folder.name(of: path)
    do throws(SystemError) {
      file = try folder.openOrMake(name, O_RDWR, owner: owner)
    } catch {
      throw AuditStoreError(path, error)
    }
    let raw = file.raw
    guard flock(raw, LOCK_EX | LOCK_NB) == 0 else {
      throw AuditStoreError(
        log,
        errno == EWOULDBLOCK ? "another `sluice serve` is writing it" : "\(SystemError(call: "flock", errno: errno))")
    }
    var status = stat()
    guard unsafe fstat(raw, &status) == 0, RingFile.mayOverwrite(file, octets: Int(status.st_size)) else {
      do throws(SystemError) {
        try folder.rename(name, to: name + ".damaged")
      } catch {
        throw AuditStoreError(path, "not the ring of an audit log, and it cannot be set aside: \(error)")
      }
      setAside =
        "\(path) is not the ring of an audit log: set aside as \(name).damaged; what was not written yet is in it"
      var again: String?
      return try lock(path, owner, log: log, &again)
    }
    fchmod(raw, 0o600)
    return file
  }

  private static func folder(of path: String) throws(AuditStoreError) -> Folder {
    do throws(SystemError) {
      return try Folder(of: path)
    } catch {
      throw AuditStoreError(path, error)
    }
  }

  deinit {
    stop()
  }

  // MARK: - Workers

  /// The ring of one worker; nil beyond the number asked for.
  package func ring(_ index: Int) -> AuditRing? {
    shared.rings.indices.contains(index) ? shared.rings[index] : nil
  }

  /// For pushes that said `.storedWakeConsumer`: once after a batch is enough.
  package func wake() { shared.wakeUp.call() }

  /// Set while the log cannot be written: nothing may be answered that must be recorded (P6). One load.
  package var isBlocked: Bool { shared.isBlocked.load(ordering: .acquiring) }

  package var counters: AuditCounters {
    var counters = shared.counters.copy
    if let counts = shared.compressor?.counts { (counters.compressions, counters.compressionFailures) = counts }
    return counters
  }

  /// Octets of records that wait to be written, in the ring that is fullest, and octets that a ring holds.
  package var pending: (octets: Int, room: Int) {
    shared.rings.map { ($0.pending, $0.room) }.max { $0.0 < $1.0 } ?? (0, 0)
  }

  // MARK: - Life

  /// Gives log and ring file to another user, before `start`.
  package func hand(to uid: UInt32, _ gid: UInt32) throws(AuditStoreError) {
    let result: Int32? = waiting.withLock { writer in writer?.hand(to: uid, gid) }
    guard let result else { throw AuditStoreError(path, "handed over after the writer was started") }
    guard result == 0, fchown(ringDescriptor.raw, uid, gid) == 0, directory.hand(to: uid, gid) == 0 else {
      throw AuditStoreError(path, SystemError(call: "fchown", errno: errno))
    }
  }

  /// Starts the writer thread; a second call does nothing.
  package func start() throws(AuditStoreError) {
    let isWaiting = waiting.withLock { writer in writer != nil }
    guard isWaiting, !shared.isStopping.load(ordering: .acquiring) else { return }
    let box = WriterBox(waiting.withLock { writer in writer.take() })
    do throws(SystemError) {
      let started = try NamedThread("log-writer") { box.run() }
      thread.withLock { $0 = started }
      if let compressor = shared.compressor {
        let shared = shared
        let compressing = try NamedThread("log-compressor") { compressor.run { shared.wakeUp.call() } }
        self.compressing.withLock { $0 = compressing }
      }
    } catch {
      throw AuditStoreError(path, error)
    }
  }

  /// From now on this run is the one whose end the next start tells of. One that ends before, because something that serve
  /// needs cannot be had, leaves what the file says of the run before it.
  package func begin() {
    ringFile.markBegun()
    hasBegun.store(true, ordering: .releasing)
  }

  /// Opens the file at the log's path anew, as after a rotation by another program (SIGHUP).
  package func reopen() {
    shared.mustReopen.store(true, ordering: .releasing)
    shared.wakeUp.call()
  }

  /// Writes everything that was pushed, and ends the writer. What cannot be written stays for the next run.
  package func stop() {
    shared.isStopping.store(true, ordering: .releasing)
    shared.wakeUp.call()
    let running = thread.withLock { $0.take() }
    if let running {
      running.join()
      if hasBegun.load(ordering: .acquiring), !shared.isBlocked.load(ordering: .acquiring) { ringFile.markStopped() }
    }
    // After the writer, who alone moves files.
    shared.compressor?.stop()
    let compressing = compressing.withLock { $0.take() }
    if let compressing { compressing.join() }
  }
}

/// Carries the writer to its thread.
private final class WriterBox: Sendable {
  private let writer: Mutex<AuditWriter?>

  init(_ writer: consuming sending AuditWriter?) {
    self.writer = Mutex(writer)
  }

  func run() {
    writer.withLock { writer in
      writer?.run()
      writer = nil
    }
  }
}
