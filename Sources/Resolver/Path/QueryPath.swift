import AuditLog
import DNSWire
import EgressPolicy
import IPNetwork
import ResponseCache

/// The path of one query, from octets to a reply: screen, identify, decide, find.
///
///     message ─► screen ─► identify ─► decide ─► find ─► reply
///                  │           │          │        │
///               drop,       sinkhole   sinkhole   miss, or a grant that is not committed:
///               FORMERR…               NODATA     `pending`, finished on the resolver's thread
///
/// One value per thread, part of its `QuerySession`: nothing here is shared but the audit ring's memory and the caches.
/// No allocation on a hit, a denial or a malformed message. Nothing is sent upstream from here at all (P1).
///
/// The query in hand, where it came from and the clocks are kept here and not handed from step to step.
struct QueryPath: ~Copyable {
  enum Disposition {
    case reply
    case drop
    /// Not answered here: `takeQuestion` gives what is to be done.
    case pending
  }

  /// Messages that can be screened before the first of them is answered.
  static let slots = 64
  static let prefetchSteps = 3
  /// In place of a reply's code, for the counters.
  static let noReply: UInt8 = 15

  private let ring: AuditRing
  private let resolveInterface: (String) -> UInt32
  private(set) var screened = ScreenedQueries(slots: Self.slots)
  /// Set when the audit writer sleeps and must be woken before the replies are sent.
  var mustWakeAudit = false
  /// Set for datagrams that may have come before the sockets told of interfaces: one of a server that is known by its
  /// interface is dropped then, so that the client asks again.
  var interfaceMayBeUntold = false
  /// Set while the audit log cannot be written: nothing is answered that would have to be recorded (P6).
  var auditIsBlocked = false
  /// Read once for each batch.
  var clock = QueryClock(monotonic: 0, wall: 0, epoch: 0)
  // Of the query in hand.
  private(set) var query = Query.unread
  private(set) var source = QuerySource(client: IPAddress(v4: 0), port: 0, transport: .udp, interface: 0)
  /// What of this batch is asked for anew.
  private(set) var refreshes: [PendingQuery] = []
  /// The question that the query in hand became.
  private var question = QuerySession.Disposition.drop
  let shard: Int

  /// - Parameters:
  ///   - ring: this thread's audit ring.
  ///   - shard: this thread's shard in every `QueryCounts`.
  ///   - resolveInterface: the index of an interface by name, 0 for none.
  init(ring: AuditRing, shard: Int = 0, resolveInterface: @escaping (String) -> UInt32) {
    self.ring = ring
    self.shard = shard
    self.resolveInterface = resolveInterface
  }

  /// Screens one of several messages that are answered afterwards, each by its `slot` below `slots`.
  mutating func screen(
    _ slot: Int, _ message: Span<UInt8>, from client: IPAddress, with snapshot: borrowing ResolverSnapshot
  ) {
    let clients = snapshot.uncountedClients
    screened.screen(slot, message, hash: snapshot.nameHash) { clients.with { $0.server(of: client) } }
  }

  /// Prefetches what a screened message's answer will read: every step, from 0 to `prefetchSteps` - 1, follows
  /// what the former brought. With thousands of servers nearly nothing of it is in the caches of the processor, and
  /// waiting for one place after the other costs more than all the rest of an answer.
  func prefetch(_ slot: Int, step: Int, with snapshot: borrowing ResolverSnapshot) {
    let key = screened.key(slot)
    guard let server = key.server, server < snapshot.servers.count else { return }
    snapshot.uncountedPolicy.with { $0.prefetch(server: server, hash: key.hash, step: step) }
    snapshot.prefetch(server, hash: key.hash, key.type, shard: shard, step: step)
  }

