import Glibc
import LinuxIO

/// The directory of the log: made when only it is missing, and handed over only when it was made here.
struct LogDirectory: ~Copyable {
  private let folder: Folder?

  /// Makes the directory of `path` with mode 0700 unless it is there.
  ///
  /// - Throws: when the directory above it is missing too: then the path is more likely wrong than new.
  init(of path: String) throws(AuditStoreError) {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
      folder = nil  // the working directory, or the root
      return
    }
    let directory = String(path[..<slash])
    do throws(SystemError) {
      folder = try Folder(directory, makingWith: 0o700)
    } catch {
      throw Self.error(path, directory, error)
    }
  }

  private static func error(_ path: String, _ directory: String, _ error: SystemError) -> AuditStoreError {
    switch error.errno {
    case ENOENT: AuditStoreError(path, "\(directory) and the directory above it are missing, expected one of them")
    case ENOTDIR: AuditStoreError(path, "what is above \(directory) is not a directory")
    default: AuditStoreError(path, error)
    }
  }

  /// fchown(2) of a directory that was made here, else nothing; its result.
  func hand(to uid: UInt32, _ gid: UInt32) -> Int32 {
    switch folder {
    case .some(let folder): folder.handIfNew(to: uid, gid)
    case .none: 0
    }
  }
}
