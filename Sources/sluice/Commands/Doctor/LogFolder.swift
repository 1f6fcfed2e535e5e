import ControlAPI
import EgressPolicy
import Glibc
import LinuxIO
import Settings

/// Whether the audit log's folder is the service's user's to write, as a rotation needs it, and has room; for `check` and
/// `doctor`.
enum LogFolder {
  /// What keeps the log from being rotated, as a sentence; nil where nothing does, or where it cannot be known.
  static func fault(_ settings: Settings) -> String? {
    let folder = folder(settings)
    guard folder.isClosed else { return nil }
    return "the folder \(folder.path) of the audit log is not user \(settings.user.name)'s to write: "
      + "the log is never rotated, and begun anew by nobody"
  }

  static func check(_ settings: Settings) -> [Diagnostic] {
    [
      fault(settings).map { "\($0); expected: \(remedy(settings))" },
      fullDisk(settings).map { "\($0); expected room: \(roomRemedy(settings.audit.path))" },
    ].compactMap { text in text.map { .warning($0, at: settings.auditLocation) } }
  }

  /// That the disk of the log is full, as a sentence; nil where it is not, or where it cannot be known. Who owns what is no
  /// matter then.
  static func fullDisk(_ settings: Settings) -> String? {
    let path = folder(settings).path
    var disk = statvfs()
    // What is left for others than root, as whom serve does not write. What has no blocks at all counts none.
    guard unsafe statvfs(path, &disk) == 0, disk.f_blocks > 0, disk.f_bavail == 0 else { return nil }
    return "the file system of the audit log's folder \(path) is full: nothing is answered that has to be recorded"
  }

  /// What shows where room can be made, for the log at `path`.
  static func roomRemedy(_ path: String) -> String { "df -h \(parent(of: path)), and make room there" }

  /// For a log that serve can't write.
  static func remedy(blocked audit: ControlAPI.Status.Audit) -> String {
    let isFull = [ENOSPC, EDQUOT].contains { SystemError.text($0) == audit.blockedFault }
    return isFull
      ? roomRemedy(audit.path)
      : "see what keeps the service's user from \(audit.path): ls -l \(audit.path); findmnt -T \(parent(of: audit.path))"
  }

  private static func parent(of path: String) -> String {
    let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    return folder.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : folder
  }

  /// The command that mends it.
  static func remedy(_ settings: Settings) -> String { folder(settings).remedy("audit: path") }

  private static func folder(_ settings: Settings) -> ServiceFolder {
    ServiceFolder(of: settings.audit.path, settings.user)
  }
}
