import EgressPolicy
import Settings

/// Whether the audit log's folder is the service's user's to write, as a rotation needs it; for `check` and `doctor`.
enum LogFolder {
  /// What keeps the log from being rotated, as a sentence; nil where nothing does, or where it cannot be known.
  static func fault(_ settings: Settings) -> String? {
    let folder = folder(settings)
    guard folder.isClosed else { return nil }
    return "the folder \(folder.path) of the audit log is not user \(settings.user.name)'s to write: "
      + "the log is never rotated, and begun anew by nobody"
  }

  static func check(_ settings: Settings) -> [Diagnostic] {
    guard let fault = fault(settings) else { return [] }
    return [.warning("\(fault); expected: \(remedy(settings))", at: settings.auditLocation)]
  }

  /// The command that mends it.
  static func remedy(_ settings: Settings) -> String { folder(settings).remedy("audit: path") }

  private static func folder(_ settings: Settings) -> ServiceFolder {
    ServiceFolder(of: settings.audit.path, settings.user)
  }
}
