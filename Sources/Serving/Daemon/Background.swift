import Foundation

/// Work beside answering: the threads that answer queries go before it.
enum Background {
  private static let nice: Int32 = 10

  /// Lowers the thread that calls this, and keeps it so.
  static func lower() { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, nice) }

  /// Runs `body` on a thread of a pool.
  static func run(_ body: @escaping @Sendable () -> Void) {
    DispatchQueue.global(qos: .utility).async {
      lower()
      body()
    }
  }
}
