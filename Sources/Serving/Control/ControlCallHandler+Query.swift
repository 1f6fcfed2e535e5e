import AuditLog
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import GrantLedger
import IPNetwork
import LinuxIO
import Resolver
import ResponseCache

extension ControlCallHandler {
  /// Asks as a server would: through the same path, with the same events and the same openings.
  func query(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server", "client", "name", "type"])
    let snapshot = service.snapshot
    let client = try client(request, snapshot)
    let serverIndex = snapshot.server(of: client)
    guard let name = try name(request) else { throw ControlAPI.CallError(400, "parameter name is missing") }
    let type = try type(request)
    service.recordChange(
      .askedByOperator, request, server: serverIndex.map { snapshot.policy.servers[$0].name.text },
      AuditMembers(.as, client).with(.queryType, type.description))
    let asked = AskedQuestion(
      snapshot: snapshot, serverIndex: serverIndex, client: client, name: name, type: type, began: service.now)
    answer(asked, completion)
  }

  /// A question that needed upstream or the firewall has its reply.
  func answered(_ id: UInt64, _ reply: [UInt8]) {
    guard let (asked, completion) = inFlight.removeValue(forKey: id) else { return }
    respond(asked, reply, "resolved", completion)
  }

  /// The client that is asked for: an address, or for a server one of its own that no host has where it can be helped.
  private func client(
    _ request: ControlRequest, _ snapshot: ResolverSnapshot
  ) throws(ControlAPI.CallError) -> IPAddress {
    switch (request.query["client"], request.query["server"]) {
    case (let text?, nil):
      guard let address = IPAddress(text) else {
        throw ControlAPI.CallError(400, "client is '\(text)'; expected IPv4 or IPv6")
      }
      return address.unmapped
    case (nil, .some):
      let serverIndex = try serverIndexes(request)[0]
      let own = snapshot.policy.servers[serverIndex].networks.map(\.prefix.address)
      guard let address = own.first(where: { snapshot.server(of: $0) == serverIndex }) else {
        throw ControlAPI.CallError(409, "no query comes from the server's networks alone: name a client's address")
      }
      return address
    default: throw ControlAPI.CallError(400, "say as whom to ask: server or client")
    }
  }

  private func answer(_ asked: AskedQuestion, _ completion: @escaping Completion) {
    let interface = asked.serverIndex.flatMap { asked.snapshot.policy.servers[$0].interface }
    let source = QuerySource(
      client: asked.client, port: AskedQuestion.port, transport: .control,
      interface: interface.map(service.shared.resolveInterface) ?? 0)
    // Not kept: it would hold a snapshot of the past until the next question.
    var session = QuerySession(QueryThread(service.shared, ring: service.ring, index: service.shard))
    var outcome = QuerySession.Disposition.drop
    let message = asked.message
    let reply = [UInt8](capacity: ReplyWriter.maxStream) { out in
      outcome = session.answer(message.span, from: source, into: &out)
    }
    switch outcome {
    case .reply: respond(asked, reply, asked.isForwarded ? "cache" : "local", completion)
    case .drop: respond(asked, nil, "local", completion)
    case .pending(let question):
      lastID += 1
      inFlight[lastID] = (asked, completion)
      service.handle(.question(question, ControlReplyPath(id: lastID, mailbox: mailbox)))
    }
  }

  private func respond(_ asked: AskedQuestion, _ reply: [UInt8]?, _ from: String, _ completion: @escaping Completion) {
    var query = ControlAPI.Query(asked, reply, from, milliseconds: Double(service.now - asked.began) / 1e6)
    guard let serverIndex = asked.serverIndex else { return completion(ControlResponse(json: query)) }
    let (snapshot, clock, now) = (asked.snapshot, service.shared.clock(), service.now)
    let (name, type) = (asked.name, asked.type)
    var holdings: [Holding] = []
    let key = GrantLedger.Key(server: snapshot.servers[serverIndex].firewallIndex, name: asked.name, type: asked.type)
    service.engine.ledger.forEachHolding(of: key, now: now) { key, element, until, opened in
      holdings.append(Holding(key: key, element: element, remaining: until - now, age: now - min(opened, now)))
    }
    query.grants = holdings.compactMap { $0.grant(snapshot, wall: clock.wall) }
      .sorted { ($0.address, $0.port ?? 0) < ($1.address, $1.port ?? 0) }
    let asked = query
    // On another thread: a cache is looked through to the end.
    Background.run {
      var answer = asked
      answer.cache = snapshot.servers[serverIndex].cache.list(name: name.wire)
        .first { $0.type == type && $0.response.expires > clock.monotonic }
        .map { ControlAPI.CacheEntry($0, server: snapshot.policy.servers[serverIndex].name.text, clock) }
      completion(ControlResponse(json: answer))
    }
  }
}

/// What an operator asked.
struct AskedQuestion: Sendable {
  /// Of no real query: the discard service's.
  static let port: UInt16 = 9

  var snapshot: ResolverSnapshot
  /// The server that the client belongs to.
  var serverIndex: Int?
  var client: IPAddress
  var name: Name
  var type: RRType
  /// Nanoseconds of the monotonic clock.
  var began: UInt64

  /// Nil for a client of no server.
  var decision: Decision? {
    serverIndex.map { snapshot.decision(server: $0, name: name.wire.span, type: type) }
  }

  /// Whether upstream is asked for it: a reply that is there at once is from the cache then.
  var isForwarded: Bool { decision?.enforcement == .resolve }

  /// The query: RD, and an OPT, so that the reply says why (RFC 6891, RFC 8914).
  var message: [UInt8] {
    var octets: [UInt8] = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    octets += name.wire
    octets += [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 255), 0, 1]
    return octets + [0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]
  }
}

/// The way of an answer back to the caller of the control API.
private struct ControlReplyPath: ReplyPath {
  let id: UInt64
  let mailbox: Mailbox<ResolverMessage>

  func send(_ message: [UInt8]) { mailbox.post(.answered(id, message)) }
}

extension ControlAPI.Query {
  fileprivate init(_ asked: AskedQuestion, _ reply: [UInt8]?, _ from: String, milliseconds: Double) {
    let policy = asked.snapshot.policy
    var rule: EgressRule?
    var verdict = "unknown-client"
    switch (asked.serverIndex, asked.decision?.verdict) {
    case (let serverIndex?, .allowed(let index)):
      (verdict, rule) = ("allowed", policy.rule(server: serverIndex, index: index))
    case (let serverIndex?, .typeNotAllowed(let index)):
      (verdict, rule) = ("type-not-allowed", policy.rule(server: serverIndex, index: index))
    case (let serverIndex?, .denied(let index)):
      (verdict, rule) = ("denied", policy.rule(server: serverIndex, index: index))
    case (.some, _): verdict = "not-listed"
    case (nil, _): break
    }
    let header = reply.flatMap { Header($0.span) }
    self.init(
      server: asked.serverIndex.map { policy.servers[$0].name.text }, client: asked.client.description,
      name: asked.name.description, type: asked.type.description, verdict: verdict, from: from,
      rcode: header.map { ResponseCode(rawValue: UInt16($0.flags & 0xF)).description },
      message: reply.map { Data($0).base64EncodedString() }, milliseconds: milliseconds)
    self.rule = rule?.location.description
    (pattern, layer) = (rule?.pattern.description, rule?.layer)
    if let serverIndex = asked.serverIndex, let rule {
      list = policy.servers[serverIndex].list(of: rule.location)?.text
    }
    extendedError = reply.flatMap { ReplyText.extendedError(of: $0) }
  }
}
