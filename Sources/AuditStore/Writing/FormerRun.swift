/// How the last run of serve that began before this one ended. A start that failed is no run.
package enum FormerRun: Equatable, Sendable {
  /// There was none, or what it left is gone.
  case unknown
  /// It was asked to stop, and told everything.
  case stopped
  /// It ended without stopping: killed, crashed, or with the host. It began so many nanoseconds after 1970.
  case broken(began: UInt64)
}
