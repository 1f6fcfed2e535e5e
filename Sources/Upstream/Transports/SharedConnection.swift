import Glibc
import HTTP2
import LinuxIO
import TLS

/// One connection to a server, by TLS (RFC 7858), by HTTPS (RFC 8484) or in the clear (RFC 7766): its socket, and the messages
/// that are answered on it in any order. What is said on it is the `Conversation`'s.
///
///     connecting ─► handshake ─► ready ─► open ─► ended
///          └────────────┴──────────┴───────────────►
///
/// With a server that is asked by TLS nothing of DNS is written before the session is open, and then by the session alone:
/// there is no way here in which a message could leave in the clear.
final class SharedConnection {
  /// Why it ended.
  enum End {
    /// It could not be made.
    case unreachable
    case timeout
    /// It could be made, and is not used.
    case untrusted(TLSFailure)
    /// It is TLS with the server, and no HTTP.
    case faulty(HTTPFailure)
    /// It was open.
    case lost
  }

  /// Milliseconds until it must be open.
  static let patience: UInt64 = 3_000
  /// Milliseconds for which it stays open with nothing to do, where the server does not say (RFC 7828).
  static let idle: UInt64 = 30_000
  /// The same in the clear: there it costs a round trip to be made anew, and servers have few places (RFC 7766 section 6.2.3).
  static let idleInTheClear: UInt64 = 5_000
  /// The most that a server may ask for.
  static let longestIdle: UInt64 = 300_000
  /// Reads of the socket in one turn: a server that sends without end must not hold the thread.
  private static let readsAtOnce = 16

  private let reactor: Reactor
  private let line: SharedLine
  private let isSecure: Bool
  private var socket: Int32 = -1
  /// Nil before the handshake, and where there is none.
  private var session: TLSSession?
  private let conversation: any Conversation
  /// When what is to be said leaves: with all that is said until then, in one write.
  private var departure: TimerID?
  /// What the socket has not taken yet.
  private var outgoing: [UInt8] = []
  /// Whether the reactor tells of room in the socket.
  private var awaitsRoom = true
  /// Calls whose messages are in it.
  private var untransmitted: [SharedCall] = []
  private var isConnected = false
  private var hasEnded = false
  /// That by which it must be open, later that of having nothing to do.
  private var timer: TimerID?
  private var idle: UInt64
  /// When something was heard, last.
  private var heardAt = MonotonicTime(nanoseconds: 0)
  private var hasOpened = false
  /// Whether it brought an answer.
  private(set) var hasAnswered = false
  /// Whether it is open; false again once it takes no more messages.
  private(set) var isOpen = false

  /// Begins to connect. What comes of it is told to the line, later.
  init(_ line: SharedLine) {
    self.line = line
    reactor = line.reactor
    isSecure = line.client != nil
    conversation = line.server.scheme == .https ? HTTPConversation(line.server) : FramedConversation()
    idle = line.client == nil ? Self.idleInTheClear : Self.idle
    do throws(SystemError) {
      socket = try Sockets.connectTCP(SocketAddress(line.server)).release()
      try reactor.register(socket, readable: true, writable: true) { [self] ready in handle(ready) }
      arm(Self.patience, .timeout)
    } catch {
      arm(0, .unreachable)
    }
  }

  var takesMore: Bool { isOpen && conversation.hasRoom }
  /// Whether it will not take more, whatever comes of those that it has.
  var isSpent: Bool { conversation.isSpent }

  // MARK: - Messages

  /// - Precondition: `takesMore`.
  func send(_ call: SharedCall, _ random: inout SecureRandom) {
    call.send(on: self, id: conversation.send(call, &random))
    untransmitted.append(call)
    disarm()
    guard departure == nil else { return }
    departure = reactor.schedule(at: reactor.now) { [self] in
      departure = nil
      flush()
    }
  }

  /// A message is waited for no more; its answer may still come. Another one may have its place.
  func abandon(_ id: UInt32) {
    conversation.abandon(id)
    rest()
    if !hasEnded { line.opened(self) }
  }

  /// A message that was sent then had no answer in time. If nothing at all was heard since, the connection leads nowhere:
  /// a firewall on the way may have forgotten it.
  func expired(since time: MonotonicTime) {
    if heardAt < time { end(.lost) }
  }

  /// Takes no more messages, and ends when those that were sent have their answers.
  func retire() {
    isOpen = false
    if conversation.count == 0 { end(.lost) }
  }

  private func take(_ event: ConversationEvent) {
    switch event {
    case .answered(let call, let message):
      note(call)
      call.client.received(message.span)
      call.end()
    case .failed(let call, let failure):
      note(call)
      call.fail(.http(failure))
    case .dropped(let call):
      call.place = .ended
      call.fail(.broken)
    case .unheard: note(nil)
    case .leaving: line.leaving(self)
    case .broken: end(broken)
    }
    rest()
  }

