public import Synchronization

/// Messages from any thread to the thread of one reactor. Only the first of a burst wakes it.
///
/// Inlinable, so that no message passes through the generic form.
@usableFromInline
package final class Mailbox<Message: Sendable>: Sendable {
  @usableFromInline let messages = Mutex<[Message]>([])
  @usableFromInline let wake: WakeCall

  /// - Throws: where the process may open no more descriptors.
  package init() throws(SystemError) {
    wake = try WakeCall()
  }

  /// Becomes readable when a message waits.
  package var readiness: Int32 { wake.descriptor }

  /// Puts a message behind the others, from any thread, and wakes the reactor where it was the first.
  @inlinable
  package func post(_ message: Message) {
    let wasEmpty = messages.withLock { messages in
      messages.append(message)
      return messages.count == 1
    }
    if wasEmpty {
      wake.call()
    }
  }

  /// Takes everything that waits, oldest first.
  @inlinable
  package func drain() -> [Message] {
    wake.take()
    return messages.withLock { messages in
      let taken = messages
      messages = []
      messages.reserveCapacity(taken.count)
      return taken
    }
  }
}
