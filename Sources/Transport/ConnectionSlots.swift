import NIOCore
import Sharing
import Synchronization

/// The slots of TCP connections, shared out among servers.
///
/// Where all are taken, the connection of the server with most of them that was used last the longest ago is closed for a
/// server that has fewer. A server at its own bound gets another slot for one that it has not used for longer than any
/// question takes (RFC 7766 section 6.2.3: a server may close at any time, and clients ask again).
final class ConnectionSlots: Sendable {
  /// A server by the firewall's index; nil for all unknown clients together.
  typealias Owner = UInt16?
  typealias Slot = Shares<Owner>.Slot

  private struct State {
    var shares: Shares<Owner>
    var closings: [Slot: @Sendable () -> Void] = [:]
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

  /// Takes a slot for a connection; nil when there is none for it.
  ///
  /// - Parameters:
  ///   - now: nanoseconds of the monotonic clock.
  ///   - closing: closes the connection when its slot is needed; called from any thread.
  func enter(_ owner: Owner, now: UInt64, closing: @escaping @Sendable () -> Void) -> Slot? {
    let limit = owner == nil ? limits.connectionsOfUnknown : limits.connectionsPerServer
    let (slot, closings) = state.withLock { state -> (Slot?, [@Sendable () -> Void]) in
      var closings: [@Sendable () -> Void] = []
      while true {
        switch state.shares.admission(of: owner, limit: limit, now: now) {
        case .free:
          let slot = state.shares.enter(owner, now: now)
          state.closings[slot] = closing
          return (slot, closings)
        case .refused: return (nil, closings)
        case .displacing(let slot):
          state.shares.leave(slot)
          if let closing = state.closings.removeValue(forKey: slot) { closings.append(closing) }
        }
      }
    }
    for closing in closings { closing() }
    return slot
  }

  /// A connection asked or was answered.
  func use(_ slot: Slot, now: UInt64) {
    state.withLock { $0.shares.use(slot, now: now) }
  }

  func leave(_ slot: Slot) {
    state.withLock { state in
      state.shares.leave(slot)
      state.closings[slot] = nil
    }
  }
}
