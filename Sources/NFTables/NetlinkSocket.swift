package import CNetfilter
import Glibc
package import LinuxIO

/// A netlink socket to nf_tables. Replies arrive while the request is sent, so reading never has to wait long.
@safe
package final class NetlinkSocket {
  /// Octets of one datagram; the kernel never fills more than 32 KiB for a dump.
  private static let bufferOctets = 65_536

  private let socket: OpaquePointer
  private let buffer: UnsafeMutableRawPointer
  package let descriptor: Int32
  /// The port the kernel gave this socket: changes carry it, so that the worker's own can be told from another
  /// program's.
  package let port: UInt32
  private var sequence: UInt32 = 0
  /// Octets, as they were asked for.
  private var (sendBuffer, receiveBuffer): (Int32?, Int32?) = (nil, nil)

  package init(groups: UInt32 = 0) throws(SystemError) {
    // SOCK_CLOEXEC is defined as O_CLOEXEC.
    guard let socket = unsafe mnl_socket_open2(NETLINK_NETFILTER, O_CLOEXEC) else {
      throw SystemError(call: "mnl_socket_open2", errno: errno)
    }
    unsafe self.socket = socket
    descriptor = unsafe mnl_socket_get_fd(socket)
    unsafe buffer = .allocate(byteCount: Self.bufferOctets, alignment: 16)
    guard unsafe mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) == 0 else {
      let error = errno
      unsafe buffer.deallocate()
      unsafe mnl_socket_close(socket)
      throw SystemError(call: "mnl_socket_bind", errno: error)
    }
    port = unsafe mnl_socket_get_portid(socket)
  }

  deinit {
    unsafe buffer.deallocate()
    unsafe mnl_socket_close(socket)
  }

  /// A number that no message of this socket had before, until 32 bits are used up; replies bear it.
  package func nextSequence() -> UInt32 {
    sequence &+= 1
    return sequence
  }

  /// Asks for a larger buffer of what is sent than the system's default; needs CAP_NET_ADMIN.
  package func setSendBuffer(octets: Int32) {
    sendBuffer = octets
    setBuffer(SO_SNDBUFFORCE, octets)
  }

  /// Asks for a larger buffer of what is received than the system's default; needs CAP_NET_ADMIN.
  package func setReceiveBuffer(octets: Int32) {
    receiveBuffer = octets
    setBuffer(SO_RCVBUFFORCE, octets)
  }

  /// Another process was lent the socket: what it left unread goes, reading waits again, and buffers are as they were asked
  /// for.
  package func takeBack() {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
    var isLeft = true
    while isLeft {
      do throws(SystemError) {
        isLeft = try unsafe receive(waiting: false) { _ in }
      } catch {
        // What did not fit is gone; what came before and behind it is still there.
        isLeft = error.errno == ENOBUFS
      }
    }
    if let sendBuffer { setBuffer(SO_SNDBUFFORCE, sendBuffer) }
    if let receiveBuffer { setBuffer(SO_RCVBUFFORCE, receiveBuffer) }
  }

  private func setBuffer(_ option: Int32, _ octets: Int32) {
    var size = octets
    _ = unsafe setsockopt(descriptor, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
  }

  func send(_ message: UnsafeRawBufferPointer) throws(SystemError) {
    guard unsafe mnl_socket_sendto(socket, message.baseAddress, message.count) >= 0 else {
      throw SystemError(call: "sendto", errno: errno)
    }
  }

  /// Gives every message of the next datagram to `each`; false when none waits.
  package func receive(
    waiting: Bool, _ each: (UnsafePointer<nlmsghdr>) throws(SystemError) -> Void
  ) throws(SystemError) -> Bool {
    let flags = waiting ? 0 : Int32(MSG_DONTWAIT)
    var count = unsafe recv(descriptor, buffer, Self.bufferOctets, flags)
    while count < 0 && errno == EINTR {
      count = unsafe recv(descriptor, buffer, Self.bufferOctets, flags)
    }
    if count < 0 {
      guard errno == EAGAIN else { throw SystemError(call: "recv", errno: errno) }
      return false
    }
    var left = Int32(clamping: count)
    var message = unsafe UnsafePointer(buffer.assumingMemoryBound(to: nlmsghdr.self))
    // mnl_nlmsg_ok holds the header and the length it claims against the octets that are left.
    while unsafe mnl_nlmsg_ok(message, left) {
      try unsafe each(message)
      guard let next = unsafe mnl_nlmsg_next(message, &left) else { break }
      unsafe message = unsafe UnsafePointer(next)
    }
    return true
  }

  /// What a dump is asked for by.
  package struct DumpRequest {
    package var type: Int32
    package var family: UInt8
    /// How often it is read at the most, where something changes each time.
    package var attempts: Int

    package init(type: Int32, family: UInt8, attempts: Int = 5) {
      self.type = type
      self.family = family
      self.attempts = attempts
    }
  }

  /// Reads a dump, and again where something changed while the kernel made it: what it says then may lack what was there all
  /// the time. After its `attempts` the last one stands: on a busy host there is always a change between.
  ///
  /// - Parameter begin: called before each. What is read into a set or a dictionary may stay there: what one of them lacks
  ///   another one has.
  package func dump(
    _ request: DumpRequest, _ fill: (UnsafeMutablePointer<nlmsghdr>) -> Void, begin: () -> Void = {},
    _ each: (UnsafePointer<nlmsghdr>) -> Void
  ) throws(SystemError) {
    for _ in 0..<request.attempts {
      begin()
      guard try unsafe exchange(type: request.type, family: request.family, flags: NLM_F_DUMP, fill, each) else {
        return
      }
    }
  }

  /// Sends one request and reads its answers until the last; a refusal is thrown with the kernel's number.
  ///
  /// - Returns: whether something changed between the answers of a dump (NLM_F_DUMP_INTR).
  @discardableResult
  package func exchange(
    type: Int32, family: UInt8, flags: Int32, _ fill: (UnsafeMutablePointer<nlmsghdr>) -> Void,
    _ each: (UnsafePointer<nlmsghdr>) -> Void
  ) throws(SystemError) -> Bool {
    let sequence = nextSequence()
    // Requests hold two names at most: a table's and a set's, or one element.
    let room = 4_096
    let request = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 16)
    defer { unsafe request.deallocate() }
    // Not nftnl_nlmsg_build_hdr, which makes every message one of nf_tables.
    guard let header = unsafe mnl_nlmsg_put_header(request),
      let extra = unsafe mnl_nlmsg_put_extra_header(header, MemoryLayout<nfgenmsg>.size)
    else { throw SystemError(call: "mnl_nlmsg_put_header", errno: ENOMEM) }
    unsafe header.pointee.nlmsg_type = UInt16(type)
    unsafe header.pointee.nlmsg_flags = UInt16(flags | NLM_F_REQUEST)
    unsafe header.pointee.nlmsg_seq = sequence
    unsafe extra.storeBytes(of: nfgenmsg(nfgen_family: family, version: 0, res_id: 0), as: nfgenmsg.self)
    unsafe fill(header)
    try unsafe send(UnsafeRawBufferPointer(start: request, count: Int(header.pointee.nlmsg_len)))
    let isDump = flags & NLM_F_DUMP == NLM_F_DUMP
    var finished = false
    var isInterrupted = false
    while !finished {
      let answered = try unsafe receive(waiting: true) { message throws(SystemError) in
        guard unsafe message.pointee.nlmsg_seq == sequence else { return }
        // On the last message as well, which tells of the others' end only.
        if unsafe message.pointee.nlmsg_flags & UInt16(NLM_F_DUMP_INTR) != 0 { isInterrupted = true }
        switch Int32(unsafe message.pointee.nlmsg_type) {
        case NLMSG_ERROR:
          finished = true
          let error = unsafe Self.error(of: message)
          guard error == 0 else { throw SystemError(call: "netlink", errno: error) }
        case NLMSG_DONE:
          finished = true
        default:
          unsafe each(message)
          finished = !isDump
        }
      }
      // Without its end an answer is none.
      guard answered else { throw SystemError(call: "netlink", errno: EBADMSG) }
    }
    return isDump && isInterrupted
  }

  /// The error number of an NLMSG_ERROR, 0 for an ack.
  static func error(of message: UnsafePointer<nlmsghdr>) -> Int32 {
    guard unsafe mnl_nlmsg_get_payload_len(message) >= MemoryLayout<Int32>.size,
      let payload = unsafe mnl_nlmsg_get_payload(message)
    else { return EBADMSG }
    return unsafe -payload.loadUnaligned(as: Int32.self)
  }
}

/// The number of an nf_tables message.
func nfTables(_ message: nf_tables_msg_types) -> Int32 {
  Int32(NFNL_SUBSYS_NFTABLES) << 8 | Int32(message.rawValue)
}
