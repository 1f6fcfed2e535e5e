import Glibc
import LinuxIO

/// The directory of the log: made when only it is missing, and handed over only when it was made here.
struct LogDirectory: ~Copyable {
  /// Open when this run made the directory.
  private let made: FileDescriptor?

  /// Makes the directory of `path` with mode 0700 unless it is there.
  ///
  /// - Throws: when the directory above it is missing too: then the path is more likely wrong than new.
  init(of path: String) throws(AuditStoreError) {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
      made = nil  // the working directory, or the root
      return
    }
    let directory = String(path[..<slash])
    guard unsafe mkdir(directory, 0o700) == 0 else {
      let code = errno
      guard code == EEXIST else { throw Self.error(path, directory, code) }
      made = nil
      return
    }
    let raw = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard raw >= 0 else { throw AuditStoreError(path, SystemError(call: "open its directory", errno: errno)) }
    made = FileDescriptor(raw)
    fchmod(raw, 0o700)
  }

  private static func error(_ path: String, _ directory: String, _ code: Int32) -> AuditStoreError {
    switch code {
    case ENOENT: AuditStoreError(path, "\(directory) and the directory above it are missing, expected one of them")
    case ENOTDIR: AuditStoreError(path, "what is above \(directory) is not a directory")
    default: AuditStoreError(path, SystemError(call: "make its directory", errno: code))
    }
  }

  /// fchown(2) of a directory that was made here, else nothing; its result.
  func hand(to uid: UInt32, _ gid: UInt32) -> Int32 {
    switch made {
    case .some(let directory): fchown(directory.raw, uid, gid)
    case .none: 0
    }
  }
}
