import DNSWire

/// One question to the upstreams, until one answers or time is up.
///
///     start ─► send ──► received: good ──────────────────► finish
///               ▲  │        │ TC, or many wrong ones ────► send by TCP ─► received ─► finish
///               │  │        │ other case, no cookie ─────► send by TCP ─► failed ─► send without them
///               │  │        │ distrusted ──────────────► send by TCP
///               │  │        │ FORMERR, BADVERS to EDNS ──► send, or send by TCP, without EDNS
///               │  │        │ SERVFAIL, REFUSED ──┐
///               │  ├─ failed ────────────────────┤
///               │  └─ lapsed, and listened to on ┤
///               └─────── next server ◄────────────┘ (none left: wait for what is listened to, then fail)
///
/// A sans-IO state machine: time, ids and the order of servers come in; each event returns the one thing to do.
/// A message that was sent is an *attempt*. When it lapses another one follows, and the first may still be answered: an
/// upstream that is slow is heard until the time of the whole is up. A wrong answer is counted and ignored, and waiting
/// goes on. A server that is asked by TLS is asked by nothing else, whatever comes of it.
struct Exchange: ~Copyable {
  /// A message to be sent, and how long to wait for its answer. Times are nanoseconds of the monotonic clock.
  struct Sending: Equatable {
    /// By which the exchange is told what comes of it.
    var attempt: Int
    var server: Int
    var kind: TransportKind
    var message: [UInt8]
    /// When `lapsed` is to be told.
    var lapse: UInt64
    /// Whether that is before the server has been waited for.
    var isHedged: Bool
    /// When nothing is waited for any more.
    var deadline: UInt64
  }

  enum Action: Equatable {
    /// Keep waiting.
    case wait
    case send(Sending)
    case finish(message: [UInt8], server: Int, attempt: Int)
    case fail(UpstreamFailure)
  }

  /// What the edge knows of a server: how long to wait for it, and whether it takes EDNS. Milliseconds.
  struct Candidate {
    var server: Int
    var wait: UInt64
    var withEDNS: Bool
    /// Whether its datagrams are not to be believed for now.
    var byStream = false
    /// Whether it is asked by TLS alone.
    var isSecure = false
    /// After how many milliseconds another one is asked as well, the first time; nil where it is waited for.
    var hedge: UInt64?
    /// Whether it answers in the case in which it is asked.
    var keepsCase = true
    /// What is sent as its cookie: the client's part, and the server's where it gave one; nothing where it takes none.
    var cookie: [UInt8] = []

    /// Whether an answer without a cookie is none of its own.
    var givesCookies: Bool { cookie.count > UpstreamQuery.clientCookieCount }
  }

  private struct Attempt {
    var number: Int
    var candidate: Int
    var kind: TransportKind
    var id: UInt16
    /// In the case in which it was asked.
    var name: [UInt8]
    var isSpelled: Bool
    var cookie: [UInt8]
  }

  /// What a message is to an attempt.
  private enum Trust {
    case wrong
    /// All of it is right but the case, or a cookie is missing: what is asked again by another way will show.
    case unsure
    case answer
  }

  /// What a server said instead of an answer.
  struct Refusal: Equatable {
    var server: Int
    var code: ResponseCode
  }

  let name: [UInt8]
  let type: RRType
  /// Whether the answer is to come with its signatures.
  private let isSigned: Bool
  private let limits: UpstreamLimits
  private let end: UInt64
  private var candidates: [Candidate]
  private var sends: [Int]
  private var streamUsed: [Bool]
  /// By candidate: a datagram came that was not its answer.
  private var isDoubtful: [Bool]
  /// Those that may still be answered.
  private var attempts: [Attempt] = []
  private var attemptCount = 0
  /// The attempt before whose lapse no other one is made.
  private var current: Int?
  private var lastCandidate = 0
  private var lastFailure = UpstreamFailure.timeout
  /// Datagrams that came to our sockets and were not the answer.
  private(set) var wrongAnswers = 0
  /// Answers to what was asked, whatever they said: the server lives.
  private(set) var answers = 0
  /// In the order in which they came.
  private(set) var refusals: [Refusal] = []
  /// Servers that refused our OPT and then answered the same without it. One that refuses both has another reason, which
  /// is the name's own.
  private(set) var refusedEDNS: [Int] = []
  /// By candidate: asked again without OPT.
  private var isPlain: [Bool]
  /// By candidate: a datagram came in another case, or without a cookie.
  private var isUnsure: [Bool]
  /// Chance, a bit for each letter of the name; 0 for its canonical form.
  private let letters: UInt64
  /// Servers that answered in another case than they were asked, where none could have forged it or nothing else was heard.
  private(set) var foldingCase: [Int] = []
  /// Servers that gave no cookie any more.
  private(set) var withoutCookies: [Int] = []
  /// Cookies that servers gave, whole.
  private(set) var cookies: [(server: Int, cookie: [UInt8])] = []

