import CLinux

/// The buffers of one UDP worker: 64 queries and 64 replies that live as long as the thread.
///
/// Nothing is allocated and nothing counted per datagram. Indices are those of the last `receive`.
@safe
package struct DatagramBatch: ~Copyable {
  /// Source address and interface of a received datagram.
  package struct Peer {
    package var address: SocketAddress
    /// Index of the interface it came in by; 0 when the kernel did not say.
    package var interface: UInt32
  }

  /// Datagrams of a full batch.
  package static let capacity = Int(SLUICE_BATCH)

  /// Octets of the longest reply.
  package static let replySize = Int(SLUICE_REPLY_SIZE)

  private let batch: OpaquePointer
  private var count = 0

  package init() {
    guard let batch = unsafe sluice_batch_new() else { fatalError("out of memory at start") }
    unsafe self.batch = batch
  }

  deinit {
    unsafe sluice_batch_free(batch)
  }

  /// Receives what waits, up to 64 datagrams; with `block` waits for the first.
  ///
  /// - Throws: EINTR when a signal came, EAGAIN when nothing waits.
  package mutating func receive(_ socket: Int32, block: Bool) throws(SystemError) -> Int {
    let received = unsafe sluice_batch_receive(batch, socket, block ? 1 : 0)
    count = max(0, Int(received))
    guard received >= 0 else { throw SystemError(call: "recvmmsg", errno: -received) }
    return count
  }

  /// Gives datagram `index` and an empty reply buffer to `body`; the reply is queued if it returns true.
  /// False without a call for a datagram that did not fit.
  package mutating func answer(
    _ index: Int, _ body: (Span<UInt8>, Peer, inout OutputSpan<UInt8>) -> Bool
  ) -> Bool {
    precondition(index >= 0 && index < count)
    var length: Int32 = 0
    // The arena holds `count` datagrams; `length` octets of this one were written by the kernel.
    guard let octets = unsafe sluice_batch_query(batch, Int32(index), &length), length >= 0,
      let space = unsafe sluice_batch_reply(batch, Int32(index))
    else { return false }
    let query = unsafe UnsafeBufferPointer(start: octets, count: Int(length))
    let buffer = unsafe UnsafeMutableBufferPointer(start: space, count: Self.replySize)
    var reply = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
    let answered = unsafe body(query.span, peer(index), &reply)
    let written = unsafe reply.finalize(for: buffer)
    if answered {
      unsafe sluice_batch_queue(batch, Int32(index), Int32(truncatingIfNeeded: written))
    }
    return answered
  }

  /// Gives datagram `index` to `body`; nothing in place of one that did not fit.
  package func look(_ index: Int, _ body: (Span<UInt8>, Peer) -> Void) {
    precondition(index >= 0 && index < count)
    var length: Int32 = 0
    // As in `answer`.
    let octets = unsafe sluice_batch_query(batch, Int32(index), &length)
    let query = unsafe UnsafeBufferPointer(start: octets, count: octets == nil ? 0 : max(0, Int(length)))
    unsafe body(query.span, peer(index))
  }

  /// Sends every queued reply from the address that was asked.
  package mutating func send(_ socket: Int32) {
    _ = unsafe sluice_batch_send(batch, socket, 1)
  }

  /// The way back to the sender of datagram `index`, for an answer that comes later.
  package func returnAddress(_ index: Int) -> DatagramReturn? {
    guard index >= 0, index < count, let peer = unsafe sluice_batch_peer(batch, Int32(index)) else { return nil }
    return unsafe DatagramReturn(peer.pointee)
  }

  /// Who sent datagram `index`.
  package func peer(_ index: Int) -> Peer {
    precondition(index >= 0 && index < count)
    guard let peer = unsafe sluice_batch_peer(batch, Int32(index)) else {
      return Peer(address: SocketAddress(isV6: false, high: 0, low: 0, port: 0), interface: 0)
    }
    return unsafe Peer(
      address: SocketAddress(sluice_peer_endpoint(peer)),
      interface: UInt32(bitPattern: peer.pointee.interface_index))
  }
}

/// Replies that came later than their batch, and leave together: the first of them wakes a client that waits for many, and the
/// others find it awake.
@safe
package struct DatagramOutbox: ~Copyable {
  /// More leave at once, so that none waits for a long turn's end.
  package static let most = 16

  private let batch: OpaquePointer
  private var count = 0
  /// Of those that wait.
  private var socket: Int32 = -1

  package init() {
    guard let batch = unsafe sluice_batch_new() else { fatalError("out of memory at start") }
    unsafe self.batch = batch
  }

  deinit {
    unsafe sluice_batch_free(batch)
  }

  /// Puts a reply behind the others; those of another socket leave first. The socket stays open until `send`.
  package mutating func add(_ octets: [UInt8], to address: DatagramReturn, on socket: Int32) {
    if socket != self.socket { send() }
    self.socket = socket
    let added = unsafe address.add(octets, to: batch)
    guard added > 0 else {
      // There is none that long.
      return address.send(octets, on: socket)
    }
    count = added
    if count >= Self.most { send() }
  }

  /// Sends what waits; what the socket has no room for is lost, as on any network.
  package mutating func send() {
    guard count > 0 else { return }
    _ = unsafe sluice_batch_send(batch, socket, 0)
    count = 0
  }
}

/// Where the answer to one datagram goes and which address it leaves from.
@safe
package struct DatagramReturn: Sendable {
  private let peer: sluice_peer

  init(_ peer: sluice_peer) {
    self.peer = peer
  }

  /// Queues a copy of a reply; returns how many are queued, 0 where there is no room for it.
  fileprivate func add(_ octets: [UInt8], to batch: OpaquePointer) -> Int {
    unsafe withUnsafePointer(to: peer) { peer in
      unsafe octets.withUnsafeBufferPointer { buffer in
        // As many octets as the array has are copied.
        Int(unsafe sluice_batch_add(batch, peer, buffer.baseAddress, Int32(truncatingIfNeeded: buffer.count)))
      }
    }
  }

  /// Sends a reply on the socket that received the query. A client that is gone is no error.
  package func send(_ octets: [UInt8], on socket: Int32) {
    unsafe withUnsafePointer(to: peer) { peer in
      unsafe octets.withUnsafeBufferPointer { buffer in
        _ = unsafe sluice_send_reply(socket, peer, buffer.baseAddress, Int32(truncatingIfNeeded: buffer.count))
      }
    }
  }
}
