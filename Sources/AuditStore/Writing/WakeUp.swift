import CLinux
import Glibc
import LinuxIO

/// An eventfd that one thread sleeps on and any thread may post to.
struct WakeUp: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  init() throws(SystemError) {
    let raw = sluice_eventfd_new()
    guard raw >= 0 else { throw SystemError(call: "eventfd", errno: -raw) }
    descriptor = FileDescriptor(raw)
  }

  func post() { sluice_eventfd_post(descriptor.raw) }

  /// Sleeps until a post, or for so many milliseconds.
  func wait(milliseconds: Int?) {
    var entry = pollfd(fd: descriptor.raw, events: Int16(POLLIN), revents: 0)
    let timeout = milliseconds.map { Int32(clamping: $0) } ?? -1
    if unsafe poll(&entry, 1, timeout) > 0 { sluice_eventfd_take(descriptor.raw) }
  }
}
