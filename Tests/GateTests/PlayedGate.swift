import DNSWire
import FirewallModel
import GateModel
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import Synchronization
import Testing

@testable import Gate

/// A gate between real sockets of this machine's loopback: serve's end, clients, peers and the clock are a test's. Where
/// connections were going is what a test says, since nothing redirects them.
final class PlayedGate {
  /// Stands still until it is moved.
  private final class Clock: Sendable {
    private let time = Mutex<UInt64>(1_000_000_000_000)

    var clocks: Clocks {
      Clocks(monotonic: { [self] in MonotonicTime(nanoseconds: time.withLock { $0 }) }, wall: { 0 })
    }

    func pass(milliseconds: UInt64) { time.withLock { $0 += milliseconds * 1_000_000 } }
  }

  private let clock = Clock()
  private let loop: GateLoop
  private let listener: FileDescriptor
  private var peerListener: FileDescriptor?
  private var peerNumber: Int32?
  private var messages: DescriptorPair
  private var life: DescriptorPair
  private var buffer = [UInt8](repeating: 0, count: GateMessage.maximumOctets)
  /// Whether what the gate asks to have recorded stands.
  var records = true
  /// Through which inspector what stands is sent, by its number; straight where nil.
  var order: ((UInt64) -> InspectionOrder)?
  private(set) var judged: [GatedConnection] = []
  /// How many were cut by each change, and the names by which connections passed when that was asked.
  private(set) var cuts: [UInt32] = []
  private(set) var passing: [String] = []
  /// What it says of connections that go through an inspector.
  private(set) var told: [GateMessage] = []
  /// The far ends of connections that the gate made, in their order.
  private(set) var peers: [Plug] = []
  let element: GrantElement

  init(_ limits: GateLoop.Limits = GateLoop.Limits()) throws {
    messages = try .sockets(ofMessages: true)
    life = try LifeLine.pair()
    let here = SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: 0)
    listener = try Sockets.listenTCP(here)
    let far = try Sockets.listenTCP(here)
    let peer = SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: Plug.port(of: far.raw))
    element = GrantElement(server: 0, address: IPAddress(v4: 0x7F00_0001), transport: 6, port: peer.port)
    loop = try GateLoop(
      socket: messages.second, listeners: try GateLoop.ready([listener.raw]), life: life.second, limits: limits,
      clocks: clock.clocks, destination: { _, _ in peer })
    try PassingSockets.listen(far.raw, backlog: 64)
    peerNumber = far.raw
    peerListener = consume far
    try loop.begin()
    // 127.0.0.N is server N - 1's.
    tell(
      .networks(
        isFirst: true, isLast: true,
        (0..<4).map { GateNetwork(prefix: IPPrefix("127.0.0.\($0 + 1)/32")!, server: UInt16($0)) }))
  }

  /// As if a server had resolved a name to the peer's address.
  func open(
    _ name: String, server: UInt16 = 0, isChecked: Bool = true, allowsHiding: Bool = false, isInspected: Bool = false
  )
    throws
  {
    var holding = try holding(name, server: server, isChecked: isChecked, allowsHiding: allowsHiding)
    holding.isInspected = isInspected
    tell(.open(request: 0, [holding]))
  }

  func holding(
    _ name: String, server: UInt16 = 0, isChecked: Bool = true, allowsHiding: Bool = false, milliseconds: UInt64? = nil,
    everyPort: Bool = false
  ) throws -> GateHolding {
    GateHolding(
      element: GrantElement(
        server: server, address: element.address, transport: everyPort ? 0 : 6, port: everyPort ? 0 : element.port),
      name: try Name(hostname: name),
      until: milliseconds.map { loop.reactor.now.nanoseconds + $0 * 1_000_000 } ?? .max, isChecked: isChecked,
      allowsHiding: allowsHiding)
  }

  func tell(_ message: GateMessage) {
    _ = MessageSocket.send(message.encoded(), messages.first, waiting: false)
    settle()
  }

  /// All is told.
  func ready() { tell(.ready(process: UInt32(bitPattern: getpid()))) }

  func end() {
    messages.closeFirst()
    settle()
  }

  /// A client of a server, which is connected before the gate has taken it.
  func client(of server: UInt16 = 0) throws -> Plug {
    try Plug(to: Plug.port(of: listener.raw), from: 0x7F00_0001 + UInt32(server))
  }

  func pass(milliseconds: UInt64) {
    for _ in 0..<4 {
      clock.pass(milliseconds: milliseconds / 4)
      settle()
    }
  }

  /// Turns everything until nothing happens any more.
  func settle() {
    for _ in 0..<12 {
      loop.reactor.turn()
      // What was sent arrives by another thread of the kernel where that is busy.
      usleep(2_000)
      hear()
      while let listener = peerNumber, let peer = Plug(accepting: listener) { peers.append(peer) }
    }
  }

  /// From now on nothing listens at the address.
  func closePeer() {
    peerListener = nil
    peerNumber = nil
  }

  private func hear() {
    while case .octets(let octets) = MessageSocket.receive(messages.first, into: &buffer) {
      guard let message = try? GateMessage(decoding: octets) else { continue }
      guard case .judged(let connection, let gated) = message else {
        switch message {
        case .closed(_, let connections): cuts.append(connections)
        case .passing(_, _, let holders): passing = holders.map(\.name.description).sorted()
        case .inspected, .ended: told.append(message)
        default: break
        }
        continue
      }
      judged.append(gated)
      guard gated.verdict == .verified else { continue }
      let reply = order.map { GateMessage.inspect(connection: connection, $0(connection)) }
      _ = MessageSocket.send(
        (reply ?? .recorded(connection: connection, records)).encoded(), messages.first, waiting: false)
    }
  }
}

