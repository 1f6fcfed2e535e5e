import AuditLog
import DNSWire
import IPNetwork
import ResponseCache
import Zones

extension QueryPath {
  /// Answers what could not be parsed; nothing of it is recorded but counts (RFC 8906, RFC 9619). An unknown client gets
  /// nothing where it gets nothing for queries.
  func refuse(
    _ fault: QueryFault, _ message: Span<UInt8>, _ snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    let own = cells(of: screened.key.server, source, snapshot)
    let cells = own ?? snapshot.unknownClientCells
    var isDropped = false
    if own == nil, case .drop = snapshot.rules.unknownClients { isDropped = true }
    guard !isDropped, let error = ErrorReply(fault) else {
      cells.count(.malformed, Self.noReply, shard: shard)
      return .drop
    }
    error.write(message, into: &reply)
    cells.count(.malformed, reply[3], shard: shard)
    return .reply
  }

  /// Turns a query away: the record first, then the reply.
  mutating func deny(
    _ denial: PolicyDenial, _ message: Span<UInt8>, _ state: ServerState, _ snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    let answer = snapshot.rules.answer(to: denial)
    guard record(denial, state.name, answer.code, snapshot, octets: message.count) else {
      return failClosed(message, state, into: &reply)
    }
    state.cells.count(.denied, UInt8(truncatingIfNeeded: answer.code.rawValue), shard: shard)
    let error =
      query.edns == nil
      ? nil : ReplyWriter.ExtendedError(code: denial.error, server: state.name, token: denial.code.token)
    let limit = ReplyWriter.limit(query, isDatagram: source.isDatagram)
    writeSinkhole(answer, message, snapshot, limit: limit, into: &reply)
    ReplyWriter.appendOPT(query, error, limit: limit, into: &reply)
    return .reply
  }

  /// Records a denial; where an entry of `deny` denies, with its place and its layer.
  private mutating func record(
    _ denial: PolicyDenial, _ server: [UInt8], _ answer: ResponseCode, _ snapshot: borrowing ResolverSnapshot,
    octets: Int
  ) -> Bool {
    guard let rule = denial.rule, let index = screened.key.server else {
      return record(denial.code, server, answer, octets: octets)
    }
    let members = snapshot.denialMembers
    let all = members.octets
    return record(
      denial.code, server, answer, octets: octets,
      members: all.span.extracting(members.range(server: index, rule: rule)))
  }

  /// A source in no server's network, or on an interface that is not the server's.
  mutating func unknownClient(
    _ message: Span<UInt8>, _ snapshot: borrowing ResolverSnapshot, into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    let answer: SinkholeAnswer =
      switch snapshot.rules.unknownClients {
      case .nxdomain: .nxdomain
      case .refused, .drop: .empty(.REFUSED)
      }
    let isRecorded = record(.unknownClient, Self.unknown, answer.code, octets: message.count)
    if case .drop = snapshot.rules.unknownClients {
      snapshot.unknownClientCells.count(.denied, Self.noReply, shard: shard)
      return .drop
    }
    guard isRecorded else {
      snapshot.unknownClientCells.count(.failed, 2, shard: shard)
      return failClosed(message, nil, into: &reply)
    }
    snapshot.unknownClientCells.count(.denied, UInt8(truncatingIfNeeded: answer.code.rawValue), shard: shard)
    let error = ReplyWriter.ExtendedError(
      code: .prohibited, server: Self.unknown, token: AuditCode.unknownClient.token)
    // The address may be forged, and its owner gets what we say: at most three times what was asked (threats T9).
    let limit =
      source.isDatagram ? min(ReplyWriter.plainDatagram, Self.amplification * message.count) : ReplyWriter.plainDatagram
    writeSinkhole(answer, message, snapshot, limit: limit, into: &reply)
    ReplyWriter.appendOPT(query, error, limit: limit, into: &reply)
    return .reply
  }

