import AuditLog
import Glibc
import IPNetwork
package import LinuxIO
package import Resolver
import Synchronization

/// One thread that answers UDP: receive a batch, run the query path on each datagram, send the batch.
///
/// With one socket it sleeps in `recvmmsg`, with several in `poll`. Everything that it needs for a hit or a denial is
/// its own, but for the caches of the servers and the memory of its audit ring.
package final class DatagramWorker: Sendable {
  /// The listen sockets of one worker, shared with the answers that come later.
  final class SocketSet: HeldReplies, Sendable {
    let descriptors: [Int32]
    /// By descriptor.
    let areV6: [Bool]
    /// How many of them, the first ones, another process has as well: what is shut down here is shut down there.
    let passed: Int
    /// Asked for where some are passed.
    let wake: WakeCall?
    private let held = Mutex(DatagramOutbox())

    init(_ descriptors: [Int32], areV6: [Bool], passed: Int = 0, wake: WakeCall? = nil) {
      self.descriptors = descriptors
      self.areV6 = areV6
      self.passed = passed
      self.wake = wake
    }

    /// Wakes a thread that sleeps in recvmmsg or poll. Sending goes on: answers that are on their way still leave.
    func wakeReader() {
      for descriptor in descriptors.dropFirst(passed) { _ = shutdown(descriptor, Int32(SHUT_RD)) }
      wake?.call()
    }

    /// Keeps a reply until `send`.
    func hold(_ message: [UInt8], to address: DatagramReturn, on socket: Int32) {
      held.withLock { $0.add(message, to: address, on: socket) }
    }

    func send() { held.withLock { $0.send() } }

    deinit {
      send()
      for descriptor in descriptors {
        close(descriptor)
      }
    }
  }

  private let thread: QueryThread
  private let sockets: SocketSet
  private let gate: FloodGate
  package let servesFloods: Bool
  /// Whether the sockets told of interfaces from the start: because they were asked to, or because they have to know
  /// from which address to answer. A passed one may hold datagrams from before it was asked.
  private let tellsInterface: Bool
  private let tellsAlways: Bool
  private let isStopping = Atomic<Bool>(false)

  /// Takes over what was passed and binds every other address; with SO_REUSEPORT, so that each worker has sockets of its
  /// own.
  ///
  /// - Parameters:
  ///   - passed: sockets that are bound already; their descriptors stay the caller's.
  ///   - thread: what the thread that runs it answers with.
  ///   - gate: shared by all workers of these addresses; opened by the one that serves floods.
  ///   - servesFloods: true for the last of them, which answers those whom the gate keeps from the others.
  package init(
    addresses: [SocketAddress], passed: [PassedDatagramSocket] = [], thread: QueryThread, gate: FloodGate,
    servesFloods: Bool = false
  ) throws(SystemError) {
    var descriptors: [Int32] = []
    let asksInterface = thread.shared.current.load().asksInterface
    let bound = addresses.filter { address in !passed.contains { $0.address == address } }
    var knows = true
    let wake: WakeCall?
    do throws(SystemError) {
      for socket in passed {
        descriptors.append(try Sockets.duplicate(socket.descriptor).release())
        let told = try Sockets.prepareUDP(socket.descriptor, tellsInterface: asksInterface)
        knows = knows && told
      }
      for address in bound {
        descriptors.append(try Sockets.listenUDP(address, tellsInterface: asksInterface).release())
      }
      wake = passed.isEmpty ? nil : try WakeCall()
    } catch {
      for descriptor in descriptors { close(descriptor) }
      throw error
    }
    tellsInterface = asksInterface && knows
    tellsAlways = addresses.allSatisfy(\.isUnspecified) && knows
    self.thread = thread
    sockets = SocketSet(
      descriptors, areV6: (passed.map(\.address) + bound).map(\.isV6), passed: passed.count, wake: wake)
    self.gate = gate
    self.servesFloods = servesFloods
    if servesFloods { try gate.begin() } else { gate.add(sockets) }
  }

  /// Answers until `stop`; runs on the caller's thread.
  package func run() {
    var batch = DatagramBatch()
    var session = QuerySession(thread)
    session.interfaceMayBeUntold = !tellsInterface && !tellsAlways
    if session.asksInterface, session.interfaceMayBeUntold { learnInterfaces(&batch, &session) }
    var ready = ReadySockets(sockets.descriptors + [sockets.wake].compactMap { $0?.descriptor })
    var watch = FloodWatch()
    var lastFlood: UInt64 = 0
    while let socket = ready.next(), !isStopping.load(ordering: .relaxed) {
      let count = receive(&batch, socket, block: ready.blocks)
      guard count > 0 else {
        ready.drained(socket)
        continue
      }
      serve(count, socket, &batch, &session)
      if session.asksInterface, session.interfaceMayBeUntold {
        learnInterfaces(&batch, &session)
      } else if servesFloods {
        isOver(count, &lastFlood)
      } else if let offender = watch.observe(
        count, of: DatagramBatch.capacity, on: socket, session.snapshot, { batch.source($0) })
      {
        gate.isolate(offender)
      }
    }
  }

  /// How many datagrams came; none where nothing waits (EAGAIN) or a signal came (EINTR): the next poll tells what comes.
  private func receive(_ batch: inout DatagramBatch, _ socket: Int32, block: Bool) -> Int {
    (try? batch.receive(socket, block: block)) ?? 0
  }

  /// Opens the gate when those behind it have kept quiet for a while; only a datagram of theirs asks for it.
  private func isOver(_ count: Int, _ lastFlood: inout UInt64) {
    let now = MonotonicTime.now().nanoseconds
    if count >= FloodGate.quietBatch || lastFlood == 0 { lastFlood = now }
    guard now - lastFlood >= FloodGate.quietNanoseconds else { return }
    lastFlood = 0
    gate.open()
  }

  /// Makes the sockets tell of interfaces, and answers what waits without knowing.
  private func learnInterfaces(_ batch: inout DatagramBatch, _ session: inout QuerySession) {
    defer { session.interfaceMayBeUntold = false }
    for socket in sockets.descriptors {
      do throws(SystemError) {
        try Sockets.tellInterface(socket)
      } catch {
        StandardError.write(
          "sluice: warning: by which interface queries come is not told (\(error)): servers with `interface` get no answer"
        )
      }
      // More than this came afterwards.
      for _ in 0..<Self.batchesOfQueue {
        let count = receive(&batch, socket, block: false)
        guard count > 0 else { break }
        serve(count, socket, &batch, &session)
      }
    }
  }

  /// About what fits the receive queue of a socket.
  private static let batchesOfQueue = 128

  /// Ends `run` after the batch in hand.
  package func stop() {
    isStopping.store(true, ordering: .relaxed)
    sockets.wakeReader()
  }

  /// Datagrams for which it is worth while to look ahead.
  private static let leastPrefetched = 4

  private func serve(
    _ count: Int, _ socket: Int32, _ batch: inout DatagramBatch, _ session: inout QuerySession
  ) {
    session.begin()
    for index in 0..<count {
      batch.look(index) { message, peer in
        session.screen(index, message, from: IPAddress(peer.address))
      }
    }
    if count >= Self.leastPrefetched { session.prefetch(count) }
    for index in 0..<count {
      var pending: PendingQuery?
      var isRead = false
      _ = batch.answer(index) { message, peer, reply in
        isRead = true
        let source = QuerySource(
          client: IPAddress(peer.address), port: peer.address.port, transport: .udp, interface: peer.interface)
        switch session.answer(index, message, from: source, into: &reply) {
        case .reply: return true
        case .drop: return false
        case .pending(let question):
          pending = question
          return false
        }
      }
      if !isRead {
        let peer = batch.peer(index)
        let source = QuerySource(
          client: IPAddress(peer.address), port: peer.address.port, transport: .udp, interface: peer.interface)
        session.countOversized(from: source)
      }
      if let pending, let address = batch.returnAddress(index) {
        thread.shared.sink(pending, DatagramReplyPath(address: address, sockets: sockets, socket: socket))
      }
    }
    session.end()
    batch.send(socket)
  }
}

