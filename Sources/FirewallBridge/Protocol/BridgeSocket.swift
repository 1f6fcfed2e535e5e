// The socket's flags: in optimised builds Glibc alone does not show them.
import CNetfilter
import Glibc

/// Whole messages over one end of the socketpair; octets over the one between keeper and feeder.
enum BridgeSocket {
  enum Received {
    case octets([UInt8])
    case nothing
    case closed
  }

  enum Sent {
    case sent
    case wouldBlock
    case closed
  }

  /// Takes the next message without waiting.
  static func receive(_ descriptor: Int32, into buffer: inout [UInt8]) -> Received {
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
      }
      if count > 0 { return .octets(Array(buffer.prefix(count))) }
      if count == 0 { return isHungUp(descriptor) ? .closed : .octets([]) }
      if errno == EINTR { continue }
      return errno == EAGAIN ? .nothing : .closed
    }
  }

  /// Whether the other side is gone: a message without an octet reads like its end.
  private static func isHungUp(_ descriptor: Int32) -> Bool {
    let readEnd = Int16(0x2000)  // POLLRDHUP
    var wait = pollfd(fd: descriptor, events: readEnd, revents: 0)
    return unsafe poll(&wait, 1, 0) != 0 && wait.revents != 0
  }

  static func send(_ octets: [UInt8], _ descriptor: Int32, waiting: Bool) -> Sent {
    let flags = Int32(MSG_NOSIGNAL) | (waiting ? 0 : Int32(MSG_DONTWAIT))
    while true {
      let count = unsafe octets.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, flags) }
      if count >= 0 { return .sent }
      if errno == EINTR { continue }
      return errno == EAGAIN || errno == ENOBUFS ? .wouldBlock : .closed
    }
  }
}
