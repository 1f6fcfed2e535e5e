import CLinux

/// Tells when the wall clock was set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
package final class ClockWatcher {
  private let descriptor: FileDescriptor

  /// - Throws: where the process may open no more descriptors.
  package init() throws(SystemError) {
    let raw = sluice_clock_watch_new()
    guard raw >= 0 else { throw SystemError(call: "timerfd_create", errno: -raw) }
    descriptor = FileDescriptor(raw)
  }

  /// Becomes readable when the clock was set.
  package var readiness: Int32 { descriptor.raw }

  /// Whether the clock was set since the last call.
  package func take() -> Bool { sluice_clock_watch_take(descriptor.raw) != 0 }
}
