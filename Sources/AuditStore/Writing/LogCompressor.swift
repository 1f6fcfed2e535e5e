import CLinux
import Glibc
import LinuxIO
import Synchronization

/// Compresses rotated files, the oldest first, on a thread that gets only what others leave.
///
/// Names belong to the writer's thread: it rotates, and it alone puts a compressed file in a plain one's place, by
/// whatever number that has by then. The two hand over by one atomic word, so that neither waits for the other.
///
///     compressor   path.3 ─► path.zst.part, synchronised and read back  ─► ready
///     writer       rename path.zst.part ─► path.N, rename path.N ─► path.N.zst  ─► settled
///
/// The first rename takes the plain file away and puts the compressed one there at once: at every moment, and after a
/// crash at any, exactly one file holds the events. Readers tell by its first octets what a file is, not by its name.
final class LogCompressor: Sendable {
  private enum State {
    static let idle = 0
    static let ready = 1
    static let settled = 2
    static let refused = 3
  }

  /// So many octets stay free for the log itself.
  private static let mostReserve = 64 << 20
  private static let blockOctets = 256 << 10
  private static let retryMilliseconds = 5_000

  private let path: String
  private let keep: Int
  private let reserve: Int64
  private let wakeUp: WakeCall
  private let isStopping = Atomic<Bool>(false)
  private let state = Atomic<Int>(State.idle)
  /// Of the plain file that was compressed: valid while the state is `ready`.
  private let device = Atomic<UInt64>(0)
  private let number = Atomic<UInt64>(0)
  private let size = Atomic<Int>(0)
  private let compressed = Atomic<UInt64>(0)
  private let failures = Atomic<UInt64>(0)

  /// Removes what an earlier run left half-way, and names what it had not named yet.
  init(path: String, maxSize: Int, keep: Int) throws(SystemError) {
    self.path = path
    self.keep = keep
    reserve = Int64(min(maxSize, Self.mostReserve))
    wakeUp = try WakeCall()
    _ = unsafe unlink(temporary)
    for number in 1...max(keep, 1) {
      let name = "\(path).\(number)"
      if let file = Self.openPlain(name), ZstdFormat.isCompressed(file) { Self.nameCompressed(name) }
    }
  }

  private var temporary: String { path + ".zst.part" }

  /// Files compressed so far, and attempts that came to nothing.
  var counts: (compressed: UInt64, failures: UInt64) {
    (compressed.load(ordering: .relaxed), failures.load(ordering: .relaxed))
  }

  // MARK: - The writer's side

  /// There may be a file to compress.
  func look() { wakeUp.call() }

  /// Puts a compressed file in its place, if one is ready: a few system calls on names.
  ///
  /// - Parameter current: what is being written, which must not be replaced whatever its name.
  func settle(current: FileIdentity?) {
    guard state.load(ordering: .acquiring) == State.ready else { return }
    let isDone = replace(current)
    if !isDone { _ = unsafe unlink(temporary) }
    state.store(isDone ? State.settled : State.refused, ordering: .releasing)
    wakeUp.call()
  }

  private func replace(_ current: FileIdentity?) -> Bool {
    for number in 1...max(keep, 1) {
      let name = "\(path).\(number)"
      var status = stat()
      guard unsafe lstat(name, &status) == 0 else { continue }
      let there = FileIdentity(status)
      guard there.device == device.load(ordering: .relaxed), there.number == self.number.load(ordering: .relaxed) else {
        continue
      }
      guard there != current, there.size == size.load(ordering: .relaxed), unsafe rename(temporary, name) == 0 else {
        return false
      }
      Self.nameCompressed(name)
      return true
    }
    return false  // dropped meanwhile
  }

  private static func nameCompressed(_ name: String) {
    var status = stat()
    guard unsafe lstat(name + ".zst", &status) != 0 else { return }
    _ = unsafe rename(name, name + ".zst")
  }

  // MARK: - The compressor's side

  func stop() {
    isStopping.store(true, ordering: .releasing)
    wakeUp.call()
  }

  /// - Parameter wakeWriter: has the writer call `settle` soon.
  func run(_ wakeWriter: () -> Void) {
    sluice_thread_be_idle()
    while !mustStop {
      var isDone = false
      let before = failures.load(ordering: .relaxed)
      for number in (1...max(keep, 1)).reversed() where !mustStop && !isDone {
        isDone = compress("\(path).\(number)", wakeWriter)
      }
      guard !isDone, !mustStop else { continue }
      // A rotation that came while a file was handed over is not told again: another look follows what came to nothing.
      let hasFailed = failures.load(ordering: .relaxed) != before
      wakeUp.wait(milliseconds: hasFailed ? Self.retryMilliseconds : nil)
    }
  }

  private var mustStop: Bool { isStopping.load(ordering: .acquiring) }

