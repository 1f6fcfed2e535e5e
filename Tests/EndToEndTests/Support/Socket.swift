import CLinux
import Foundation
import Glibc
import IPNetwork

/// A UDP or TCP socket inside a namespace, non-blocking, connected to one place.
final class Socket {
  private let fd: Int32
  private var buffer = [UInt8](repeating: 0, count: 65_536)
  private var unread: [UInt8] = []

  init(datagramTo address: String, _ port: UInt16, from namespace: Namespace, bind source: String? = nil) throws {
    if let source {
      fd = try namespace.perform { try Self.bound(address, port, source, stream: false) }
    } else {
      fd = try namespace.perform { try Self.open(address, port, stream: false) }
    }
  }

  init(streamTo address: String, _ port: UInt16, from namespace: Namespace, bind source: String? = nil) throws {
    fd = try namespace.perform {
      if let source {
        try Self.bound(address, port, source, stream: true)
      } else {
        try Self.open(address, port, stream: true)
      }
    }
    guard Self.isConnected(fd, within: 3) else {
      close(fd)
      throw Obstacle("no connection to \(address) port \(port)")
    }
  }

  deinit {
    close(fd)
  }

  /// Whether a TCP connection is accepted; false at once where it is refused, and after two seconds of silence.
  static func connects(
    _ address: String, _ port: UInt16, from namespace: Namespace, bind source: String? = nil
  ) throws -> Bool {
    let fd = try namespace.perform {
      if let source { try bound(address, port, source, stream: true) } else { try open(address, port, stream: true) }
    }
    defer { close(fd) }
    return isConnected(fd, within: 2)
  }

  private static func open(_ address: String, _ port: UInt16, stream: Bool) throws -> Int32 {
    guard let parsed = IPAddress(address) else { throw Obstacle("\(address) is no address") }
    let endpoint = sluice_endpoint(high: parsed.high, low: parsed.low, port: port, is_v6: parsed.family == .v6 ? 1 : 0)
    let fd = stream ? sluice_connect(endpoint) : sluice_udp_new(Int32(endpoint.is_v6))
    guard fd >= 0 else { throw Obstacle("no socket to \(address) port \(port): \(-fd)") }
    let error = stream ? 0 : sluice_udp_connect(fd, endpoint)
    guard error == 0 else {
      close(fd)
      throw Obstacle("no socket to \(address) port \(port): \(error)")
    }
    return fd
  }

