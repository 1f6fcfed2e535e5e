import DNSWire

/// One question to the upstreams, until one answers or time is up.
///
///     start ─► send ──► received: good ──────────────────► finish
///               ▲  │        │ TC, or many wrong ones ────► send by TCP ─► received ─► finish
///               │  │        │ distrusted ──────────────► send by TCP
///               │  │        │ FORMERR, BADVERS to EDNS ──► send without EDNS
///               │  │        │ SERVFAIL, REFUSED ──┐
///               │  └─ failed ─────────────────────┤
///               └─────── next server ◄────────────┘ (none left: fail)
///
/// A sans-IO state machine: time, ids and the order of servers come in; each event returns the one thing to do.
/// A wrong answer is counted and ignored, and waiting goes on.
struct Exchange: ~Copyable {
  enum Action: Equatable {
    /// Keep waiting.
    case wait
    /// End the call that is open, and have a transport of this kind send the message to the server.
    case send(server: Int, by: TransportKind, message: [UInt8], deadline: UInt64)
    case finish(message: [UInt8], server: Int)
    case fail(UpstreamFailure)
  }

  /// What the edge knows of a server: how long to wait for it, and whether it takes EDNS. Milliseconds.
  struct Candidate {
    var server: Int
    var wait: UInt64
    var withEDNS: Bool
    /// Whether its datagrams are not to be believed for now.
    var byStream = false
  }

  private struct Attempt {
    var candidate: Int
    var kind: TransportKind
    var id: UInt16
  }

  let name: [UInt8]
  let type: RRType
  private let limits: UpstreamLimits
  private let end: UInt64
  private var candidates: [Candidate]
  private var sends: [Int]
  private var streamUsed: [Bool]
  private var attempt: Attempt?
  private var lastFailure = UpstreamFailure.timeout
  /// Datagrams that came to our socket and were not the answer.
  private(set) var wrongAnswers = 0
  /// Answers to what was asked, whatever they said: the server lives.
  private(set) var answers = 0
  /// Servers that refused our OPT and then answered the same without it. One that refuses both has another reason, which
  /// is the name's own.
  private(set) var refusedEDNS: [Int] = []
  /// By candidate: asked again without OPT.
  private var isPlain: [Bool]

  private static let millisecond: UInt64 = 1_000_000

  /// - Parameters:
  ///   - candidates: the servers in the order in which they are tried; not empty.
  ///   - now: nanoseconds of the monotonic clock, as everywhere here.
  init(name: [UInt8], type: RRType, candidates: [Candidate], limits: UpstreamLimits, now: UInt64) {
    self.name = name
    self.type = type
    self.limits = limits
    self.candidates = candidates
    sends = [Int](repeating: 0, count: candidates.count)
    streamUsed = [Bool](repeating: false, count: candidates.count)
    isPlain = streamUsed
    end = now + limits.total * Self.millisecond
  }

  /// The server that is being waited for.
  var currentServer: Int? { attempt.map { candidates[$0.candidate].server } }

  mutating func start(now: UInt64, id: UInt16) -> Action {
    send(to: 0, now: now, id: id)
  }

  /// A message came by a transport of this kind. `id` is for the next message, should one be sent.
  mutating func received(_ message: Span<UInt8>, by kind: TransportKind, now: UInt64, id: UInt16) -> Action {
    guard let attempt, attempt.kind == kind else { return .wait }
    let isAnswer = UpstreamQuery.isAnswer(message, id: attempt.id, name: name, type: type)
    if isAnswer, kind == .datagram || !Self.isTruncated(message) { return judge(message, attempt, now: now, id: id) }
    guard kind.isForgeable else {
      // On a connection there is no guessing: any message but the answer ends the attempt.
      lastFailure = .network
      return next(now: now, id: id)
    }
    wrongAnswers += 1
    // A server gets no datagram after its stream: where one is waited for, the stream is still to come.
    guard wrongAnswers >= limits.wrongAnswers else { return .wait }
    return connect(attempt.candidate, now: now, id: id)
  }

  /// Datagrams of the server that is being waited for are not believed any more.
  mutating func distrusted(now: UInt64, id: UInt16) -> Action {
    guard let attempt, attempt.kind == .datagram else { return .wait }
    candidates[attempt.candidate].byStream = true
    return connect(attempt.candidate, now: now, id: id)
  }