  /// SERVFAIL because the decision cannot be recorded or carried out (P6, P7).
  ///
  /// - Parameter token: why; nil where it cannot be recorded.
  func failClosed(
    _ message: Span<UInt8>, _ state: ServerState?, token: StaticString? = nil, into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    state?.cells.count(.failed, 2, shard: shard)
    reply.removeAll()
    let error = ReplyWriter.ExtendedError(
      code: .otherError, server: state?.name ?? Self.unknown,
      token: token ?? ReplyWriter.unrecorded(isBlocked: auditIsBlocked))
    ReplyWriter.begin(query, message, .SERVFAIL, into: &reply)
    ReplyWriter.appendOPT(query, error, into: &reply)
    return .reply
  }

  /// Writes the answer of a local zone, special-use names among them (RFC 6761, 6303, 7686, 8375, 9476): the record first, then the
  /// reply. That a name does not exist is our word, not the world's, and said to be (RFC 8914).
  mutating func answerSpecially(
    _ local: LocalAnswer, _ message: Span<UInt8>, _ state: ServerState, into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    guard record(.special, state.name, local.responseCode, octets: message.count) else {
      return failClosed(message, state, into: &reply)
    }
    let error = local.responseCode == .NXDOMAIN ? specialError(state) : nil
    let writer = ReplyWriter(query, now: clock.monotonic, isDatagram: source.isDatagram)
    LocalReply.write(local, writer, message, error: error, into: &reply)
    state.cells.count(.special, reply[3], shard: shard)
    return .reply
  }

  /// Answers a single label or the root. The root exists: resolvers that prime ask for its NS.
  mutating func keepLabel(
    _ message: Span<UInt8>, _ state: ServerState, _ snapshot: borrowing ResolverSnapshot,
    into reply: inout OutputSpan<UInt8>
  ) -> Disposition {
    let answer = query.labelCount == 0 ? SinkholeAnswer.nodata : .nxdomain
    guard record(.special, state.name, answer.code, octets: message.count) else {
      return failClosed(message, state, into: &reply)
    }
    state.cells.count(.special, UInt8(truncatingIfNeeded: answer.code.rawValue), shard: shard)
    writeSinkhole(answer, message, snapshot, into: &reply)
    ReplyWriter.appendOPT(query, query.labelCount == 0 ? nil : specialError(state), into: &reply)
    return .reply
  }

  private func specialError(_ state: ServerState) -> ReplyWriter.ExtendedError? {
    query.edns == nil
      ? nil : ReplyWriter.ExtendedError(code: .blocked, server: state.name, token: AuditCode.special.token)
  }

  /// Writes a sinkhole's reply up to its OPT, with the SOA of denials in the authority section (RFC 2308 section 3). What
  /// does not fit beside the OPT is left out.
  ///
  /// - Parameter limit: octets that the whole reply may have.
  func writeSinkhole(
    _ answer: SinkholeAnswer, _ message: Span<UInt8>, _ snapshot: borrowing ResolverSnapshot,
    limit: Int = ReplyWriter.plainDatagram, into reply: inout OutputSpan<UInt8>
  ) {
    ReplyWriter.begin(query, message, answer.code, into: &reply)
    let room = min(limit, reply.count + reply.freeCapacity) - (query.edns == nil ? 0 : ReplyWriter.optWithError)
    switch answer {
    case .nxdomain, .nodata:
      guard reply.count + snapshot.denialRecord.count <= room else { break }
      snapshot.denialRecord.append(to: &reply)
      reply.patch16(1, at: 8)
    case .addresses(let addresses):
      var count: UInt16 = 0
      for address in addresses where address.type == query.type {
        guard reply.count + 12 + address.octetCount <= room else { break }
        reply.append(bigEndian: 0xC00C as UInt16)
        reply.append(bigEndian: query.type.rawValue)
        reply.append(bigEndian: UInt16(1))
        reply.append(bigEndian: snapshot.rules.sinkholeTTL)
        reply.append(bigEndian: UInt16(address.octetCount))
        address.append(to: &reply)
        count += 1
      }
      reply.patch16(count, at: 6)
    case .empty:
      break
    }
  }

  /// How many times the octets of its datagram an unknown client gets at most.
  private static let amplification = 3
  /// The server of an event whose client is unknown.
  static let unknown = Array("unknown".utf8)
}
