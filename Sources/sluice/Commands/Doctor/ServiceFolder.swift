import EgressPolicy
import Foundation
import Glibc
import Serving
import Settings

/// A folder that is the service's user's to write, as serve needs it while it runs; for `check` and `doctor`.
struct ServiceFolder {
  let path: String
  let user: ServiceUser

  /// - Parameter file: what serve makes and removes in it.
  init(of file: String, _ user: ServiceUser) {
    let folder = (file as NSString).deletingLastPathComponent
    path = folder.isEmpty ? "." : folder
    self.user = user
  }

  /// Whether it is another's; false where it cannot be known.
  var isClosed: Bool {
    var status = stat()
    // serve makes it, and gives it to its user.
    guard unsafe stat(path, &status) == 0 else { return false }
    guard let account = Privileges.known(user), account.user != 0 else { return false }
    let shift: UInt32 = status.st_uid == account.user ? 6 : status.st_gid == account.group ? 3 : 0
    return status.st_mode >> shift & 0o3 != 0o3
  }

  /// The command that mends it, and the key of the configuration that names another.
  func remedy(_ key: String) -> String {
    // A folder that other programs use too is not given away.
    let isShared = ["/var/log", "/var", "/tmp", "/", "/etc", "/root", "/run", "/var/run"].contains(path)
    return isShared
      ? "install -d -o \(user.name) \(path)/sluice, and `\(key)` in it" : "chown \(user.name) \(path)"
  }
}

/// The folder of the control socket.
enum ControlFolder {
  /// What leaves the socket behind, as a sentence; nil where nothing does.
  static func fault(_ settings: Settings) -> String? {
    let folder = folder(settings)
    guard folder.isClosed else { return nil }
    return "the folder \(folder.path) of the control socket is not user \(settings.user.name)'s to write: "
      + "the socket stays there when serve ends"
  }

  static func remedy(_ settings: Settings) -> String { folder(settings).remedy("control:") }

  private static func folder(_ settings: Settings) -> ServiceFolder {
    ServiceFolder(of: settings.control.path, settings.user)
  }
}
