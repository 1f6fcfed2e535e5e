import DNSWire
import LinuxIO
import Sharing

extension UpstreamPool {
  struct Question: Hashable {
    let name: Name
    let type: RRType
    /// Of the way on which it is asked.
    let way: Int
    /// Whether it is asked with its signatures.
    let isSigned: Bool
    /// The upstream that is probed by it; nil for a client's question.
    let probed: Int?
    /// Whether to find out if it answers letters of chance.
    let isSpelled: Bool
    /// Of name and type: what else is rarely differs.
    private let hash: UInt64

    /// A client's question.
    init(name: Name, type: RRType, way: Int, isSigned: Bool) {
      (self.name, self.type, self.way, self.isSigned) = (name, type, way, isSigned)
      (probed, isSpelled) = (nil, false)
      hash = NameHash.of(NameHash.ofProcess(name.wire.span), type)
    }

    /// One of our own, to an upstream alone.
    init(probing server: Int, name: Name, type: RRType, isSpelled: Bool = false) {
      (self.name, self.type, way, isSigned) = (name, type, 0, false)
      (probed, self.isSpelled) = (server, isSpelled)
      hash = NameHash.of(NameHash.ofProcess(name.wire.span), type)
    }

    func hash(into hasher: inout Hasher) { hasher.combine(hash) }
  }

  final class ExchangeInFlight {
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
  final class Attempt: TransportClient {
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
      let wait = pool.places[sending.server].health.wait(pool.limits) * 1_000_000
      waitedUntil = sending.isHedged ? max(now + wait, sending.lapse) : sending.lapse
    }

    var measuresRoundTrip: Bool { kind.measuresRoundTrip(of: pool.places[server].server) }

    func transmitted() {
      pool.statistics.messages += 1
      if kind != .datagram { sentAt = pool.time }
    }
    func received(_ message: Span<UInt8>) { pool.received(message, self) }
    func failed(_ failure: TransportFailure) { pool.failed(failure, self) }
  }
}
