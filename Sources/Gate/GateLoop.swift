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
  struct Limits: Equatable {
    /// Those that were accepted and not judged yet, each for 5 s at most: beyond it a server's own oldest gives way.
    var pending = 4_096
    /// Those that pass at a time, two descriptors each.
    var passing = 24_576

    /// Descriptors for what the loop itself needs, and for pipes while octets are under way.
    private static let reserved = 1_024

    init(pending: Int = 4_096, passing: Int = 24_576) {
      self.pending = pending
      self.passing = passing
    }

    /// As many as go with so many descriptors of the process: of few of them a quarter is kept back, and a quarter of what is left
    /// is for those that have said nothing, so that these never take the places of those that pass.
    init(descriptors: Int) {
      self.init()
      let room = descriptors - min(Self.reserved, descriptors / 4)
      pending = max(min(pending, room / 4), 1)
      passing = max(min(passing, (room - pending) / 2), 1)
    }
  }

  /// What serve tells of all is told this one, and none before or after it.
  private static var process: UInt32 { UInt32(bitPattern: getpid()) }
  private static let backlog: Int32 = 4_096
  /// Connections that are accepted before the loop looks at others, while as many wait.
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
  /// By server and address: what stands for an address may stand for each port of it.
  private var byPlace: [GrantElement: Set<UInt64>] = [:]
  /// How many are accepted next: most times one waits, and to ask for another costs as much as to take one.
  private var acceptedNext = 1
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
  typealias Destination = (_ socket: Int32, _ isV6: Bool) -> SocketAddress?

  private let destination: Destination

  /// - Parameters:
  ///   - listeners: `ready` for it.
  ///   - destination: as the firewall that redirected them knows it.
  init(
    socket: Int32, listeners: [Int32], life: Int32, limits: Limits = Limits(descriptors: DescriptorLimit.current),
    clocks: Clocks = .kernel, destination: @escaping Destination = PassingSockets.destination(of:isV6:)
  ) throws(SystemError) {
    self.socket = socket
    self.life = LifeLine(life)
    self.destination = destination
    reactor = try Reactor(clocks: clocks)
    pending = Shares(capacity: limits.pending, leastAge: 0)
    passing = Shares(capacity: limits.passing, leastAge: 0)
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
    say(.hello(process: Self.process))
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
    case .close(let request, let cuts, let holdings):
      var count: UInt32 = 0
      for holding in holdings {
        table.close(holding.element, holding.name)
        if cuts { count += cut(holding.element, holding.name) }
      }
      if cuts { say(.closed(request: request, connections: count)) }
    case .review(let request): review(request)
    case .evict(let elements): for element in elements { table.close(element) }
    case .forget(let server):
      table.forget(server: server)
      hours.forget(server: server)
    case .ready(let process): if process == Self.process { becomeReady() }
    case .recorded(let connection, let isRecorded): connections[connection]?.recorded(isRecorded)
    case .inspect(let connection, let order):
      // Serve is to know of each that it said this of when it has ended.
      guard let passage = connections[connection] else { return say(.ended(connection: connection)) }
      passage.inspect(order)
    case .cut(let connection): connections[connection]?.reset()
    case .hello, .received, .closed, .passing, .judged, .volumes, .inspected, .ended: break
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
    for _ in 0..<acceptedNext {
      do throws(SystemError) {
        guard let accepted = try PassingSockets.accept(listener) else {
          acceptedNext = 1
          return
        }
        begin(accepted)
      } catch {
        // No descriptor is left: those that pass end some time.
        return rest(listener)
      }
    }
    acceptedNext = min(acceptedNext * 2, Self.acceptedAtOnce)
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
    guard let destination = destination(accepted.socket.raw, accepted.client.isV6),
      let server = table.server(of: client)
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
    byPlace[element.place, default: []].insert(lastConnection)
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
    if passage.dialogue != nil { say(.ended(connection: passage.id)) }
    byPlace[passage.element.place]?.remove(passage.id)
    if byPlace[passage.element.place]?.isEmpty ?? false { byPlace[passage.element.place] = nil }
    stopIfDone()
  }

  /// Ends the connections that pass at an element by a name and by no other; how many those were.
  private func cut(_ element: GrantElement, _ name: Name) -> UInt32 {
    var count: UInt32 = 0
    for id in byPlace[element.place] ?? [] {
      guard let passage = connections[id], element.includes(passage.element), passage.loses(name) else { continue }
      passage.reset()
      count += 1
    }
    return count
  }

  /// Tells by which names connections pass.
  private func review(_ request: UInt32) {
    let holders = Set(
      connections.values.flatMap { passage in
        passage.names.map { GateHolder(element: passage.element, name: $0) }
      })
    let parts = holders.isEmpty ? [[]] : GateMessage.parts(Array(holders), GateMessage.maximumHoldings)
    for (index, part) in parts.enumerated() {
      say(.passing(request: request, isLast: index == parts.count - 1, part))
    }
  }

  // MARK: - Octets

  func takePipe() -> PassingPipe? { pipes.take() }
  func give(_ pipe: consuming PassingPipe) { pipes.give(pipe) }

  func count(_ octets: Int, to element: GrantElement) { volumes[element, default: 0] += UInt64(octets) }

  private func tellVolumes() {
    _ = reactor.schedule(at: reactor.now.adding(milliseconds: Self.volumeRhythm)) { [unowned self] in
      let told = volumes.map { ElementVolume(element: $0.key, octets: $0.value, packets: 0) }
      volumes = [:]
      for part in GateMessage.parts(told, GateMessage.maximumElements) { say(.volumes(part)) }
      table.sweep(now: reactor.now.nanoseconds)
      hours.sweep(now: reactor.now.nanoseconds)
      if isServed { tellVolumes() }
    }
  }
}

extension GrantElement {
  /// Whether another one is the same, or of its ports.
  fileprivate func includes(_ other: GrantElement) -> Bool { self == other || self == other.place }
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
