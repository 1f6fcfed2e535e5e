import Glibc

/// One message out and one message in over TCP, each after a length of two octets (RFC 1035 section 4.2.2).
struct StreamBuffer {
  enum Transfer {
    case wait(writable: Bool)
    case message([UInt8])
    case failed
  }

  private var outgoing: [UInt8]
  private var sent = 0
  private var incoming: [UInt8] = []
  /// Whether the kernel took the whole message.
  var isSent: Bool { sent == outgoing.count }

  init(sending message: [UInt8]) {
    outgoing = [UInt8(truncatingIfNeeded: message.count >> 8), UInt8(truncatingIfNeeded: message.count)] + message
  }

  /// Sends and receives what the socket takes and has.
  mutating func advance(_ socket: Int32, _ buffer: inout [UInt8]) -> Transfer {
    while sent < outgoing.count {
      let count = unsafe outgoing[sent...].withUnsafeBytes {
        unsafe send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count >= 0 else {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? .wait(writable: true) : .failed
      }
      sent += count
    }
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(socket, $0.baseAddress, $0.count, 0) }
      if count < 0 {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? .wait(writable: false) : .failed
      }
      guard count > 0 else { return .failed }
      incoming += buffer[..<count]
      guard incoming.count >= 2 else { continue }
      let length = Int(incoming[0]) << 8 | Int(incoming[1])
      guard length >= 12 else { return .failed }
      // One query was sent: what follows its response answers nothing.
      guard incoming.count <= 2 + length else { return .failed }
      if incoming.count == 2 + length {
        return .message(Array(incoming[2...]))
      }
    }
  }
}