  private static let millisecond: UInt64 = 1_000_000

  /// - Parameters:
  ///   - question: the canonical name and the type.
  ///   - candidates: the servers in the order in which they are tried; not empty.
  ///   - isSigned: the answer is to come with its signatures.
  ///   - letters: chance, by which the name's letters are written; 0 leaves them as they are.
  ///   - now: nanoseconds of the monotonic clock, as everywhere here.
  init(
    _ question: (name: [UInt8], type: RRType), candidates: [Candidate], isSigned: Bool = false, letters: UInt64 = 0,
    limits: UpstreamLimits, now: UInt64
  ) {
    (name, type) = question
    self.isSigned = isSigned
    self.letters = letters
    self.limits = limits
    self.candidates = candidates
    sends = [Int](repeating: 0, count: candidates.count)
    streamUsed = [Bool](repeating: false, count: candidates.count)
    isPlain = streamUsed
    isUnsure = streamUsed
    isDoubtful = streamUsed
    end = now + limits.total * Self.millisecond
  }

  /// Whether an answer to this attempt would still be taken.
  func listens(to attempt: Int) -> Bool { attempts.contains { $0.number == attempt } }

  /// Whether an answer of this server would still be taken.
  func waits(for server: Int) -> Bool { attempts.contains { candidates[$0.candidate].server == server } }

  mutating func start(now: UInt64, id: UInt16) -> Action {
    send(to: 0, now: now, id: id)
  }

  /// A message came for an attempt. `id` is for the next message, should one be sent.
  mutating func received(_ message: Span<UInt8>, for number: Int, now: UInt64, id: UInt16) -> Action {
    guard let attempt = attempts.first(where: { $0.number == number }) else { return .wait }
    let trust = trust(message, attempt)
    if trust == .answer, attempt.kind == .datagram || !Self.isTruncated(message) {
      return judge(message, attempt, now: now, id: id)
    }
    if trust == .unsure {
      isUnsure[attempt.candidate] = true
      return turnToStream(attempt.candidate, now: now, id: id)
    }
    guard attempt.kind.isForgeable else {
      // On a connection there is no guessing: any message but the answer ends the attempt.
      return failed(.broken, attempt: number, now: now, id: id)
    }
    wrongAnswers += 1
    isDoubtful[attempt.candidate] = true
    guard wrongAnswers >= limits.wrongAnswers, !streamUsed[attempt.candidate] else { return .wait }
    return turnToStream(attempt.candidate, now: now, id: id)
  }

  private mutating func trust(_ message: Span<UInt8>, _ attempt: Attempt) -> Trust {
    let match = UpstreamQuery.match(message, id: attempt.id, name: attempt.name, type: type)
    guard match != .none else { return .wrong }
    let server = candidates[attempt.candidate].server
    let isFolded = attempt.isSpelled && match == .otherCase
    var lacksCookie = false
    if !attempt.cookie.isEmpty {
      let cookie = UpstreamQuery.cookie(message)
      // Another client's (RFC 7873 section 5.3).
      if let cookie, !attempt.cookie.starts(with: cookie.prefix(UpstreamQuery.clientCookieCount)) { return .wrong }
      if let cookie, cookie.count > UpstreamQuery.clientCookieCount { cookies.append((server, cookie)) }
      lacksCookie =
        (cookie?.count ?? 0) <= UpstreamQuery.clientCookieCount && candidates[attempt.candidate].givesCookies
    }
    guard attempt.kind.isForgeable else {
      if isFolded { foldingCase.append(server) }
      if lacksCookie { withoutCookies.append(server) }
      // The server does keep both: what made us ask again was not its own.
      if isUnsure[attempt.candidate], !isFolded, !lacksCookie { wrongAnswers += 1 }
      return .answer
    }
    if isFolded || lacksCookie { return .unsure }
    if isUnsure[attempt.candidate] {
      // Without TCP there is nothing better to go by than what the server says to a bare question.
      if !attempt.isSpelled { foldingCase.append(server) }
      if attempt.cookie.isEmpty { withoutCookies.append(server) }
    }
    return .answer
  }

  /// Datagrams of a server are not believed any more.
  mutating func distrusted(_ server: Int, now: UInt64, id: UInt16) -> Action {
    guard let index = candidates.firstIndex(where: { $0.server == server }) else { return .wait }
    candidates[index].byStream = true
    guard attempts.contains(where: { $0.candidate == index && $0.kind.isForgeable }) else { return .wait }
    return turnToStream(index, now: now, id: id)
  }

