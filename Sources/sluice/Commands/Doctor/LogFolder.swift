import EgressPolicy
import Foundation
import Glibc
import Serving
import Settings

/// Whether the audit log's folder is the service's user's to write, as a rotation needs it; for `check` and `doctor`.
enum LogFolder {
  /// What keeps the log from being rotated, as a sentence; nil where nothing does, or where it cannot be known.
  static func fault(_ settings: Settings) -> String? {
    let folder = path(settings)
    var status = stat()
    guard unsafe stat(folder, &status) == 0 else {
      // serve makes it, and gives it to its user.
      return nil
    }
    guard let account = Privileges.known(settings.user), account.user != 0 else { return nil }
    let shift: UInt32 = status.st_uid == account.user ? 6 : status.st_gid == account.group ? 3 : 0
    guard status.st_mode >> shift & 0o3 != 0o3 else { return nil }
    return "the folder \(folder) of the audit log is not user \(settings.user.name)'s to write: "
      + "the log is never rotated, and begun anew by nobody"
  }

  static func check(_ settings: Settings) -> [Diagnostic] {
    guard let fault = fault(settings) else { return [] }
    return [.warning("\(fault); expected: \(remedy(settings))", at: settings.auditLocation)]
  }

  /// The command that mends it.
  static func remedy(_ settings: Settings) -> String {
    let folder = path(settings)
    // A folder that other programs use too is not given away.
    let shared = ["/var/log", "/var", "/tmp", "/", "/etc", "/root", "/run"].contains(folder)
    return shared
      ? "install -d -o \(settings.user.name) \(folder)/sluice, and `audit: path` in it"
      : "chown \(settings.user.name) \(folder)"
  }

  private static func path(_ settings: Settings) -> String {
    let folder = (settings.audit.path as NSString).deletingLastPathComponent
    return folder.isEmpty ? "." : folder
  }
}
