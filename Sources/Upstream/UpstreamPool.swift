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

  /// How a question is asked.
  package struct Manner {
    /// The place of the forward whose servers are asked; nil for the general ones.
    package var forward: Int?
    /// The answer is to come with its signatures (DNSSEC), whatever they are.
    package var isSigned: Bool

    package init(by forward: Int? = nil, isSigned: Bool = false) {
      (self.forward, self.isSigned) = (forward, isSigned)
    }
  }

  let reactor: Reactor
  var places: UpstreamPlaces
  private var order: UpstreamOrder
  private var hasProbed = false
  let limits: UpstreamLimits
  private var shares: Shares<Owner>
  /// By the places of their slots in `shares`.
  private var holders: [ExchangeInFlight?] = []
  /// Told when what an upstream says by HTTP turns out to be no answer, and for another reason than before.
  package var onHTTPFault: ((String, HTTPFailure) -> Void)?
  /// Told when TLS with an upstream turns out not to be used, and for another reason than before: the upstream, as in the
  /// configuration.
  package var onUntrusted: ((String, TLSFailure) -> Void)?
  /// Told when an upstream's datagrams are not believed for a while: the upstream, as in the configuration.
  package var onMismatch: ((String) -> Void)?
  private var onRenewal: (([UpstreamServer: TLSClient]) -> Void)?
  private var onUse: ((Set<UpstreamServer>) -> Void)?
  var flights: [Question: ExchangeInFlight] = [:]
  /// By upstream: when it is asked next though no client asks.
  var nextProbes: [Int: TimerID] = [:]
  /// Attempts that are listened to beside a newer one of the same exchange, and how many of them there may be.
  private var earlierAttempts = 0
  private let mostEarlierAttempts: Int
  private let transports: UpstreamTransports
  var random = SecureRandom()
  package internal(set) var statistics = Statistics()

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
    for server in places.used where clients[places[server].server] != nil && places[server].fault != nil {
      places[server].forgetFaults()
      if hasProbed { probe(server) }
    }
  }

  init(reactor: Reactor, servers: [UpstreamServer], limits: UpstreamLimits, transports: UpstreamTransports) {
    precondition(!servers.isEmpty)
    self.reactor = reactor
    self.transports = transports
    var chance = SecureRandom()
    places = UpstreamPlaces(servers) { chance.uint64() }
    order = UpstreamOrder(limits)
    self.limits = limits
    mostEarlierAttempts = DescriptorLimit.current / 8
    shares = Shares(
      capacity: min(limits.exchanges, DescriptorLimit.current / 2), leastAge: limits.leastAge * 1_000_000)
  }

  /// How many servers there is room for: those that are asked, and those that may still be heard.
  var placeCount: Int { places.count }

  /// A server by its place in the configuration, as it is written there.
  package func text(of server: Int) -> String { places[server].text }

  package var states: [State] {
    let now = time
    return places.used.map { State(places[$0], now: now) }
  }

  /// Finds out of each upstream whether it answers, before any client's question does.
  package func probeAll() {
    hasProbed = true
    for server in places.used { probe(server) }
  }

  /// From now on asks the servers of these zones for their names. What is in flight to others goes on, and is joined by none.
  ///
  /// - Parameter forwards: in an order by which `ask` names them.
  package func use(_ forwards: [UpstreamForward]) {
    let former = Set(places.used)
    let changed = places.use(forwards, chance: { random.uint64() }, isFree: isFree)
    for place in changed {
      if let timer = nextProbes.removeValue(forKey: place) { reactor.cancel(timer) }
    }
    onUse?(Set(places.used.map { places[$0].server }))
    guard hasProbed else { return }
    for server in places.used where !former.contains(server) { probe(server) }
  }

  /// Whether a place is nobody's: what is in flight names servers by their places.
  private func isFree(_ place: Int) -> Bool {
    flights.values.allSatisfy { !$0.exchange.mayUse(place) }
  }

  /// Asks for the canonical wire `name`. `completion` is called later on this thread, once.
  ///
  /// - Parameters:
  ///   - owner: the server for which is asked.
  ///   - manner: of the general servers and without signatures, where nothing else is said.
  package func ask(
    name: Span<UInt8>, type: RRType, for owner: Owner, as manner: Manner = Manner(),
    _ completion: @escaping Completion
  ) {
    let way = manner.forward.map { places.forwards[$0] } ?? places.general
    let question = Question(name: Name(canonical: name), type: type, way: way.number, isSigned: manner.isSigned)
    if let flight = flights[question] {
      statistics.joined += 1
      flight.completions.append((owner, completion))
      return
    }
    let now = time
    guard makeRoom(for: owner, now) else { return refuse([completion]) }
    statistics.exchanges += 1
    let flight = ExchangeInFlight(self, question, order.candidates(way.servers, places, now: now), now)
    flight.completions = [(owner, completion)]
    hold(flight, for: owner, now)
    start(flight)
  }

  /// Has others join it from now on, and sends.
  func start(_ flight: ExchangeInFlight) {
    flights[flight.question] = flight
    perform(flight.exchange.start(now: time, id: random.uint16()), flight)
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
    let place = Shares<Owner>.place(of: slot)
    while holders.count <= place { holders.append(nil) }
    holders[place] = flight
  }

  private func release(_ flight: ExchangeInFlight) {
    guard let slot = flight.slot else { return }
    flight.slot = nil
    holders[Shares<Owner>.place(of: slot)] = nil
    shares.leave(slot)
  }

  /// The one whose slot it is gets no answer. If others wait for the same, it goes on for the first of them.
  private func displace(_ slot: Shares<Owner>.Slot, _ now: UInt64) {
    guard let flight = holders[Shares<Owner>.place(of: slot)], flight.slot == slot,
      let owner = flight.completions.first?.owner
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

  var time: UInt64 { reactor.time.nanoseconds }

  func perform(_ action: Exchange.Action, _ flight: ExchangeInFlight) {
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
        places[other.server].health.overtaken(after: Double(now - min(other.sentAt, now)) / 1_000_000, now: now)
      }
      let roundTrip = attempt.flatMap { $0.measuresRoundTrip ? Double(now - $0.sentAt) / 1_000_000 : nil }
      places[server].health.answered(after: roundTrip, now: now)
      let answer = UpstreamAnswer(message: message, server: places[server].server, serverText: places[server].text)
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
      sending.message, to: places[sending.server].server, deadline: MonotonicTime(nanoseconds: sending.deadline),
      for: attempt
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
  func closeUnheard(_ flight: ExchangeInFlight) {
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

  func received(_ message: Span<UInt8>, _ attempt: Attempt) {
    let (flight, server) = (attempt.flight, attempt.server)
    let (known, answers) = (flight.exchange.wrongAnswers, flight.exchange.answers)
    let refusals = flight.exchange.refusals.count
    let action = flight.exchange.received(message, for: attempt.number, now: time, id: random.uint16())
    if flight.exchange.answers > answers {
      places[server].health.heard(now: time)
      places[server].forgetFaults()
    }
    if flight.exchange.refusals.count > refusals, let refusal = flight.exchange.refusals.last { refused(refusal) }
    let wrong = flight.exchange.wrongAnswers - known
    account(flight)
    perform(action, flight)
    if case .finish = action {} else { closeUnheard(flight) }
    // Behind what the answer led to: it may turn this question to TCP as well.
    if wrong > 0 { mismatched(server, wrong) }
  }

  func failed(_ failure: TransportFailure, _ attempt: Attempt) {
    let flight = attempt.flight
    switch failure {
    case .untrusted(let fault):
      if places[attempt.server].note(fault) { onUntrusted?(text(of: attempt.server), fault) }
    case .http(let fault):
      statistics.refusals += 1
      if places[attempt.server].note(fault) { onHTTPFault?(text(of: attempt.server), fault) }
    case .timeout, .unreachable, .broken: places[attempt.server].forgetFault()
    }
    if failure.isSilence { unanswered(attempt) }
    let action = flight.exchange.failed(failure, attempt: attempt.number, now: time, id: random.uint16())
    close(attempt)
    perform(action, flight)
  }

  private func lapsed(_ sending: Exchange.Sending, _ flight: ExchangeInFlight) {
    if sending.isHedged {
      statistics.hedges += 1
      order.hedged()
    }
    let now = time
    for attempt in flight.attempts where attempt.waitedUntil <= now { unanswered(attempt) }
    perform(flight.exchange.lapsed(sending.attempt, now: time, id: random.uint16()), flight)
  }

  private func unanswered(_ attempt: Attempt) {
    if places[attempt.server].health.unanswered(since: attempt.sentAt) { probe(attempt.server) }
  }

  private func refused(_ refusal: Exchange.Refusal) {
    statistics.refusals += 1
    if places[refusal.server].health.refused(refusal.code, limits) { probe(refusal.server) }
  }

  /// Whatever is in flight to a server whose datagrams are not believed any more goes on by TCP.
  private func mismatched(_ server: Int, _ answers: Int) {
    guard places[server].watch.wrong(answers, now: time, limits) else { return }
    statistics.mismatches += 1
    onMismatch?(text(of: server))
    for flight in flights.values where flight.exchange.waits(for: server) {
      perform(flight.exchange.distrusted(server, now: time, id: random.uint16()), flight)
      closeUnheard(flight)
    }
  }

  private func account(_ flight: ExchangeInFlight) {
    for server in flight.exchange.refusedEDNS {
      places[server].health.refusedEDNS(now: time, limits)
    }
    if let server = flight.exchange.keepingCase { places[server].letters.kept(now: time) }
    for server in flight.exchange.foldingCase { places[server].letters.folded(now: time, limits) }
    for given in flight.exchange.cookies { places[given.server].cookie.given(given.cookie) }
    for server in flight.exchange.withoutCookies { places[server].cookie.missed(now: time, limits) }
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