/// A UDP socket that another process bound to a listen address.
package struct PassedDatagramSocket: Sendable {
  package var address: SocketAddress
  package var descriptor: Int32

  package init(address: SocketAddress, descriptor: Int32) {
    self.address = address
    self.descriptor = descriptor
  }
}

/// Which socket to read next. A single one is read at once, blocking. Of several, those with something to read take turns,
/// and now and then all are looked at, so that one which never runs empty does not make the others wait.
struct ReadySockets {
  /// Batches between two looks while there is always something to read.
  private static let turnsBetweenLooks = 8

  private var polled: [pollfd]
  private var waiting: [Int32] = []
  private var turns = 0

  /// Whether reading may sleep.
  let blocks: Bool

  init(_ descriptors: [Int32]) {
    polled = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    blocks = descriptors.count == 1
  }

  /// Nil when there is no socket at all.
  mutating func next() -> Int32? {
    if blocks { return polled.first?.fd }
    turns += 1
    if waiting.isEmpty || turns >= Self.turnsBetweenLooks {
      look(sleeping: waiting.isEmpty)
    } else {
      // The one that was read last is read last again.
      waiting.insert(waiting.removeLast(), at: 0)
    }
    return waiting.last ?? polled.first?.fd
  }

  private mutating func look(sleeping: Bool) {
    turns = 0
    let last = waiting.last
    guard !polled.isEmpty, unsafe poll(&polled, nfds_t(polled.count), sleeping ? -1 : 0) > 0 else { return }
    waiting.removeAll(keepingCapacity: true)
    for entry in polled where entry.revents != 0 {
      if entry.fd == last { waiting.insert(entry.fd, at: 0) } else { waiting.append(entry.fd) }
    }
  }

  /// The socket had nothing more.
  mutating func drained(_ socket: Int32) {
    if waiting.last == socket { waiting.removeLast() }
  }
}

/// The way back to one datagram's sender.
struct DatagramReplyPath: ReplyPath {
  let address: DatagramReturn
  let sockets: DatagramWorker.SocketSet
  let socket: Int32

  func send(_ message: [UInt8]) {
    address.send(message, on: socket)
  }

  func hold(_ message: [UInt8]) -> (any HeldReplies)? {
    sockets.hold(message, to: address, on: socket)
    return sockets
  }
}

extension DatagramBatch {
  fileprivate func source(_ index: Int) -> IPAddress {
    IPAddress(peer(index).address)
  }
}

extension IPAddress {
  /// An IPv4-mapped address as its IPv4 form: policy knows only that.
  init(_ address: SocketAddress) {
    self =
      address.isV6
      ? IPAddress(high: address.high, low: address.low).unmapped
      : IPAddress(v4: UInt32(truncatingIfNeeded: address.low))
  }
}
