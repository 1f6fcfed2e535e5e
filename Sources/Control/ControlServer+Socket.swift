import CLinux
import Glibc
import LinuxIO

extension ControlServer {
  /// Makes the folder, where only its last part is missing, and the socket in it.
  static func listen(_ path: String, _ mode: UInt32, _ owner: (user: UInt32, group: UInt32)?) throws(SystemError)
    -> Int32
  {
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      // What is wrong with a folder that is there already shows at once.
      if unsafe mkdir(String(path[..<slash]), 0o755) == 0, let owner {
        _ = unsafe chown(String(path[..<slash]), owner.user, owner.group)
      }
    }
    let descriptor = unsafe sluice_unix_listen(path, mode, owner?.user ?? .max, owner?.group ?? .max)
    guard descriptor >= 0 else { throw SystemError(call: "listen", errno: -descriptor) }
    return descriptor
  }
}
