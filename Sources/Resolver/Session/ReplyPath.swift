/// The way back to a client that waits for an answer from another thread.
package protocol ReplyPath: Sendable {
  /// Sends a whole DNS message; called once, from any thread. A client that is gone is not an error.
  func send(_ message: [UInt8])
}

/// Of a question for whose answer nobody waits.
struct NoReply: ReplyPath {
  func send(_ message: [UInt8]) {}
}

/// Takes questions that the query path could not answer; called from any thread, never blocks.
package typealias PendingSink = @Sendable (PendingQuery, any ReplyPath) -> Void
