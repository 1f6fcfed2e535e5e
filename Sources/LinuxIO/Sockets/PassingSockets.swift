import CLinux
import Glibc

/// Sockets whose octets pass through this process: connections that the firewall redirected here, and those that are made for
/// them. Nothing here waits.
package enum PassingSockets {
  /// What came of an attempt that does not wait.
  package enum Outcome: Hashable, Sendable {
    /// So many octets; never 0.
    case octets(Int)
    /// Nothing more comes.
    case end
    /// Not now.
    case wouldWait
    /// The error number.
    case failed(Int32)

    init(_ count: Int64) {
      switch count {
      case 0: self = .end
      case 1...: self = .octets(Int(count))
      case -Int64(EAGAIN): self = .wouldWait
      default: self = .failed(Int32(clamping: -count))
      }
    }
  }

  /// A connection that was accepted.
  package struct Accepted: ~Copyable {
    package let socket: FileDescriptor
    package let client: SocketAddress

    /// Releases ownership: the caller closes the socket.
    package consuming func release() -> Int32 { socket.release() }
  }

  /// Has a socket that listens keep so many connections that wait, and accepting from it wait for none. What is accepted is
  /// prepared, and resets at close.
  package static func listen(_ socket: Int32, backlog: Int32) throws(SystemError) {
    let error = sluice_gate_listen(socket, backlog)
    guard error == 0 else { throw SystemError(call: "listen", errno: error) }
  }

  /// The next connection that waits; nil where none does.
  package static func accept(_ listener: Int32) throws(SystemError) -> Accepted? {
    var client = sluice_endpoint()
    // The address is written to the variable above.
    let fd = unsafe sluice_gate_accept(listener, &client)
    if fd >= 0 { return Accepted(socket: FileDescriptor(fd), client: SocketAddress(client)) }
    // What waited may have ended meanwhile (accept(2)).
    if [EAGAIN, ECONNABORTED, EINTR].contains(-fd) { return nil }
    throw SystemError(call: "accept", errno: -fd)
  }

  /// Where a connection was going before the firewall redirected it; nil where it was not tracked.
  package static func destination(of socket: Int32, isV6: Bool) -> SocketAddress? {
    var found = sluice_endpoint()
    // The address is written to the variable above.
    return unsafe sluice_gate_destination(socket, isV6 ? 1 : 0, &found) == 0 ? SocketAddress(found) : nil
  }

  /// A socket that is being connected, to be prepared once it is; writable then, or when it has failed.
  ///
  /// - Parameter staysHere: the address is the host's own. Connected from the loopback address, a port that was used is free again
  ///   after a second (`net.ipv4.tcp_tw_reuse` as it is); from another one after a minute, and of ports there are 28,232.
  package static func connect(_ address: SocketAddress, staysHere: Bool = false) throws(SystemError) -> FileDescriptor {
    let fd = sluice_gate_connect(address.endpoint, staysHere ? 1 : 0)
    guard fd >= 0 else { throw SystemError(call: "connect", errno: -fd) }
    return FileDescriptor(fd)
  }

  /// What is written leaves at once, and a peer that is gone is found out in a quarter of an hour.
  package static func prepare(_ socket: Int32) {
    // A socket that takes no such option ends at its first use, which says so.
    _ = sluice_gate_prepare(socket)
  }

  /// Whether closing it sends a reset, and not what is still to be sent.
  package static func resetsAtClose(_ socket: Int32, _ resets: Bool) {
    // Of a socket that takes no such option the peer learns the end all the same.
    _ = sluice_gate_reset_at_close(socket, resets ? 1 : 0)
  }

  /// Says that nothing more is sent.
  package static func finish(_ socket: Int32) { _ = sluice_gate_finish(socket) }

  /// What would come next, without taking it: one octet, the end, or nothing yet.
  package static func peek(_ socket: Int32) -> Outcome { Outcome(sluice_gate_peek(socket)) }

  /// Takes octets to the front of the buffer, as many as it has, and no more than `limit`.
  package static func receive(_ socket: Int32, into buffer: inout [UInt8], limit: Int = .max) -> Outcome {
    // The front of the buffer, with no more than its count.
    Outcome(
      unsafe buffer.withUnsafeMutableBufferPointer {
        unsafe sluice_gate_receive(socket, $0.baseAddress, UInt64(max(0, min($0.count, limit))))
      })
  }

  /// Gives octets of the buffer, from `start` on, and none from `end` on.
  package static func send(_ socket: Int32, _ buffer: [UInt8], from start: Int, to end: Int? = nil) -> Outcome {
    let end = min(end ?? buffer.count, buffer.count)
    guard start >= 0, start < end else { return .end }
    // From `start` to `end`, which is within the buffer.
    let count = unsafe buffer.withUnsafeBytes {
      unsafe sluice_gate_send(
        socket, $0.baseAddress?.advanced(by: start).assumingMemoryBound(to: UInt8.self), UInt64(end - start))
    }
    return Outcome(count)
  }
}

/// A pipe through which octets go from socket to socket within the kernel.
package struct PassingPipe: ~Copyable {
  /// Octets that it has room for, where the kernel gives as much.
  package static let size = 256 << 10

  private let reading: FileDescriptor
  private let writing: FileDescriptor
  /// Octets that are in it.
  package private(set) var held = 0

  package init() throws(SystemError) {
    var ends: [Int32] = [-1, -1]
    // Two numbers are written, to a list of two.
    let error = unsafe sluice_gate_pipe(&ends, Int32(Self.size))
    guard error == 0 else { throw SystemError(call: "pipe2", errno: error) }
    reading = FileDescriptor(ends[0])
    writing = FileDescriptor(ends[1])
  }

  /// Takes octets from a socket, as many as there is room for and `limit` at most.
  package mutating func fill(from socket: Int32, limit: Int = PassingPipe.size) -> PassingSockets.Outcome {
    let outcome = PassingSockets.Outcome(sluice_gate_splice(socket, writing.raw, UInt64(limit), 0))
    if case .octets(let count) = outcome { held += count }
    return outcome
  }

  /// Gives a socket what is in it.
  package mutating func drain(to socket: Int32) -> PassingSockets.Outcome {
    guard held > 0 else { return .end }
    let outcome = PassingSockets.Outcome(sluice_gate_splice(reading.raw, socket, UInt64(held), 0))
    if case .octets(let count) = outcome { held -= count }
    return outcome
  }
}
