import DNSWire
import EgressPolicy
import GateModel
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import Sharing

/// One connection: judged by what it says first, then passed on as it is.
///
///     hello ──► judged: recorded, and connected to its address ──► the server's answer is looked at ──► passes
///       │          │                                                  └── another hello is asked for ──► judged ──► passes
///       └──────────┴── refused: reset, as where it has to give way to others
///
/// What the client sent behind its first hello stays here until it is known that the server asks for no other.
final class GatePassage {
  /// Milliseconds in which a whole hello has to come.
  private static let patience: UInt64 = 5_000
  /// Milliseconds in which the address has to answer.
  private static let connectPatience: UInt64 = 4_000
  /// Milliseconds in which it has to begin its answer to a hello: until then what the client sent behind that is kept here.
  private static let answerPatience: UInt64 = 30_000
  /// That the host has no more of something: the address is not to blame.
  private static let shortages = [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EAGAIN]
  /// So many of the names are kept by which a connection passes unread; when these are gone, it is looked for others.
  private static let mostOpenNames = 4
  /// Octets of a hello that are taken at a time.
  private static let portion = 4_096
  /// Fillings of a pipe before other connections have their turn.
  private static let rounds = 8

  let id: UInt64
  let element: GrantElement
  let pending: Shares<UInt16>.Slot
  private(set) var passing: Shares<UInt16>.Slot?
  /// The name that it said, once it is judged.
  private(set) var name: Name?
  /// The names by which it passes: the one that it said, or those of which the address alone sufficed.
  private(set) var names: Set<Name> = []
  /// What it said, once it is judged.
  private(set) var said: ClientHello?
  /// What is said with the proxy that it goes through; nil for none.
  var dialogue: InspectorDialogue?
  unowned let gate: GateLoop
  private let clientAddress: SocketAddress
  var stage = Stage.hello

  var isRecorded = false
  var isConnected = false
  private var reader = HandshakeReader(.clientHello)
  private var progress = HandshakeReader.Progress.incomplete
  /// What of the client waits for the server's answer.
  private var withheld: [UInt8] = []
  private var client: GateEnd
  var server: GateEnd?
  var up = GateDirection()
  /// What of it is counted already.
  var counted = 0
  var meter: PassageMeter
  /// Records that have to stand before it sends more.
  var awaitedRecords = 0
  private var down = GateDirection()
  private var timer: TimerID?

  init(
    id: UInt64, accepted: consuming PassingSockets.Accepted, element: GrantElement, pending: Shares<UInt16>.Slot,
    gate: GateLoop
  ) {
    self.id = id
    self.element = element
    self.pending = pending
    self.gate = gate
    clientAddress = accepted.client
    meter = PassageMeter([], at: element)
    client = GateEnd(accepted.release(), gate.reactor, resetsAtClose: true)
  }

  func begin() {
    client.onReady = { [unowned self] in clientReady($0) }
    // What is open to any connection needs no hello, and may wait for the server to speak.
    guard !gate.table.isOpen(element, now: now) else { return beginUnread() }
    // The hello may have come with the connection.
    readHello()
    guard stage == .hello else { return }
    wait(Self.patience) { [unowned self] in refuse(.notTLS) }
    if !client.watch(readable: true, writable: false) { reset() }
  }

  private func beginUnread() {
    names = openNames
    meter = PassageMeter(gate.table.caps(of: nil, at: element, now: now), at: element)
    // Where all is used up not even a connection comes about.
    if isWithin(1) { open(recording: nil) }
  }

  private var openNames: Set<Name> {
    gate.table.openNames(at: element, now: now, atMost: Self.mostOpenNames)
  }

  /// A name stands for its address no more: whether it passes by that and by nothing else.
  func loses(_ name: Name) -> Bool {
    guard names.contains(name), !gate.table.stands(name, for: element, now: now) else { return false }
    names.remove(name)
    // Unread it passes by each name of which the address suffices, those that came later as well.
    if self.name == nil, names.isEmpty { names = openNames }
    return names.isEmpty
  }

  // MARK: - Judging

  private func clientReady(_ events: ReadyEvents) {
    switch stage {
    case .hello: readHello()
    case .secondHello: readSecondHello()
    case .answer, .passes: move(events, of: client)
    case .opening, .inspecting: if events.isClosed { reset() }
    case .ended: break
    }
  }

  private func readHello() {
    guard take() else { return }
    if progress != .incomplete { judge() }
  }

  /// Takes what has come of a hello; false where the connection has ended with it.
  private func take() -> Bool {
    let limit = max(min(Self.portion, reader.room), 1)
    switch PassingSockets.receive(client.socket, into: &gate.portion, limit: limit) {
    case .octets(let count): progress = reader.take(gate.portion[..<count])
    case .wouldWait: break
    case .end:
      // Half a hello is none, and there is no more of it.
      refuse(.notTLS)
      return false
    case .failed:
      reset()
      return false
    }
    return true
  }

