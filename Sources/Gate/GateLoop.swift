import DNSWire
import FirewallModel
import GateModel
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import Sharing

/// One loop over the sockets that listen, serve's socket, and both ends of every connection.
final class GateLoop {
  /// How many connections it holds.
  struct Limits {
    /// Those that were accepted and not judged yet, each for 5 s at most: beyond it a server's own oldest gives way.
    var pending = 4_096
    /// Those that pass at a time, two descriptors each; where the process may have fewer, so many fewer.
    var passing = 24_576
  }

  /// What the loop itself needs, and pipes while octets are under way.
  private static let reservedDescriptors = 1_024
  private static let backlog: Int32 = 4_096
  /// Connections that are accepted before the loop looks at others.
  private static let acceptedAtOnce = 64
  /// What serve has not taken yet; beyond it nothing is accepted.
  private static let maximumOutgoing = 8_192
  /// Milliseconds until it is accepted again where no descriptor was left, or serve does not listen.
  private static let pause: UInt64 = 100
  private static let volumeRhythm: UInt64 = 10_000
  /// Pipes that are kept for the next octets; more are made, and closed again.
  private static let keptPipes = 64

  let reactor: Reactor
  var table = GateTable()
  /// What went to elements with a cap of an hour.
  var hours = HourTotals()
  private let socket: Int32
  private let listeners: [Int32]
  private let life: LifeLine
  private var buffer = [UInt8](repeating: 0, count: GateMessage.maximumOctets)
  private var outgoing = MessageOutbox()
  /// Until serve has told all that is known, connections wait to be accepted.
  private var isReady = false
  private(set) var isServed = true
  private var networks: [(prefix: IPPrefix, server: UInt16)] = []
  private var connections: [UInt64: GatePassage] = [:]
  private var byElement: [GrantElement: Set<UInt64>] = [:]
  private var lastConnection: UInt64 = 0
  private var pending: Shares<UInt16>
  private var passing: Shares<UInt16>
  private var pendingOwners: [Shares<UInt16>.Slot: UInt64] = [:]
  private var passingOwners: [Shares<UInt16>.Slot: UInt64] = [:]
  /// Octets that are copied on their way, for the time of one call.
  var portion = [UInt8](repeating: 0, count: 16 << 10)
  private var pipes = PipePool(limit: GateLoop.keptPipes)
  private var volumes: [GrantElement: UInt64] = [:]

  /// Where a connection was going that was accepted; nil where that is not known.
  typealias Destination = (Int32) -> SocketAddress?

  private let destination: Destination

  /// - Parameters:
  ///   - listeners: `ready` for it.
  ///   - destination: as the firewall that redirected them knows it.
  init(
    socket: Int32, listeners: [Int32], life: Int32, limits: Limits = Limits(), clocks: Clocks = .kernel,
    destination: @escaping Destination = PassingSockets.destination(of:)
  ) throws(SystemError) {
    self.socket = socket
    self.life = LifeLine(life)
    self.destination = destination
    reactor = try Reactor(clocks: clocks)
    let room = (DescriptorLimit.current - Self.reservedDescriptors) / 2
    pending = Shares(capacity: limits.pending, leastAge: 0)
    passing = Shares(capacity: max(min(limits.passing, room), 1), leastAge: 0)
    self.listeners = listeners
  }

  /// Those of the descriptors that can be accepted from, made ready for it: the gate's own sandbox lets nothing listen.
  static func ready(_ descriptors: [Int32]) throws(SystemError) -> [Int32] {
    var listeners: [Int32] = []
    for descriptor in descriptors {
      // What stands for no socket is none.
      do throws(SystemError) {
        try PassingSockets.listen(descriptor, backlog: backlog)
        listeners.append(descriptor)
      } catch  where error.errno == ENOTSOCK {}
    }
    return listeners
  }

  /// Returns when serve is gone and no connection is left.
  func run() throws(SystemError) {
    try begin()
    reactor.run()
  }

  /// Greets serve, and hears what it says.
  func begin() throws(SystemError) {
    try reactor.register(socket, readable: true, writable: false) { [unowned self] _ in
      perform(outgoing.sendWaiting(to: socket))
      takeMessages()
    }
    try reactor.register(life.descriptor, readable: true, writable: false) { [unowned self] _ in
      // Without a keeper it goes on: serve sees its end.
      if !life.answer() { reactor.unregister(life.descriptor) }
    }
    say(.hello(process: UInt32(bitPattern: getpid())))
    tellVolumes()
  }