  /// An attempt was waited for as long as was meant; it is listened to on, and another one is made.
  mutating func lapsed(_ attempt: Int, now: UInt64, id: UInt16) -> Action {
    guard attempt == current else { return .wait }
    current = nil
    return askNext(now: now, id: id)
  }

  /// An attempt has no answer. An ICMP error of a datagram is no reason to come here.
  mutating func failed(_ failure: TransportFailure, attempt: Int, now: UInt64, id: UInt16) -> Action {
    guard let candidate = attempts.first(where: { $0.number == attempt })?.candidate else { return .wait }
    lastFailure = failure.upstreamFailure(of: candidates[candidate].server)
    // It would be the same again.
    if case .untrusted = failure { sends[candidate] = limits.sendsPerServer }
    forget { $0.number == attempt }
    return proceed(now: now, id: id)
  }

  /// An attempt that lapsed cannot be listened to on.
  mutating func abandon(_ attempt: Int) {
    guard attempt != current else { return }
    forget { $0.number == attempt }
  }

  private mutating func judge(_ message: Span<UInt8>, _ attempt: Attempt, now: UInt64, id: UInt16) -> Action {
    answers += 1
    // Whatever a truncated answer holds is ignored (RFC 2181 section 9).
    if Self.isTruncated(message) { return turnToStream(attempt.candidate, now: now, id: id) }
    let code = UpstreamQuery.responseCode(message)
    switch code {
    case .NOERROR, .NXDOMAIN:
      let copy = [UInt8](capacity: message.count) { $0.append(contentsOf: message) }
      let server = candidates[attempt.candidate].server
      if isPlain[attempt.candidate] { refusedEDNS.append(server) }
      forget { _ in true }
      return .finish(message: copy, server: server, attempt: attempt.number)
    case .FORMERR, .NOTIMP, .BADVERS:
      return judgeRefusedEDNS(code, attempt, now: now, id: id)
    case .BADCOOKIE:
      return judgeRefusedCookie(attempt, now: now, id: id)
    default:
      return judgeRefusal(code, attempt.candidate, now: now, id: id)
    }
  }

  /// One retry without EDNS, and no toggling back (RFC 6891 section 6.2.2): by TCP where OPT was refused there, where a
  /// connection with it is under way, and where all datagrams were sent with it.
  private mutating func judgeRefusedEDNS(
    _ code: ResponseCode, _ attempt: Attempt, now: UInt64, id: UInt16
  ) -> Action {
    let candidate = attempt.candidate
    guard candidates[candidate].withEDNS else { return judgeRefusal(code, candidate, now: now, id: id) }
    candidates[candidate].withEDNS = false
    isPlain[candidate] = true
    refusals.append(Refusal(server: candidates[candidate].server, code: code))
    // What was sent with it would be refused as well.
    forget { $0.candidate == candidate }
    switch attempt.kind {
    case .datagram where sends[candidate] < limits.sendsPerServer && !streamUsed[candidate],
      .secure where sends[candidate] < limits.sendsPerServer:
      return send(to: candidate, now: now, id: id)
    case .datagram, .stream: return connect(candidate, now: now, id: id)
    // What is asked by TLS is asked by nothing else.
    case .secure: return proceed(now: now, id: id)
    }
  }

  /// The server wants the cookie that it just gave (RFC 7873 section 5.3): once more by a datagram, then by TCP.
  private mutating func judgeRefusedCookie(_ attempt: Attempt, now: UInt64, id: UInt16) -> Action {
    let candidate = attempt.candidate
    let given = cookies.last { $0.server == candidates[candidate].server }?.cookie
    forget { $0.candidate == candidate }
    if let given, given != attempt.cookie, attempt.kind == .datagram, sends[candidate] < limits.sendsPerServer {
      candidates[candidate].cookie = given
      return send(to: candidate, now: now, id: id)
    }
    guard streamUsed[candidate] || attempt.kind == .secure else { return connect(candidate, now: now, id: id) }
    return judgeRefusal(.BADCOOKIE, candidate, now: now, id: id)
  }

  /// The server has said what it will say: asking it again within this exchange would only be more traffic.
  private mutating func judgeRefusal(
    _ code: ResponseCode, _ candidate: Int, now: UInt64, id: UInt16
  ) -> Action {
    refusals.append(Refusal(server: candidates[candidate].server, code: code))
    sends[candidate] = limits.sendsPerServer
    forget { $0.candidate == candidate }
    return proceed(now: now, id: id)
  }

  private mutating func forget(where condition: (Attempt) -> Bool) {
    attempts.removeAll(where: condition)
    if let number = current, !listens(to: number) { current = nil }
  }