  /// What the client says, once it is whole; nil where it is no hello: why makes no difference.
  private func hello(_ progress: HandshakeReader.Progress) -> ClientHello? {
    progress == .complete ? try? ClientHello(reader.message) : nil
  }

  private func judge() {
    guard let hello = hello(progress) else { return refuse(.notTLS) }
    let verdict = gate.table.judge(hello, to: element, now: now)
    guard verdict == .verified else { return refuse(verdict, hello) }
    name = hello.name
    names = Set([hello.name].compactMap(\.self))
    meter = PassageMeter(gate.table.caps(of: name, at: element, now: now), at: element)
    guard isWithin(reader.parts.message.count) else { return }
    withheld = Array(reader.parts.rest)
    up.append(reader.parts.message)
    open(recording: hello)
  }

  func refuse(_ verdict: GateVerdict, _ hello: ClientHello = ClientHello(), status: UInt16 = 0) {
    var told = connection(verdict, hello)
    told.status = status
    gate.say(.judged(connection: id, told))
    reset()
  }

  func connection(_ verdict: GateVerdict, _ hello: ClientHello) -> GatedConnection {
    GatedConnection(
      verdict: verdict, element: element, client: IPAddress(clientAddress), clientPort: clientAddress.port,
      said: hello.text, length: UInt32(clamping: reader.octets.count), time: WallClock.nanoseconds())
  }

  // MARK: - Opening

  /// - Parameter hello: nil where the address alone suffices, of which there is no record here.
  private func open(recording hello: ClientHello?) {
    guard let slot = gate.enterPassing(self) else { return refuse(.crowded, hello ?? ClientHello()) }
    (said, passing) = (hello, slot)
    stage = .opening
    isRecorded = hello == nil
    // Its record is made while it is connected.
    if let hello { gate.say(.judged(connection: id, connection(.verified, hello))) }
    // With the record serve says through which proxy.
    let awaitsOrder = name.map { gate.table.isInspected($0, at: element, now: now) } ?? false
    guard awaitsOrder || connect(to: ownAddress) else { return }
    _ = client.watch(readable: false, writable: false)
    wait(Self.connectPatience) { [unowned self] in connectFailed() }
  }

  private var ownAddress: SocketAddress { element.address.socketAddress(port: element.port) }

  /// Begins the connection to what it goes to; false where it has ended with that.
  @discardableResult
  func connect(to address: SocketAddress, staysHere: Bool = false) -> Bool {
    do throws(SystemError) {
      let socket = try PassingSockets.connect(address, staysHere: staysHere)
      let end = GateEnd(socket.release(), gate.reactor, resetsAtClose: false)
      end.onReady = { [unowned self] in serverReady($0) }
      server = end
      guard !end.watch(readable: false, writable: true) else { return true }
      reset()
    } catch {
      if Self.shortages.contains(error.errno) { refuse(.crowded, said ?? ClientHello()) } else { connectFailed() }
    }
    return false
  }

  /// Another one needs its place.
  func giveWay() { refuse(.crowded, said ?? ClientHello()) }

  func recorded(_ isRecorded: Bool) {
    guard isRecorded else { return reset() }
    if stage == .opening {
      // It was to wait for a proxy, of which policy says nothing any more.
      if server == nil, !connect(to: ownAddress) { return }
      self.isRecorded = true
      proceed()
    } else if awaitedRecords > 0 {
      awaitedRecords -= 1
      pump()
    }
  }

  /// No record comes any more; the connection had one when it began.
  func serveIsGone() {
    guard awaitedRecords > 0 else { return }
    awaitedRecords = 0
    pump()
  }

  private func serverReady(_ events: ReadyEvents) {
    guard let server else { return }
    switch stage {
    case .opening:
      guard !isConnected else { return }
      guard events.isWritable || events.isClosed else { return }
      // One that has failed is told as closed.
      guard !events.isClosed || Sockets.failure(of: server.socket) == 0 else { return connectFailed() }
      isConnected = true
      if !isRecorded { _ = server.watch(readable: false, writable: false) }
      proceed()
    case .inspecting: inspectorReady(events, server)
    case .answer: readAnswer(events)
    case .secondHello, .passes: move(events, of: server)
    case .hello, .ended: break
    }
  }

  /// The client's next address is to be tried: the kernel refuses this one for a while, unless the gate's own way there has ended.
  func connectFailed() {
    let isOpen = gate.table.isChecked(element, now: now)
    refuse(stage == .inspecting ? .inspectorGone : isOpen ? .unreachable : .ended, said ?? ClientHello())
  }

  func proceed() {
    guard isRecorded, isConnected else { return }
    // What was not judged goes on as it is.
    stage = name == nil ? .passes : .answer
    if stage == .passes, let server { PassingSockets.prepare(server.socket) }
    if stage == .answer { wait(Self.answerPatience) { [unowned self] in connectFailed() } } else { cancelTimer() }
    reader = HandshakeReader(.serverHello)
    pump()
  }

  // MARK: - The server's answer

