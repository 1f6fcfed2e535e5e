import CNetfilter
package import FirewallModel
import Glibc
package import LinuxIO

/// Reads what the table's rules log to a group of the kernel (NFLOG) before they refuse it.
package final class RefusalReader {
  /// Enough for headers; content is never read.
  private static let copiedOctets: UInt32 = 128
  /// Packets that the kernel may hold together before it tells, and hundredths of a second that it may wait with them.
  private static let together: UInt32 = 32
  private static let patience: UInt32 = 5
  /// Room for all that the table's limits let through at once: 32,768 packets of some 400 octets. Held only while it waits.
  private static let bufferOctets: Int32 = 16 << 20

  private let socket: NetlinkSocket

  /// - Throws: EBUSY when another program reads the group, EPERM without CAP_NET_ADMIN.
  package init(group: UInt16) throws(SystemError) {
    socket = try NetlinkSocket()
    socket.setReceiveBuffer(octets: Self.bufferOctets)
    try Self.bind(socket, to: group)
    try unsafe Self.configure(socket, group) { header in
      // struct nfulnl_msg_config_mode: the range in network order, the mode, a pad.
      let range = Self.copiedOctets
      let mode =
        [UInt8(truncatingIfNeeded: range >> 24), UInt8(truncatingIfNeeded: range >> 16)]
        + [UInt8(truncatingIfNeeded: range >> 8), UInt8(truncatingIfNeeded: range), 2, 0]
      unsafe putAttribute(mode, NFULA_CFG_MODE.rawValue, into: header)
      unsafe mnl_attr_put_u32(header, UInt16(NFULA_CFG_QTHRESH.rawValue), Self.together.bigEndian)
      unsafe mnl_attr_put_u32(header, UInt16(NFULA_CFG_TIMEOUT.rawValue), Self.patience.bigEndian)
    }
  }

  package var descriptor: Int32 { socket.descriptor }

  /// Gives every packet that waits to `body`; false when the kernel had to leave some out.
  package func drain(_ body: (RefusedPacket) -> Void) -> Bool {
    var isWhole = true
    // A bound, so that a flood cannot keep the worker from feeding.
    for _ in 0..<256 {
      do {
        let more = try unsafe socket.receive(waiting: false) { message throws(SystemError) in
          guard unsafe Int32(message.pointee.nlmsg_type) == Int32(NFNL_SUBSYS_ULOG) << 8 else { return }
          if let packet = unsafe Self.packet(message) { body(packet) }
        }
        guard more else { break }
      } catch {
        isWhole = false
        guard error.errno == ENOBUFS else { break }
      }
    }
    return isWhole
  }

  private static func packet(_ message: UnsafePointer<nlmsghdr>) -> RefusedPacket? {
    let attributes = unsafe NetlinkAttributes(of: message)
    guard let payload = attributes[Int(NFULA_PAYLOAD.rawValue)] else { return nil }
    let prefix = attributes[Int(NFULA_PREFIX.rawValue)] ?? []
    return RefusedPacket(
      prefix: String(decoding: prefix.prefix { $0 != 0 }, as: UTF8.self), packet: payload,
      time: time(attributes[Int(NFULA_TIMESTAMP.rawValue)]) ?? WallClock.nanoseconds())
  }

  /// The kernel's own time of a packet (struct nfulnl_msg_packet_timestamp: seconds and microseconds, in network order).
  static func time(_ octets: [UInt8]?) -> UInt64? {
    guard let octets, octets.count == 16 else { return nil }
    func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
    let (seconds, microseconds) = (number(octets[..<8]), number(octets[8...]))
    guard seconds > 0, seconds < 1 << 33, microseconds < 1_000_000 else { return nil }
    return seconds * 1_000_000_000 + microseconds * 1_000
  }

  /// Makes a socket the one that gets what is logged to a group.
  ///
  /// - Throws: EBUSY or EPERM when another one gets it, EPERM without CAP_NET_ADMIN.
  package static func bind(_ socket: NetlinkSocket, to group: UInt16) throws(SystemError) {
    try unsafe configure(socket, group) { header in
      unsafe putAttribute([UInt8(NFULNL_CFG_CMD_BIND.rawValue)], NFULA_CFG_CMD.rawValue, into: header)
    }
  }

  /// Whether a socket might be bound to a group that nothing is bound to.
  package static func mayBind(_ socket: NetlinkSocket, instead group: UInt16) -> Bool {
    do throws(SystemError) {
      try unsafe configure(socket, group) { header in
        unsafe putAttribute([UInt8(NFULNL_CFG_CMD_UNBIND.rawValue)], NFULA_CFG_CMD.rawValue, into: header)
      }
      return true
    } catch {
      return error.errno == ENODEV
    }
  }

  private static func configure(
    _ socket: NetlinkSocket, _ group: UInt16, _ fill: (UnsafeMutablePointer<nlmsghdr>) -> Void
  ) throws(SystemError) {
    try unsafe socket.exchange(
      type: Int32(NFNL_SUBSYS_ULOG) << 8 | Int32(NFULNL_MSG_CONFIG.rawValue), family: UInt8(AF_UNSPEC),
      flags: NLM_F_ACK,
      { header in
        // The group stands in the nfnetlink header, in network order.
        if let payload = unsafe mnl_nlmsg_get_payload(header) {
          unsafe payload.assumingMemoryBound(to: nfgenmsg.self).pointee.res_id = group.bigEndian
        }
        unsafe fill(header)
      }, { _ in })
  }
}