  private mutating func proceed(now: UInt64, id: UInt16) -> Action {
    current == nil ? askNext(now: now, id: id) : .wait
  }

  /// Turns to the next server that may be asked once more; the first round visits all of them.
  private mutating func askNext(now: UInt64, id: UInt16) -> Action {
    guard now < end else { return fail() }
    for step in 1...candidates.count {
      let candidate = (lastCandidate + step) % candidates.count
      if mayBeAsked(candidate), !isOnItsWay(to: candidate), candidates[candidate].isSecure || !hasSecure {
        return send(to: candidate, now: now, id: id)
      }
    }
    return attempts.isEmpty ? fail() : .wait
  }

  /// Whether what was sent to a server arrives by itself, so that once more brings nothing.
  private func isOnItsWay(to candidate: Int) -> Bool {
    candidates[candidate].isSecure && attempts.contains { $0.candidate == candidate }
  }

  /// What is on its way by TLS is not asked in the clear beside it: a name that takes long is none that TLS cannot be used for.
  private var hasSecure: Bool { attempts.contains { $0.kind == .secure } }

  /// After TCP failed a server is asked by a datagram again if that is how it answers, and not if its datagrams are doubtful.
  private func mayBeAsked(_ candidate: Int) -> Bool {
    guard sends[candidate] < limits.sendsPerServer else { return false }
    return !streamUsed[candidate]
      || isUnsure[candidate] && !isDoubtful[candidate] && !candidates[candidate].byStream
  }

  /// What a server said is told before that another one said nothing.
  private mutating func fail() -> Action {
    forget { _ in true }
    return .fail(refusals.last.map { .refused($0.code, server: $0.server) } ?? lastFailure)
  }

  private mutating func send(to candidate: Int, now: UInt64, id: UInt16) -> Action {
    guard now < end else { return fail() }
    let target = candidates[candidate]
    if target.isSecure {
      sends[candidate] += 1
      return begin(candidate, .secure, wait: target.wait, now: now, id: id)
    }
    // A server that answered with a wrong id does so again: one datagram more brings nothing.
    if target.byStream || isDoubtful[candidate] { return connect(candidate, now: now, id: id) }
    // A second try of the same server waits twice as long: the first answer may only have been slow.
    let wait = min(target.wait << UInt64(sends[candidate]), limits.longestTry)
    sends[candidate] += 1
    return begin(candidate, .datagram, wait: wait, now: now, id: id)
  }

  /// Nothing that still comes by a datagram of the server is taken.
  private mutating func turnToStream(_ candidate: Int, now: UInt64, id: UInt16) -> Action {
    forget { $0.candidate == candidate && $0.kind.isForgeable }
    guard !streamUsed[candidate] else { return proceed(now: now, id: id) }
    return connect(candidate, now: now, id: id)
  }

  private mutating func connect(_ candidate: Int, now: UInt64, id: UInt16) -> Action {
    guard now < end else { return fail() }
    // What is asked by TLS is asked by nothing else, whatever it says: here is the only way to a connection in the clear.
    guard !candidates[candidate].isSecure else { return proceed(now: now, id: id) }
    streamUsed[candidate] = true
    return begin(candidate, .stream, wait: limits.longestTry, now: now, id: id)
  }

  /// - Parameter wait: milliseconds.
  private mutating func begin(
    _ candidate: Int, _ kind: TransportKind, wait: UInt64, now: UInt64, id: UInt16
  ) -> Action {
    let target = candidates[candidate]
    let number = attemptCount
    let hedge = number == 0 ? target.hedge : nil
    attemptCount += 1
    // By a datagram a server is not asked again for what it did not keep; by TCP it is, which tells whether it does.
    // What is sure of its server already needs neither.
    let isBare = kind == .secure || kind.isForgeable && isUnsure[candidate]
    let bits = isBare || !target.keepsCase ? 0 : letters
    let attempt = Attempt(
      number: number, candidate: candidate, kind: kind, id: id, name: UpstreamQuery.spelled(name, by: bits),
      isSpelled: bits != 0, cookie: isBare || !target.withEDNS ? [] : target.cookie)
    attempts.append(attempt)
    current = number
    lastCandidate = candidate
    return .send(
      Sending(
        attempt: number, server: target.server, kind: kind,
        message: UpstreamQuery.message(
          id: id, name: attempt.name, type: type, withEDNS: target.withEDNS, cookie: attempt.cookie,
          isSigned: isSigned, isPadded: kind == .secure),
        lapse: min(now + (hedge ?? wait) * Self.millisecond, end), isHedged: hedge != nil, deadline: end))
  }

  private static func isTruncated(_ message: Span<UInt8>) -> Bool {
    message[2] & 0x02 != 0
  }
}
