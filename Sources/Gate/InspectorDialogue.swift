import EgressPolicy
import GateModel
import LinuxIO

/// What is said with a proxy before a connection goes through it: CONNECT, and its answer. One for each connection, on a connection of
/// its own, so that nothing of two clients can meet.
struct InspectorDialogue {
  /// What comes of it.
  enum Step: Hashable {
    /// Nothing yet; until there is room the request is not sent whole.
    case waits(forRoom: Bool)
    /// What the client says may be sent.
    case accepted
    case failed(GateVerdict, status: UInt16 = 0)
  }

  /// Milliseconds in which a proxy, a process of this host, has to have answered.
  static let patience: UInt64 = 1_000

  private let request: [UInt8]
  private var sent = 0
  private var answer = ConnectAnswer()

  init(_ order: InspectionOrder, _ connection: GatedConnection) {
    request = ConnectRequest(order, connection).octets
  }

  /// Sends what there is room for, and reads what has come.
  mutating func advance(on socket: Int32) -> Step {
    while sent < request.count {
      switch PassingSockets.send(socket, request, from: sent) {
      case .octets(let count): sent += count
      case .wouldWait: return hear(socket, forRoom: true)
      case .end, .failed: return .failed(.inspectorGone)
      }
    }
    return hear(socket, forRoom: false)
  }

  private mutating func hear(_ socket: Int32, forRoom waits: Bool) -> Step {
    // One more than a head has: what is longer is told as that.
    var octets = [UInt8](repeating: 0, count: ConnectAnswer.maximumOctets + 1)
    switch PassingSockets.receive(socket, into: &octets) {
    case .wouldWait: return .waits(forRoom: waits)
    case .end, .failed: return .failed(.inspectorGone)
    case .octets(let count): octets.removeLast(octets.count - count)
    }
    switch answer.take(octets) {
    case .incomplete: return .waits(forRoom: waits)
    // It cannot know whom the connection is to before it has read that.
    case .accepted where sent < request.count: return .failed(.inspectorGarbled)
    case .accepted: return .accepted
    case .refused(let status): return .failed(.inspectorRefused, status: status)
    case .malformed: return .failed(.inspectorGarbled)
    }
  }
}

/// A connection that goes through a proxy: where it is connected to that, and not to its address, is all that differs.
extension GatePassage {
  /// Its record stands, and serve says through which proxy it goes. What was begun towards its address, where another policy was in
  /// force when it came, is given up: nothing of it was sent there.
  func inspect(_ order: InspectionOrder) {
    guard stage == .opening, let hello = said else { return }
    server?.close(resets: true)
    (server, isConnected) = (nil, false)
    stage = .inspecting
    dialogue = InspectorDialogue(order, connection(.verified, hello))
    wait(InspectorDialogue.patience) { [unowned self] in refuse(.inspectorSilent, hello) }
    connect(to: order.inspector.address.socketAddress(port: order.inspector.port), staysHere: true)
  }

  func inspectorReady(_ events: ReadyEvents, _ end: GateEnd) {
    if !isConnected {
      guard events.isWritable || events.isClosed else { return }
      guard Sockets.failure(of: end.socket) == 0 else { return connectFailed() }
      isConnected = true
    }
    switch dialogue?.advance(on: end.socket) {
    case .waits(let forRoom): if !end.watch(readable: true, writable: forRoom) { reset() }
    case .failed(let verdict, let status): refuse(verdict, said ?? ClientHello(), status: status)
    case .accepted:
      gate.say(.inspected(connection: id))
      _ = end.watch(readable: false, writable: false)
      isRecorded = true
      proceed()
    case nil: break
    }
  }
}
