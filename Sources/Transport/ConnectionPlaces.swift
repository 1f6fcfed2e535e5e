import NIOCore
import Sharing
import Synchronization

/// The places of TCP connections, shared out among servers.
///
/// Where all are taken, the connection of the server with most of them that was used last the longest ago is closed for a
/// server that has fewer. A server at its own bound gets another place for one that it has not used for longer than any
/// question takes (RFC 7766 section 6.2.3: a server may close at any time, and clients ask again).
final class ConnectionPlaces: Sendable {
  /// A server by the firewall's index; nil for all unknown clients together.
  typealias Owner = UInt16?
  typealias Place = Shares<Owner>.Place

  private struct State {
    var shares: Shares<Owner>
    var closings: [Place: @Sendable () -> Void] = [:]
  }

  private let limits: StreamLimits
  private let state: Mutex<State>

  init(limits: StreamLimits) {
    self.limits = limits
    state = Mutex(
      State(
        shares: Shares(
          capacity: limits.connections, leastAge: UInt64(limits.unused.nanoseconds))))
  }

  /// Takes a place for a connection; nil when there is none for it.
  ///
  /// - Parameters:
  ///   - now: nanoseconds of the monotonic clock.
  ///   - closing: closes the connection when its place is needed; called from any thread.
  func enter(_ owner: Owner, now: UInt64, closing: @escaping @Sendable () -> Void) -> Place? {
    let limit = owner == nil ? limits.connectionsOfUnknown : limits.connectionsPerServer
    let (place, closings) = state.withLock { state -> (Place?, [@Sendable () -> Void]) in
      var closings: [@Sendable () -> Void] = []
      while true {
        switch state.shares.admission(of: owner, limit: limit, now: now) {
        case .free:
          let place = state.shares.enter(owner, now: now)
          state.closings[place] = closing
          return (place, closings)
        case .refused: return (nil, closings)
        case .displacing(let place):
          state.shares.leave(place)
          if let closing = state.closings.removeValue(forKey: place) { closings.append(closing) }
        }
      }
    }
    for closing in closings { closing() }
    return place
  }

  /// A connection asked or was answered.
  func use(_ place: Place, now: UInt64) {
    state.withLock { $0.shares.use(place, now: now) }
  }

  func leave(_ place: Place) {
    state.withLock { state in
      state.shares.leave(place)
      state.closings[place] = nil
    }
  }
}