  private static func bound(_ address: String, _ port: UInt16, _ source: String, stream: Bool) throws -> Int32 {
    let kind = Int32(stream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue)
    let fd = socket(AF_INET, kind | Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    func socketAddress(_ text: String, _ port: UInt16) -> sockaddr_in {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = unsafe inet_addr(text)
      return address
    }
    func with(_ address: sockaddr_in, _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
      unsafe withUnsafePointer(to: address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe call($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    let isBound = unsafe with(socketAddress(source, 0)) { unsafe Glibc.bind(fd, $0, $1) } == 0
    let isConnected =
      unsafe with(socketAddress(address, port)) { unsafe Glibc.connect(fd, $0, $1) } == 0
      || (stream && errno == EINPROGRESS)
    guard fd >= 0, isBound, isConnected else { throw Obstacle("no socket from \(source): \(errno)") }
    return fd
  }

  private static func isConnected(_ fd: Int32, within seconds: Double) -> Bool {
    guard wait(fd, POLLOUT, Deadline(seconds)) else { return false }
    var fault: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    return unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size) == 0 && fault == 0
  }

  private static func wait(_ fd: Int32, _ events: Int32, _ deadline: Deadline) -> Bool {
    var entry = pollfd(fd: fd, events: Int16(events), revents: 0)
    return unsafe poll(&entry, 1, deadline.milliseconds) > 0
  }

  /// Sends octets; a refusal that an earlier datagram met is no matter.
  @discardableResult
  func send(_ octets: [UInt8]) -> Bool {
    for _ in 0..<2 {
      let count = unsafe octets.withUnsafeBytes { unsafe Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if count == octets.count { return true }
      guard count < 0, errno == ECONNREFUSED || errno == EAGAIN else { return false }
      _ = Self.wait(fd, POLLOUT, Deadline(1))
    }
    return false
  }

  /// The next datagram; nil when none comes in time.
  func receive(within seconds: Double) -> [UInt8]? {
    let deadline = Deadline(seconds)
    while true {
      let count = read()
      if count >= 0 { return Array(buffer[..<count]) }
      guard errno == EAGAIN || errno == ECONNREFUSED else { return nil }
      guard Self.wait(fd, POLLIN, deadline) else { return nil }
    }
  }

  /// The reply to a question sent now; replies to earlier ones are passed over.
  func ask(_ question: Question, id: UInt16, within seconds: Double = 3) -> Reply? {
    send(question.octets(id: id))
    let deadline = Deadline(seconds)
    while !deadline.isOver {
      guard let octets = receive(within: Double(deadline.milliseconds) / 1_000) else { return nil }
      if let reply = Reply(octets), reply.id == id { return reply }
    }
    return nil
  }

  // MARK: - Streams

  /// Whether an established connection still is one: an octet is sent, and nothing said meanwhile that it is over.
  func isAlive() -> Bool {
    // The first letter of a request: the web server waits for the rest of it.
    var octet: UInt8 = 0x47
    for _ in 0..<2 {
      guard unsafe Glibc.send(fd, &octet, 1, Int32(MSG_NOSIGNAL)) == 1 else { return false }
      var entry = pollfd(fd: fd, events: Int16(POLLHUP | POLLERR), revents: 0)
      if unsafe poll(&entry, 1, 50) > 0 { return false }
    }
    return true
  }

  /// Sends all of it as fast as it is taken; returns how many octets were before the connection ended.
  func sendAll(_ count: Int, within seconds: Double) -> Int {
    let chunk = [UInt8](repeating: 0x61, count: 16_384)
    let deadline = Deadline(seconds)
    var sent = 0
    while sent < count, !deadline.isOver {
      let size = min(chunk.count, count - sent)
      let taken = unsafe chunk.withUnsafeBytes { unsafe Glibc.send(fd, $0.baseAddress, size, Int32(MSG_NOSIGNAL)) }
      if taken > 0 {
        sent += taken
      } else {
        guard errno == EAGAIN else { return sent }
        _ = Self.wait(fd, POLLOUT, deadline)
      }
    }
    return sent
  }

  /// Says that nothing more follows, and waits until the other side has said the same.
  func finish(within seconds: Double) {
    _ = shutdown(fd, Int32(SHUT_WR))
    _ = receive(within: seconds)
  }

  /// Sends a message with its length in front (RFC 1035 section 4.2.2).
  @discardableResult
  func sendFramed(_ message: [UInt8]) -> Bool {
    send([UInt8(truncatingIfNeeded: message.count >> 8), UInt8(truncatingIfNeeded: message.count)] + message)
  }

  /// Lets the kernel hold only so many octets that were not read.
  func limitReceiveBuffer(_ octets: Int32) {
    var octets = octets
    _ = unsafe setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &octets, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Sends messages one after the other without waiting for an answer, and says that nothing follows.
  func sendFramedAndFinish(_ messages: [[UInt8]], within seconds: Double) -> Bool {
    let octets = messages.flatMap {
      [UInt8(truncatingIfNeeded: $0.count >> 8), UInt8(truncatingIfNeeded: $0.count)] + $0
    }
    let deadline = Deadline(seconds)
    var sent = 0
    while sent < octets.count, !deadline.isOver {
      let taken = unsafe octets.withUnsafeBytes {
        unsafe Glibc.send(fd, $0.baseAddress.map { unsafe $0 + sent }, octets.count - sent, Int32(MSG_NOSIGNAL))
      }
      if taken > 0 { sent += taken } else { _ = Self.wait(fd, POLLOUT, deadline) }
    }
    return sent == octets.count && shutdown(fd, Int32(SHUT_WR)) == 0
  }

  /// The next framed message; nil at the end of the stream or of the time.
  func receiveFramed(within seconds: Double) -> [UInt8]? {
    let deadline = Deadline(seconds)
    while true {
      if unread.count >= 2 {
        let length = Int(unread[0]) << 8 | Int(unread[1])
        if unread.count >= 2 + length {
          defer { unread.removeFirst(2 + length) }
          return Array(unread[2..<(2 + length)])
        }
      }
      let count = read()
      if count > 0 {
        unread += buffer[..<count]
      } else {
        guard count < 0, errno == EAGAIN, Self.wait(fd, POLLIN, deadline) else { return nil }
      }
    }
  }

  private func read() -> Int {
    unsafe buffer.withUnsafeMutableBytes { unsafe recv(fd, $0.baseAddress, $0.count, 0) }
  }
}