  // MARK: - Serve

  private func takeMessages() {
    while isServed {
      switch MessageSocket.receive(socket, into: &buffer) {
      case .nothing: return
      case .closed: serveIsGone()
      case .octets(let octets):
        // Both ends are one executable and have one codec.
        do throws(BridgeFormatError) {
          take(try GateMessage(decoding: octets))
        } catch {
          StandardError.write("sluice gate: a message of serve cannot be read (\(error)): \(octets.count) octets")
        }
      }
    }
  }

  private func take(_ message: GateMessage) {
    switch message {
    case .networks(let isFirst, let isLast, let part):
      if isFirst { networks = [] }
      networks += part.map { ($0.prefix, $0.server) }
      if isLast { table.use(networks) }
    case .open(let request, let holdings):
      for holding in holdings { table.open(holding) }
      say(.received(request: request))
    case .close(let cuts, let holdings):
      for holding in holdings {
        table.close(holding.element, holding.name)
        if cuts { cut(holding.element, holding.name) }
      }
    case .evict(let elements): for element in elements { table.close(element) }
    case .forget(let server):
      table.forget(server: server)
      hours.forget(server: server)
    case .ready: becomeReady()
    case .recorded(let connection, let isRecorded): connections[connection]?.recorded(isRecorded)
    case .hello, .received, .judged, .volumes: break
    }
  }

  /// Connections that pass go on to their own end; no other comes.
  private func serveIsGone() {
    isServed = false
    reactor.unregister(socket)
    for listener in listeners {
      reactor.unregister(listener)
      close(listener)
    }
    for passage in connections.values {
      if passage.isPassing { passage.serveIsGone() } else { passage.reset() }
    }
    stopIfDone()
  }

  private func stopIfDone() {
    if !isServed && connections.isEmpty { reactor.stop() }
  }

  func say(_ message: GateMessage) {
    guard isServed else { return }
    perform(outgoing.send(message.encoded(), to: socket))
  }

  /// That serve is gone is heard where its messages are read.
  private func perform(_ outcome: MessageOutbox.Outcome) {
    if case .awaitsRoom(let awaits) = outcome { reactor.modify(socket, readable: true, writable: awaits) }
  }

  // MARK: - Connections

  private func becomeReady() {
    guard !isReady else { return }
    isReady = true
    do throws(SystemError) {
      for listener in listeners {
        try reactor.register(listener, readable: true, writable: false) { [unowned self] _ in accept(listener) }
      }
    } catch {
      // Its keeper starts another one.
      StandardError.write("sluice gate: \(error)")
      reactor.stop()
    }
  }

  private func accept(_ listener: Int32) {
    guard outgoing.count < Self.maximumOutgoing else { return rest(listener) }
    for _ in 0..<Self.acceptedAtOnce {
      do throws(SystemError) {
        guard let accepted = try PassingSockets.accept(listener) else { return }
        begin(accepted)
      } catch {
        // No descriptor is left: those that pass end some time.
        return rest(listener)
      }
    }
  }

