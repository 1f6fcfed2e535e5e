import CLinux
import Glibc

/// An eventfd: a thread sleeps on it, or polls it beside other descriptors, and any thread may call. It wakes no other
/// process that has the thread's sockets.
@usableFromInline
package final class WakeCall: Sendable {
  private let event: FileDescriptor

  /// - Throws: where the process may open no more descriptors.
  package init() throws(SystemError) {
    let raw = sluice_eventfd_new()
    guard raw >= 0 else { throw SystemError(call: "eventfd", errno: -raw) }
    event = FileDescriptor(raw)
  }

  /// Readable from the first call on, until the calls are taken.
  package var descriptor: Int32 { event.raw }

  /// Makes the descriptor readable until it is drained.
  @usableFromInline package func call() { sluice_eventfd_post(event.raw) }

  /// Takes all calls there were.
  @usableFromInline package func take() { sluice_eventfd_take(event.raw) }

  /// Sleeps until a call, or for so many milliseconds, and takes the calls.
  package func wait(milliseconds: Int?) {
    var entry = pollfd(fd: event.raw, events: Int16(POLLIN), revents: 0)
    let timeout = milliseconds.map { Int32(clamping: $0) } ?? -1
    if unsafe poll(&entry, 1, timeout) > 0 { take() }
  }
}
