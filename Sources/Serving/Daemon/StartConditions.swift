package import EgressPolicy
package import Settings
import Glibc
import LinuxIO

/// What keeps `serve` from starting on this host, although its files are right: found before it is tried.
///
/// Nothing is made or opened here. What root finds is an error, for root starts serve; of another user, who may look at the
/// configuration of another host, it is a warning.
package enum StartConditions {
  /// Of sun_path of unix(7), without its zero.
  private static let longestSocket = 107

  /// - Parameter isRoot: whether it is root that looks.
  package static func diagnose(_ settings: Settings, isRoot: Bool = geteuid() == 0) -> [Diagnostic] {
    var findings: [Diagnostic] = []
    func add(_ fault: String?, _ location: SourceLocation) {
      guard let fault else { return }
      findings.append(isRoot ? .error(fault, at: location) : .warning(fault, at: location))
    }
    if case .failure(let error) = Privileges.lookUp(settings.user) {
      add(isRoot ? error.reason : "where root starts serve: \(error.reason)", settings.user.location)
    }
    add(GateAccount.fault(settings), settings.user.location)
    if settings.firewall.mode != .off { add(state(settings.state), settings.stateLocation) }
    add(folder(Folder.path(of: settings.audit.path), "of the audit log"), settings.auditLocation)
    // Where the configuration says nothing of it, serve does without.
    if !settings.control.isDefault || settings.metrics != nil {
      add(socket(settings.control.path), settings.controlLocation)
    }
    return findings
  }

  private static func state(_ path: String) -> String? {
    if let fault = folder(path, "of `state`") { return fault }
    var status = stat()
    guard unsafe lstat("\(path)/bridge", &status) == 0 else { return nil }
    if status.st_mode & S_IFMT != S_IFDIR { return "\(path)/bridge is no folder, expected that or nothing" }
    return status.st_mode & 0o022 == 0
      ? nil
      : "the state folder \(path)/bridge can be written by others than its owner, expected: chmod 755 \(path)/bridge"
  }

  private static func socket(_ path: String) -> String? {
    guard path.utf8.count <= longestSocket else {
      return "control: the path has \(path.utf8.count) octets, expected \(longestSocket) at most"
    }
    return folder(Folder.path(of: path), "of the control socket")
  }

  /// Why a folder can neither be used nor be made: serve makes it where only its last part is missing.
  private static func folder(_ path: String, _ what: String) -> String? {
    var status = stat()
    if unsafe stat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFDIR else { return "\(path) is no folder, expected the folder \(what)" }
      return isReadOnly(path) ? "the folder \(path) \(what) is on a read-only file system" : nil
    }
    // What this user may not look at, root may.
    guard errno == ENOENT || errno == ENOTDIR else { return nil }
    let above = Folder.path(of: path)
    guard unsafe stat(above, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      return "the folder \(path) \(what) and the one above it do not exist, expected one of them"
    }
    return isReadOnly(above)
      ? "the folder \(path) \(what) does not exist, and \(above) is on a read-only file system" : nil
  }

  private static func isReadOnly(_ path: String) -> Bool { unsafe access(path, W_OK) != 0 && errno == EROFS }
}