  private func rest(_ listener: Int32) {
    reactor.modify(listener, readable: false, writable: false)
    _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.pause)) { [unowned self] in
      if isServed { reactor.modify(listener, readable: true, writable: false) }
    }
  }

  private func begin(_ accepted: consuming PassingSockets.Accepted) {
    let client = IPAddress(accepted.client)
    // What the firewall did not send here, and what is not of any server, is closed with a reset.
    PassingSockets.resetsAtClose(accepted.socket.raw, true)
    guard let destination = destination(accepted.socket.raw), let server = table.server(of: client)
    else { return }
    let element = GrantElement(
      server: server, address: IPAddress(destination), transport: 6, port: destination.port)
    guard makeRoom(for: server) else {
      let refused = GatedConnection(
        verdict: .crowded, element: element, client: client, clientPort: accepted.client.port, said: "", length: 0,
        time: WallClock.nanoseconds())
      return say(.judged(connection: 0, refused))
    }
    lastConnection += 1
    let slot = pending.enter(server, now: reactor.now.nanoseconds)
    pendingOwners[slot] = lastConnection
    let passage = GatePassage(
      id: lastConnection, accepted: accepted, element: element, pending: slot, gate: self)
    connections[lastConnection] = passage
    byElement[element, default: []].insert(lastConnection)
    passage.begin()
  }

  /// Whether a server may have one more that is not judged: its own oldest gives way to it, or another's that has more.
  private func makeRoom(for server: UInt16) -> Bool {
    while true {
      switch pending.admission(of: server, now: reactor.now.nanoseconds) {
      case .free: return true
      case .refused: return false
      case .displacing(let slot):
        guard let id = pendingOwners[slot], let passage = connections[id] else { return false }
        passage.giveWay()
      }
    }
  }

  /// A connection is judged: it counts among those that pass, or nil where its server has its share of them. Where another one has
  /// more than that, the oldest of that one's gives way (P8).
  func enterPassing(_ passage: GatePassage) -> Shares<UInt16>.Slot? {
    leavePending(passage)
    let server = passage.element.server
    while true {
      switch passing.admission(of: server, now: reactor.now.nanoseconds) {
      case .free:
        let slot = passing.enter(server, now: reactor.now.nanoseconds)
        passingOwners[slot] = passage.id
        return slot
      case .refused: return nil
      case .displacing(let slot):
        guard let id = passingOwners[slot], let other = connections[id], other.element.server != server else {
          return nil
        }
        other.giveWay()
      }
    }
  }

  func leavePending(_ passage: GatePassage) {
    pending.leave(passage.pending)
    pendingOwners[passage.pending] = nil
  }

  /// It has ended.
  func leave(_ passage: GatePassage) {
    leavePending(passage)
    if let slot = passage.passing {
      passing.leave(slot)
      passingOwners[slot] = nil
    }
    connections[passage.id] = nil
    byElement[passage.element]?.remove(passage.id)
    if byElement[passage.element]?.isEmpty ?? false { byElement[passage.element] = nil }
    stopIfDone()
  }

  /// Ends the connections that said a name at an element, and those that pass there unread where none may any more.
  private func cut(_ element: GrantElement, _ name: Name) {
    let passesUnread = table.isOpen(element, now: reactor.now.nanoseconds)
    for id in byElement[element] ?? [] {
      guard let passage = connections[id] else { continue }
      if passage.name == name || !passesUnread && passage.isUnread { passage.reset() }
    }
  }

  // MARK: - Octets

  func takePipe() -> PassingPipe? { pipes.take() }
  func give(_ pipe: consuming PassingPipe) { pipes.give(pipe) }

  func count(_ octets: Int, to element: GrantElement) { volumes[element, default: 0] += UInt64(octets) }

  private func tellVolumes() {
    _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.volumeRhythm)) { [unowned self] in
      var rest = volumes.map { ElementVolume(element: $0.key, octets: $0.value, packets: 0) }[...]
      volumes = [:]
      while !rest.isEmpty {
        say(.volumes(Array(rest.prefix(GateMessage.maximumElements))))
        rest = rest.dropFirst(GateMessage.maximumElements)
      }
      table.sweep(now: reactor.now.nanoseconds)
      hours.sweep(now: reactor.now.nanoseconds)
      if isServed { tellVolumes() }
    }
  }
}

/// Pipes for octets that are under way; some are kept for the next.
struct PipePool: ~Copyable {
  private let limit: Int
  private var kept: PipeStack?
  private var count = 0

  init(limit: Int) { self.limit = limit }

  /// Nil where the kernel gives none.
  mutating func take() -> PassingPipe? {
    guard let top = kept.take() else {
      do throws(SystemError) {
        return try PassingPipe()
      } catch {
        return nil
      }
    }
    count -= 1
    kept = top.next.take()
    return top.pipe.take()
  }

  /// One with octets in it is closed.
  mutating func give(_ pipe: consuming PassingPipe) {
    guard count < limit, pipe.held == 0 else { return }
    count += 1
    kept = PipeStack(pipe, next: kept.take())
  }
}

/// A pipe, and those below it.
final class PipeStack {
  var pipe: PassingPipe?
  var next: PipeStack?

  init(_ pipe: consuming PassingPipe, next: PipeStack?) {
    self.pipe = consume pipe
    self.next = next
  }
}

extension IPAddress {
  init(_ address: SocketAddress) {
    self =
      address.isV6
      ? IPAddress(high: address.high, low: address.low) : IPAddress(v4: UInt32(truncatingIfNeeded: address.low))
  }

  func socketAddress(port: UInt16) -> SocketAddress {
    SocketAddress(isV6: family == .v6, high: high, low: low, port: port)
  }
}