  /// The server answered.
  private func note(_ call: SharedCall?) {
    if !hasAnswered, let timeout = conversation.idle { idle = min(timeout, Self.longestIdle) }
    hasAnswered = true
    call?.place = .ended
  }

  /// Waits for as long as the connection may have nothing to do, if it has nothing to do.
  private func rest() {
    guard !hasEnded, conversation.count == 0 else { return }
    if !isOpen { return hasOpened ? end(.lost) : () }
    // At once (RFC 7828 section 3.4), but not within what its caller does.
    arm(idle, .lost)
  }

  // MARK: - The socket

  private func handle(_ ready: ReadyEvents) {
    if !isConnected {
      guard ready.isWritable || ready.isClosed else { return }
      guard Sockets.failure(of: socket) == 0 else { return end(.unreachable) }
      isConnected = true
      begin()
    }
    if ready.isReadable || ready.isClosed { read() }
    if !hasEnded { flush() }
  }

  /// Begins the handshake, where there is one; ends where that is not possible.
  private func begin() {
    guard isSecure, let client = line.client else { return open() }
    do throws(TLSFailure) {
      session = try TLSSession(client)
    } catch {
      end(.untrusted(error))
    }
  }

  private func read() {
    for _ in 0..<Self.readsAtOnce where !hasEnded {
      let count = unsafe line.buffer.withUnsafeMutableBytes {
        // The kernel writes count octets at the most.
        unsafe recv(socket, $0.baseAddress, $0.count, 0)
      }
      if count < 0, errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR { return }
      guard count > 0 else { return end(broken) }
      heardAt = reactor.time
      take(line.buffer[..<count])
    }
  }

  /// What it is that the connection is of no use any more.
  private var broken: End {
    if hasOpened { return .lost }
    return session?.isOpen == true ? .faulty(.notHTTP2) : .untrusted(.cut)
  }

  private func take(_ octets: ArraySlice<UInt8>) {
    guard isSecure else {
      conversation.receive(octets)
      return hear()
    }
    guard let session else { return }
    let (wasOpen, end) = (session.isOpen, broken)
    do throws(TLSFailure) {
      conversation.receive(try session.receive(octets)[...])
    } catch {
      return self.end(wasOpen ? end : .untrusted(error))
    }
    if session.isOpen { hear() }
    if session.isClosed { self.end(wasOpen ? broken : .untrusted(.cut)) }
  }

  /// Takes what the server said.
  private func hear() {
    if !hasOpened, conversation.isReady { open() }
    while !hasEnded, let event = conversation.next() { take(event) }
    if !hasEnded { line.opened(self) }
  }

  private func open() {
    (isOpen, hasOpened) = (true, true)
    arm(idle, .lost)
    line.opened(self)
  }

  /// Hands over what is to be said, to the session where there is to be one.
  private func say() {
    guard isSecure else { return conversation.takeOutput { outgoing += $0 } }
    guard let session else { return }
    if session.isOpen { conversation.takeOutput(session.send) }
    session.takeOutput(into: &outgoing)
  }

  /// Sends what there is for the network.
  private func flush() {
    guard isConnected, !hasEnded else { return }
    say()
    // Later: a call is told nothing within `send`.
    guard write() else { return arm(0, broken) }
    if awaitsRoom == outgoing.isEmpty {
      awaitsRoom.toggle()
      reactor.modify(socket, readable: true, writable: awaitsRoom)
    }
    guard outgoing.isEmpty, !untransmitted.isEmpty else { return }
    let calls = untransmitted
    untransmitted = []
    for call in calls { call.client.transmitted() }
  }

  /// Writes what the socket takes; false if the connection is no more.
  private func write() -> Bool {
    var sent = 0
    defer { outgoing.removeFirst(sent) }
    while sent < outgoing.count {
      let count = unsafe outgoing[sent...].withUnsafeBytes {
        // As many octets as are left of them.
        unsafe Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count >= 0 else { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR }
      sent += count
    }
    return true
  }

  // MARK: - The end

  private func arm(_ milliseconds: UInt64, _ cause: End) {
    disarm()
    timer = reactor.schedule(at: reactor.now.adding(milliseconds: milliseconds)) { [self] in
      timer = nil
      end(cause)
    }
  }

  private func disarm() {
    if let timer { reactor.cancel(timer) }
    timer = nil
  }

  /// Closes the connection and tells the line, once.
  func end(_ cause: End) {
    guard !hasEnded else { return }
    hasEnded = true
    isOpen = false
    disarm()
    if let departure { reactor.cancel(departure) }
    departure = nil
    let calls = conversation.end()
    if isConnected {
      say()
      session?.end()
      session?.takeOutput(into: &outgoing)
      // An alert or a farewell; where the socket takes no more it is left out.
      _ = write()
    }
    session = nil
    if socket >= 0 {
      reactor.unregister(socket, closes: true)
      close(socket)
    }
    socket = -1
    untransmitted = []
    line.ended(self, cause, calls)
  }
}
