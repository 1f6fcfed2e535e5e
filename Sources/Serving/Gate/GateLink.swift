import DNSWire
import FirewallModel
import GateModel
import GrantLedger
import LinuxIO

/// What the gate tells without having been asked.
enum GateEvent {
  /// A new process is at work: all that is known has to be told it.
  case up
  /// No process will be.
  case down
  /// `connection` waits for `record`, if it is verified.
  case judged(connection: UInt64, GatedConnection)
  case volumes([ElementVolume])
  /// An inspector has taken a connection.
  case inspected(connection: UInt64)
  /// A connection that was to be inspected has ended.
  case ended(connection: UInt64)
}

/// Serve's end of the gate. Lives on the reactor's thread; nothing here ever waits for the gate.
final class GateLink {
  private struct Request {
    var messages: [[UInt8]]
    var left: Int
    var timer: TimerID
    var completion: (Bool) -> Void
  }

  /// What the gate is asked about its connections.
  private enum Inquiry {
    /// How many were cut so far, and how many answers are to come.
    case cut(Int, left: Int, (Int) -> Void)
    case review([GateHolder], ([GateHolder]) -> Void)
  }

  /// Far more than answers that wait for a commit.
  private static let maximumOutgoing = 65_536
  /// Far more names than connections have at a gate.
  private static let maximumHolders = 65_536
  /// Whose receipt is not waited for.
  private static let unasked: UInt32 = 0

  private let reactor: Reactor
  private let socket: FileDescriptor
  var onEvent: (GateEvent) -> Void
  private var outgoing = MessageOutbox()
  private(set) var isOpen = true
  private var requests: [UInt32: Request] = [:]
  private var inquiries: [UInt32: Inquiry] = [:]
  private var lastRequest: UInt32 = 0
  private var buffer = [UInt8](repeating: 0, count: GateMessage.maximumOctets)
  /// Processes that greeted.
  private var greetings: UInt64 = 0
  /// The number of the last of them.
  private var process: UInt32 = 0
  /// Whether it took what it was told last.
  private(set) var isAnswering = true

  /// Whether a process ever greeted.
  var hasGreeted: Bool { greetings > 0 }
  /// How often its process was started again.
  var restarts: UInt64 { greetings - min(greetings, 1) }
  private var hasToldUnreadable = false

  init(reactor: Reactor, socket: consuming FileDescriptor, _ onEvent: @escaping (GateEvent) -> Void) throws(SystemError)
  {
    self.reactor = reactor
    self.socket = socket
    self.onEvent = onEvent
    try reactor.register(self.socket.raw, readable: true, writable: false) { [unowned self] _ in
      perform(outgoing.sendWaiting(to: self.socket.raw))
      receive()
    }
  }

  deinit {
    if isOpen { reactor.unregister(socket.raw) }
  }

  // MARK: - Telling

  /// Tells what was resolved; `completion` learns whether the gate has it by the deadline, and is called once, later.
  func open(_ holdings: [GateHolding], deadline: MonotonicTime, _ completion: @escaping (Bool) -> Void) {
    guard isOpen, outgoing.count < Self.maximumOutgoing else {
      _ = reactor.schedule(at: reactor.now) { completion(false) }
      return
    }
    let id = nextRequest()
    let messages = Self.parts(holdings).map { GateMessage.open(request: id, $0).encoded() }
    guard !messages.isEmpty else {
      _ = reactor.schedule(at: reactor.now) { completion(true) }
      return
    }
    let timer = reactor.schedule(at: deadline) { [unowned self] in finish(id, false, isLate: true) }
    requests[id] = Request(messages: messages, left: messages.count, timer: timer, completion: completion)
    send(messages)
  }

  /// The same, with nothing that waits for it.
  func tell(_ holdings: [GateHolding]) {
    send(Self.parts(holdings).map { GateMessage.open(request: Self.unasked, $0).encoded() })
  }

  /// Names stand for addresses no more.
  func close(_ holdings: [GateHolding]) {
    send(Self.parts(holdings).map { GateMessage.close(request: Self.unasked, cuts: false, $0).encoded() })
  }

  /// The same, and their connections end.
  ///
  /// - Parameter completion: learns how many did, once the gate has said it; none of a gate that is gone.
  func cut(_ holdings: [GateHolding], _ completion: @escaping (Int) -> Void) {
    let parts = Self.parts(holdings)
    guard isOpen, !parts.isEmpty else { return completion(0) }
    let id = nextRequest()
    inquiries[id] = .cut(0, left: parts.count, completion)
    send(parts.map { GateMessage.close(request: id, cuts: true, $0).encoded() })
  }

  /// Asks by which names connections pass, whether or not these are open still; none do at a gate that is gone.
  func review(_ completion: @escaping ([GateHolder]) -> Void) {
    guard isOpen else { return completion([]) }
    let id = nextRequest()
    inquiries[id] = .review([], completion)
    send([GateMessage.review(request: id).encoded()])
  }

  private func nextRequest() -> UInt32 {
    lastRequest = lastRequest &+ 1 == Self.unasked ? 1 : lastRequest &+ 1
    return lastRequest
  }

  /// No name stands for the elements any more.
  func evict(_ elements: [GrantElement]) {
    send(GateMessage.parts(elements, GateMessage.maximumElements).map { GateMessage.evict($0).encoded() })
  }

  func forget(server: UInt16) { send([GateMessage.forget(server: server).encoded()]) }

