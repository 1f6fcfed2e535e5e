import Glibc
import LinuxIO

/// The file that events are appended to: opened, repaired, rotated, opened again.
struct LogFile: ~Copyable {
  let path: String
  private let maxSize: Int
  private let keep: Int
  private let owner: UInt32?
  private(set) var descriptor: FileDescriptor
  private(set) var size: Int
  private(set) var warning: String?

  /// - Parameters:
  ///   - maxSize: octets before the file is rotated.
  ///   - keep: rotated files that stay.
  ///   - owner: whose files are taken beside root's, where root opens them.
  init(path: String, maxSize: Int, keep: Int, owner: UInt32? = nil) throws(SystemError) {
    self.path = path
    self.maxSize = maxSize
    self.keep = max(keep, 0)
    self.owner = owner
    let opened = try Self.open(path, owner: owner)
    var status = stat()
    unsafe fstat(opened.raw, &status)
    size = Int(status.st_size)
    if status.st_mode & 0o077 != 0 {
      let mode = String(status.st_mode & 0o777, radix: 8)
      warning = "\(path) has mode \(mode), expected 600: others can read which names were asked for"
    }
    descriptor = opened
  }

  /// Never follows a link and opens nothing but a regular file; a new one has mode 0600 whatever the umask.
  private static func open(_ path: String, owner: UInt32?) throws(SystemError) -> FileDescriptor {
    try Folder(of: path).openOrMake(Folder.name(of: path), O_RDWR | O_APPEND, owner: owner)
  }

  func hand(to uid: UInt32, _ gid: UInt32) -> Int32 { fchown(descriptor.raw, uid, gid) }

  // MARK: - Repair

  /// Cuts off what stands after the last newline: a killed process may leave half a line.
  mutating func repair() throws(SystemError) {
    var end = size
    var block = [UInt8](repeating: 0, count: 4096)
    while end > 0 {
      let start = max(end - block.count, 0)
      let count = end - start
      let read = unsafe block.withUnsafeMutableBytes { buffer in
        unsafe pread(descriptor.raw, buffer.baseAddress, count, off_t(start))  // count <= block.count
      }
      guard read == count else { throw SystemError(call: "read", errno: read < 0 ? errno : EIO) }
      if let newline = block[..<count].lastIndex(of: UInt8(ascii: "\n")) {
        return try cut(to: start + newline + 1)
      }
      end = start
    }
    try cut(to: 0)
  }

  private mutating func cut(to length: Int) throws(SystemError) {
    guard length < size else { return }
    guard ftruncate(descriptor.raw, off_t(length)) == 0 else { throw SystemError(call: "ftruncate", errno: errno) }
    size = length
  }

  // MARK: - Writing

  /// Writes as much of `octets` from `start` on as one call takes; how many octets that were.
  mutating func write(_ octets: [UInt8], from start: Int) throws(SystemError) -> Int {
    while true {
      let written = unsafe octets.withUnsafeBytes { buffer in
        // start <= count: the caller never gets back more than there is
        unsafe Glibc.write(descriptor.raw, buffer.baseAddress.map { unsafe $0 + start }, buffer.count - start)
      }
      if written >= 0 {
        size += written
        if written > 0 || start == octets.count { return written }
        throw SystemError(call: "write", errno: ENOSPC)
      }
      if errno != EINTR { throw SystemError(call: "write", errno: errno) }
    }
  }

  // MARK: - Rotation

  func mustRotate(for octets: Int) -> Bool {
    size > 0 && size + octets > maxSize
  }

  /// Moves `path` to `path.1` and so on, and begins a new file. When that fails, writing goes on in the old one.
  mutating func rotate() throws(SystemError) {
    // Another program moved it: the rotation is that program's, and only the new file made here.
    guard isCurrent else { return try reopen() }
    // A number is one file's, plain or compressed: the last one's is freed first, then all move up together.
    for suffix in LogFiles.suffixes where keep > 0 {
      guard unsafe unlink("\(path).\(keep)\(suffix)") == 0 || errno == ENOENT else {
        throw SystemError(call: "unlink", errno: errno)
      }
    }
    for number in (1..<max(keep, 1)).reversed() {
      for suffix in LogFiles.suffixes {
        let result = unsafe rename("\(path).\(number)\(suffix)", "\(path).\(number + 1)\(suffix)")
        guard result == 0 || errno == ENOENT else { throw SystemError(call: "rename", errno: errno) }
      }
    }
    let result = unsafe keep > 0 ? rename(path, "\(path).1") : unlink(path)
    guard result == 0 else { throw SystemError(call: keep > 0 ? "rename" : "unlink", errno: errno) }
    try reopen()
  }

  /// Opens whatever is at `path` now, or begins it (SIGHUP).
  mutating func reopen() throws(SystemError) {
    let opened = try Self.open(path, owner: owner)
    var status = stat()
    unsafe fstat(opened.raw, &status)
    size = Int(status.st_size)
    descriptor = opened
    try repairIfTorn()
  }

  private mutating func repairIfTorn() throws(SystemError) {
    if size > 0 { try repair() }
  }

  /// Why the next rotation would fail, as errno; 0 where it would not.
  var rotationFault: Int32 {
    unsafe faccessat(AT_FDCWD, Folder.path(of: path), W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno
  }

  /// Which file is open.
  var identity: FileIdentity? { FileIdentity(descriptor.raw) }

  /// Whether the file at the path is the one that is open.
  var isCurrent: Bool {
    var mine = stat()
    var there = stat()
    unsafe fstat(descriptor.raw, &mine)
    guard unsafe lstat(path, &there) == 0 else { return false }
    return mine.st_dev == there.st_dev && mine.st_ino == there.st_ino
  }

  /// Octets after the last newline of a file that was written up to `start` in `octets`: what a new file must repeat.
  static func startOfLine(_ octets: [UInt8], _ start: Int) -> Int {
    guard let newline = octets[..<start].lastIndex(of: UInt8(ascii: "\n")) else { return 0 }
    return newline + 1
  }
}
