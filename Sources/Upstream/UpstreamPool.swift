package import DNSWire
package import HTTP2
package import LinuxIO
import Sharing
package import TLS

/// Asks the upstreams. Lives on its reactor's thread.
///
/// Identical questions in flight are one exchange, of all servers together: two of them would double the chance of a forger who
/// guesses (RFC 5452 section 5). So a server can tell by the time of an answer that another one asks for the same name in
/// the same moment, and nothing else of it. Every send has an id of its own; what carries it is a transport's business.
///
/// Exchanges are shared out among those who ask (see `Shares`): names without an answer take their own asker's slots.
/// Nor do they say anything of an upstream: that is found out by a question of our own (see `ServerHealth`).
package final class UpstreamPool {
  /// Learns the answer or why there is none; called once, on the reactor's thread.
  package typealias Completion = (Result<UpstreamAnswer, UpstreamFailure>) -> Void
  /// The server for which is asked, by the firewall's index.
  package typealias Owner = UInt16

  /// What came by, for `status`.
  package struct Statistics: Sendable {
    package var exchanges: UInt64 = 0
    /// Messages sent to upstreams: the questions, their repetitions, and probes.
    package var messages: UInt64 = 0
    package var joined: UInt64 = 0
    package var wrongAnswers: UInt64 = 0
    /// How often there were so many that a server was asked by TCP alone.
    package var mismatches: UInt64 = 0
    package var failures: UInt64 = 0
    /// Answers that were none: SERVFAIL, REFUSED and the like.
    package var refusals: UInt64 = 0
    /// Questions of our own, by which an upstream is judged.
    package var probes: UInt64 = 0
    /// Exchanges that ended unanswered, or did not begin, because others had a right to the slot.
    package var overloads: UInt64 = 0
    /// Questions of which a second upstream was asked before the first one had been waited for.
    package var hedges: UInt64 = 0
  }

  private struct Question: Hashable {
    var name: Name
    var type: RRType
    /// Of the way on which it is asked.
    var way = 0
    /// Whether it is asked with its signatures.
    var isSigned = false
    /// The upstream that is probed by it; nil for a client's question.
    var probed: Int?
    /// Whether to find out if it answers letters of chance.
    var isSpelled = false
  }

  /// Who is asked for a name: the general servers, or those of a forwarded zone, and no others.
  private struct Way {
    /// Never another way's: a question that is in flight to servers which are not asked any more is joined by none.
    var number: Int
    var zone: Name?
    var servers: [Int]
  }

  private final class ExchangeInFlight {
    let question: Question
    var exchange: Exchange
    var completions: [(owner: Owner, call: Completion)] = []
    /// Its slot in `shares`.
    var slot: Shares<Owner>.Slot?
    /// What was sent and may still be answered, the newest last.
    var attempts: [Attempt] = []
    /// When the newest is not waited for alone any more.
    var lapse: TimerID?

    init(_ pool: UpstreamPool, _ question: Question, _ candidates: [Exchange.Candidate], _ now: UInt64) {
      self.question = question
      exchange = Exchange(
        (question.name.wire, question.type), candidates: candidates, isSigned: question.isSigned,
        letters: Self.letters(question, &pool.random), retreats: question.isSpelled, limits: pool.limits,
        now: now)
    }

    /// Whether an upstream lives is asked in lower case: to letters it may be silent.
    private static func letters(_ question: Question, _ random: inout SecureRandom) -> UInt64 {
      question.isSpelled ? .max : question.probed == nil ? random.uint64() : 0
    }
  }

  /// A message of an exchange, on its way.
  private final class Attempt: TransportClient {
    let pool: UpstreamPool
    let flight: ExchangeInFlight
    let number: Int
    let server: Int
    let kind: TransportKind
    /// When it was handed to its transport; on a shared connection when that took it.
    var sentAt: UInt64
    /// Until when its server is waited for.
    let waitedUntil: UInt64
    var call: (any TransportCall)?

    init(_ pool: UpstreamPool, _ flight: ExchangeInFlight, _ sending: Exchange.Sending, _ now: UInt64) {
      (self.pool, self.flight) = (pool, flight)
      (number, server, kind) = (sending.attempt, sending.server, sending.kind)
      sentAt = now
      let wait = pool.health[sending.server].wait(pool.limits) * 1_000_000
      waitedUntil = sending.isHedged ? max(now + wait, sending.lapse) : sending.lapse
    }

    var measuresRoundTrip: Bool { kind.measuresRoundTrip(of: pool.servers[server]) }

    func transmitted() {
      pool.statistics.messages += 1
      if kind != .datagram { sentAt = pool.time }
    }
    func received(_ message: Span<UInt8>) { pool.received(message, self) }
    func failed(_ failure: TransportFailure) { pool.failed(failure, self) }
  }

  private let reactor: Reactor
  /// Each is one of the general servers, or one of a zone. The place of one that a reload takes away is another's as soon as
  /// nothing in flight is about it.
  private var servers: [UpstreamServer]
  /// Written once, for each answer to carry.
  private var serverTexts: [String]
  /// By server: the zone that it is asked for; nil for a general one.
  private var zones: [Name?]
  private let general: Way
  private var forwards: [Way] = []
  private var wayCount = 1
  private var hasProbed = false
  private let limits: UpstreamLimits
  private var shares: Shares<Owner>
  /// By their slots in `shares`.
  private var holders: [Shares<Owner>.Slot: Question] = [:]
  private var health: [ServerHealth]
  private var letters: [CaseMemory]
  private var watches: [MismatchWatch]
  /// By upstream: why TLS with it is not used, as it turned out last; nil where TLS is not what is the matter.
  private var faults: [TLSFailure?]
  /// By upstream: what was told of it last; nil once something was heard.
  private var toldFaults: [TLSFailure?]
  /// By upstream: why what it says by HTTP is no answer; nil once it gave one.
  private var httpFaults: [HTTPFailure?]
  /// Told when what an upstream says by HTTP turns out to be no answer, and for another reason than before.
  package var onHTTPFault: ((String, HTTPFailure) -> Void)?
  /// Told when TLS with an upstream turns out not to be used, and for another reason than before: the upstream, as in the
  /// configuration.
  package var onUntrusted: ((String, TLSFailure) -> Void)?
  private var cookies: [ServerCookie]
  /// Told when an upstream's datagrams are not believed for a while: the upstream, as in the configuration.
  package var onMismatch: ((String) -> Void)?
  private var onRenewal: (([UpstreamServer: TLSClient]) -> Void)?
  private var onUse: ((Set<UpstreamServer>) -> Void)?
  private var flights: [Question: ExchangeInFlight] = [:]
  /// By upstream: when it is asked next though no client asks.
  private var nextProbes: [Int: TimerID] = [:]
  /// Attempts that are listened to beside a newer one of the same exchange, and how many of them there may be.
  private var earlierAttempts = 0
  private let mostEarlierAttempts: Int
  private var hedges = HedgeBudget()
  /// Questions until one is asked of another server than the fastest.
  private var untilExploration: UInt64
  private let transports: UpstreamTransports
  private var random = SecureRandom()
  package private(set) var statistics = Statistics()

  /// - Parameter clients: what is believed of each server that is asked by TLS.
  /// - Precondition: `servers` is not empty.
  package convenience init(
    reactor: Reactor, servers: [UpstreamServer], clients: [UpstreamServer: TLSClient] = [:],
    limits: UpstreamLimits = UpstreamLimits()
  ) {
    let (stream, secure) = (StreamTransport(reactor), SecureTransport(reactor, clients))
    let transports = UpstreamTransports(datagram: DatagramTransport(reactor), stream: stream, secure: secure)
    self.init(reactor: reactor, servers: servers, limits: limits, transports: transports)
    onRenewal = secure.renew
    onUse = {
      stream.keep($0)
      secure.keep($0)
    }
  }

  /// What is believed of the servers that are asked by TLS was read again: what was the matter before says nothing any more.
  package func renew(_ clients: [UpstreamServer: TLSClient]) {
    onRenewal?(clients)
    for server in used where clients[servers[server]] != nil && faults[server] != nil {
      (faults[server], toldFaults[server]) = (nil, nil)
      if hasProbed { probe(server) }
    }
  }

  init(reactor: Reactor, servers: [UpstreamServer], limits: UpstreamLimits, transports: UpstreamTransports) {
    precondition(!servers.isEmpty)
    self.reactor = reactor
    self.transports = transports
    self.servers = servers
    serverTexts = servers.map(\.description)
    zones = [Name?](repeating: nil, count: servers.count)
    general = Way(number: 0, zone: nil, servers: Array(servers.indices))
    self.limits = limits
    untilExploration = limits.exploration
    mostEarlierAttempts = DescriptorLimit.current / 8
    shares = Shares(
      capacity: min(limits.exchanges, DescriptorLimit.current / 2), leastAge: limits.leastAge * 1_000_000)
    health = [ServerHealth](repeating: ServerHealth(), count: servers.count)
    watches = [MismatchWatch](repeating: MismatchWatch(), count: servers.count)
    faults = [TLSFailure?](repeating: nil, count: servers.count)
    toldFaults = faults
    letters = [CaseMemory](repeating: CaseMemory(), count: servers.count)
    httpFaults = [HTTPFailure?](repeating: nil, count: servers.count)
    var chance = SecureRandom()
    cookies = servers.map { _ in ServerCookie(chance.uint64()) }
  }

  /// What is known of one upstream, for `status`.
  package struct State: Sendable {
    package var address: String
    /// The forwarded zone for which alone it is asked; nil for a general one.
    package var zone: Name?
    package var isHealthy: Bool
    /// Whether it said anything since the start.
    package var hasAnswered: Bool
    /// Whether it is being probed, because it did not answer a question.
    package var isSuspect: Bool
    /// Milliseconds of a round trip, smoothed; nil before the first answer.
    package var latency: Double?
    /// Probes without an answer since the last one.
    package var failures: UInt64
    /// Whether it is asked by TCP alone, because of answers that were not its own.
    package var isByStream: Bool
    /// Whether it refuses whatever it is asked, though it is there.
    package var isRefusing: Bool
    /// Refusals since its last answer, and the code of the last one.
    package var refusals: UInt64
    package var lastRefusal: ResponseCode?
    /// Why TLS with it is not used.
    package var fault: TLSFailure?
    /// Why what it says by HTTP is no answer.
    package var httpFault: HTTPFailure?
  }

  /// How many servers there is room for: those that are asked, and those that may still be heard.
  var placeCount: Int { servers.count }

  /// A server by its place in the configuration, as it is written there.
  package func text(of server: Int) -> String { serverTexts[server] }

  package var states: [State] {
    let now = time
    return used.map { server in
      let health = health[server]
      return State(
        address: serverTexts[server], zone: zones[server], isHealthy: health.isHealthy, hasAnswered: health.hasAnswered,
        isSuspect: health.isSuspect,
        latency: health.isMeasured ? health.latency : nil, failures: health.failures,
        isByStream: watches[server].asksByStream(now: now), isRefusing: health.isRefusing, refusals: health.refusals,
        lastRefusal: health.lastRefusal, fault: faults[server],
        httpFault: httpFaults[server])
    }
  }

  /// Finds out of each upstream whether it answers, before any client's question does.
  package func probeAll() {
    hasProbed = true
    for server in used { probe(server) }
  }

  /// Those that are asked now: the general ones first.
  private var used: [Int] { general.servers + forwards.flatMap(\.servers) }

  /// From now on asks the servers of these zones for their names. What is in flight to others goes on, and is joined by none.
  ///
  /// - Parameter forwards: in an order by which `ask` names them.
  package func use(_ forwards: [UpstreamForward]) {
    let former = Set(used)
    var taken = former.union(
      servers.indices.filter { place in
        forwards.contains { $0.zone == zones[place] && $0.servers.contains(servers[place]) }
      })
    self.forwards = forwards.map { forward in
      let members = forward.servers.map { place(of: $0, zone: forward.zone, &taken) }
      if let known = self.forwards.first(where: { $0.zone == forward.zone && $0.servers == members }) { return known }
      wayCount += 1
      return Way(number: wayCount, zone: forward.zone, servers: members)
    }
    onUse?(Set(used.map { servers[$0] }))
    guard hasProbed else { return }
    for server in used where !former.contains(server) { probe(server) }
  }

  private func place(of server: UpstreamServer, zone: Name, _ taken: inout Set<Int>) -> Int {
    let known = servers.indices.first { servers[$0] == server && zones[$0] == zone }
    let place = known ?? servers.indices.first { !taken.contains($0) && isFree($0) } ?? servers.count
    taken.insert(place)
    guard place != known else { return place }
    if place == servers.count { append(server) }
    if let timer = nextProbes.removeValue(forKey: place) { reactor.cancel(timer) }
    (servers[place], serverTexts[place], zones[place]) = (server, server.description, zone)
    (health[place], watches[place], letters[place]) = (ServerHealth(), MismatchWatch(), CaseMemory())
    (faults[place], toldFaults[place], httpFaults[place]) = (nil, nil, nil)
    cookies[place] = ServerCookie(random.uint64())
    return place
  }

  private func append(_ server: UpstreamServer) {
    servers.append(server)
    serverTexts.append("")
    zones.append(nil)
    health.append(ServerHealth())
    letters.append(CaseMemory())
    watches.append(MismatchWatch())
    faults.append(nil)
    toldFaults.append(nil)
    httpFaults.append(nil)
    cookies.append(ServerCookie(0))
  }

  /// Whether a place is nobody's: what is in flight names servers by their places.
  private func isFree(_ place: Int) -> Bool {
    flights.values.allSatisfy { !$0.exchange.mayUse(place) }
  }

  /// Asks for the canonical wire `name`. `completion` is called later on this thread, once.
  ///
  /// - Parameters:
  ///   - forward: the place of the forward whose servers are asked; nil for the general ones.
  ///   - isSigned: the answer is to come with its signatures (DNSSEC), whatever they are.
  package func ask(
    name: Span<UInt8>, type: RRType, for owner: Owner, by forward: Int? = nil, isSigned: Bool = false,
    _ completion: @escaping Completion
  ) {
    let way = forward.map { forwards[$0] } ?? general
    let question = Question(name: Name(canonical: name), type: type, way: way.number, isSigned: isSigned)
    if let flight = flights[question] {
      statistics.joined += 1
      flight.completions.append((owner, completion))
      return
    }
    let now = time
    guard makeRoom(for: owner, now) else { return refuse([completion]) }
    statistics.exchanges += 1
    let flight = ExchangeInFlight(self, question, candidates(way.servers, now), now)
    flight.completions = [(owner, completion)]
    hold(flight, for: owner, now)
    flights[question] = flight
    perform(flight.exchange.start(now: now, id: random.uint16()), flight)
  }

  /// Ends exchanges of those who have more than their share, until the owner may have another one.
  private func makeRoom(for owner: Owner, _ now: UInt64) -> Bool {
    while true {
      switch shares.admission(of: owner, now: now) {
      case .free: return true
      case .refused: return false
      case .displacing(let slot): displace(slot, now)
      }
    }
  }

  private func hold(_ flight: ExchangeInFlight, for owner: Owner, _ now: UInt64) {
    let slot = shares.enter(owner, now: now)
    flight.slot = slot
    holders[slot] = flight.question
  }

  private func release(_ flight: ExchangeInFlight) {
    guard let slot = flight.slot else { return }
    flight.slot = nil
    holders[slot] = nil
    shares.leave(slot)
  }

  /// The one whose slot it is gets no answer. If others wait for the same, it goes on for the first of them.
  private func displace(_ slot: Shares<Owner>.Slot, _ now: UInt64) {
    guard let question = holders[slot], let flight = flights[question], let owner = flight.completions.first?.owner
    else { return shares.leave(slot) }
    release(flight)
    let ended = flight.completions.filter { $0.owner == owner }
    flight.completions.removeAll { $0.owner == owner }
    refuse(ended.map(\.call))
    if let next = flight.completions.first {
      hold(flight, for: next.owner, now)
    } else {
      end(flight, .failure(.overloaded))
    }
  }

  private func refuse(_ completions: [Completion]) {
    statistics.overloads += 1
    _ = reactor.schedule(at: reactor.now) { for completion in completions { completion(.failure(.overloaded)) } }
  }

  private var time: UInt64 { reactor.time.nanoseconds }

  /// Healthy servers before the others; of the same ones those that are asked by TLS before those that are not, then those of
  /// which it is certain before those of which it is not, and then by latency.
  private func candidates(_ members: [Int], _ now: UInt64) -> [Exchange.Candidate] {
    guard members.count > 1 else { return members.map { candidate($0, now) } }
    var order = members.sorted { left, right in
      let (a, b) = (health[left], health[right])
      if a.isHealthy != b.isHealthy { return a.isHealthy }
      if servers[left].isSecure != servers[right].isSecure { return servers[left].isSecure }
      if a.isTrusted != b.isTrusted { return a.isTrusted }
      return a.latency < b.latency
    }
    let hedge = hedge(order)
    if hedge != nil { explore(&order) }
    var candidates = order.map { candidate($0, now) }
    candidates[0].hedge = hedge
    return candidates
  }

  /// After how many milliseconds the second one is asked as well: when the fastest mostly has answered. Nil where there is no
  /// second one as good, or too many questions were asked of two.
  private func hedge(_ order: [Int]) -> UInt64? {
    hedges.asked()
    guard hedges.isLeft, isAsGood(order[1], as: order[0]) else { return nil }
    return health[order[0]].hedge(limits)
  }

  /// Whether a server may be asked in another's place: it answers, and the question is not easier to overhear.
  private func isAsGood(_ server: Int, as other: Int) -> Bool {
    health[server].isTrusted && (servers[server].isSecure || !servers[other].isSecure)
  }

  /// Now and then a question goes first to the server of which the least is known by now.
  private func explore(_ order: inout [Int]) {
    untilExploration -= 1
    guard untilExploration == 0 else { return }
    untilExploration = limits.exploration
    let others = order.indices.dropFirst().filter { isAsGood(order[$0], as: order[0]) }
    guard let index = others.min(by: { health[order[$0]].measuredAt < health[order[$1]].measuredAt }) else { return }
    order.insert(order.remove(at: index), at: 0)
  }

  private func candidate(_ server: Int, _ now: UInt64) -> Exchange.Candidate {
    let isStream = servers[server].scheme == .tcp
    return Exchange.Candidate(
      server: server, wait: health[server].wait(limits), withEDNS: health[server].takesEDNS(now: now),
      byStream: isStream || watches[server].asksByStream(now: now), isMeasuredByStream: isStream,
      isSecure: servers[server].isSecure, isHTTP: servers[server].scheme == .https, proof: health[server].proof(limits),
      keepsCase: letters[server].keepsCase(now: now),
      cookie: cookies[server].octets(now: now))
  }

  private func perform(_ action: Exchange.Action, _ flight: ExchangeInFlight) {
    switch action {
    case .wait: break
    case .send(let sending): send(sending, flight)
    case .sendBoth(let first, let second):
      send(first, flight)
      send(second, flight)
    case .finish(let message, let server, let number):
      let now = time
      let attempt = flight.attempts.first { $0.number == number }
      for other in flight.attempts where other.server != server && other.measuresRoundTrip {
        health[other.server].overtaken(after: Double(now - min(other.sentAt, now)) / 1_000_000, now: now)
      }
      let roundTrip = attempt.flatMap { $0.measuresRoundTrip ? Double(now - $0.sentAt) / 1_000_000 : nil }
      health[server].answered(after: roundTrip, now: now)
      let answer = UpstreamAnswer(message: message, server: servers[server], serverText: serverTexts[server])
      end(flight, .success(answer))
    case .fail(let failure):
      if flight.question.probed == nil { statistics.failures += 1 }
      end(flight, .failure(failure))
    }
  }

  private func send(_ sending: Exchange.Sending, _ flight: ExchangeInFlight) {
    closeUnheard(flight)
    if let oldest = flight.attempts.first, earlierAttempts >= mostEarlierAttempts {
      flight.exchange.abandon(oldest.number)
      closeUnheard(flight)
    }
    if !flight.attempts.isEmpty { earlierAttempts += 1 }
    let attempt = Attempt(self, flight, sending, time)
    flight.attempts.append(attempt)
    attempt.call = transports[sending.kind].send(
      sending.message, to: servers[sending.server], deadline: MonotonicTime(nanoseconds: sending.deadline), for: attempt
    )
    arm(flight, sending)
  }

  private func arm(_ flight: ExchangeInFlight, _ sending: Exchange.Sending) {
    disarm(flight)
    // At the deadline the transport tells.
    guard sending.lapse < sending.deadline else { return }
    flight.lapse = reactor.schedule(at: MonotonicTime(nanoseconds: sending.lapse)) { [self] in
      flight.lapse = nil
      lapsed(sending, flight)
    }
  }

  private func disarm(_ flight: ExchangeInFlight) {
    if let timer = flight.lapse { reactor.cancel(timer) }
    flight.lapse = nil
  }

  /// Ends the attempts to which the exchange does not listen any more.
  private func closeUnheard(_ flight: ExchangeInFlight) {
    for attempt in flight.attempts where !flight.exchange.listens(to: attempt.number) { close(attempt) }
  }

  private func close(_ attempt: Attempt) {
    let flight = attempt.flight
    guard let index = flight.attempts.firstIndex(where: { $0 === attempt }) else { return }
    flight.attempts.remove(at: index)
    if !flight.attempts.isEmpty { earlierAttempts -= 1 }
    attempt.call?.end()
    attempt.call = nil
  }

  private func received(_ message: Span<UInt8>, _ attempt: Attempt) {
    let (flight, server) = (attempt.flight, attempt.server)
    let (known, answers) = (flight.exchange.wrongAnswers, flight.exchange.answers)
    let refusals = flight.exchange.refusals.count
    let action = flight.exchange.received(message, for: attempt.number, now: time, id: random.uint16())
    if flight.exchange.answers > answers {
      health[server].heard(now: time)
      (faults[server], toldFaults[server], httpFaults[server]) = (nil, nil, nil)
    }
    if flight.exchange.refusals.count > refusals, let refusal = flight.exchange.refusals.last { refused(refusal) }
    let wrong = flight.exchange.wrongAnswers - known
    account(flight)
    perform(action, flight)
    if case .finish = action {} else { closeUnheard(flight) }
    // Behind what the answer led to: it may turn this question to TCP as well.
    if wrong > 0 { mismatched(server, wrong) }
  }

  private func failed(_ failure: TransportFailure, _ attempt: Attempt) {
    let flight = attempt.flight
    switch failure {
    case .untrusted(let fault): note(fault, of: attempt.server)
    case .http(let fault): note(fault, of: attempt.server)
    case .timeout, .unreachable, .broken: faults[attempt.server] = nil
    }
    if failure.isSilence { unanswered(attempt) }
    let action = flight.exchange.failed(failure, attempt: attempt.number, now: time, id: random.uint16())
    close(attempt)
    perform(action, flight)
  }

  private func note(_ fault: TLSFailure, of server: Int) {
    httpFaults[server] = nil
    faults[server] = fault
    guard toldFaults[server] != fault else { return }
    toldFaults[server] = fault
    onUntrusted?(serverTexts[server], fault)
  }

  private func note(_ fault: HTTPFailure, of server: Int) {
    statistics.refusals += 1
    // TLS with it is as it should be.
    faults[server] = nil
    guard httpFaults[server] != fault else { return }
    httpFaults[server] = fault
    onHTTPFault?(serverTexts[server], fault)
  }

  private func lapsed(_ sending: Exchange.Sending, _ flight: ExchangeInFlight) {
    if sending.isHedged {
      statistics.hedges += 1
      hedges.hedged()
    }
    let now = time
    for attempt in flight.attempts where attempt.waitedUntil <= now { unanswered(attempt) }
    perform(flight.exchange.lapsed(sending.attempt, now: time, id: random.uint16()), flight)
  }

  private func unanswered(_ attempt: Attempt) {
    if health[attempt.server].unanswered(since: attempt.sentAt) { probe(attempt.server) }
  }

  private func refused(_ refusal: Exchange.Refusal) {
    statistics.refusals += 1
    if health[refusal.server].refused(refusal.code, limits) { probe(refusal.server) }
  }

  /// Asks an upstream for the name servers of the root (RFC 8109), or for the start of the zone that it is asked for, which
  /// no client has a say in. Whatever it answers, it lives.
  private func probe(_ server: Int) {
    let zone = zones[server]
    let question = Question(name: zone ?? .root, type: zone == nil ? .NS : .SOA, probed: server)
    guard flights[question] == nil else { return }
    let now = time
    let flight = ExchangeInFlight(self, question, [candidate(server, now)], now)
    flight.completions = [(0, { [self] in probed(server, since: now, $0) })]
    flights[question] = flight
    statistics.probes += 1
    perform(flight.exchange.start(now: now, id: random.uint16()), flight)
  }

  /// Asks an upstream twice for a name of ours, in upper case and then in lower case. Whatever it answers to the first, it
  /// does not keep silent to letters.
  private func probeLetters(of server: Int) {
    let name = zones[server] ?? Self.letteredName
    guard servers[server].scheme == .udp, UpstreamQuery.spelled(name.wire, by: .max) != name.wire else { return }
    let question = Question(name: name, type: .SOA, probed: server, isSpelled: true)
    guard flights[question] == nil else { return }
    let now = time
    var candidate = candidate(server, now)
    candidate.keepsCase = true
    let flight = ExchangeInFlight(self, question, [candidate], now)
    flight.completions = [(0, { [self, unowned flight] _ in probedLetters(of: server, flight) })]
    flights[question] = flight
    statistics.probes += 1
    perform(flight.exchange.start(now: now, id: random.uint16()), flight)
  }

  /// A zone of the root that is there for the network's own sake (RFC 3172): `arpa`.
  private static let letteredName = Name(canonical: ([4, 0x61, 0x72, 0x70, 0x61, 0] as [UInt8]).span)

  private func probedLetters(of server: Int, _ flight: ExchangeInFlight) {
    guard used.contains(server), flight.exchange.isSilentToLetters else { return }
    guard letters[server].silent(now: time, limits) else { return probeLetters(of: server) }
    // Before that is over it is looked at again, lest a client's question find out.
    let next = reactor.time.adding(milliseconds: limits.withoutProof / 10 * 9)
    _ = reactor.schedule(at: next) { [weak self] in
      guard let self, used.contains(server), !letters[server].keepsCase(now: time) else { return }
      probeLetters(of: server)
    }
    for other in flights.values where other.exchange.waits(for: server) {
      perform(other.exchange.folds(server, now: time, id: random.uint16()), other)
      closeUnheard(other)
    }
  }

  private func probed(_ server: Int, since start: UInt64, _ result: Result<UpstreamAnswer, UpstreamFailure>) {
    if case .failure(.refused) = result {
      health[server].refusedProbe(now: time, limits)
      if health[server].isRefusing { probe(server, at: time + limits.unhealthy * 1_000_000) }
    }
    guard !health[server].wasHeard(since: start) else {
      if letters[server].isDoubted(since: start, now: time, limits) { probeLetters(of: server) }
      return
    }
    probe(server, at: health[server].failed(now: time, limits))
  }

  /// Asks an upstream a question of our own later, and then alone, if it still refuses or does not answer.
  private func probe(_ server: Int, at next: UInt64) {
    if let timer = nextProbes[server] { reactor.cancel(timer) }
    nextProbes[server] = reactor.schedule(at: MonotonicTime(nanoseconds: next)) { [weak self] in
      guard let self else { return }
      nextProbes[server] = nil
      guard used.contains(server) else { return }
      if health[server].isRefusing || !health[server].isHealthy { probe(server) }
    }
  }

  /// Whatever is in flight to a server whose datagrams are not believed any more goes on by TCP.
  private func mismatched(_ server: Int, _ answers: Int) {
    guard watches[server].wrong(answers, now: time, limits) else { return }
    statistics.mismatches += 1
    onMismatch?(serverTexts[server])
    for flight in flights.values where flight.exchange.waits(for: server) {
      perform(flight.exchange.distrusted(server, now: time, id: random.uint16()), flight)
      closeUnheard(flight)
    }
  }

  private func account(_ flight: ExchangeInFlight) {
    for server in flight.exchange.refusedEDNS {
      health[server].refusedEDNS(now: time, limits)
    }
    if let server = flight.exchange.keepingCase { letters[server].kept(now: time) }
    for server in flight.exchange.foldingCase { letters[server].folded(now: time, limits) }
    for given in flight.exchange.cookies { cookies[given.server].given(given.cookie) }
    for server in flight.exchange.withoutCookies { cookies[server].missed(now: time, limits) }
  }

  private func end(_ flight: ExchangeInFlight, _ result: Result<UpstreamAnswer, UpstreamFailure>) {
    statistics.wrongAnswers += UInt64(flight.exchange.wrongAnswers)
    flights[flight.question] = nil
    release(flight)
    disarm(flight)
    let completions = flight.completions
    flight.completions = []
    for completion in completions {
      completion.call(result)
    }
    // What waits is served first; nothing of these calls is heard any more.
    for attempt in flight.attempts { close(attempt) }
  }
}
