import Glibc
import LinuxIO

/// UDP. Every message has a port of its own that the kernel draws, on a connected socket (RFC 5452 section 9.2).
final class DatagramTransport: UpstreamTransport {
  private let reactor: Reactor
  private let sockets: DatagramSockets
  /// As many octets as are asked for: what is longer was in several fragments perhaps (RFC 9715, threats U7).
  private var buffer = [UInt8](repeating: 0, count: Int(UpstreamQuery.payloadSize))
  /// The deadlines of what is on its way, and the timer for the earliest that was ever among them since it was set.
  private var deadlines = Deadlines<DatagramCall>()
  private var timer: (id: TimerID, at: MonotonicTime)?
  /// Deadlines between two looks at descriptors, as timers of the reactor.
  private static let deadlinesAtOnce = 32
  /// Milliseconds between two looks at deadlines: thousands of them are not due one by one.
  private static let pause: UInt64 = 4

  init(_ reactor: Reactor) {
    self.reactor = reactor
    sockets = DatagramSockets(reactor)
  }

  func send(_ message: [UInt8], to server: UpstreamServer, deadline: MonotonicTime, for client: any TransportClient)
    -> any TransportCall
  {
    let call = DatagramCall(self, client)
    do throws(SystemError) {
      let socket = try sockets.take(for: SocketAddress(server)) { [unowned self] in receive($0) }
      (call.socket, socket.call) = (socket, call)
    } catch {
      _ = reactor.schedule(at: reactor.now) { [self] in fail(call, .unreachable) }
      return call
    }
    call.deadline = deadlines.add(call, at: deadline)
    wake(by: deadline)
    if Self.send(message, call.socket) { client.transmitted() }
    return call
  }

  /// What the kernel refuses is lost like a datagram on the way: the timer covers both. But an error may be that of what the
  /// socket sent before (`ECONNREFUSED`), which was under way when the socket changed hands, and is told once.
  private static func send(_ message: [UInt8], _ socket: DatagramSocket?) -> Bool {
    guard let socket else { return false }
    for _ in 0..<2 {
      let sent = unsafe message.withUnsafeBytes {
        // The pointer is the message's own and count its octets.
        unsafe Glibc.send(socket.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if sent == message.count { return true }
    }
    return false
  }

  private func receive(_ socket: DatagramSocket) {
    // A bounded number of datagrams a turn: a flood of wrong ones must not hold the thread.
    for _ in 0..<16 {
      guard let client = socket.call?.client else { return }
      let count = unsafe buffer.withUnsafeMutableBytes {
        // The kernel writes count octets at the most, and with MSG_TRUNC tells how many there were.
        unsafe recv(socket.descriptor, $0.baseAddress, $0.count, Int32(MSG_TRUNC))
      }
      // ECONNREFUSED and the like come of ICMP, which any host can send: waiting goes on (threats U6).
      guard count >= 0 else {
        if errno == EAGAIN || errno == EWOULDBLOCK { return }
        continue
      }
      // What is longer is cut: as good as TC, so TCP is next.
      if count > buffer.count { buffer[2] |= 0x02 }
      client.received(buffer.span.extracting(0..<min(count, buffer.count)))
    }
  }

  private func wake(by time: MonotonicTime) {
    if let timer {
      guard time < timer.at else { return }
      reactor.cancel(timer.id)
    }
    let id = reactor.schedule(at: time) { [weak self] in self?.expire() }
    timer = (id, time)
  }

  private func expire() {
    timer = nil
    let due = deadlines.takeDue(reactor.now, atMost: Self.deadlinesAtOnce)
    for call in due { call.deadline = nil }
    if let earliest = deadlines.earliest {
      // To look through all of them costs microseconds: what is due a moment later is told with others that are.
      wake(by: earliest <= reactor.now ? earliest : max(earliest, reactor.now.adding(milliseconds: Self.pause)))
    }
    for call in due { fail(call, .timeout) }
  }

  /// One of those that are due may have ended another.
  private func fail(_ call: DatagramCall, _ failure: TransportFailure) {
    guard !call.isOver else { return }
    end(call)
    call.client.failed(failure)
  }

  fileprivate func end(_ call: DatagramCall) {
    call.isOver = true
    if let place = call.deadline { deadlines.remove(place) }
    call.deadline = nil
    guard let socket = call.socket else { return }
    (call.socket, socket.call) = (nil, nil)
    sockets.give(back: socket)
  }
}

/// A datagram on its way, and the wait for what comes back.
final class DatagramCall: TransportCall {
  let client: any TransportClient
  fileprivate let transport: DatagramTransport
  /// Nil once it ended.
  fileprivate var socket: DatagramSocket?
  /// Its place among deadlines.
  fileprivate var deadline: Int?
  /// Nothing more is told of it.
  fileprivate var isOver = false

  fileprivate init(_ transport: DatagramTransport, _ client: any TransportClient) {
    (self.transport, self.client) = (transport, client)
  }

  func end() { transport.end(self) }
}
