import Synchronization

/// How many TCP connections are open, altogether and for each client network.
final class ConnectionCounts: Sendable {
  private struct State {
    var total = 0
    var byServer: [Int: Int] = [:]
  }

  private let limits: StreamLimits
  private let state = Mutex(State())

  init(limits: StreamLimits) {
    self.limits = limits
  }

  /// Takes a place for a connection of `server` (nil: nobody's); false when none is left.
  func enter(_ server: Int?) -> Bool {
    let key = server ?? -1
    let cap = server == nil ? limits.connectionsOfUnknown : limits.connectionsPerServer
    return state.withLock { state in
      guard state.total < limits.connections, state.byServer[key, default: 0] < cap else { return false }
      state.total += 1
      state.byServer[key, default: 0] += 1
      return true
    }
  }

  func leave(_ server: Int?) {
    let key = server ?? -1
    state.withLock { state in
      state.total -= 1
      state.byServer[key, default: 1] -= 1
    }
  }
}
