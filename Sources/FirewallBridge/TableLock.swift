import Glibc
import LinuxIO

/// Says to other instances of Sluice that a table has an owner, for as long as this value or its process lives.
///
/// An abstract Unix socket: its name is known in this network namespace only, like the table, and the kernel takes it
/// back with the process, however that ends (unix(7)).
package struct TableLock: ~Copyable {
  /// Somebody else has the table.
  package struct Taken: Error, CustomStringConvertible {
    package var table: String
    package var description: String { "a running sluice holds table \(table); stop that one first, or reload it" }
  }

  private let socket: FileDescriptor

  /// - Throws: `Taken`, or `SystemError` when the kernel has no socket.
  package init(family: FirewallPlan.Family, table: String) throws {
    socket = try Self.bound("\(family.name) \(table)")
  }

  private static func bound(_ table: String) throws -> FileDescriptor {
    let raw = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard raw >= 0 else { throw SystemError(call: "socket", errno: errno) }
    let socket = FileDescriptor(raw)
    var place = sockaddr_un()
    place.sun_family = sa_family_t(AF_UNIX)
    let name = [0] + Array("sluice table \(table)".utf8)
    guard name.count <= MemoryLayout.size(ofValue: place.sun_path) else {
      throw SystemError(call: "bind", errno: ENAMETOOLONG)
    }
    unsafe withUnsafeMutableBytes(of: &place.sun_path) { unsafe $0.copyBytes(from: name) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    let error = unsafe withUnsafePointer(to: &place) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(raw, $0, length) }
    }
    guard error == 0 else {
      if errno == EADDRINUSE { throw Taken(table: table) }
      throw SystemError(call: "bind", errno: errno)
    }
    return socket
  }
}
