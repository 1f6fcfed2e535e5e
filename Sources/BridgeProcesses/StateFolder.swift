import CLinux
package import FirewallModel
import Glibc
package import LinuxIO

/// What the bridge keeps in the folder `bridge` of the state folder, because it must outlive every process: today the
/// networks that were ever governed.
///
/// Only the bridge and root write there. Names are opened below the folder's descriptor and never through a link.
package struct StateFolder {
  private static let part = "bridge"
  private static let maximumOctets = 4 << 20
  /// The file that is locked. A folder can be locked by every process that can open it, so it is a file of its owner's
  /// alone.
  private static let lockName = "lock"
  private static let lockRhythm: UInt32 = 10_000

  /// Why the folder cannot serve.
  package struct FolderError: Error, CustomStringConvertible {
    package var description: String
  }

  package let descriptor: Int32
  /// The file of one table's networks: two Sluices on a host govern different ones.
  private let listName: String

  package init(descriptor: Int32, table: String) {
    self.descriptor = descriptor
    listName = "networks.\(table)"
  }

  /// Whether a descriptor is that of a folder.
  package static func isFolder(_ descriptor: Int32) -> Bool {
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Opens the bridge's part of the state folder at `path`; makes both, with mode 0755, where there are none.
  ///
  /// - Throws: when it cannot be made, is no directory, or can be written by others than its owner.
  package static func open(_ state: String) throws(FolderError) -> FileDescriptor { try open(state, as: geteuid()) }

  /// - Parameter user: who opens it: it must be this one's, or this one root.
  static func open(_ state: String, as user: UInt32) throws(FolderError) -> FileDescriptor {
    let path = "\(state)/\(part)"
    do throws(SystemError) {
      try make(state)
    } catch {
      throw FolderError(
        description: "the state folder \(path) cannot be made: \(error); expected a "
          + "folder that the service's user may write, and nobody else: install -d -o sluice -g sluice \(path)")
    }
    let folder: FileDescriptor
    do throws(SystemError) {
      folder = try openPart(state)
    } catch {
      throw FolderError(description: "the state folder \(path) cannot be opened: \(error)")
    }
    var status = stat()
    guard unsafe fstat(folder.raw, &status) == 0, status.st_mode & 0o022 == 0 else {
      throw FolderError(
        description: "the state folder \(path) can be written by others than its owner, expected: chmod 755 \(path)")
    }
    guard status.st_uid == user || user == 0 else {
      throw FolderError(
        description: "the state folder \(path) belongs to uid \(status.st_uid), expected it to belong to uid \(user)")
    }
    return folder
  }

  private static func make(_ state: String) throws(SystemError) {
    let whole = try Folder(state, makingWith: 0o755)
    guard unsafe mkdirat(whole.raw, part, 0o755) == 0 || errno == EEXIST else {
      throw SystemError(call: "mkdir", errno: errno)
    }
  }

  private static func openPart(_ state: String) throws(SystemError) -> FileDescriptor {
    let whole = try Folder(state)
    let raw = unsafe openat(whole.raw, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard raw >= 0 else { throw SystemError(call: "open", errno: errno) }
    return FileDescriptor(raw)
  }

  /// The networks that were ever governed by a table's servers; none without a folder.
  ///
  /// - Throws: as `readNetworks`.
  package static func networks(of table: String, at path: String) throws(SystemError) -> HeldNetworks {
    let raw = unsafe Glibc.open("\(path)/\(part)", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard raw >= 0 else {
      if errno == ENOENT { return HeldNetworks() }
      throw SystemError(call: "open the bridge's part of the state folder", errno: errno)
    }
    let folder = FileDescriptor(raw)
    return try StateFolder(descriptor: folder.raw, table: table).readNetworks()
  }

  /// Changes the list of networks while nothing else does.
  ///
  /// - Throws: `FolderError` when it cannot be read or written, or another process has it for longer than an
  ///   installation takes, or what `change` throws; then the list is as it was.
  package static func change(
    _ table: String, at path: String, _ change: (inout HeldNetworks) throws -> Void
  ) throws {
    let folder = try open(path)
    let state = StateFolder(descriptor: folder.raw, table: table)
    try state.locked(patience: 15_000) { isAlone in
      guard isAlone else {
        throw FolderError(
          description: "the list of governed networks is in use: another process has locked \(path)/\(part)")
      }
      var networks = try state.readNetworks()
      try change(&networks)
      try state.write(networks)
    }
  }

  /// The list; none where there is no file of it yet.
  ///
  /// - Throws: where there is one that cannot be read as a whole: that no network is held must never come of that.
  package func readNetworks() throws(SystemError) -> HeldNetworks {
    let file = unsafe openat(descriptor, listName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0 else {
      if errno == ENOENT { return HeldNetworks() }
      throw SystemError(call: "open the list of governed networks", errno: errno)
    }
    defer { close(file) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw SystemError(call: "open the list of governed networks as a file", errno: EINVAL)
    }
    var octets: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = unsafe read(file, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0, octets.count + count <= Self.maximumOctets else {
        throw SystemError(call: "read the list of governed networks", errno: count < 0 ? errno : EFBIG)
      }
      guard count > 0 else { break }
      octets += chunk.prefix(count)
    }
    return HeldNetworks(text: String(decoding: octets, as: UTF8.self))
  }

  /// Replaces the list: at every moment one whole list has the name.
  package func write(_ networks: HeldNetworks) throws(FolderError) {
    let draft = listName + ".new"
    _ = unsafe unlinkat(descriptor, draft, 0)
    let file = unsafe openat(descriptor, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw failure("openat") }
    defer { close(file) }
    var rest = Array(networks.text.utf8)[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
      guard count > 0 else { throw failure("write") }
      rest = rest.dropFirst(count)
    }
    guard fsync(file) == 0, unsafe renameat(descriptor, draft, descriptor, listName) == 0 else {
      throw failure("rename")
    }
    _ = fsync(descriptor)
  }

  /// Removes the list of governed networks, after the table that held them; nothing happens where it cannot be removed.
  package func forgetNetworks() { _ = unsafe unlinkat(descriptor, listName, 0) }

  /// Runs `body` while no other process changes what lies in the folder.
  ///
  /// - Parameters:
  ///   - patience: milliseconds. Serve can hold the lock where it is the bridge's user, and must not keep rules back by it.
  ///   - body: is told whether the lock was to be had by then.
  package func locked<Result, Fault: Error>(
    patience: UInt64, _ body: (_ isAlone: Bool) throws(Fault) -> Result
  ) throws(Fault) -> Result {
    // The folder's description is shared with other processes of the bridge, and a lock is of a description.
    let own = openLock()
    defer { if own >= 0 { close(own) } }
    let end = MonotonicTime.now().adding(milliseconds: patience)
    while own >= 0 {
      if flock(own, LOCK_EX | LOCK_NB) == 0 { return try body(true) }
      guard errno == EWOULDBLOCK || errno == EINTR, MonotonicTime.now() < end else { break }
      usleep(Self.lockRhythm)
    }
    return try body(false)
  }

  private func openLock() -> Int32 {
    for _ in 0..<4 {
      let found = unsafe openat(descriptor, Self.lockName, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
      if found >= 0 || errno != ENOENT { return found }
      let made = unsafe openat(
        descriptor, Self.lockName, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
      if made >= 0 {
        var status = stat()
        // What root's command makes is the folder's owner's like the rest.
        if geteuid() == 0, unsafe fstat(descriptor, &status) == 0, status.st_uid != 0 {
          _ = fchown(made, status.st_uid, status.st_gid)
        }
        return made
      }
      // Another process may have made it first; what cannot be made is not found the next time either.
    }
    return -1
  }

  private func failure(_ call: StaticString) -> FolderError {
    FolderError(
      description: "the list of governed networks in the state folder cannot be written: "
        + "\(SystemError(call: call, errno: errno))")
  }
}