  /// Answers a message that was screened with this snapshot, or says why not. A reply is appended to `reply`, which must
  /// be empty.
  mutating func answer(
    _ slot: Int, _ message: Span<UInt8>, from source: QuerySource, with snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    screened.select(slot)
    self.source = source
    guard source.port >= ServicePorts.end || !source.isService else { return ignore(snapshot) }
    switch screened.query {
    case .success(let query): self.query = query
    case .failure(let fault): return refuse(fault, message, snapshot, into: &reply)
    }
    guard let server = screened.key.server else { return unknownClient(message, snapshot, into: &reply) }
    return snapshot.withServer(server) { state in
      guard !state.hasInterface || state.admits(interface: source.interface, resolve: resolveInterface) else {
        if interfaceMayBeUntold, source.interface == 0 {
          state.cells.count(.failed, Self.noReply, shard: shard)
          return .drop
        }
        return unknownClient(message, snapshot, into: &reply)
      }
      return decide(message, server, state, snapshot, into: &reply)
    }
  }

  /// Counts a datagram that was longer than any query: it was not read.
  func countOversized(from source: QuerySource, with snapshot: borrowing ResolverSnapshot) {
    let cells = cells(of: snapshot.server(of: source.client), source, snapshot) ?? snapshot.unknownClientCells
    cells.count(.malformed, Self.noReply, shard: shard)
  }

  /// Where the messages of a server's client are counted; nil for an unknown client, which one that did not come by the
  /// server's interface is too.
  func cells(
    of server: Int?, _ source: QuerySource, _ snapshot: borrowing ResolverSnapshot
  ) -> QueryCounts.Cells? {
    guard let server else { return nil }
    return snapshot.withServer(server) { state in
      !state.hasInterface || state.admits(interface: source.interface, resolve: resolveInterface) ? state.cells : nil
    }
  }

  /// A service that answers whatever it gets gets nothing: two of them would talk for ever.
  private func ignore(_ snapshot: borrowing ResolverSnapshot) -> Disposition {
    let cells = cells(of: screened.key.server, source, snapshot) ?? snapshot.unknownClientCells
    cells.count(.malformed, Self.noReply, shard: shard)
    return .drop
  }

  private mutating func decide(
    _ message: Span<UInt8>, _ server: Int, _ state: ServerState, _ snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    let facts = QueryFacts(query, server: server, hash: screened.key.hash)
    let decision = snapshot.uncountedPolicy.with { policy in
      snapshot.uncountedZones.with { zones in
        Decision.of(
          facts, name: screened.octets.span.extracting(screened.name), policy: policy, zones: zones,
          answersIPv6: snapshot.rules.answersIPv6(serverOpensIPv6: state.opensIPv6))
      }
    }
    switch decision.enforcement {
    case .resolve:
      switch find(message, state, snapshot, into: &reply) {
      case .hit: return .reply
      case .due:
        refresh(decision.rule, message, server, snapshot)
        return .reply
      case .miss, .uncommitted: break
      }
      return pend(.resolve, rule: decision.rule, message, server, snapshot)
        ? .pending : overloaded(message, state, into: &reply)
    case .deny(let denial):
      return deny(denial, message, state, snapshot, into: &reply)
    case .answerLocally(let local):
      return answerSpecially(local, message, state, into: &reply)
    case .openLocally:
      return pend(.local, rule: decision.rule, message, server, snapshot)
        ? .pending : overloaded(message, state, into: &reply)
    case .reverse(let address):
      return pend(.reverse(address), rule: nil, message, server, snapshot)
        ? .pending : overloaded(message, state, into: &reply)
    case .keepLabel:
      return keepLabel(message, state, snapshot, into: &reply)
    case .withoutIPv6:
      guard
        snapshot.rules.allowedEvents != .all
          || record(.answered, state.name, .NOERROR, octets: message.count)
      else {
        return failClosed(message, state, into: &reply)
      }
      state.cells.count(.special, 0, shard: shard)
      writeSinkhole(.nodata, message, snapshot, into: &reply)
      ReplyWriter.appendOPT(query, nil, into: &reply)
      return .reply
    }
  }