  /// True when the file was compressed and is in its place.
  private func compress(_ name: String, _ wakeWriter: () -> Void) -> Bool {
    var status = stat()
    guard let plain = Self.openPlain(name), !ZstdFormat.isCompressed(plain), unsafe lstat(name + ".zst", &status) != 0,
      unsafe fstat(plain.raw, &status) == 0, status.st_size > 0
    else { return false }
    let source = FileIdentity(status)
    do throws(SystemError) {
      try write(plain, size: source.size)
    } catch {
      _ = unsafe unlink(temporary)
      if !mustStop { failures.add(1, ordering: .relaxed) }
      return false
    }
    device.store(source.device, ordering: .relaxed)
    number.store(source.number, ordering: .relaxed)
    size.store(source.size, ordering: .relaxed)
    return handOver(wakeWriter, keeping: plain)
  }

  /// The plain file stays open meanwhile: its number cannot become another file's, and its room is given back here.
  private func handOver(_ wakeWriter: () -> Void, keeping plain: borrowing FileDescriptor) -> Bool {
    state.store(State.ready, ordering: .releasing)
    wakeWriter()
    var state = State.ready
    while state == State.ready {
      wakeUp.wait(milliseconds: nil)
      state = self.state.load(ordering: .acquiring)
      if state == State.ready, mustStop {  // the writer has ended
        _ = unsafe unlink(temporary)
        state = State.refused
      }
    }
    self.state.store(State.idle, ordering: .releasing)
    guard state == State.settled else {
      failures.add(1, ordering: .relaxed)
      return false
    }
    compressed.add(1, ordering: .relaxed)
    return true
  }

  private static func openPlain(_ name: String) -> FileDescriptor? {
    let raw = unsafe open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
    guard raw >= 0 else { return nil }
    let file = FileDescriptor(raw)
    var status = stat()
    guard unsafe fstat(raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return file
  }

  /// Compresses into the temporary file, and reads it back.
  ///
  /// - Throws: when room is short, when owner and mode cannot be kept, when it would be no smaller, ECANCELED when
  ///   stopped, and when what was written is not what was read.
  private func write(_ plain: borrowing FileDescriptor, size: Int) throws(SystemError) {
    _ = unsafe unlink(temporary)
    let raw = unsafe open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard raw >= 0 else { throw SystemError(call: "create", errno: errno) }
    let file = FileDescriptor(raw)
    var encoder = try ZstdEncoder(size: size)
    var block = [UInt8](repeating: 0, count: Self.blockOctets)
    var output: [UInt8] = []
    var done = 0
    var written = 0
    while done < size {
      if mustStop { throw SystemError(call: "compress", errno: ECANCELED) }
      let count = try Self.read(plain, done, into: &block, atMost: min(block.count, size - done))
      guard count > 0 else { throw SystemError(call: "read", errno: EIO) }
      done += count
      output.removeAll(keepingCapacity: true)
      try encoder.append(block, count: count, isLast: done == size, to: &output)
      written += output.count
      guard written < size, sluice_octets_left(raw) >= reserve + Int64(output.count) else {
        throw SystemError(call: "write", errno: ENOSPC)
      }
      try Self.write(output, to: file)
    }
    let result = sluice_copy_attributes(plain.raw, raw)
    guard result == 0 else { throw SystemError(call: "keep owner and mode", errno: result) }
    guard fsync(raw) == 0 else { throw SystemError(call: "fsync", errno: errno) }
    try readBack(file, plain, size: size)
  }

  private func readBack(
    _ file: borrowing FileDescriptor, _ plain: borrowing FileDescriptor, size: Int
  ) throws(SystemError) {
    var decoder = try ZstdDecoder()
    var block = [UInt8](repeating: 0, count: Self.blockOctets)
    var wanted = block
    var done = 0
    while true {
      if mustStop { throw SystemError(call: "compress", errno: ECANCELED) }
      let count = try decoder.read(file, into: &block, at: 0, atMost: block.count)
      if count == 0 { break }
      var compared = 0
      while compared < count {
        let read = try Self.read(plain, done + compared, into: &wanted, atMost: count - compared)
        guard read > 0, wanted[..<read] == block[compared..<(compared + read)] else {
          throw SystemError(call: "read back", errno: EIO)
        }
        compared += read
      }
      done += count
    }
    guard done == size else { throw SystemError(call: "read back", errno: EIO) }
  }

  private static func read(
    _ file: borrowing FileDescriptor, _ offset: Int, into block: inout [UInt8], atMost limit: Int
  ) throws(SystemError) -> Int {
    while true {
      let count = unsafe block.withUnsafeMutableBytes { bytes in
        unsafe pread(file.raw, bytes.baseAddress, min(limit, bytes.count), off_t(offset))
      }
      if count >= 0 { return count }
      if errno != EINTR { throw SystemError(call: "read", errno: errno) }
    }
  }

  private static func write(_ octets: [UInt8], to file: borrowing FileDescriptor) throws(SystemError) {
    var done = 0
    while done < octets.count {
      let count = unsafe octets[done...].withUnsafeBytes { bytes in
        unsafe Glibc.write(file.raw, bytes.baseAddress, bytes.count)
      }
      if count > 0 { done += count } else if errno != EINTR { throw SystemError(call: "write", errno: errno) }
    }
  }
}
