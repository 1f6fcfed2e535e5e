import CLinux
import Glibc
import IPNetwork
package import LinuxIO

/// Reads the host's network by rtnetlink(7), and tells of its changes; needs no privilege.
package final class RouteSocket {
  /// A dump that changed while it was read is begun again; a busy host's changes all the time, so not for ever.
  private static let maximumDumps = 8
  private static let bufferOctets = 65_536
  /// Room for what changes while a dump is read.
  private static let notificationOctets: Int32 = 1 << 20
  /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE of linux/rtnetlink.h.
  private static let groups: UInt32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

  private let changes: FileDescriptor
  private let requests: FileDescriptor
  private var sequence: UInt32 = 0
  private var buffer = [UInt8](repeating: 0, count: RouteSocket.bufferOctets)

  /// - Throws: when the kernel gives no socket.
  package init() throws(SystemError) {
    changes = try Self.socket(groups: Self.groups)
    requests = try Self.socket(groups: 0)
    var size = Self.notificationOctets
    _ = unsafe setsockopt(changes.raw, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func socket(groups: UInt32) throws(SystemError) -> FileDescriptor {
    let raw = sluice_route_socket(groups)
    guard raw >= 0 else { throw SystemError(call: "socket", errno: -raw) }
    return FileDescriptor(raw)
  }

  /// Readable when links, addresses or routes changed since the last `drain()`.
  package var descriptor: Int32 { changes.raw }

  /// Forgets what was told; whether anything was, or notifications were lost.
  package func drain() -> Bool {
    var isChanged = false
    // A bound, so that a busy host cannot keep the caller from its work.
    for _ in 0..<4_096 {
      let count = unsafe recv(changes.raw, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count < 0, errno == EAGAIN { break }
      if count < 0, errno != EINTR, errno != ENOBUFS { break }
      isChanged = true
    }
    return isChanged
  }

  /// Links, addresses and routes as they are now.
  ///
  /// - Parameter keepingRoute: which routes are kept; asked for each while it is read, so that a table of millions takes
  ///   time (a microsecond a route) and no memory.
  /// - Throws: what the kernel answers.
  package func read(
    keepingRoute: (HostNetwork.Route) -> Bool = { _ in true }
  ) throws(SystemError) -> HostNetwork {
    for attempt in 1...Self.maximumDumps {
      var host = HostNetwork()
      var isWhole = true
      isWhole = try dump(Message.getLink, AF_UNSPEC) { RouteMessage.link($0, into: &host) } && isWhole
      isWhole = try dump(Message.getAddress, AF_UNSPEC) { RouteMessage.address($0, into: &host) } && isWhole
      for family in [AF_INET, AF_INET6] {
        isWhole =
          try dump(Message.getRoute, family) { octets in
            for route in RouteMessage.routes(octets) where keepingRoute(route) { host.routes.append(route) }
          } && isWhole
      }
      if isWhole || attempt == Self.maximumDumps { return host }
    }
    return HostNetwork()
  }

  /// Message types and flags of linux/netlink.h and linux/rtnetlink.h.
  private enum Message {
    static let error: UInt16 = 2
    static let done: UInt16 = 3
    /// NLM_F_REQUEST | NLM_F_DUMP
    static let dump: UInt16 = 0x1 | 0x300
    /// NLM_F_DUMP_INTR
    static let isInterrupted: UInt16 = 0x10
    static let getLink: UInt16 = 18
    static let getAddress: UInt16 = 22
    static let getRoute: UInt16 = 26
  }

  /// Gives the payload of every answer to `each`; false when the kernel says that it changed meanwhile.
  private func dump(
    _ type: UInt16, _ family: Int32, _ each: (ArraySlice<UInt8>) -> Void
  ) throws(SystemError) -> Bool {
    sequence &+= 1
    try send(type, family)
    var isWhole = true
    while true {
      let count = unsafe recv(requests.raw, &buffer, buffer.count, 0)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw SystemError(call: "recv", errno: errno) }
      var rest = buffer[0..<count]
      while let message = NetlinkMessage(from: &rest) {
        guard message.sequence == sequence else { continue }
        if message.flags & Message.isInterrupted != 0 { isWhole = false }
        switch message.type {
        case Message.done: return isWhole
        case Message.error:
          let error = message.payload.integer(Int32.self, at: 0) ?? 0
          // The host may have no IPv6 at all.
          if -error == EAFNOSUPPORT || -error == EOPNOTSUPP { return true }
          throw SystemError(call: "netlink", errno: -error)
        default: each(message.payload)
        }
      }
    }
  }

  private func send(_ type: UInt16, _ family: Int32) throws(SystemError) {
    // struct nlmsghdr and, of whatever kind, a zeroed header of the longest of the three (struct ifinfomsg).
    var request: [UInt8] = []
    func put(_ value: UInt32) { unsafe withUnsafeBytes(of: value) { unsafe request.append(contentsOf: $0) } }
    put(32)
    unsafe withUnsafeBytes(of: (type, Message.dump)) { unsafe request.append(contentsOf: $0) }
    put(sequence)
    put(0)
    request.append(UInt8(truncatingIfNeeded: family))
    request += [UInt8](repeating: 0, count: 15)
    guard unsafe Glibc.send(requests.raw, &request, request.count, 0) == request.count else {
      throw SystemError(call: "send", errno: errno)
    }
  }
}

/// One message of a netlink datagram.
struct NetlinkMessage {
  var type: UInt16
  var flags: UInt16
  var sequence: UInt32
  var payload: ArraySlice<UInt8>

  /// Takes the next message off `rest`; nil at the end, or where lengths lie.
  init?(from rest: inout ArraySlice<UInt8>) {
    guard let length = rest.integer(UInt32.self, at: 0).map({ Int($0) }), length >= 16, length <= rest.count,
      let type = rest.integer(UInt16.self, at: 4), let flags = rest.integer(UInt16.self, at: 6),
      let sequence = rest.integer(UInt32.self, at: 8)
    else { return nil }
    self.type = type
    self.flags = flags
    self.sequence = sequence
    payload = rest.dropFirst(16).prefix(length - 16)
    rest = rest.dropFirst((length + 3) & ~3)
  }
}

extension ArraySlice<UInt8> {
  /// The host-order number `offset` octets from the front; nil beyond the end.
  func integer<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type, at offset: Int) -> T? {
    let width = T.bitWidth / 8
    guard count >= offset + width else { return nil }
    return unsafe withUnsafeBytes { octets in
      unsafe octets.loadUnaligned(fromByteOffset: offset, as: T.self)  // offset + width <= count
    }
  }

  /// The attributes (struct rtattr) that follow `offset` octets, by type; of one that stands twice the last.
  func attributes(after offset: Int) -> [UInt16: ArraySlice<UInt8>] {
    var found: [UInt16: ArraySlice<UInt8>] = [:]
    var rest = dropFirst(offset)
    while let length = rest.integer(UInt16.self, at: 0).map({ Int($0) }), length >= 4, length <= rest.count,
      let type = rest.integer(UInt16.self, at: 2)
    {
      // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type.
      found[type & 0x3FFF] = rest.dropFirst(4).prefix(length - 4)
      rest = rest.dropFirst((length + 3) & ~3)
    }
    return found
  }
}
