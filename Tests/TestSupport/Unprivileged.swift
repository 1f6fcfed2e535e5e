import CLinux
import Foundation
import Synchronization

/// Runs something on a thread of its own that has given up every capability: the kernel judges threads, not processes.
package enum Unprivileged {
  package static func perform<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
    let namespace = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    defer { close(namespace) }
    let done = DispatchSemaphore(value: 0)
    let box = Box<T>()
    Thread.detachNewThread {
      let result = Result {
        guard sluice_enter_network_namespace(namespace) == 0, sluice_privileges_drop_all() == 0 else {
          throw Kernel.Failure(description: "cannot give up capabilities")
        }
        return try body()
      }
      box.value.withLock { $0 = result }
      done.signal()
    }
    done.wait()
    guard let result = box.value.withLock({ $0 }) else {
      throw Kernel.Failure(description: "the thread said nothing")
    }
    return try result.get()
  }

  private final class Box<T: Sendable>: Sendable {
    let value = Mutex<Result<T, any Error>?>(nil)
  }
}
