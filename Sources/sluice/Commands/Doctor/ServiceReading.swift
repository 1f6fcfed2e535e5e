import EgressPolicy
import Glibc
import Serving
import Settings

/// Whether the service's user may read the files that serve reads at every reload; for `check` and `doctor`.
///
/// Root reads them all, and so does the serve that root starts: what fails is the reload, and the unit at the next boot.
enum ServiceReading {
  struct Fault: Equatable {
    var path: String
    var text: String
    /// The command that mends it.
    var remedy: String
  }

  /// By path; none where it cannot be known.
  static func faults(_ settings: Settings, _ configuration: String) -> [Fault] {
    guard let account = Privileges.known(settings.user), account.user != 0 else { return [] }
    let zones = settings.zones.compactMap { if case .file(let path, _) = $0 { path } else { nil } }
    let paths = Set([configuration] + settings.policies.map(\.location.file) + zones)
    return paths.sorted().compactMap { path in
      guard let barrier = barrier(to: ConfigurationOption.absolute(path), account) else { return nil }
      return Fault(
        path: path,
        text:
          "user \(settings.user.name) cannot read \(path): a reload refuses it, and the service does not start with it",
        remedy: barrier)
    }
  }

  static func check(_ settings: Settings, _ configuration: String) -> [Diagnostic] {
    faults(settings, configuration).map {
      .warning("\($0.text); expected: \($0.remedy)", at: SourceLocation(file: $0.path, line: 0, column: 0))
    }
  }

  /// The command that takes away what keeps an account from a file; nil where nothing does.
  private static func barrier(to path: String, _ account: Privileges.Account) -> String? {
    var folder = ""
    for part in path.split(separator: "/").dropLast() {
      folder += "/\(part)"
      guard allows(folder, 0o1, account) else { return "chmod o+x \(folder)" }
    }
    return allows(path, 0o4, account) ? nil : "chmod o+r \(path)"
  }

  /// - Parameter bit: of a file's mode, for others.
  private static func allows(_ path: String, _ bit: mode_t, _ account: Privileges.Account) -> Bool {
    var status = stat()
    // What is not there is another fault.
    guard unsafe stat(path, &status) == 0 else { return true }
    let shift: UInt32 = status.st_uid == account.user ? 6 : status.st_gid == account.group ? 3 : 0
    return status.st_mode >> shift & bit != 0
  }
}
