import DNSWire

/// One question to the upstreams, until one answers or time is up.
///
///     start ─► send ──► received: good ──────────────────► finish
///               ▲  │        │ TC ────────────────────────► send by TCP ─► received ─► finish
///               │  │        │ many wrong ones ───────────► send by TCP, and by a datagram from another port
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
  let name: [UInt8]
  let type: RRType
  /// Whether the answer is to come with its signatures.
  private let isSigned: Bool
  private let limits: UpstreamLimits
  private let end: UInt64
  private var candidates: [Candidate]
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
  /// Chance, a bit for each letter of the name; 0 for its canonical form.
  private let letters: UInt64
  /// Servers that answered in another case than they were asked, where none could have forged it or nothing else was heard.
  private(set) var foldingCase: [Int] = []
  /// The server that answered a datagram in the letters in which it was asked.
  private(set) var keepingCase: Int?
  /// Whether a second datagram to a server is in lower case.
  private let retreats: Bool
  /// Whether that was answered, and the first was not.
  private(set) var isSilentToLetters = false
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
  ///   - retreats: whether a second datagram to a server is in lower case, by which one that is silent to letters is
  ///     found out.
  ///   - now: nanoseconds of the monotonic clock, as everywhere here.
  init(
    _ question: (name: [UInt8], type: RRType), candidates: [Candidate], isSigned: Bool = false, letters: UInt64 = 0,
    retreats: Bool = false,
    limits: UpstreamLimits, now: UInt64
  ) {
    self.retreats = retreats
    (name, type) = question
    self.isSigned = isSigned
    self.letters = letters
    self.limits = limits
    self.candidates = candidates
    end = now + limits.total * Self.millisecond
  }

  /// Whether an answer to this attempt would still be taken.
  func listens(to attempt: Int) -> Bool { attempts.contains { $0.number == attempt } }

  /// Whether this server may still be asked or heard.
  func mayUse(_ server: Int) -> Bool { candidates.contains { $0.server == server } }

  /// Whether an answer of this server would still be taken.
  func waits(for server: Int) -> Bool { attempts.contains { candidates[$0.candidate].server == server } }

  mutating func start(now: UInt64, id: UInt16) -> Action {
    send(to: 0, now: now, id: id)
  }

  /// A message came for an attempt. `id` is for the next message, should one be sent.
  mutating func received(_ message: Span<UInt8>, for number: Int, now: UInt64, id: UInt16) -> Action {
    guard let index = attempts.firstIndex(where: { $0.number == number }) else { return .wait }
    let attempt = attempts[index]
    let trust = trust(message, attempt)
    if trust == .answer, attempt.kind == .datagram || !UpstreamQuery.isTruncated(message) {
      return judge(message, attempt, now: now, id: id)
    }
    if trust == .unsure {
      candidates[attempt.candidate].isUnsure = true
      return turnToStream(attempt.candidate, wait: candidates[attempt.candidate].proof, now: now, id: id)
    }
    guard attempt.kind.isForgeable else {
      // On a connection there is no guessing: any message but the answer ends the attempt.
      return failed(.broken, attempt: number, now: now, id: id)
    }
    wrongAnswers += 1
    attempts[index].wrongAnswers += 1
    candidates[attempt.candidate].isDoubtful = true
    guard !candidates[attempt.candidate].isStreamUsed else {
      // The other port is known as well: TCP alone is left.
      guard attempts[index].wrongAnswers >= limits.wrongAnswers else { return .wait }
      forget { $0.number == number }
      return proceed(now: now, id: id)
    }
    return wrongAnswers < limits.wrongAnswers ? .wait : leavePort(attempt.candidate, now: now, id: id)
  }

  /// A forger guesses at a port, or a server is confused: it is asked by TCP. A datagram from another port goes along, which a
  /// forger would have to find first, so that the true answer is not later than if it had been asked for now.
  private mutating func leavePort(_ candidate: Int, now: UInt64, id: UInt16) -> Action {
    let turning = turnToStream(candidate, now: now, id: id)
    guard case .send(let stream) = turning, candidates[candidate].sends < limits.sendsPerServer,
      !candidates[candidate].byStream
    else { return turning }
    candidates[candidate].sends += 1
    let other = begin(candidate, .datagram, wait: candidates[candidate].wait, now: now, id: id)
    guard case .send(let datagram) = other else { return turning }
    return .sendBoth(stream, datagram)
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
      if candidates[attempt.candidate].isUnsure, !isFolded, !lacksCookie { wrongAnswers += 1 }
      return .answer
    }
    if isFolded || lacksCookie { return .unsure }
    if attempt.isSpelled { keepingCase = server }
    // Where wrong answers made us leave the first one's port, it was not heard to its end.
    let target = candidates[attempt.candidate]
    if retreats, !attempt.isSpelled, !target.isUnsure, !target.isDoubtful { isSilentToLetters = true }
    if candidates[attempt.candidate].isUnsure {
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

  /// A server turns out to be silent to letters of chance: what it was asked in them is asked by TCP, in lower case.
  mutating func folds(_ server: Int, now: UInt64, id: UInt16) -> Action {
    guard let index = candidates.firstIndex(where: { $0.server == server }), candidates[index].keepsCase else {
      return .wait
    }
    candidates[index].keepsCase = false
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
    switch failure {
    // It would be the same again.
    case .untrusted, .http: candidates[candidate].sends = limits.sendsPerServer
    case .timeout, .unreachable, .broken: break
    }
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
    if UpstreamQuery.isTruncated(message) { return turnToStream(attempt.candidate, now: now, id: id) }
    let code = UpstreamQuery.responseCode(message)
    switch code {
    case .NOERROR where UpstreamQuery.isReferral(message):
      // It does not resolve for us ("lame"), whatever code says so.
      return judgeRefusal(.REFUSED, attempt.candidate, now: now, id: id)
    case .NOERROR, .NXDOMAIN:
      let copy = [UInt8](message)
      let server = candidates[attempt.candidate].server
      if candidates[attempt.candidate].isPlain { refusedEDNS.append(server) }
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
    candidates[candidate].isPlain = true
    refusals.append(Refusal(server: candidates[candidate].server, code: code))
    // What was sent with it would be refused as well.
    forget { $0.candidate == candidate }
    switch attempt.kind {
    case .datagram where candidates[candidate].sends < limits.sendsPerServer && !candidates[candidate].isStreamUsed,
      .secure where candidates[candidate].sends < limits.sendsPerServer:
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
    if let given, given != attempt.cookie, attempt.kind == .datagram,
      candidates[candidate].sends < limits.sendsPerServer
    {
      candidates[candidate].cookie = given
      return send(to: candidate, now: now, id: id)
    }
    guard candidates[candidate].isStreamUsed || attempt.kind == .secure else {
      return connect(candidate, now: now, id: id)
    }
    return judgeRefusal(.BADCOOKIE, candidate, now: now, id: id)
  }

  /// The server has said what it will say: asking it again within this exchange would only be more traffic.
  private mutating func judgeRefusal(
    _ code: ResponseCode, _ candidate: Int, now: UInt64, id: UInt16
  ) -> Action {
    refusals.append(Refusal(server: candidates[candidate].server, code: code))
    candidates[candidate].sends = limits.sendsPerServer
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
    // What a datagram left unsure is found out of the same server: it is known to be there.
    if candidates[lastCandidate].isUnsure, candidates[lastCandidate].isStreamUsed, mayBeAsked(lastCandidate) {
      return send(to: lastCandidate, now: now, id: id)
    }
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
    guard candidates[candidate].sends < limits.sendsPerServer else { return false }
    return !candidates[candidate].isStreamUsed
      || candidates[candidate].isUnsure && !candidates[candidate].isDoubtful && !candidates[candidate].byStream
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
      candidates[candidate].sends += 1
      return begin(candidate, .secure, wait: target.wait, now: now, id: id)
    }
    // A server that answered with a wrong id does so again: one datagram more brings nothing.
    if target.byStream || candidates[candidate].isDoubtful { return connect(candidate, now: now, id: id) }
    // A second try of the same server waits twice as long: the first answer may only have been slow.
    let wait = min(target.wait << UInt64(candidates[candidate].sends), limits.longestTry)
    candidates[candidate].sends += 1
    return begin(candidate, .datagram, wait: wait, now: now, id: id)
  }

  /// Nothing that still comes by a datagram of the server is taken.
  ///
  /// - Parameter wait: milliseconds until another message follows.
  private mutating func turnToStream(_ candidate: Int, wait: UInt64? = nil, now: UInt64, id: UInt16) -> Action {
    forget { $0.candidate == candidate && $0.kind.isForgeable }
    guard !candidates[candidate].isStreamUsed else { return proceed(now: now, id: id) }
    return connect(candidate, wait: wait, now: now, id: id)
  }

  private mutating func connect(_ candidate: Int, wait: UInt64? = nil, now: UInt64, id: UInt16) -> Action {
    guard now < end else { return fail() }
    // What is asked by TLS is asked by nothing else, whatever it says: here is the only way to a connection in the clear.
    guard !candidates[candidate].isSecure else { return proceed(now: now, id: id) }
    candidates[candidate].isStreamUsed = true
    // A connection may have to be made first, which takes as long again.
    let target = candidates[candidate]
    let patience = target.isMeasuredByStream ? min(target.wait << 1, limits.longestTry) : limits.longestTry
    return begin(candidate, .stream, wait: wait ?? patience, now: now, id: id)
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
    let isBare =
      kind == .secure
      || kind.isForgeable && (candidates[candidate].isUnsure || retreats && candidates[candidate].sends > 1)
    let bits = isBare || !target.keepsCase ? 0 : letters
    let spelled = UpstreamQuery.spelled(name, by: bits)
    let attempt = Attempt(
      number: number, candidate: candidate, kind: kind, id: id, name: spelled, isSpelled: bits != 0 && spelled != name,
      cookie: isBare || !target.withEDNS ? [] : target.cookie)
    attempts.append(attempt)
    current = number
    lastCandidate = candidate
    return .send(
      Sending(
        attempt: number, server: target.server, kind: kind,
        message: UpstreamQuery.message(
          id: id, name: attempt.name, type: type, withEDNS: target.withEDNS,
          .init(
            cookie: attempt.cookie, isSigned: isSigned, isPadded: kind == .secure, asksIdle: !target.isHTTP)),
        lapse: min(now + (hedge ?? wait) * Self.millisecond, end), isHedged: hedge != nil, deadline: end))
  }
}