  func use(_ networks: [GateNetwork]) {
    let parts = GateMessage.parts(networks, GateMessage.maximumNetworks)
    guard !parts.isEmpty else { return send([GateMessage.networks(isFirst: true, isLast: true, []).encoded()]) }
    send(
      parts.enumerated().map { index, part in
        GateMessage.networks(isFirst: index == 0, isLast: index == parts.count - 1, part).encoded()
      })
  }

  /// All is told to the process that greeted last: it judges connections from now on.
  func ready() { send([GateMessage.ready(process: process).encoded()]) }

  /// Whether the record of a connection stands.
  func record(_ connection: UInt64, _ isRecorded: Bool) {
    send([GateMessage.recorded(connection: connection, isRecorded).encoded()])
  }

  /// Its record stands, and it goes through an inspector.
  func inspect(_ connection: UInt64, _ order: InspectionOrder) {
    send([GateMessage.inspect(connection: connection, order).encoded()])
  }

  /// Ends a connection, if it still is one.
  func cut(_ connection: UInt64) { send([GateMessage.cut(connection: connection).encoded()]) }

  private static func parts(_ holdings: [GateHolding]) -> [[GateHolding]] {
    GateMessage.parts(holdings, GateMessage.maximumHoldings)
  }

  private func send(_ messages: [[UInt8]]) {
    for message in messages where isOpen { perform(outgoing.send(message, to: socket.raw)) }
  }

  private func perform(_ outcome: MessageOutbox.Outcome) {
    switch outcome {
    case .unchanged: break
    case .closed: close()
    case .awaitsRoom(let awaits): reactor.modify(socket.raw, readable: true, writable: awaits)
    }
  }

  // MARK: - Hearing

  private func receive() {
    while isOpen {
      switch MessageSocket.receive(socket.raw, into: &buffer) {
      case .nothing: return
      case .closed: close()
      case .octets(let octets):
        // What a gate that was taken over sends is read like anything else from outside.
        do throws(BridgeFormatError) {
          handle(try GateMessage(decoding: octets))
        } catch {
          tellUnreadable(octets.count, error)
        }
      }
    }
  }

  /// Once: one that was taken over may say as much as it likes.
  private func tellUnreadable(_ count: Int, _ error: BridgeFormatError) {
    guard !hasToldUnreadable else { return }
    hasToldUnreadable = true
    StandardError.write(
      "sluice: a message of the gate cannot be read (\(error)): \(count) octets; further ones are not told")
  }

  private func handle(_ message: GateMessage) {
    switch message {
    case .hello(let process): greeted(process)
    case .received(let request):
      // Also of one that nothing waits for any more.
      isAnswering = true
      finish(request, true)
    case .closed(let request, let connections): closed(request, Int(connections))
    case .passing(let request, let isLast, let holders): reviewed(request, isLast, holders)
    case .judged(let connection, let gated): onEvent(.judged(connection: connection, gated))
    case .volumes(let volumes): onEvent(.volumes(volumes))
    case .inspected(let connection): onEvent(.inspected(connection: connection))
    case .ended(let connection): onEvent(.ended(connection: connection))
    case .networks, .open, .close, .review, .evict, .forget, .ready, .recorded, .inspect, .cut: break
    }
  }

  private func closed(_ id: UInt32, _ connections: Int) {
    guard case .cut(let former, let left, let completion) = inquiries[id] else { return }
    let count = former.addingReportingOverflow(connections).partialValue
    guard left > 1 else {
      inquiries[id] = nil
      return completion(count)
    }
    inquiries[id] = .cut(count, left: left - 1, completion)
  }

  private func reviewed(_ id: UInt32, _ isLast: Bool, _ holders: [GateHolder]) {
    guard case .review(var all, let completion) = inquiries[id] else { return }
    // Not a copy of all for each part.
    inquiries[id] = nil
    // A gate holds no more connections than that, whatever it says.
    all += holders.prefix(max(Self.maximumHolders - all.count, 0))
    guard isLast else {
      inquiries[id] = .review(all, completion)
      return
    }
    inquiries[id] = nil
    completion(all)
  }

  /// The connections of a process that is gone went with it.
  private func forgetInquiries() {
    let asked = inquiries.sorted { $0.key < $1.key }
    inquiries = [:]
    for (_, inquiry) in asked {
      switch inquiry {
      case .cut(let count, _, let completion): completion(count)
      case .review(_, let completion): completion([])
      }
    }
  }

  /// What the one before may have taken with it is told again; twice does no harm.
  private func greeted(_ process: UInt32) {
    greetings += 1
    self.process = process
    isAnswering = true
    forgetInquiries()
    onEvent(.up)
    for id in requests.keys.sorted() {
      guard let messages = requests[id]?.messages else { continue }
      requests[id]?.left = messages.count
      send(messages)
    }
  }

  private func finish(_ id: UInt32, _ isDone: Bool, isLate: Bool = false) {
    guard let request = requests[id] else { return }
    if isDone, request.left > 1 {
      requests[id]?.left -= 1
      return
    }
    requests[id] = nil
    isAnswering = isDone
    if !isLate { reactor.cancel(request.timer) }
    request.completion(isDone)
  }

  private func close() {
    guard isOpen else { return }
    isOpen = false
    reactor.unregister(socket.raw)
    outgoing.removeAll()
    for id in requests.keys.sorted() { finish(id, false) }
    forgetInquiries()
    onEvent(.down)
  }
}
