import DNSWire
import Resolver

/// What answers the messages of one event loop's connections, each a batch by itself.
final class StreamQueryPath {
  enum Disposition {
    case reply([UInt8])
    case drop
    case pending(PendingQuery)
  }

  private var session: QuerySession
  /// Where replies are written before they get octets of their own.
  private var room = [UInt8](repeating: 0, count: ReplyWriter.maxStream)

  init(_ thread: QueryThread) {
    session = QuerySession(thread)
  }

  /// Answers one message of a connection.
  func answer(_ message: [UInt8], from source: QuerySource) -> Disposition {
    var outcome = QuerySession.Disposition.drop
    let count = unsafe room.withUnsafeMutableBufferPointer { buffer in
      var out = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
      outcome = session.answer(message.span, from: source, into: &out)
      return unsafe out.finalize(for: buffer)
    }
    switch outcome {
    case .reply: return .reply(Array(room[..<count]))
    case .drop: return .drop
    case .pending(let question): return .pending(question)
    }
  }
}
