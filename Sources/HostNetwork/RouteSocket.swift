import CLinux
import Glibc
package import LinuxIO

/// Reads the host's network by rtnetlink(7) and tells when it changes. Needs no privilege; belongs to the network
/// namespace of the thread that made it.
package final class RouteSocket {
  /// The kernel fills 32 KiB at most for a dump.
  private static let room = 65_536
  /// How often a dump that something changed is begun anew.
  private static let attempts = 16
  /// Datagrams that one `drain` takes; more keep the descriptor readable.
  private static let burst = 4_096

  private let news: FileDescriptor
  private let questions: FileDescriptor
  private var buffer = [UInt8](repeating: 0, count: RouteSocket.room)
  private var sequence: UInt32 = 0

  /// - Throws: where the process may open no more descriptors.
  package init() throws(SystemError) {
    let news = sluice_route_socket(1)
    guard news >= 0 else { throw SystemError(call: "socket", errno: -news) }
    self.news = FileDescriptor(news)
    let questions = sluice_route_socket(0)
    guard questions >= 0 else { throw SystemError(call: "socket", errno: -questions) }
    self.questions = FileDescriptor(questions)
  }

  /// Becomes readable when something of links, addresses, routes or next hops changed.
  package var descriptor: Int32 { news.raw }

  /// Takes what waits on `descriptor`; does not wait.
  ///
  /// - Returns: whether something changed, or notifications were lost. A change that `read` did not see is told after it
  ///   by a further notification: drain first, then read.
  package func drain() -> Bool {
    var changed = false
    for _ in 0..<Self.burst {
      let count = receive(news.raw)
      if count < 0 {
        guard count == -ENOBUFS || count == -EMSGSIZE else { return changed }
        changed = true
        continue
      }
      NetlinkSpan.forEachMessage(buffer.span.extracting(first: Int(count))) { header, octets in
        changed = changed || Self.isChange(header.type, octets)
      }
    }
    return changed
  }

  private static func isChange(_ type: UInt16, _ octets: Span<UInt8>) -> Bool {
    switch Int(type) {
    case SLUICE_NEWLINK, SLUICE_DELLINK, SLUICE_NEWADDR, SLUICE_DELADDR, SLUICE_NEWNEXTHOP, SLUICE_DELNEXTHOP:
      return true
    case SLUICE_NEWROUTE, SLUICE_DELROUTE:
      // Not what the kernel learned about one destination.
      return (NetlinkSpan.number(octets, at: 8, as: UInt32.self) ?? 0) & UInt32(SLUICE_ROUTE_CLONED) == 0
    default: return false
    }
  }

  /// Reads links, addresses, next hops and routes.
  ///
  /// Takes time by the size of the tables and memory only by what is kept. Routes that are not unicast are left out by
  /// the kernel, where it can.
  ///
  /// - Parameter keepingRoute: whether a route matters; asked for each as it is read.
  /// - Throws: what the kernel answered; EBUSY when each of 16 dumps of a kind was changed while it was read.
  package func read(
    keepingRoute: (HostNetwork.Route) -> Bool = { _ in true }
  ) throws(SystemError) -> HostNetwork {
    var network = HostNetwork()
    try dump(SLUICE_GETLINK, begin: { network.interfaces = [] }) { type, octets in
      if Int(type) == SLUICE_NEWLINK { RouteMessage.interface(octets).map { network.interfaces.append($0) } }
    }
    try dump(SLUICE_GETADDR, begin: { network.addresses = [] }) { type, octets in
      if Int(type) == SLUICE_NEWADDR { RouteMessage.address(octets).map { network.addresses.append($0) } }
    }
    let hops = try nextHops()
    try dump(SLUICE_GETROUTE, begin: { network.routes = [] }) { type, octets in
      guard Int(type) == SLUICE_NEWROUTE else { return }
      RouteMessage.forEachRoute(octets, hops: hops) { route in
        if keepingRoute(route) { network.routes.append(route) }
      }
    }
    network.interfaces.sort { $0.index < $1.index }
    return network
  }

  /// Next hop objects by identifier, groups as their members; none where the kernel has no such objects.
  private func nextHops() throws(SystemError) -> [UInt32: [RouteMessage.Hop]] {
    var singles: [UInt32: [RouteMessage.Hop]] = [:]
    var groups: [(identifier: UInt32, members: [UInt32])] = []
    do {
      try dump(
        SLUICE_GETNEXTHOP,
        begin: {
          singles = [:]
          groups = []
        }
      ) { type, octets in
        guard Int(type) == SLUICE_NEWNEXTHOP, let object = RouteMessage.nextHop(octets) else { return }
        if object.group.isEmpty {
          singles[object.identifier] = [object.hop]
        } else {
          groups.append((object.identifier, object.group))
        }
      }
    } catch {
      guard error.errno == EOPNOTSUPP else { throw error }
    }
    // A group holds no groups.
    for group in groups { singles[group.identifier] = group.members.flatMap { singles[$0] ?? [] } }
    return singles
  }

  /// Asks for everything of a kind, and again when it changed meanwhile.
  private func dump(
    _ kind: Int, begin: () -> Void, _ each: (UInt16, Span<UInt8>) -> Void
  ) throws(SystemError) {
    for _ in 0..<Self.attempts {
      begin()
      if try dumpOnce(kind, each) { return }
    }
    throw SystemError(call: "netlink", errno: EBUSY)
  }

  /// False when the kernel says that something changed while it wrote.
  private func dumpOnce(_ kind: Int, _ each: (UInt16, Span<UInt8>) -> Void) throws(SystemError) -> Bool {
    sequence &+= 1
    let failure = sluice_route_ask(questions.raw, Int32(kind), sequence)
    guard failure == 0 else { throw SystemError(call: "sendto", errno: failure) }
    var isWhole = true
    var end: Int32?
    while end == nil {
      let count = receive(questions.raw)
      guard count >= 0 else { throw SystemError(call: "recvmsg", errno: -count) }
      NetlinkSpan.forEachMessage(buffer.span.extracting(first: Int(count))) { header, octets in
        // What an earlier dump left behind has another number.
        guard header.sequence == sequence, end == nil else { return }
        if header.flags & UInt16(SLUICE_DUMP_INTERRUPTED) != 0 { isWhole = false }
        switch Int32(header.type) {
        case Int32(SLUICE_NETLINK_DONE), Int32(SLUICE_NETLINK_ERROR): end = Self.outcome(octets)
        default: each(header.type, octets)
        }
      }
    }
    guard end == 0 else { throw SystemError(call: "netlink", errno: end ?? EBADMSG) }
    return isWhole
  }

  /// The error number with which an answer ends, 0 for none: the kernel writes it negative.
  private static func outcome(_ octets: Span<UInt8>) -> Int32 {
    guard let number = NetlinkSpan.number(octets, at: 0, as: UInt32.self) else { return 0 }
    return 0 &- Int32(bitPattern: number)
  }

  private func receive(_ fd: Int32) -> Int32 {
    unsafe buffer.withUnsafeMutableBufferPointer { octets in
      unsafe sluice_route_receive(fd, octets.baseAddress, Int32(octets.count))
    }
  }
}