/// One end of a TCP connection.
final class Plug {
  enum End { case open, closed, reset }

  struct RefusedError: Error {}

  private let fd: Int32
  private(set) var received: [UInt8] = []
  private(set) var end = End.open

  init(to port: UInt16, from address: UInt32) throws {
    fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    try #require(fd >= 0)
    try #require(unsafe Self.with(address, 0) { unsafe bind(fd, $0, $1) } == 0)
    guard unsafe Self.with(0x7F00_0001, port, { unsafe connect(fd, $0, $1) }) == 0 else { throw RefusedError() }
    var on: Int32 = 1
    // One number.
    _ = unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
  }

  init?(accepting listener: Int32) {
    fd = accept(listener, nil, nil)
    if fd < 0 { return nil }
    _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
  }

  deinit { close(fd) }

  private static func with(
    _ address: UInt32, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = port.bigEndian
    place.sin_addr.s_addr = address.bigEndian
    // A socket's address with its size.
    return unsafe withUnsafePointer(to: &place) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  static func port(of fd: Int32) -> UInt16 {
    var place = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    // A socket's address with its size.
    _ = unsafe withUnsafeMutablePointer(to: &place) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(fd, $0, &size) }
    }
    return UInt16(bigEndian: place.sin_port)
  }

  /// Sends what there is room for; how much that was.
  @discardableResult
  func send(_ octets: [UInt8]) -> Int {
    // The octets with their count.
    max(
      0,
      unsafe octets.withUnsafeBytes {
        unsafe Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
      })
  }

  func finish() { shutdown(fd, Int32(SHUT_WR)) }

  /// Closes with a reset.
  func cut() {
    PassingSockets.resetsAtClose(fd, true)
    // The number stays this object's: what is put there ends the connection.
    let other = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    dup2(other, fd)
    close(other)
  }

  /// Takes what has come; how it stands.
  @discardableResult
  func look() -> End {
    var part = [UInt8](repeating: 0, count: 65_536)
    while end == .open {
      // The list with its count.
      let count = unsafe part.withUnsafeMutableBytes {
        unsafe recv(fd, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
      }
      if count > 0 {
        received += part[..<count]
      } else if count == 0 {
        end = .closed
      } else if errno == EAGAIN {
        break
      } else {
        end = .reset
      }
    }
    return end
  }
}
