import CLinux
import Synchronization

/// Messages from any thread to the thread of one reactor. Only the first of a burst wakes it.
package final class Mailbox<Message: Sendable>: Sendable {
  private let messages = Mutex<[Message]>([])
  private let descriptor: FileDescriptor

  package init() throws(SystemError) {
    let raw = sluice_eventfd_new()
    guard raw >= 0 else { throw SystemError(call: "eventfd", errno: -raw) }
    descriptor = FileDescriptor(raw)
  }

  /// Becomes readable when a message waits.
  package var readiness: Int32 { descriptor.raw }

  package func post(_ message: Message) {
    let wasEmpty = messages.withLock { messages in
      messages.append(message)
      return messages.count == 1
    }
    if wasEmpty {
      sluice_eventfd_post(descriptor.raw)
    }
  }

  /// Takes everything that waits, oldest first.
  package func drain() -> [Message] {
    sluice_eventfd_take(descriptor.raw)
    return messages.withLock { messages in
      let taken = messages
      messages = []
      messages.reserveCapacity(taken.count)
      return taken
    }
  }
}