  /// The message that was sent last has no answer. An ICMP error of a datagram is no reason to come here.
  mutating func failed(_ failure: TransportFailure, now: UInt64, id: UInt16) -> Action {
    lastFailure = failure.upstreamFailure
    return next(now: now, id: id)
  }

  private mutating func judge(_ message: Span<UInt8>, _ attempt: Attempt, now: UInt64, id: UInt16) -> Action {
    answers += 1
    if Self.isTruncated(message) {
      // Whatever a truncated answer holds is ignored (RFC 2181 section 9). It came by a datagram, and after its stream a
      // server is sent no other one.
      return connect(attempt.candidate, now: now, id: id)
    }
    switch UpstreamQuery.responseCode(message) {
    case .NOERROR, .NXDOMAIN:
      let copy = [UInt8](capacity: message.count) { $0.append(contentsOf: message) }
      let server = candidates[attempt.candidate].server
      if isPlain[attempt.candidate] { refusedEDNS.append(server) }
      self.attempt = nil
      return .finish(message: copy, server: server)
    case .FORMERR, .NOTIMP, .BADVERS:
      return judgeRefusedEDNS(attempt, now: now, id: id)
    default:
      return judgeRefusal(attempt, now: now, id: id)
    }
  }

  /// One retry without EDNS, and no toggling back (RFC 6891 section 6.2.2).
  private mutating func judgeRefusedEDNS(_ attempt: Attempt, now: UInt64, id: UInt16) -> Action {
    guard candidates[attempt.candidate].withEDNS else { return judgeRefusal(attempt, now: now, id: id) }
    candidates[attempt.candidate].withEDNS = false
    isPlain[attempt.candidate] = true
    lastFailure = .refused
    guard attempt.kind == .datagram, sends[attempt.candidate] < limits.sendsPerServer else {
      return next(now: now, id: id)
    }
    return send(to: attempt.candidate, now: now, id: id)
  }

  /// The server has said what it will say: asking it again within this exchange would only be more traffic.
  private mutating func judgeRefusal(_ attempt: Attempt, now: UInt64, id: UInt16) -> Action {
    lastFailure = .refused
    sends[attempt.candidate] = limits.sendsPerServer
    return next(now: now, id: id)
  }

  /// Turns to the next server that may be asked once more; the first round visits all of them.
  private mutating func next(now: UInt64, id: UInt16) -> Action {
    guard let last = attempt?.candidate else {
      attempt = nil
      return .fail(lastFailure)
    }
    for step in 1...candidates.count {
      let candidate = (last + step) % candidates.count
      if sends[candidate] < limits.sendsPerServer, !streamUsed[candidate] {
        return send(to: candidate, now: now, id: id)
      }
    }
    attempt = nil
    return .fail(lastFailure)
  }

  private mutating func send(to candidate: Int, now: UInt64, id: UInt16) -> Action {
    guard now < end else {
      attempt = nil
      return .fail(lastFailure)
    }
    let target = candidates[candidate]
    if target.byStream { return connect(candidate, now: now, id: id) }
    // A second try of the same server waits twice as long: the first answer may only have been slow.
    let wait = min(target.wait << UInt64(sends[candidate]), limits.longestTry)
    sends[candidate] += 1
    attempt = Attempt(candidate: candidate, kind: .datagram, id: id)
    let message = UpstreamQuery.message(id: id, name: name, type: type, withEDNS: target.withEDNS)
    return .send(
      server: target.server, by: .datagram, message: message, deadline: min(now + wait * Self.millisecond, end))
  }

  private mutating func connect(_ candidate: Int, now: UInt64, id: UInt16) -> Action {
    streamUsed[candidate] = true
    let target = candidates[candidate]
    attempt = Attempt(candidate: candidate, kind: .stream, id: id)
    let message = UpstreamQuery.message(id: id, name: name, type: type, withEDNS: target.withEDNS)
    let deadline = min(now + limits.longestTry * Self.millisecond, end)
    return .send(server: target.server, by: .stream, message: message, deadline: deadline)
  }

  private static func isTruncated(_ message: Span<UInt8>) -> Bool {
    message[2] & 0x02 != 0
  }
}
