import AuditLog
import ControlAPI
import DNSWire
import Resolver
import ResponseCache

/// What is recorded of a finished question, and what is answered to all who waited for it.
extension ResolutionService {
  /// Nanoseconds that a reply waits for others: as long as a batch of a worker's.
  private static let longestHold: UInt64 = 250_000

  /// Records what must be recorded, then answers every query that waited.
  func answerWaiting(_ finished: ResolutionEngine.Finished) {
    let clock = shared.clock()
    if let found = finished.interception { upstreamIntercepted(found) }
    var mustRecord = true
    if let remark = finished.remark, let question = finished.waiting.first?.question {
      _ = record(remark.code, remark.members, finished.response, question, clock)
    }
    for waiting in finished.waiting {
      let question = waiting.question
      var isRecorded = true
      let isRefresh = question.isRefresh
      if let event = finished.event, mustRecord, event.once || !isRefresh {
        isRecorded = record(event.code, event.members, finished.response, question, clock)
        mustRecord = !(event.once && isRecorded)
        // What was not recorded is not handed out from the cache either.
        if !isRecorded {
          let name = question.name
          question.state.cache.remove(name.span, question.type)
          engine.wasNotRecorded(question)
        }
      } else if let further = finished.event?.further, !isRefresh {
        isRecorded = record(further, AuditMembers(), finished.response, question, clock)
      }
      guard !isRefresh else {
        question.state.leave()
        continue
      }
      send(finished.response, finished.event, isRecorded, waiting, clock)
      let code = isRecorded ? finished.response.responseCode : .SERVFAIL
      resolutionTimes.observe(nanoseconds: clock.monotonic &- min(question.arrived, clock.monotonic))
      question.state.counts.cells.count(
        Self.verdict(finished.event, isRecorded), UInt8(truncatingIfNeeded: code.rawValue), shard: shard)
      question.state.leave()
    }
  }

  private static func verdict(
    _ event: ResolutionEngine.Event?, _ isRecorded: Bool
  ) -> QueryOutcome {
    guard isRecorded else { return .failed }
    return switch event?.code.decision {
    case .block: .denied
    case .error: .failed
    case .allow, .observe, nil: .resolved
    }
  }

  func push(_ header: AuditRecordHeader, server: [UInt8], destination: [UInt8], _ members: AuditMembers) -> Bool {
    let isStored = push(header, server, destination, members)
    if !isStored { lost.countUnrecorded(isConnection: header.code.isConnection) }
    return isStored
  }

  private func push(_ header: AuditRecordHeader, _ server: [UInt8], _ name: [UInt8], _ members: AuditMembers) -> Bool {
    switch ring.push(header, server: server.span, name: name.span, extra: members.octets.span) {
    case .stored: return true
    case .storedWakeConsumer:
      shared.audit.wake()
      return true
    case .full: return false
    }
  }

  private func record(
    _ code: AuditCode, _ members: AuditMembers, _ response: CachedResponse, _ question: PendingQuery,
    _ clock: QueryClock
  ) -> Bool {
    guard !shared.audit.isBlocked else { return false }
    let header = AuditRecordHeader(
      code: code, transport: question.source.transport, type: question.type,
      responseCode: response.responseCode, payloadSize: UInt32(truncatingIfNeeded: question.message.count),
      client: question.source.client, clientPort: question.source.port, wallClock: clock.wall)
    return push(header, question.state.name, question.name, members)
  }

  private func send(
    _ response: CachedResponse, _ event: ResolutionEngine.Event?, _ isRecorded: Bool,
    _ waiting: ResolutionEngine.WaitingClient, _ clock: QueryClock
  ) {
    let question = waiting.question
    var answer = response
    var token = event?.code.token
    if !isRecorded {
      answer = CachedResponse(responseCode: .SERVFAIL, expires: clock.monotonic, extendedError: .otherError)
      token = ReplyWriter.unrecorded(isBlocked: shared.audit.isBlocked)
    }
    let text = token.map { (server: question.state.name, token: $0) }
    let isDatagram = question.source.isDatagram
    // A kilobyte that is not needed costs more than the rest of the reply.
    let room = min(
      ReplyWriter.streamRoom(question.message.count, answer), isDatagram ? ReplyWriter.maxDatagram : .max)
    let message = question.message
    let octets = [UInt8](upTo: room) { out in
      ReplyWriter(question.query, now: clock.monotonic, isDatagram: isDatagram).answer(
        message.span, answer, errorText: answer.extendedError == nil ? nil : text, into: &out)
    }
    guard let replies = waiting.path.hold(octets), !held.contains(where: { $0 === replies }) else { return }
    if held.isEmpty { heldSince = clock.monotonic }
    held.append(replies)
  }

  /// Sends what waited for as long as a reply may.
  func sendOverdue(_ now: UInt64) {
    if !held.isEmpty, now - min(heldSince, now) >= Self.longestHold { sendHeld() }
  }

  /// Sends the replies of this turn.
  func sendHeld() {
    guard !held.isEmpty else { return }
    for replies in held { replies.send() }
    held.removeAll(keepingCapacity: true)
  }
}
