import LinuxIO
import TLS

/// The TLS connections to one server: one that takes messages, and those that only wait for answers.
///
/// Connects when a message is there to be sent, and again after a while where that came to nothing (see `Reconnection`).
/// A message that was sent on a connection that ends is not sent again here: its caller decides.
final class SecureLine {
  /// Milliseconds for which messages wait until the server may be connected to again; where it is longer they fail.
  static let patience: UInt64 = 1_000

  let reactor: Reactor
  let server: UpstreamServer
  /// What the next connection believes.
  private(set) var client: TLSClient
  /// For reading, one for all connections: none of them keeps what is in it.
  var buffer = [UInt8](repeating: 0, count: 16_384)
  private var random = SecureRandom()
  /// The connection that takes messages, or will.
  private var current: SecureConnection?
  private var waiting: [SecureCall] = []
  private var reconnection = Reconnection()
  private var lastFailure = TransportFailure.unreachable
  private var timer: TimerID?

  init(_ reactor: Reactor, _ server: UpstreamServer, _ client: TLSClient) {
    (self.reactor, self.server, self.client) = (reactor, server, client)
  }

  func send(_ call: SecureCall) {
    if let current, current.isOpen, !current.takesMore { retire() }
    if let current, current.takesMore { return current.send(call, &random) }
    waiting.append(call)
    if current == nil { connect() }
  }

  /// A call that waits is waited for no more.
  func forget(_ call: SecureCall) {
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
      current = SecureConnection(self)
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
    if current == nil, !waiting.isEmpty { connect() }
  }

  private func failWaiting() {
    let calls = waiting
    waiting = []
    for call in calls { call.fail(lastFailure) }
  }

  /// What waits is sent.
  func opened(_ connection: SecureConnection) {
    let calls = waiting
    waiting = []
    for call in calls where call.isWaiting { send(call) }
  }

  /// - Parameter calls: those that wait for an answer on it.
  func ended(_ connection: SecureConnection, _ cause: SecureConnection.End, _ calls: [SecureCall]) {
    if connection.hasAnswered {
      reconnection.succeeded()
    } else if !isIdleEnd(cause, calls) {
      reconnection.failed(now: reactor.time.nanoseconds)
    }
    if current === connection { current = nil }
    for call in calls { call.fail(.broken) }
    switch cause {
    case .lost: return retry()
    case .timeout: lastFailure = .timeout
    case .unreachable: lastFailure = .unreachable
    case .untrusted(let failure): lastFailure = .untrusted(failure)
    }
    failWaiting()
  }

  /// Whether an open connection ended that had nothing to do.
  private func isIdleEnd(_ cause: SecureConnection.End, _ calls: [SecureCall]) -> Bool {
    if case .lost = cause { calls.isEmpty } else { false }
  }
}
