import DNSWire
import Foundation
import Glibc
import LinuxIO
import Synchronization

/// A query that came to a fake upstream.
struct Arrival: Sendable {
  var octets: [UInt8]
  var overStream: Bool
  /// How many came by the same transport before it.
  var number: Int
  var port: UInt16

  var id: Int { Int(octets[0]) << 8 | Int(octets[1]) }
  var hasOPT: Bool { octets[11] == 1 }
  /// As it was asked.
  var name: [UInt8] { Array(octets[12..<(questionEnd - 4)]) }
  /// Whether a text, in lower case, stands in what was asked, in whatever letters.
  func asks(_ text: String) -> Bool { name.map(NameWire.lowercased).firstRange(of: Array(text.utf8)) != nil }
  /// The cookie of its OPT, which has no other option.
  var cookie: [UInt8] { hasOPT ? Array(octets.dropFirst(questionEnd + 15)) : [] }
  /// The pool's own question, by which it judges an upstream.
  var isProbe: Bool { octets[12] == 0 && type == .NS || isProbeOfLetters }
  var isProbeOfLetters: Bool { name.map(NameWire.lowercased) == [4] + Array("arpa".utf8) + [0] && type == .SOA }

  var type: RRType { RRType(rawValue: UInt16(octets[questionEnd - 4]) << 8 | UInt16(octets[questionEnd - 3])) }

  private var questionEnd: Int {
    var end = 12
    while octets[end] != 0 { end += Int(octets[end]) + 1 }
    return end + 5
  }

  /// The answer of a server that folds the question's letters.
  func folded(_ tail: [UInt8] = []) -> [UInt8] {
    var message = answer(tail)
    for index in 12..<(questionEnd - 4) { message[index] = NameWire.lowercased(message[index]) }
    return message
  }

  /// The answer of a server that gives cookies.
  func answer(cookie: [UInt8]) -> [UInt8] {
    let option = [0, 10, 0, UInt8(cookie.count)] + cookie
    var message = answer([0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, UInt8(option.count)] + option)
    message[11] = 1
    return message
  }

  /// The answer to it: its own id and question, and `tail` after them.
  func answer(code: UInt8 = 0, truncated: Bool = false, answers: UInt8 = 0, _ tail: [UInt8] = []) -> [UInt8] {
    octets[..<2] + [truncated ? 0x83 : 0x81, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0] + octets[12..<questionEnd]
      + tail
  }
}

/// What a fake upstream does about a query, in order.
enum Reaction: Sendable {
  /// A message; by TCP with its length.
  case message([UInt8])
  /// The same from another port.
  case fromElsewhere([UInt8])
  /// Octets of a stream as they are.
  case octets([UInt8])
  /// Leaves a connection open; otherwise it is closed.
  case hold
  /// Ends a connection with RST.
  case reset
}

/// An upstream on a loopback port, UDP and TCP, that follows a script on a thread of its own.
final class FakeUpstream: Sendable {
  typealias Script = @Sendable (Arrival) -> [Reaction]

  let port: UInt16
  private let arrived = Mutex<[Arrival]>([])
  private let stopping = Atomic<Bool>(false)
  private let isDone = DispatchSemaphore(value: 0)
  private let datagrams: Int32
  private let listener: Int32

  init(_ script: @escaping Script) throws {
    var bound = try Self.bind()
    while bound == nil { bound = try Self.bind() }
    (datagrams, listener, port) = bound ?? (-1, -1, 0)
    Thread { [self] in
      run(script)
      isDone.signal()
    }.start()
  }

  /// Everything that came so far.
  var arrivals: [Arrival] { arrived.withLock { $0 } }

  func count(overStream: Bool) -> Int { arrivals.count { $0.overStream == overStream } }

  /// Ends the thread and closes the port.
  func stop() {
    stopping.store(true, ordering: .relaxed)
    _ = shutdown(datagrams, Int32(SHUT_RDWR))
    _ = shutdown(listener, Int32(SHUT_RDWR))
    isDone.wait()
  }

  /// A UDP and a TCP socket on one port; nil if the port of the first is taken for the second.
  private static func bind() throws -> (Int32, Int32, UInt16)? {
    let udp = try Sockets.listenUDP(SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: 0))
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let isBound = unsafe withUnsafeMutableBytes(of: &address) { octets in
      let name = unsafe octets.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return unsafe getsockname(udp.raw, name, &length) == 0 && Glibc.bind(listener, name, length) == 0
    }
    guard isBound, listen(listener, 64) == 0 else {
      close(listener)
      return nil
    }
    return (udp.release(), listener, UInt16(bigEndian: address.sin_port))
  }

  private func run(_ script: Script) {
    var batch = DatagramBatch()
    var held: [Int32] = []
    var ready = [
      pollfd(fd: datagrams, events: Int16(POLLIN), revents: 0), pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
    ]
    while !stopping.load(ordering: .relaxed) {
      guard unsafe poll(&ready, 2, 1000) > 0 else { continue }
      if ready[0].revents != 0 { serveDatagrams(&batch, script) }
      if ready[1].revents != 0 {
        let connection = accept(listener, nil, nil)
        if connection >= 0, !serve(connection, script) { held.append(connection) }
      }
    }
    for socket in held + [datagrams, listener] { close(socket) }
  }

  private func note(_ octets: [UInt8], overStream: Bool, port: UInt16) -> Arrival {
    arrived.withLock { arrived in
      let last = arrived.last { $0.overStream == overStream }
      let number = last.map { $0.number + 1 } ?? 0
      let arrival = Arrival(octets: octets, overStream: overStream, number: number, port: port)
      arrived.append(arrival)
      return arrival
    }
  }

  private func serveDatagrams(_ batch: inout DatagramBatch, _ script: Script) {
    for index in 0..<((try? batch.receive(datagrams, block: false)) ?? 0) {
      var octets: [UInt8] = []
      var port: UInt16 = 0
      _ = batch.answer(index) { query, peer, _ in
        octets = [UInt8](capacity: query.count) { out in for index in query.indices { out.append(query[index]) } }
        port = peer.address.port
        return false
      }
      let back = batch.returnAddress(index)
      for reaction in script(note(octets, overStream: false, port: port)) {
        switch reaction {
        case .message(let message): back?.send(message, on: datagrams)
        case .fromElsewhere(let message):
          if let other = try? Sockets.listenUDP(SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: 0)) {
            back?.send(message, on: other.raw)
          }
        case .octets, .hold, .reset: break
        }
      }
    }
  }

  /// Takes one query of a connection. False if the connection is to stay open.
  private func serve(_ connection: Int32, _ script: Script) -> Bool {
    var patience = timeval(tv_sec: 2, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    _ = unsafe setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
    var buffer = [UInt8](repeating: 0, count: 1024)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(connection, $0.baseAddress, $0.count, 0) }
    guard count > 14 else {
      close(connection)
      return true
    }
    for reaction in script(note(Array(buffer[2..<count]), overStream: true, port: 0)) {
      switch reaction {
      case .message(let message): write(Self.framed(message), connection)
      case .octets(let octets): write(octets, connection)
      case .hold: return false
      case .reset:
        var linger = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<linger>.size))
      case .fromElsewhere: break
      }
    }
    close(connection)
    return true
  }

  static func framed(_ message: [UInt8]) -> [UInt8] {
    [UInt8(truncatingIfNeeded: message.count >> 8), UInt8(truncatingIfNeeded: message.count)] + message
  }

  private func write(_ octets: [UInt8], _ connection: Int32) {
    _ = unsafe octets.withUnsafeBytes { unsafe send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }
}
