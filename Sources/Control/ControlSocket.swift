import CLinux
import Glibc
import LinuxIO

/// The Unix socket of the control API: one that is to be made, or one that was passed in.
package struct ControlSocket: Sendable {
  /// An old socket on which no process listens is replaced; its folder is made if only the last part is missing.
  package var path: String
  package var mode: UInt32
  /// To whom the socket is given.
  package var owner: (user: UInt32, group: UInt32)?
  /// One that listens already: path, mode and owner are its maker's, and the descriptor stays the caller's.
  package var passed: Int32?

  package init(
    path: String, mode: UInt32 = 0o660, owner: (user: UInt32, group: UInt32)? = nil, passed: Int32? = nil
  ) {
    self.path = path
    self.mode = mode
    self.owner = owner
    self.passed = passed
  }

  /// Makes the folder, where only its last part is missing, and the socket in it.
  func listen() throws(SystemError) -> Int32 {
    // A caller finds it by the whole path.
    guard path.utf8.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else {
      throw SystemError(call: "listen", errno: ENAMETOOLONG)
    }
    let folder = try Self.folder(of: path)
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
