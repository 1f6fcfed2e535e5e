package import AuditLog
import DNSWire
import EgressPolicy
package import IPNetwork
import ResponseCache

/// The path of one query, from octets to a reply: screen, identify, decide, find.
///
///     message ─► screen ─► identify ─► decide ─► find ─► reply
///                  │           │          │        │
///               drop,       sinkhole   sinkhole   miss, or a grant that is not committed:
///               FORMERR…               NODATA     `pending`, finished on the resolver's thread
///
/// One value per thread: nothing here is shared but the audit ring's memory and the caches. No allocation on a hit,
/// a denial or a malformed message. Nothing is sent upstream from here at all (P1).
package struct QueryPath: ~Copyable {
  package enum Outcome: Sendable {
    case reply
    case drop
    case pending(PendingQuestion)
  }

  /// Messages that can be screened before the first of them is answered.
  package static let places = 64
  package static let prefetchSteps = 3
  /// In place of a reply's code, for the counters.
  static let noReply: UInt8 = 15

  private let ring: AuditRing
  private let resolveInterface: (String) -> UInt32
  private var screened = ScreenedQueries(places: Self.places)
  /// Set when the audit writer sleeps and must be woken before the replies are sent.
  package var mustWakeAudit = false
  /// Set for datagrams that may have come before the sockets told of interfaces: one of a server that is known by its
  /// interface is dropped then, so that the client asks again.
  package var interfaceMayBeUntold = false
  /// Set while the audit log cannot be written: nothing is answered that would have to be recorded (P6).
  package var auditIsBlocked = false
  let lane: Int

  /// - Parameters:
  ///   - ring: this thread's audit ring.
  ///   - lane: this thread's lane in every `QueryCounts`.
  ///   - resolveInterface: the index of an interface by name, 0 for none.
  package init(ring: AuditRing, lane: Int = 0, resolveInterface: @escaping (String) -> UInt32) {
    self.ring = ring
    self.lane = lane
    self.resolveInterface = resolveInterface
  }

  /// Answers a message, or says why not. A reply is appended to `reply`, which must be empty.
  package mutating func answer(
    _ message: Span<UInt8>, from source: QuerySource, at clock: QueryClock, with snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> Outcome {
    screen(0, message, from: source.client, with: snapshot)
    return answer(0, message, from: source, at: clock, with: snapshot, into: &reply)
  }

  /// Screens one of several messages that are answered afterwards, each by its `place` below `places`.
  package mutating func screen(
    _ place: Int, _ message: Span<UInt8>, from client: IPAddress, with snapshot: borrowing ResolverSnapshot
  ) {
    let clients = snapshot.uncountedClients
    screened.screen(place, message, hash: snapshot.nameHash) { clients.with { $0.server(of: client) } }
  }

  /// Has brought near what a screened message's answer will read: every step, from 0 to `prefetchSteps` - 1, follows
  /// what the former brought. With thousands of servers nearly nothing of it is in the caches of the processor, and
  /// waiting for one place after the other costs more than all the rest of an answer.
  package func prefetch(_ place: Int, step: Int, with snapshot: borrowing ResolverSnapshot) {
    let key = screened.key(place)
    guard let server = key.server, server < snapshot.servers.count else { return }
    snapshot.uncountedPolicy.with { $0.prefetch(server: server, hash: key.hash, step: step) }
    snapshot.prefetch(server, hash: key.hash, key.type, lane: lane, step: step)
  }

  /// Answers a message that was screened with this snapshot.
  package mutating func answer(
    _ place: Int, _ message: Span<UInt8>, from source: QuerySource, at clock: QueryClock,
    with snapshot: borrowing ResolverSnapshot, into reply: inout OutputSpan<UInt8>
  ) -> Outcome {
    screened.select(place)
    guard source.port >= ServicePorts.end || !source.isService else {
      return ignore(source, snapshot)
    }
    let query: Query
    switch screened.query {
    case .success(let screened): query = screened
    case .failure(let fault): return refuse(fault, message, screened.key.server, source, snapshot, into: &reply)
    }
    guard let server = screened.key.server else {
      return unknownClient(query, message, source, clock, snapshot, into: &reply)
    }
    return snapshot.withServer(server) { state in
      guard !state.hasInterface || state.admits(interface: source.interface, resolve: resolveInterface) else {
        if interfaceMayBeUntold, source.interface == 0 {
          state.cells.count(.failed, Self.noReply, lane: lane)
          return .drop
        }
        return unknownClient(query, message, source, clock, snapshot, into: &reply)
      }
      return decide(query, message, server, state, source, clock, snapshot, into: &reply)
    }
  }

  /// Counts a datagram that was longer than any query: it was not read.
  package func countOversized(from source: QuerySource, with snapshot: borrowing ResolverSnapshot) {
    let cells = cells(of: snapshot.server(of: source.client), source, snapshot) ?? snapshot.strangerCells
    cells.count(.malformed, Self.noReply, lane: lane)
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
  private func ignore(_ source: QuerySource, _ snapshot: borrowing ResolverSnapshot) -> Outcome {
    let cells = cells(of: screened.key.server, source, snapshot) ?? snapshot.strangerCells
    cells.count(.malformed, Self.noReply, lane: lane)
    return .drop
  }

  private mutating func decide(
    _ query: Query, _ message: Span<UInt8>, _ server: Int, _ state: ServerState, _ source: QuerySource,
    _ clock: QueryClock, _ snapshot: borrowing ResolverSnapshot, into reply: inout OutputSpan<UInt8>
  ) -> Outcome {
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
      return find(decision.rule, query, message, server, state, source, clock, snapshot, into: &reply)
    case .deny(let denial):
      return deny(denial, query, message, state, source, clock, snapshot, into: &reply)
    case .answerLocally(let local):
      return answerSpecially(local, query, message, state, source, clock, into: &reply)
    case .openLocally:
      return pend(.local, rule: decision.rule, query, message, server, source, clock, snapshot, into: &reply)
    case .reverse(let address):
      return pend(.pointer(address), rule: nil, query, message, server, source, clock, snapshot, into: &reply)
    case .keepLabel:
      return denyLabel(query, message, state, source, clock, snapshot, into: &reply)
    case .withoutIPv6:
      guard
        snapshot.rules.allowedEvents != .all
          || record(.answered, state.name, query, .NOERROR, message.count, source, clock)
      else {
        return failClosed(query, message, state, into: &reply)
      }
      state.cells.count(.special, 0, lane: lane)
      writeSinkhole(.nodata, query, message, snapshot, error: nil, into: &reply)
      return .reply
    }
  }

  private mutating func find(
    _ rule: Int?, _ query: Query, _ message: Span<UInt8>, _ server: Int, _ state: ServerState, _ source: QuerySource,
    _ clock: QueryClock, _ snapshot: borrowing ResolverSnapshot, into reply: inout OutputSpan<UInt8>
  ) -> Outcome {
    var failure: ExtendedErrorCode?
    let finding = state.cacheReader.find(
      screened.octets.span.extracting(screened.name), hash: screened.key.hash, query.type, now: clock.monotonic,
      epoch: clock.epoch
    ) { head, sections, ttlOffsets in
      failure = head.extendedError
      ReplyWriter.answer(
        query, message, head, sections, ttlOffsets, now: clock.monotonic, isDatagram: source.isDatagram,
        errorText: head.extendedError == nil ? nil : (state.name, "cached-failure"), into: &reply)
    }
    guard finding == .hit else {
      return pend(.resolve, rule: rule, query, message, server, source, clock, snapshot, into: &reply)
    }
    if failure != nil || snapshot.rules.allowedEvents == .all {
      let code = ResponseCode(rawValue: UInt16(reply[3] & 0xF))
      guard
        record(
          failure.map(AuditCode.init(ofCached:)) ?? .answered, state.name, query, code, message.count, source, clock)
      else {
        return failClosed(query, message, state, into: &reply)
      }
    }
    state.cells.count(.cached, reply[3], lane: lane)
    return .reply
  }

  private mutating func pend(
    _ kind: PendingQuestion.Kind, rule: Int?, _ query: Query, _ message: Span<UInt8>, _ server: Int,
    _ source: QuerySource, _ clock: QueryClock, _ snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> Outcome {
    let state = snapshot.servers[server]
    guard !auditIsBlocked, state.enter() else {
      _ = record(.overloaded, state.name, query, .SERVFAIL, message.count, source, clock)
      return failClosed(query, message, state, into: &reply)
    }
    return .pending(
      PendingQuestion(
        snapshot: copy snapshot, server: server, rule: rule, name: Array(screened.octets[screened.name]),
        type: query.type, kind: kind,
        source: source, query: query, arrived: clock.monotonic, message: message.copied()))
  }
}

extension AuditCode {
  /// What a remembered failure was recorded as when it happened.
  init(ofCached error: ExtendedErrorCode) {
    switch error {
    case .blocked: self = .answerNotPublic
    case .invalidData: self = .answerInvalid
    default: self = .upstreamUnreachable
    }
  }
}

extension ExtendedErrorCode {
  /// RFC 8914 section 4.25.
  static let invalidData = ExtendedErrorCode(rawValue: 24)
}

extension QueryPath {
  /// Puts a decision into the audit ring; false when it cannot be recorded.
  mutating func record(
    _ code: AuditCode, _ server: [UInt8], _ query: Query, _ answer: ResponseCode, _ octets: Int,
    _ source: QuerySource, _ clock: QueryClock
  ) -> Bool {
    guard !auditIsBlocked else { return false }
    let header = AuditRecordHeader(
      code: code, transport: source.transport, type: query.type, responseCode: answer, payloadSize: UInt32(octets),
      client: source.client, clientPort: source.port, wallClock: clock.wall)
    let outcome = ring.push(
      header, server: server.span, name: screened.octets.span.extracting(screened.name),
      extra: Span())
    mustWakeAudit = mustWakeAudit || outcome == .storedWakeConsumer
    return outcome != .full
  }

}

extension Span<UInt8> {
  func copied() -> [UInt8] {
    [UInt8](capacity: count) { out in
      for index in indices {
        out.append(self[index])
      }
    }
  }
}
