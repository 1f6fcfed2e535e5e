import CNetfilter
package import FirewallModel
import Glibc
import LinuxIO

/// Says to other instances of Sluice that a table has an owner, for as long as this value or its process lives.
///
/// The owner is bound to a group of the kernel's packet log (NFLOG) to which no rule logs: one socket at a time may be,
/// in a network namespace, like the table, and across containers that share it; only with CAP_NET_ADMIN there, so that no
/// other user can take it first; and the kernel takes it back with the process, however that ends.
package struct TableLock: ~Copyable {
  /// Another process has the table.
  package struct TakenError: Error, CustomStringConvertible {
    package var table: String
    package var description: String { "a running sluice holds table \(table); stop that one first, or reload it" }
  }

  private let socket: NetlinkSocket

  /// - Throws: `TakenError`, or `SystemError`: EPERM without CAP_NET_ADMIN.
  package init(family: FirewallPlan.Family, table: String) throws {
    socket = try Self.bound(family, table)
  }

  private static func bound(_ family: FirewallPlan.Family, _ table: String) throws -> NetlinkSocket {
    let socket = try NetlinkSocket()
    do throws(SystemError) {
      try RefusalReader.bind(socket, to: group(family, table))
    } catch {
      // A group that another socket has is refused as without CAP_NET_ADMIN; what is refused of a free one tells them apart.
      if error.errno == EBUSY || (error.errno == EPERM && RefusalReader.mayBind(socket, instead: freeGroup)) {
        throw TakenError(table: "\(family.name) \(table)")
      }
      throw SystemError(call: "lock the table (which needs root or CAP_NET_ADMIN)", errno: error.errno)
    }
    return socket
  }

  /// No lock is there: the last of the lower half.
  private static let freeGroup: UInt16 = 0x7FFF

  /// The upper half of the groups, so that none of a host's own rules is met: FNV-1a of the table's family and name.
  static func group(_ family: FirewallPlan.Family, _ table: String) -> UInt16 {
    var hash: UInt32 = 0x811C_9DC5
    for octet in "\(family.name) \(table)".utf8 { hash = (hash ^ UInt32(octet)) &* 0x0100_0193 }
    return 0x8000 | UInt16(truncatingIfNeeded: hash ^ hash >> 16)
  }
}
