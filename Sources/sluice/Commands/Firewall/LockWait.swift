import LinuxIO
import Serving

/// Waits until the process that holds a table's lock has installed what it holds it for.
struct LockWait {
  /// Milliseconds for the holder.
  static let patience: UInt64 = 5_000
  /// Microseconds between two looks.
  static let rhythm: UInt32 = 20_000

  let table: String
  private let end: MonotonicTime

  init(table: String, since start: MonotonicTime) {
    self.table = table
    end = start.adding(milliseconds: Self.patience)
  }

  /// Whether the holder's rules are in force; false where it is to be looked again.
  ///
  /// - Parameter found: whether the kernel has the table. What failed now may succeed in a moment.
  /// - Throws: `StartError` where that is not known at the end, or the lock is held for nothing.
  func isInForce(_ found: Result<Bool, StartError>, now: MonotonicTime) throws(StartError) -> Bool {
    if case .success(true) = found { return true }
    guard now >= end else { return false }
    _ = try found.get()
    throw StartError("another process holds table inet \(table), and there is no such table")
  }
}
