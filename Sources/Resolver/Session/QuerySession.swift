package import IPNetwork

/// How one thread answers queries: a batch at a time, each by one snapshot, one look at the audit log and one reading
/// of the clocks.
///
///     begin ──► screen, prefetch, answer, … ──► end ──► the caller sends the replies
///       │                                        │
///       snapshot in force, audit gate, clocks    the audit writer is woken, if a record found it asleep
///
/// UDP, TCP and the control API answer through a session and by no other way, so that what P6 asks for stands here once:
/// while the log cannot be written nothing is answered that would have to be recorded, and the writer hears of a record
/// before its reply leaves.
package struct QuerySession: ~Copyable {
  /// What becomes of a query: its reply is written, it is dropped, or the resolver's thread finishes it.
  package enum Disposition: Sendable {
    case reply
    case drop
    case pending(PendingQuery)
  }

  /// Messages of one batch.
  package static let slots = QueryPath.slots

  private let shared: SharedState
  private var path: QueryPath
  /// Of `snapshot`.
  private var generation: UInt64
  /// What the batch is answered by: of all batches the newest at its beginning.
  package private(set) var snapshot: ResolverSnapshot
  private var isUnderWay = false

  /// Of one thread, which alone may use it.
  package init(_ thread: QueryThread) {
    shared = thread.shared
    path = QueryPath(ring: thread.ring, shard: thread.index, resolveInterface: shared.resolveInterface)
    generation = shared.current.generation
    snapshot = shared.current.load()
  }

  /// Set for datagrams that may have come before the sockets told of interfaces: one of a server that is known by its
  /// interface is dropped then, so that the client asks again.
  package var interfaceMayBeUntold: Bool {
    get { path.interfaceMayBeUntold }
    set { path.interfaceMayBeUntold = newValue }
  }

  /// Whether the policy asks of any server by which interface its queries come.
  package var asksInterface: Bool { snapshot.asksInterface }

  /// Begins a batch; the one before has ended.
  package mutating func begin() {
    precondition(!isUnderWay, "a batch has not ended")
    isUnderWay = true
    let newest = shared.current.generation
    if generation != newest {
      generation = newest
      snapshot = shared.current.load()
    }
    path.auditIsBlocked = shared.audit.isBlocked
    path.clock = shared.clock()
  }

  /// Screens a message of the batch; `slot` is its own and below `slots`.
  package mutating func screen(_ slot: Int, _ message: Span<UInt8>, from client: IPAddress) {
    path.screen(slot, message, from: client, with: snapshot)
  }

  /// Prefetches what the answers to the first `count` messages will read, which were screened.
  package func prefetch(_ count: Int) {
    for step in 0..<QueryPath.prefetchSteps {
      for slot in 0..<count { path.prefetch(slot, step: step, with: snapshot) }
    }
  }

  /// Answers a screened message, or says why not. A reply is appended to `reply`, which must be empty; it may be sent
  /// when the batch has ended.
  package mutating func answer(
    _ slot: Int, _ message: Span<UInt8>, from source: QuerySource, into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    precondition(isUnderWay, "no batch has begun")
    switch path.answer(slot, message, from: source, with: snapshot, into: &reply) {
    case .reply: return .reply
    case .drop: return .drop
    case .pending: return path.takeQuestion()
    }
  }

  /// Counts a datagram that was longer than any query: it was not read.
  package func countOversized(from source: QuerySource) {
    path.countOversized(from: source, with: snapshot)
  }

  /// Ends the batch. Its replies may be sent.
  package mutating func end() {
    precondition(isUnderWay, "no batch has begun")
    isUnderWay = false
    if !path.refreshes.isEmpty {
      for question in path.takeRefreshes() { shared.sink(question, NoReply()) }
    }
    guard path.mustWakeAudit else { return }
    path.mustWakeAudit = false
    shared.audit.wake()
  }

  /// A batch of one message.
  package mutating func answer(
    _ message: Span<UInt8>, from source: QuerySource, into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    begin()
    screen(0, message, from: source.client)
    let outcome = answer(0, message, from: source, into: &reply)
    end()
    return outcome
  }
}