  /// Answers the query from the server's cache, if that has an answer.
  private mutating func find(
    _ message: Span<UInt8>, _ state: ServerState, _ snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> ResponseCache.LookupResult {
    var cause: UInt8 = 0
    let writer = ReplyWriter(query, now: clock.monotonic, isDatagram: source.isDatagram)
    let finding = state.cacheReader.find(
      screened.octets.span.extracting(screened.name), hash: screened.key.hash, writer.query.type,
      at: ResponseCache.Moment(now: writer.now, epoch: clock.epoch, findsDue: true)
    ) { head, sections, ttlOffsets in
      cause = head.cause
      writer.answer(message, head, sections, ttlOffsets, into: &reply)
      writer.appendOPT(
        head, head.cause == 0 ? nil : (state.name, AuditCode(rawValue: head.cause).token), into: &reply)
    }
    guard finding == .hit || finding == .due else { return finding }
    if cause != 0 || snapshot.rules.allowedEvents == .all {
      let code = ResponseCode(rawValue: UInt16(reply[3] & 0xF))
      guard record(AuditCode(cause: cause) ?? .answered, state.name, code, octets: message.count) else {
        _ = failClosed(message, state, into: &reply)
        return .hit
      }
      if AuditCode(cause: cause)?.decision == .block {
        state.cells.count(.denied, reply[3], shard: shard)
        return .hit
      }
    }
    state.cells.count(.cached, reply[3], shard: shard)
    return finding
  }

  /// The query has its answer, which ends soon: it is asked for anew, so that the next client need not wait. Where that
  /// cannot be, the answer just ends.
  @inline(never)
  private mutating func refresh(
    _ rule: Int?, _ message: Span<UInt8>, _ server: Int, _ snapshot: borrowing ResolverSnapshot
  ) {
    guard pend(.refresh, rule: rule, message, server, snapshot), case .pending(let question) = takeQuestion() else {
      return
    }
    refreshes.append(question)
  }

  /// Gives away what of this batch is asked for anew.
  mutating func takeRefreshes() -> [PendingQuery] { exchange(&refreshes, with: []) }

  /// Makes the query a question for the resolver's thread; false where as many of the server's wait as may, or nothing can
  /// be recorded.
  private mutating func pend(
    _ kind: PendingQuery.Kind, rule: Int?, _ message: Span<UInt8>, _ server: Int,
    _ snapshot: borrowing ResolverSnapshot
  ) -> Bool {
    guard !auditIsBlocked, snapshot.servers[server].enter() else { return false }
    question = .pending(
      PendingQuery(
        snapshot: copy snapshot, server: server, rule: rule, name: Array(screened.octets[screened.name]),
        type: query.type, kind: kind, source: source, query: query, arrived: clock.monotonic, message: message.copied())
    )
    return true
  }

  /// Gives away the question that the last query became.
  mutating func takeQuestion() -> QuerySession.Disposition { exchange(&question, with: .drop) }

  private mutating func overloaded(
    _ message: Span<UInt8>, _ state: ServerState, into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    _ = record(.overloaded, state.name, .SERVFAIL, octets: message.count)
    return failClosed(message, state, token: auditIsBlocked ? nil : AuditCode.overloaded.token, into: &reply)
  }
}

extension AuditCode {
  /// What a remembered failure is recorded as; nil for an answer.
  @inline(__always)
  init?(cause: UInt8) {
    guard cause != 0 else { return nil }
    self.init(rawValue: cause)
  }
}

extension ExtendedErrorCode {
  /// RFC 8914 section 4.25.
  static let invalidData = ExtendedErrorCode(rawValue: 24)
}

extension QueryPath {
  /// Puts a decision about the query in hand into the audit ring; false when it cannot be recorded.
  ///
  /// - Parameters:
  ///   - octets: of the client's message.
  ///   - members: what the event says besides.
  mutating func record(
    _ code: AuditCode, _ server: [UInt8], _ answer: ResponseCode, octets: Int, members: Span<UInt8> = Span()
  ) -> Bool {
    guard !auditIsBlocked else { return false }
    let header = AuditRecordHeader(
      code: code, transport: source.transport, type: query.type, responseCode: answer, payloadSize: UInt32(octets),
      client: source.client, clientPort: source.port, wallClock: clock.wall)
    let outcome = ring.push(
      header, server: server.span, name: screened.octets.span.extracting(screened.name),
      extra: members)
    mustWakeAudit = mustWakeAudit || outcome == .storedWakeConsumer
    return outcome != .full
  }
}

extension Span<UInt8> {
  func copied() -> [UInt8] { [UInt8](self) }
}
