import LinuxIO
import TLS

/// The connections to one server: one that takes messages, and those that only wait for answers.
///
/// Connects when a message is there to be sent; by TLS again only after a while where that came to nothing (see `Reconnection`). In
/// the clear each message may try, since it turned to TCP for want of anything else and a connection costs little.
/// A message that was sent by TLS on a connection that ends is not sent again here: its caller decides. In the clear it goes
/// once more by another one if this one had brought answers: servers end those that have nothing to do, and what is sent
/// meanwhile is lost (RFC 7766 section 6.2.4).
final class SharedLine {
  /// Milliseconds for which messages wait until the server may be connected to again; where it is longer they fail.
  static let patience: UInt64 = 1_000

  let reactor: Reactor
  let server: UpstreamServer
  /// What the next connection believes; nil in the clear.
  private(set) var client: TLSClient?
  /// For reading, one for all connections: none of them keeps what is in it.
  var buffer = [UInt8](repeating: 0, count: 16_384)
  private var random = SecureRandom()
  /// The connection that takes messages, or will.
  private var current: SharedConnection?
  private var waiting: [SharedCall] = []
  private var reconnection = Reconnection()
  private var lastFailure = TransportFailure.unreachable
  private var timer: TimerID?

  init(_ reactor: Reactor, _ server: UpstreamServer, _ client: TLSClient? = nil) {
    (self.reactor, self.server, self.client) = (reactor, server, client)
  }

  func send(_ call: SharedCall) {
    if let current, current.isOpen, current.isSpent { retire() }
    if let current, current.takesMore { return current.send(call, &random) }
    waiting.append(call)
    if current == nil { connect() }
  }

  /// A call that waits is waited for no more.
  func forget(_ call: SharedCall) {
    waiting.removeAll { $0 === call }
  }

  /// Connections that are made from now on believe another.
  func renew(_ client: TLSClient) {
    self.client = client
    reconnection = Reconnection()
    retire()
  }

  /// What is under way on the connection is waited for; nothing else is sent on it.
  func retire() {
    let former = current
    current = nil
    former?.retire()
  }

  private func connect() {
    let earliest = MonotonicTime(nanoseconds: reconnection.earliest)
    let now = reactor.time
    guard earliest > now else {
      current = SharedConnection(self)
      return
    }
    let isSoon = earliest <= now.adding(milliseconds: Self.patience)
    if timer == nil {
      timer = reactor.schedule(at: isSoon ? earliest : now) { [self] in
        timer = nil
        if isSoon { retry() } else { failWaiting() }
      }
    }
  }

  private func retry() {
    if let current { return current.takesMore ? opened(current) : () }
    if !waiting.isEmpty { connect() }
  }

  private func failWaiting() {
    let calls = waiting
    waiting = []
    for call in calls { call.fail(lastFailure) }
  }

  /// What waits is sent, as far as there is room for it.
  func opened(_ connection: SharedConnection) {
    while current === connection, connection.takesMore, !waiting.isEmpty {
      let call = waiting.removeFirst()
      if call.isWaiting { connection.send(call, &random) }
    }
    guard current === connection, connection.isSpent, !waiting.isEmpty else { return }
    retire()
    connect()
  }

  /// The server takes no more messages by this connection, and was not asked to say so.
  func leaving(_ connection: SharedConnection) {
    // One that takes none at all is not connected to again and again.
    if !connection.hasAnswered { reconnection.failed(now: reactor.time.nanoseconds) }
    if current === connection { retire() }
    retry()
  }

  /// - Parameter calls: those that wait for an answer on it.
  func ended(_ connection: SharedConnection, _ cause: SharedConnection.End, _ calls: [SharedCall]) {
    if connection.hasAnswered {
      reconnection.succeeded()
    } else if client != nil, !isIdleEnd(cause, calls) || current === connection && !waiting.isEmpty {
      // It took none of those that wait.
      reconnection.failed(now: reactor.time.nanoseconds)
    }
    if current === connection { current = nil }
    for call in calls {
      guard client == nil, connection.hasAnswered, !call.isRepeated else {
        call.fail(.broken)
        continue
      }
      call.waitAgain()
      waiting.append(call)
    }
    switch cause {
    case .lost: return retry()
    case .timeout: lastFailure = .timeout
    case .unreachable: lastFailure = .unreachable
    case .untrusted(let failure): lastFailure = .untrusted(failure)
    case .faulty(let failure): lastFailure = .http(failure)
    }
    failWaiting()
  }

  /// Whether an open connection ended that had nothing to do.
  private func isIdleEnd(_ cause: SharedConnection.End, _ calls: [SharedCall]) -> Bool {
    if case .lost = cause { calls.isEmpty } else { false }
  }
}

extension [UpstreamServer: SharedLine] {
  /// Keeps lines to these servers alone; calls that are on another one end as they would have.
  mutating func keep(_ servers: Set<UpstreamServer>) {
    for (server, line) in self where !servers.contains(server) {
      line.retire()
      self[server] = nil
    }
  }
}