  private func readAnswer(_ events: ReadyEvents) {
    if events.isWritable { pump() }
    guard stage == .answer, events.isReadable || events.isClosed, let server else { return }
    let limit = max(min(Self.portion, reader.room), 1)
    switch PassingSockets.receive(server.socket, into: &gate.portion, limit: limit) {
    case .wouldWait: return pump()
    case .failed: return reset()
    case .end: answered(asksAgain: false)
    case .octets(let count):
      let octets = gate.portion[..<count]
      let progress = reader.take(octets)
      down.append(octets)
      if progress != .incomplete { answered(asksAgain: reader.asksForAnotherHello) }
    }
    // What else has come is told by the kernel.
    pump(takesUp: false, takesDown: false)
    // Only now that the answer is on its way.
    if stage != .ended, stage != .answer { PassingSockets.prepare(server.socket) }
  }

  private func answered(asksAgain: Bool) {
    cancelTimer()
    stage = asksAgain ? .secondHello : .passes
    reader = HandshakeReader(.secondClientHello)
    let waiting = withheld
    withheld = []
    guard asksAgain else {
      up.append(waiting)
      return
    }
    wait(Self.patience) { [unowned self] in refuse(.mismatch) }
    if !waiting.isEmpty { progressed(reader.take(waiting)) }
  }

  private func readSecondHello() {
    guard take() else { return }
    progressed(progress)
    if stage != .ended { pump() }
  }

  private func progressed(_ progress: HandshakeReader.Progress) {
    up.append(reader.takePassed())
    guard progress != .incomplete else { return }
    guard let hello = hello(progress) else { return refuse(.notTLS) }
    // The same name: by what it resolved to, and by what the first one said.
    let verdict = gate.table.judge(hello, to: element, now: now)
    guard verdict != .mayHide, verdict != .nameMissing, hello.name == name else {
      return refuse(verdict == .verified ? .mismatch : verdict, hello)
    }
    cancelTimer()
    up.append(reader.octets)
    reader = HandshakeReader(.secondClientHello)
    stage = .passes
  }

  // MARK: - Passing

  private func move(_ events: ReadyEvents, of end: GateEnd) {
    if events.isClosed, Sockets.failure(of: end.socket) != 0 { return reset() }
    end.isHungUp = end.isHungUp || events.isClosed
    // What a side was waited for may move either way; else only what comes from it.
    let (isClient, mayHang) = (end === client, events.isWritable || events.isClosed)
    pump(takesUp: isClient || mayHang, takesDown: !isClient || mayHang)
  }

  /// Moves what can be moved, and waits for what cannot.
  ///
  /// - Parameters:
  ///   - takesUp: the client may have sent something.
  ///   - takesDown: the server may have.
  private func pump(takesUp: Bool = true, takesDown: Bool = true) {
    guard let server, stage != .ended, isWithin(up.taken - counted) else { return }
    let isWhole = stage == .passes && awaitedRecords == 0
    let sent = up.sent
    up.room = meter.room(gate.hours, now: now).map { Int(clamping: $0.octets) - (up.taken - counted) } ?? .max
    let upwards: GateDirection.Taking = isWhole ? (takesUp ? .all : .rest) : .nothing
    let downwards: GateDirection.Taking = stage == .answer ? .nothing : takesDown ? .all : .rest
    guard up.pump(from: client.socket, to: server.socket, rounds: Self.rounds, upwards, gate),
      down.pump(from: server.socket, to: client.socket, rounds: Self.rounds, downwards, gate)
    else { return reset() }
    if up.sent > sent { gate.count(up.sent - sent, to: element) }
    countTaken()
    if up.isBeyond, !isWithin(1) { return }
    if up.isFinished && down.isFinished { return end() }
    let takesHello = stage == .secondHello
    guard
      client.watch(
        readable: (isWhole && up.takesMore) || (takesHello && up.buffer.isEmpty), writable: down.waitsForSink),
      server.watch(readable: stage == .answer ? !down.isEnded : down.takesMore, writable: up.waitsForSink)
    else { return reset() }
  }

  var now: UInt64 { gate.reactor.now.nanoseconds }

  // MARK: - Ends

  /// Both sides said that they are done.
  private func end() { close(resets: false) }

  /// Both sides learn that it is cut.
  func reset() { close(resets: true) }

  private func close(resets: Bool) {
    guard stage != .ended else { return }
    stage = .ended
    cancelTimer()
    for end in [client, server].compactMap(\.self) { end.close(resets: resets) }
    up.discard(gate)
    down.discard(gate)
    // What it is of calls it no more.
    gate.leave(self)
  }

  func wait(_ milliseconds: UInt64, _ work: @escaping () -> Void) {
    cancelTimer()
    timer = gate.reactor.schedule(at: gate.reactor.now.adding(milliseconds: milliseconds)) { [unowned self] in
      timer = nil
      work()
    }
  }

  private func cancelTimer() {
    if let timer { gate.reactor.cancel(timer) }
    timer = nil
  }
}
