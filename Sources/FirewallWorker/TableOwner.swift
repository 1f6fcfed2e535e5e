import Glibc
import LinuxIO
import NFTables

/// Keeps a managed table for the worker's socket: no other program's flush, deletion or change takes effect in it.
///
/// With the worker the table does not end. It stays as it is, closed, and the next worker takes it over; until then other
/// programs may change it like any other. A table that was made without that flag cannot get it: it is replaced, with what
/// is open in it, while the closing rules let nothing pass.
final class TableOwner {
  private let socket: NetlinkSocket
  /// The table that is the socket's alone.
  private(set) var table: String?
  /// Whether the kernel keeps a table whose owner ends (Linux 6.9).
  let isSupported: Bool
  /// How often, and after how many microseconds, a table is asked for again that a former worker may still have: it ends when
  /// the kernel has closed its sockets, for which it waits.
  private static let (attempts, rhythm): (Int, UInt32) = (60, 5_000)

  init(_ socket: NetlinkSocket) {
    self.socket = socket
    // No plan's table has a '/' in its name. It is there for no one but this transaction.
    var probe = NetlinkBatch(table: "sluice/owned/\(socket.port)")
    probe.addTable(outlivesOwner: true)
    probe.deleteTable()
    isSupported = socket.carryOut(probe) == 0
  }

  /// By it the owner's changes are made.
  var descriptor: Int32 { socket.descriptor }

  /// Takes over a table that nothing owns, or makes it, empty; false where another process owns it, or it goes with its owner.
  func take(_ table: String) -> Bool {
    guard isSupported else { return false }
    var batch = NetlinkBatch(table: table)
    batch.addTable(outlivesOwner: true)
    var error = socket.carryOut(batch)
    for _ in 1..<Self.attempts where error == EPERM {
      usleep(Self.rhythm)
      error = socket.carryOut(batch)
    }
    return note(table, error)
  }

  /// Puts another one in the place of a table, in one transaction; false where that is refused, and the former stands.
  ///
  /// - Parameter rules: what it begins with; without them it is empty.
  func replace(_ table: String, closedBy rules: ClosingRules? = nil) -> Bool {
    guard isSupported else { return false }
    var batch = NetlinkBatch(table: table)
    batch.deleteTable()
    batch.addTable(outlivesOwner: true)
    rules?.begin(&batch)
    return note(table, socket.carryOut(batch))
  }

  private func note(_ table: String, _ error: Int32) -> Bool {
    self.table = error == 0 ? table : nil
    return error == 0
  }

  /// The table is gone, or another one is in its place.
  func forget() { table = nil }

  /// Another process has changed the table by the socket.
  func takeBack() { socket.takeBack() }
}
