import EgressPolicy
import IPNetwork
import LinuxIO
import Resolver
import Synchronization

/// Keeps a client that asks faster than a worker can answer from delaying the others.
///
/// Datagrams wait in the queue of a socket, so a client that fills the queue makes all others wait. A network that does so gets a
/// queue of its own, which a thread of low priority serves: the kernel steers its datagrams there before they are queued.
/// Whatever overflows then is its own. It goes back to the others when it has kept quiet for a second.
package final class FloodGate: Sendable {
  private struct State {
    var groups: [DatagramWorker.SocketSet] = []
    var networks: [IPPrefix] = []
    var steers = false
  }

  /// Below this many in a batch the flood is over.
  static let quietBatch = 16
  static let quietNanoseconds: UInt64 = 1_000_000_000

  private let workers: Int
  private let state = Mutex(State())

  /// - Parameter workers: how many sockets of each group answer all other clients; they are bound before the flood's.
  package init(workers: Int) {
    self.workers = workers
  }

  /// The sockets of the first worker, one of each group.
  func add(_ sockets: DatagramWorker.SocketSet) {
    state.withLock { state in
      if state.groups.isEmpty { state.groups = [sockets] }
    }
  }

  /// The sockets that take a flood are bound, the last of each group: from now on the kernel shares out as the gate says.
  /// Until then, or without them, it stands open for all clients.
  func begin() throws(SystemError) {
    let groups = state.withLock { state in
      state.steers = true
      return state.groups
    }
    for sockets in groups {
      for socket in sockets.descriptors { try Sockets.steer(socket, [], workers: workers) }
    }
  }

  /// Gives a network a queue of its own.
  func isolate(_ network: IPPrefix) {
    change { networks in
      guard !networks.contains(network) else { return false }
      // The longest known makes room; if it still floods it comes back at once.
      if networks.count == Sockets.steeredNetworks { networks.removeFirst() }
      networks.append(network)
      return true
    }
  }

  /// Lets all clients back.
  func open() {
    change { networks in
      defer { networks.removeAll() }
      return !networks.isEmpty
    }
  }

  private func change(_ body: (inout [IPPrefix]) -> Bool) {
    state.withLock { state in
      let former = state.networks
      guard state.steers, body(&state.networks) else { return }
      do throws(SystemError) {
        try steer(state)
      } catch {
        // No memory for it: what the kernel took is taken back, and the flooding network is tried again.
        state.networks = former
        try? steer(state)
      }
    }
  }

  private func steer(_ state: State) throws(SystemError) {
    for sockets in state.groups {
      for (socket, isV6) in zip(sockets.descriptors, sockets.areV6) {
        let networks = state.networks.filter { ($0.address.family == .v6) == isV6 }.map {
          Sockets.Network(high: $0.address.high, low: $0.address.low, isV6: isV6, length: $0.length)
        }
        try Sockets.steer(socket, networks, workers: workers)
      }
    }
  }
}

/// Finds out, from the batches of one worker, whether one network asks faster than it can be answered.
struct FloodWatch {
  /// Full batches in a row: the queue has not been empty for about two milliseconds.
  private static let fullBatches = 8
  /// Datagrams looked at of a full batch, and how many of them make a network the offender.
  private static let samples = 8
  private static let majority = 4

  /// By socket; those whose last batch was not full are not in it.
  private var full: [Int32: Int] = [:]

  /// The network at fault, if there is one. `source` gives the sender of a datagram of the batch.
  mutating func observe(
    _ count: Int, of capacity: Int, on socket: Int32, _ snapshot: @autoclosure () -> ResolverSnapshot,
    _ source: (Int) -> IPAddress
  ) -> IPPrefix? {
    guard count == capacity else {
      if !full.isEmpty { full[socket] = nil }
      return nil
    }
    full[socket, default: 0] += 1
    guard full[socket, default: 0] >= Self.fullBatches else { return nil }
    full[socket] = nil
    let snapshot = snapshot()
    let sampled = (0..<Self.samples).map { source($0 * capacity / Self.samples) }
    let groups = sampled.map { Group($0, snapshot) }
    let offender = groups.indices.first { index in groups.filter { $0 == groups[index] }.count >= Self.majority }
    return offender.flatMap { Self.network(of: sampled[$0], snapshot) }
  }

  /// What is counted as one: a server, or the unknown clients of one network.
  private enum Group: Equatable {
    case server(Int)
    case unknownClients(IPPrefix?)

    init(_ address: IPAddress, _ snapshot: ResolverSnapshot) {
      if let server = snapshot.server(of: address) {
        self = .server(server)
      } else {
        self = .unknownClients(IPPrefix(address, length: address.family == .v4 ? 24 : 64))
      }
    }
  }

  /// The network of a server, unless others' networks lie inside it: then the address alone. For an unknown client the /24 or
  /// /64 that it can choose addresses from, as far as no server's network meets it.
  private static func network(of address: IPAddress, _ snapshot: ResolverSnapshot) -> IPPrefix? {
    let isV4 = address.family == .v4
    let servers = snapshot.policy.servers
    var network = IPPrefix(address, length: isV4 ? 24 : 64)
    if let server = snapshot.server(of: address) {
      let holding = servers[server].networks.map(\.prefix).filter { $0.contains(address) }
      network = holding.max { $0.length < $1.length } ?? network
    }
    let holdsOthers = servers.contains { server in
      server.networks.contains { other in other.prefix != network && network?.contains(other.prefix.address) ?? false }
    }
    return holdsOthers ? IPPrefix(address, length: isV4 ? 32 : 128) : network
  }
}
