import DNSWire
import LinuxIO

/// Questions of our own, by which upstreams are judged: names that no client has a say in.
extension UpstreamPool {
  /// Asks an upstream for the name servers of the root (RFC 8109), or for the start of the zone that it is asked for, which
  /// no client has a say in. Whatever it answers, it lives.
  func probe(_ server: Int) {
    let zone = places[server].zone
    let question = Question(probing: server, name: zone ?? .root, type: zone == nil ? .NS : .SOA)
    let (candidate, now) = (places[server].candidate(server, limits, now: time), time)
    probe(candidate, by: question) { [self] in probed(server, since: now, $1) }
  }

  /// Asks an upstream a question of our own, unless it is on its way.
  private func probe(
    _ candidate: Exchange.Candidate, by question: Question,
    _ completion: @escaping (ExchangeInFlight, Result<UpstreamAnswer, UpstreamFailure>) -> Void
  ) {
    guard flights[question] == nil else { return }
    statistics.probes += 1
    let flight = ExchangeInFlight(self, question, [candidate], time)
    flight.completions = [(0, { [unowned flight] in completion(flight, $0) })]
    start(flight)
  }

  /// Asks an upstream twice for a name of ours, in upper case and then in lower case. Whatever it answers to the first, it
  /// does not keep silent to letters.
  private func probeLetters(of server: Int) {
    let name = places[server].zone ?? Self.letteredName
    guard places[server].server.scheme == .udp, UpstreamQuery.spelled(name.wire, by: .max) != name.wire else { return }
    let question = Question(probing: server, name: name, type: .SOA, isSpelled: true)
    var candidate = places[server].candidate(server, limits, now: time)
    candidate.keepsCase = true
    probe(candidate, by: question) { [self] flight, _ in probedLetters(of: server, flight) }
  }

  /// A zone of the root that is there for the network's own sake (RFC 3172): `arpa`.
  private static let letteredName = Name(canonical: ([4, 0x61, 0x72, 0x70, 0x61, 0] as [UInt8]).span)

  private func probedLetters(of server: Int, _ flight: ExchangeInFlight) {
    guard places.used.contains(server), flight.exchange.isSilentToLetters else { return }
    guard places[server].letters.silent(now: time, limits) else { return probeLetters(of: server) }
    // Before that is over it is looked at again, lest a client's question find out.
    let next = reactor.time.adding(milliseconds: limits.withoutProof / 10 * 9)
    _ = reactor.schedule(at: next) { [weak self] in
      guard let self, places.used.contains(server), !places[server].letters.keepsCase(now: time) else { return }
      probeLetters(of: server)
    }
    for other in flights.values where other.exchange.waits(for: server) {
      perform(other.exchange.folds(server, now: time, id: random.uint16()), other)
      closeUnheard(other)
    }
  }

  private func probed(_ server: Int, since start: UInt64, _ result: Result<UpstreamAnswer, UpstreamFailure>) {
    if case .failure(.refused) = result {
      places[server].health.refusedProbe(now: time, limits)
      if places[server].health.isRefusing { probe(server, at: time + limits.unhealthy * 1_000_000) }
    }
    guard !places[server].health.wasHeard(since: start) else {
      if places[server].letters.isDoubted(since: start, now: time, limits) { probeLetters(of: server) }
      return
    }
    probe(server, at: places[server].health.failed(now: time, limits))
  }

  /// Asks an upstream a question of our own later, and then alone, if it still refuses or does not answer.
  private func probe(_ server: Int, at next: UInt64) {
    if let timer = nextProbes[server] { reactor.cancel(timer) }
    nextProbes[server] = reactor.schedule(at: MonotonicTime(nanoseconds: next)) { [weak self] in
      guard let self else { return }
      nextProbes[server] = nil
      guard places.used.contains(server) else { return }
      if places[server].health.isRefusing || !places[server].health.isHealthy { probe(server) }
    }
  }
}
