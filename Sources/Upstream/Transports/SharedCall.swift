import LinuxIO

/// A message that goes to a server by one of the connections that messages share, and the timer of its deadline.
final class SharedCall: TransportCall {
  /// Where a call is.
  enum Place {
    /// It waits for a connection.
    case waiting
    /// Sent, with an id of the connection.
    case sent(SharedConnection, id: UInt32)
    case ended
  }

  /// The caller's, with its own id.
  let message: [UInt8]
  let client: any TransportClient
  private let reactor: Reactor
  private let line: SharedLine
  private var timer: TimerID?
  var place = Place.waiting
  /// When it was handed to a connection.
  private(set) var sentAt = MonotonicTime(nanoseconds: 0)
  /// Whether a connection ended by which it had been sent, and another one may have it.
  private(set) var isRepeated = false

  init(_ message: [UInt8], _ line: SharedLine, deadline: MonotonicTime, for client: any TransportClient) {
    (self.message, self.line, self.client) = (message, line, client)
    reactor = line.reactor
    timer = reactor.schedule(at: deadline) { [self] in
      timer = nil
      expire()
    }
  }

  /// The id that the caller gave it.
  var id: (UInt8, UInt8) { (message[0], message[1]) }

  var isWaiting: Bool { if case .waiting = place { true } else { false } }

  func send(on connection: SharedConnection, id: UInt32) {
    place = .sent(connection, id: id)
    sentAt = reactor.time
  }

  /// The connection by which it was sent has ended.
  func waitAgain() {
    (place, isRepeated) = (.waiting, true)
  }

  func end() {
    if let timer { reactor.cancel(timer) }
    timer = nil
    let former = place
    place = .ended
    switch former {
    case .waiting: line.forget(self)
    case .sent(let connection, let id): connection.abandon(id)
    case .ended: break
    }
  }

  /// Ends the call and says why.
  func fail(_ failure: TransportFailure) {
    end()
    client.failed(failure)
  }

  private func expire() {
    let former = place
    fail(.timeout)
    if case .sent(let connection, _) = former { connection.expired(since: sentAt) }
  }
}
