/// Messages that wait, in their order, until the other end of a message socket has room for them.
package struct MessageOutbox {
  /// What came of sending.
  package enum Outcome: Equatable {
    case unchanged
    /// From now on it matters, or does not any more, whether the socket has room.
    case awaitsRoom(Bool)
    /// The other end is gone.
    case closed
  }

  private var waiting: [[UInt8]] = []

  package init() {}

  /// How many messages wait.
  package var count: Int { waiting.count }
  package var isEmpty: Bool { waiting.isEmpty }

  /// Sends a message, or keeps it behind those that wait.
  package mutating func send(_ message: [UInt8], to descriptor: Int32) -> Outcome {
    guard waiting.isEmpty else {
      waiting.append(message)
      return .unchanged
    }
    switch MessageSocket.send(message, descriptor, waiting: false) {
    case .sent: return .unchanged
    case .closed: return .closed
    case .wouldBlock:
      waiting.append(message)
      return .awaitsRoom(true)
    }
  }

  /// Sends what waits, as far as there is room.
  package mutating func sendWaiting(to descriptor: Int32) -> Outcome {
    guard !waiting.isEmpty else { return .unchanged }
    var sent = 0
    defer { waiting.removeFirst(sent) }
    while sent < waiting.count {
      switch MessageSocket.send(waiting[sent], descriptor, waiting: false) {
      case .sent: sent += 1
      case .wouldBlock: return .unchanged
      case .closed: return .closed
      }
    }
    return .awaitsRoom(false)
  }

  /// Forgets what waits.
  package mutating func removeAll() { waiting = [] }
}
