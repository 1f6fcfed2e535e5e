import CLinux

/// Tells that a child of this process changed its state. SIGCHLD is blocked for the thread that makes it, and for those that
/// this one starts.
package struct ChildSignals: ~Copyable {
  private let descriptor: FileDescriptor

  /// - Throws: where the process may open no more descriptors.
  package init() throws(SystemError) {
    let raw = sluice_child_signals()
    guard raw >= 0 else { throw SystemError(call: "signalfd", errno: -raw) }
    descriptor = FileDescriptor(raw)
  }

  /// Readable when there is something to `drain`.
  package var readiness: Int32 { descriptor.raw }

  /// Takes all signals that wait: one may stand for several children.
  package func drain() {
    while sluice_child_signals_take(descriptor.raw) != 0 {}
  }
}
