import CLinux
import Glibc

/// Whole messages over one end of a socketpair of `SOCK_SEQPACKET`; octets where it is one of `SOCK_STREAM`.
package enum MessageSocket {
  /// What came of reading: a message, none for now, or the other end is gone.
  package enum Received {
    case octets([UInt8])
    case nothing
    case closed
  }

  /// What came of sending.
  package enum Sent {
    case sent
    case wouldBlock
    case closed
  }

  /// Takes the next message without waiting; what of it does not fit the buffer is lost.
  package static func receive(_ descriptor: Int32, into buffer: inout [UInt8]) -> Received {
    let count = unsafe buffer.withUnsafeMutableBytes {
      unsafe sluice_message_receive(descriptor, $0.baseAddress, UInt64($0.count))
    }
    if count > 0 { return .octets(Array(buffer.prefix(Int(count)))) }
    if count == 0 { return isHungUp(descriptor) ? .closed : .octets([]) }
    return count == -Int64(EAGAIN) ? .nothing : .closed
  }

  /// Whether the other side is gone: a message without an octet reads like its end.
  private static func isHungUp(_ descriptor: Int32) -> Bool {
    let readEnd = Int16(0x2000)  // POLLRDHUP
    var wait = pollfd(fd: descriptor, events: readEnd, revents: 0)
    return unsafe poll(&wait, 1, 0) != 0 && wait.revents != 0
  }

  /// Sends a message.
  ///
  /// - Parameter waiting: for room in the socket, for as long as the other side lives; otherwise it is not sent.
  package static func send(_ octets: [UInt8], _ descriptor: Int32, waiting: Bool) -> Sent {
    let count = unsafe octets.withUnsafeBytes {
      unsafe sluice_message_send(descriptor, $0.baseAddress, UInt64($0.count), waiting ? 1 : 0)
    }
    if count >= 0 { return .sent }
    return count == -Int64(EAGAIN) || count == -Int64(ENOBUFS) ? .wouldBlock : .closed
  }
}
