import CLinux
import Glibc
import LinuxIO

extension ControlServer {
  /// Makes the folder, where only its last part is missing, and the socket in it.
  static func listen(_ path: String, _ mode: UInt32, _ owner: (user: UInt32, group: UInt32)?) throws(SystemError)
    -> Int32
  {
    // A caller finds it by the whole path.
    guard path.utf8.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else {
      throw SystemError(call: "listen", errno: ENAMETOOLONG)
    }
    let folder = try folder(of: path)
    if let owner { _ = folder.handIfNew(to: owner.user, owner.group) }
    let descriptor = unsafe sluice_unix_listen(
      folder.raw, Folder.name(of: path), mode, owner?.user ?? .max, owner?.group ?? .max)
    guard descriptor >= 0 else { throw SystemError(call: "listen", errno: -descriptor) }
    return descriptor
  }

  private static func folder(of path: String) throws(SystemError) -> Folder {
    guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return try Folder(of: path) }
    return try Folder(String(path[..<slash]), makingWith: 0o755)
  }
}
