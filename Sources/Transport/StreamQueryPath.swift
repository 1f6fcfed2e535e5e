import AuditLog
import DNSWire
import LinuxIO
import Resolver

/// The query path of one event loop's connections.
final class StreamQueryPath {
  enum Outcome {
    case reply([UInt8])
    case drop
    case pending(PendingQuestion)
  }

  private let shared: SharedState
  private var path: QueryPath
  private var snapshot: ResolverSnapshot
  private var generation: UInt64
  /// Where replies are written before they get octets of their own.
  private var room = [UInt8](repeating: 0, count: ReplyWriter.maxStream)

  init(shared: SharedState, ring: AuditRing, lane: Int) {
    self.shared = shared
    path = QueryPath(ring: ring, lane: lane, resolveInterface: shared.resolveInterface)
    generation = shared.current.generation
    snapshot = shared.current.load()
  }

  /// Answers one message of a connection.
  func answer(_ message: [UInt8], from source: QuerySource) -> Outcome {
    if generation != shared.current.generation {
      generation = shared.current.generation
      snapshot = shared.current.load()
    }
    path.auditIsBlocked = shared.audit.isBlocked
    let clock = shared.clock()
    var outcome = QueryPath.Outcome.drop
    let count = unsafe room.withUnsafeMutableBufferPointer { buffer in
      var out = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
      outcome = path.answer(message.span, from: source, at: clock, with: snapshot, into: &out)
      return unsafe out.finalize(for: buffer)
    }
    if path.mustWakeAudit {
      path.mustWakeAudit = false
      shared.audit.wake()
    }
    switch outcome {
    case .reply: return .reply(Array(room[..<count]))
    case .drop: return .drop
    case .pending(let question): return .pending(question)
    }
  }
}
