import NIOCore
import Sharing

/// Which connection of an event loop is served next: a few of its messages for one of each server in turn, and then what
/// the network has to say. However much one server's connections have sent, a neighbour's query waits for some dozens of
/// theirs.
final class StreamTurns {
  /// Messages that a connection may have answered before others have their turn.
  static let messages = 8
  /// Turns before the event loop looks at its sockets.
  private static let turnsAtOnce = 4
  /// An event loop goes on with tasks that are due until none is: only one that is not due yet lets it look at sockets. Where
  /// the machine is slow it takes its time until it looks at what is due, as the turns took theirs.
  private static let shortestPause = TimeAmount.microseconds(20)

  static func pause(after work: TimeAmount) -> TimeAmount { max(shortestPause, .nanoseconds(work.nanoseconds / 8)) }

  private let loop: any EventLoop
  private var waiting = Turns<ConnectionSlots.Owner, StreamHandler>()
  private var isUnderWay = false

  init(loop: any EventLoop) {
    self.loop = loop
  }

  /// A connection has something to be served; it is served now unless others wait.
  func request(_ handler: StreamHandler) {
    waiting.append(handler, of: handler.owner)
    if !isUnderWay { serve() }
  }

  private func serve() {
    isUnderWay = true
    let began = NIODeadline.now()
    for _ in 0..<Self.turnsAtOnce {
      guard let handler = waiting.next() else { break }
      if handler.takeTurn() { waiting.append(handler, of: handler.owner) }
    }
    guard !waiting.isEmpty else {
      isUnderWay = false
      return
    }
    let turns = NIOLoopBound(self, eventLoop: loop)
    _ = loop.scheduleTask(in: Self.pause(after: NIODeadline.now() - began)) { turns.value.serve() }
  }
}
