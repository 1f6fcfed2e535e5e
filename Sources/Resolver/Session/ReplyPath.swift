/// The way back to a client that waits for an answer from another thread.
package protocol ReplyPath: Sendable {
  /// Sends a whole DNS message; called once, from any thread. A client that is gone is not an error.
  func send(_ message: [UInt8])
  /// The same for a message that may wait for others of its caller's turn: what it waits in, and the caller sends before it
  /// sleeps; nil where it was sent.
  func hold(_ message: [UInt8]) -> (any HeldReplies)?
}

extension ReplyPath {
  /// Sends it at once.
  package func hold(_ message: [UInt8]) -> (any HeldReplies)? {
    send(message)
    return nil
  }
}

/// Replies that wait for others of the same turn.
package protocol HeldReplies: AnyObject, Sendable {
  /// Sends all of them; called from any thread.
  func send()
}

/// Of a question for whose answer nobody waits.
struct NoReply: ReplyPath {
  func send(_ message: [UInt8]) {}
}

/// Takes questions that the query path could not answer; called from any thread, never blocks.
package typealias PendingSink = @Sendable (PendingQuery, any ReplyPath) -> Void
