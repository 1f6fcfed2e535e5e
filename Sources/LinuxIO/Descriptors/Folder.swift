import CLinux
import Glibc

/// A folder, held by its descriptor, whose owner need not be trusted by the process that opens files in it: what root
/// makes or opens in the folder of a service's user is a new file, or one that root could have made there itself.
package struct Folder: ~Copyable, Sendable {
  private let descriptor: FileDescriptor
  /// Whether this call made it.
  package let isNew: Bool

  /// Opens a folder. Where root does, no symbolic link on the way is followed but root's own.
  ///
  /// - Parameter mode: the last part is made with it, less the umask, where only that is missing.
  /// - Throws: ELOOP for a link of another user.
  package init(_ path: String, makingWith mode: UInt32? = nil) throws(SystemError) {
    var made: Int32 = 0
    let raw = unsafe sluice_open_folder(path, mode.map { Int32($0) } ?? -1, &made)
    guard raw >= 0 else { throw SystemError(call: mode == nil ? "open the folder" : "make the folder", errno: -raw) }
    descriptor = FileDescriptor(raw)
    isNew = made != 0
  }

  /// The folder that a file is in.
  package init(of path: String) throws(SystemError) {
    try self.init(Self.path(of: path))
  }

  /// Where the folder that a file is in is.
  package static func path(of file: String) -> String {
    file.lastIndex(of: "/").map { $0 == file.startIndex ? "/" : String(file[..<$0]) } ?? "."
  }

  /// The last part of a path.
  package static func name(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }

  /// Good for the calls whose names end with "at", and no others (O_PATH).
  package var raw: Int32 { descriptor.raw }

  /// A file that is there already. Never through a link; of root only what no other user can have put there.
  ///
  /// - Parameters:
  ///   - flags: of open(2), without those that make a file.
  ///   - owner: the user whose folder it is, and whose files are taken too.
  /// - Throws: ENOENT; ELOOP for a link; EINVAL where it is no regular file; EPERM where root would open what has a
  ///   second name, or belongs to a third.
  package func open(_ name: String, _ flags: Int32, owner: UInt32? = nil) throws(SystemError) -> FileDescriptor {
    // Without waiting for what might write to a pipe in its place.
    let raw = unsafe openat(descriptor.raw, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
    guard raw >= 0 else { throw SystemError(call: "open", errno: errno) }
    let file = FileDescriptor(raw)
    var status = stat()
    guard unsafe fstat(raw, &status) == 0 else { throw SystemError(call: "fstat", errno: errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw SystemError(call: "open a regular file", errno: EINVAL) }
    guard geteuid() == 0 else { return file }
    guard status.st_nlink == 1 else { throw SystemError(call: "open a file of a single name", errno: EPERM) }
    guard status.st_uid == 0 || status.st_uid == owner else {
      throw SystemError(call: "open a file of root or of the service's user", errno: EPERM)
    }
    return file
  }

  /// A file that was not there: EEXIST where one is, whatever it is.
  package func make(_ name: String, _ flags: Int32, mode: UInt32 = 0o600) throws(SystemError) -> FileDescriptor {
    let raw = unsafe openat(
      descriptor.raw, name, flags | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode)
    guard raw >= 0 else { throw SystemError(call: "create", errno: errno) }
    let file = FileDescriptor(raw)
    // Whatever the umask is.
    fchmod(raw, mode)
    return file
  }

  /// `open`, or `make` where there is none.
  package func openOrMake(
    _ name: String, _ flags: Int32, mode: UInt32 = 0o600, owner: UInt32? = nil
  ) throws(SystemError) -> FileDescriptor {
    for _ in 0..<4 {
      do throws(SystemError) {
        return try open(name, flags, owner: owner)
      } catch  where error.errno == ENOENT {}
      do throws(SystemError) {
        return try make(name, flags, mode: mode)
      } catch  where error.errno == EEXIST {}
    }
    throw SystemError(call: "open", errno: EAGAIN)
  }

  /// Takes a name away; of a folder none.
  package func remove(_ name: String) { _ = unsafe unlinkat(descriptor.raw, name, 0) }

  /// Gives an entry of the folder another name, in place of what bore that; throws as rename(2) says.
  package func rename(_ name: String, to other: String) throws(SystemError) {
    guard unsafe renameat(descriptor.raw, name, descriptor.raw, other) == 0 else {
      throw SystemError(call: "rename", errno: errno)
    }
  }

  /// AT_EMPTY_PATH: the descriptor itself, which fchown(2) does not take where it is O_PATH.
  private static let itself: Int32 = 0x1000

  /// Gives a folder that this call made to a user; nothing where it was there. fchownat(2)'s result.
  package func handIfNew(to uid: UInt32, _ gid: UInt32) -> Int32 {
    isNew ? unsafe fchownat(descriptor.raw, "", uid, gid, Self.itself) : 0
  }
}
