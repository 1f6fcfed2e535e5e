import CNetfilter
import EgressPolicy
package import FirewallModel
import Glibc
package import IPNetwork
package import LinuxIO

/// The connections of one server to an address or network, and a port.
package struct FlowTarget: Hashable, Sendable {
  /// The networks that the connection comes from.
  package var sources: [IPPrefix]
  package var destination: IPPrefix
  /// The IP protocol number; 0 with port 0 means every connection.
  package var transport: UInt8
  package var port: UInt16

  package init(sources: [IPPrefix], destination: IPPrefix, transport: UInt8, port: UInt16) {
    self.sources = sources
    self.destination = destination
    self.transport = transport
    self.port = port
  }

  /// What a server may no longer keep when one managed plan follows another: connections by static rules that are gone
  /// or other than they were, those to networks that it was not denied before, every connection from or to a network that is not the same server's any more, and those
  /// that others made to a port that it no longer lists.
  package static func lost(from former: FirewallPlan, to plan: FirewallPlan) -> [FlowTarget] {
    guard former.mode == .managed, plan.mode == .managed else { return [] }
    let now = Dictionary(plan.servers.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var lost: [FlowTarget] = []
    for server in former.servers {
      let successor = now[server.name]
      let moved = server.prefixes.filter { !(successor?.prefixes.contains($0) ?? false) }
      lost += moved.flatMap { source in
        Self.everywhere(source.address.family).map {
          FlowTarget(sources: [source], destination: $0, transport: 0, port: 0)
        }
      }
      lost += moved.map {
        FlowTarget(sources: Self.everywhere($0.address.family), destination: $0, transport: 0, port: 0)
      }
      lost += Self.closed(server.inbound, successor?.inbound).flatMap { transport, port in
        server.prefixes.map { network in
          FlowTarget(
            sources: Self.everywhere(network.address.family), destination: network, transport: transport, port: port)
        }
      }
      lost += (successor?.deniedPrefixes ?? []).filter { !server.deniedPrefixes.contains($0) }.map {
        FlowTarget(sources: server.prefixes, destination: $0, transport: 0, port: 0)
      }
      for rule in server.staticRules where !(successor?.staticRules.contains(rule) ?? false) {
        lost += Self.numbers(rule.ports).map {
          FlowTarget(sources: server.prefixes, destination: rule.prefix, transport: $0, port: $1)
        }
      }
    }
    return lost
  }

  /// The ports that others could connect to before and cannot now; protocol and port 0 for every one.
  private static func closed(_ before: [PortRule]?, _ now: [PortRule]?) -> [(UInt8, UInt16)] {
    guard let before, now != [] else { return [] }
    // Of what any port let in, nothing tells what a list would have.
    guard !before.isEmpty else { return numbers([]) }
    let gone = before.filter { !(now ?? []).contains($0) }
    return gone.isEmpty ? [] : numbers(gone)
  }

  /// Protocol and port of each; 0 and 0, which is every port, for an empty list.
  private static func numbers(_ ports: [PortRule]) -> [(UInt8, UInt16)] {
    ports.isEmpty ? [(0, 0)] : ports.map { ($0.transport.rawValue, $0.port) }
  }

  private static func everywhere(_ family: IPAddress.Family) -> [IPPrefix] {
    let first = family == .v4 ? IPAddress(v4: 0) : IPAddress(high: 0, low: 0)
    return [IPPrefix(first, length: 0)].compactMap(\.self)
  }
}

/// The kernel's table of connections, over netlink (ctnetlink); needs CAP_NET_ADMIN.
package final class ConnectionTable {
  /// An entry as far as it matters here, with what names it to the kernel.
  private struct Flow {
    var source: IPAddress
    var destination: IPAddress
    var transport: UInt8
    var port: UInt16
    /// Who answers, where the destination is translated (DNAT): the same as the destination and its port where it is not.
    var answering: IPAddress
    var answeringPort: UInt16
    var family: UInt8
    /// The attribute's octets as they came: they go back as they are.
    var tuple: [UInt8]
    var zone: [UInt8]?
    var id: [UInt8]?
    var tcpState: UInt8?
  }

  private let socket: NetlinkSocket

  package init() throws(SystemError) {
    socket = try NetlinkSocket()
    socket.setReceiveBuffer(octets: 4 << 20)
  }

  /// Ends the connections that match any of the targets; returns how many there were.
  package func cut(_ targets: [FlowTarget]) throws(SystemError) -> Int {
    var ended = 0
    for (flow, _) in try flows(targets) where try delete(flow) {
      ended += 1
    }
    return ended
  }

  /// The indices of the targets that carry at least one live connection.
  package func inUse(_ targets: [FlowTarget]) throws(SystemError) -> Set<Int> {
    var used: Set<Int> = []
    // TCP_CONNTRACK_FIN_WAIT and later: both sides are done, or nearly so.
    for (flow, indices) in try flows(targets) where flow.tcpState.map({ $0 < 4 }) ?? true {
      used.formUnion(indices)
    }
    return used
  }

  /// The flows that match, each with the indices of the targets that it matches.
  private func flows(_ targets: [FlowTarget]) throws(SystemError) -> [(Flow, [Int])] {
    let hosts = targets.indices.filter { targets[$0].destination.isHost }
    let byAddress = Dictionary(grouping: hosts) { targets[$0].destination.address }
    let networks = targets.indices.filter { !targets[$0].destination.isHost }
    var found: [(Flow, [Int])] = []
    // A busy host's table changes all the time.
    try unsafe socket.dump(
      NetlinkSocket.DumpRequest(type: Self.type(IPCTNL_MSG_CT_GET), family: UInt8(AF_UNSPEC), attempts: 3),
      { _ in },
      begin: { found.removeAll() },
      { message in
        guard let flow = unsafe Self.flow(message) else { return }
        let answering = flow.answering == flow.destination ? [] : byAddress[flow.answering] ?? []
        let near = (byAddress[flow.destination] ?? []) + answering + networks
        let matching = near.filter { Self.matches(flow, targets[$0]) }
        if !matching.isEmpty { found.append((flow, matching)) }
      })
    return found
  }

  private static func matches(_ flow: Flow, _ target: FlowTarget) -> Bool {
    let isAnyPort = target.transport == 0 && target.port == 0
    let ends = [(flow.destination, flow.port), (flow.answering, flow.answeringPort)]
    return ends.contains { address, port in
      target.destination.contains(address)
        && (isAnyPort || (flow.transport == target.transport && port == target.port))
    } && target.sources.contains { $0.contains(flow.source) }
  }

  private static func flow(_ message: UnsafePointer<nlmsghdr>) -> Flow? {
    guard let header = unsafe mnl_nlmsg_get_payload(message),
      unsafe mnl_nlmsg_get_payload_len(message) >= MemoryLayout<nfgenmsg>.size
    else { return nil }
    let attributes = unsafe NetlinkAttributes(of: message)
    guard let tuple = attributes.nested(Int(CTA_TUPLE_ORIG.rawValue)),
      let octets = attributes[Int(CTA_TUPLE_ORIG.rawValue)],
      let ip = tuple.nested(Int(CTA_TUPLE_IP.rawValue)), let proto = tuple.nested(Int(CTA_TUPLE_PROTO.rawValue)),
      let source = address(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC),
      let destination = address(ip, CTA_IP_V4_DST, CTA_IP_V6_DST),
      let transport: UInt8 = proto.number(Int(CTA_PROTO_NUM.rawValue))
    else { return nil }
    let reply = attributes.nested(Int(CTA_TUPLE_REPLY.rawValue))
    let answering = reply?.nested(Int(CTA_TUPLE_IP.rawValue)).flatMap { address($0, CTA_IP_V4_SRC, CTA_IP_V6_SRC) }
    let answeringPort: UInt16? = reply?.nested(Int(CTA_TUPLE_PROTO.rawValue))?.number(Int(CTA_PROTO_SRC_PORT.rawValue))
    let port: UInt16 = proto.number(Int(CTA_PROTO_DST_PORT.rawValue)) ?? 0
    let tcp = attributes.nested(Int(CTA_PROTOINFO.rawValue))?.nested(Int(CTA_PROTOINFO_TCP.rawValue))
    return Flow(
      source: source, destination: destination, transport: transport,
      port: port, answering: answering ?? destination, answeringPort: answeringPort ?? port,
      family: unsafe header.load(as: UInt8.self), tuple: octets, zone: attributes[Int(CTA_ZONE.rawValue)],
      id: attributes[Int(CTA_ID.rawValue)], tcpState: tcp?.number(Int(CTA_PROTOINFO_TCP_STATE.rawValue)))
  }

  private static func address(_ ip: NetlinkAttributes, _ v4: ctattr_ip, _ v6: ctattr_ip) -> IPAddress? {
    guard let octets = ip[Int(v4.rawValue)] ?? ip[Int(v6.rawValue)] else { return nil }
    return IPAddress(octets: octets.span)
  }

  /// What the sender of a packet sent over its connection so far, by the kernel's count; nil where there is no such connection,
  /// or it is not counted.
  package func sentOctets(_ packet: RefusedPacket) throws(SystemError) -> UInt64? {
    // What has no ports is named otherwise.
    guard packet.sourcePort != 0, packet.port != 0 else { return nil }
    let tuple = Self.tuple(packet)
    var sent: UInt64?
    do {
      try unsafe socket.exchange(
        type: Self.type(IPCTNL_MSG_CT_GET), family: packet.source.family == .v4 ? UInt8(AF_INET) : UInt8(AF_INET6),
        flags: 0, { unsafe putAttribute(tuple, CTA_TUPLE_ORIG.rawValue | Self.nested, into: $0) },
        { message in
          let attributes = unsafe NetlinkAttributes(of: message)
          // The kernel finds a connection by either of its directions, and tells of it from its beginning.
          let counters = Self.begins(attributes, with: packet) ? CTA_COUNTERS_ORIG : CTA_COUNTERS_REPLY
          sent = attributes.nested(Int(counters.rawValue))?.number(Int(CTA_COUNTERS_BYTES.rawValue))
        })
      return sent
    } catch  where error.errno == ENOENT {
      return nil
    }
  }

  /// Whether who sent a packet made the connection.
  private static func begins(_ attributes: NetlinkAttributes, with packet: RefusedPacket) -> Bool {
    let tuple = attributes.nested(Int(CTA_TUPLE_ORIG.rawValue))
    let source = tuple?.nested(Int(CTA_TUPLE_IP.rawValue)).flatMap { address($0, CTA_IP_V4_SRC, CTA_IP_V6_SRC) }
    let port: UInt16? = tuple?.nested(Int(CTA_TUPLE_PROTO.rawValue))?.number(Int(CTA_PROTO_SRC_PORT.rawValue))
    return source == packet.source && port == packet.sourcePort
  }

  /// A packet's addresses, protocol and ports as the kernel names a connection.
  private static func tuple(_ packet: RefusedPacket) -> [UInt8] {
    let isV4 = packet.source.family == .v4
    let (source, destination) = isV4 ? (CTA_IP_V4_SRC, CTA_IP_V4_DST) : (CTA_IP_V6_SRC, CTA_IP_V6_DST)
    let addresses =
      attribute(source.rawValue, packet.source.octets) + attribute(destination.rawValue, packet.destination.octets)
    let ports =
      attribute(CTA_PROTO_NUM.rawValue, [packet.transport])
      + attribute(CTA_PROTO_SRC_PORT.rawValue, octets(packet.sourcePort))
      + attribute(CTA_PROTO_DST_PORT.rawValue, octets(packet.port))
    return attribute(CTA_TUPLE_IP.rawValue | nested, addresses) + attribute(CTA_TUPLE_PROTO.rawValue | nested, ports)
  }

  /// An attribute inside another one: length and type in the host's order, padded to four octets.
  private static func attribute(_ type: UInt32, _ payload: [UInt8]) -> [UInt8] {
    let header = [UInt16(payload.count + 4), UInt16(truncatingIfNeeded: type)].flatMap { octets($0.bigEndian) }
    return header + payload + Array(repeating: 0, count: (4 - payload.count % 4) % 4)
  }

  /// The higher one first.
  private static func octets(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xFF)] }

  /// False when it is gone already.
  private func delete(_ flow: Flow) throws(SystemError) -> Bool {
    do {
      try unsafe socket.exchange(
        type: Self.type(IPCTNL_MSG_CT_DELETE), family: flow.family, flags: NLM_F_ACK,
        { header in
          unsafe putAttribute(flow.tuple, CTA_TUPLE_ORIG.rawValue | Self.nested, into: header)
          if let zone = flow.zone { unsafe putAttribute(zone, CTA_ZONE.rawValue, into: header) }
          if let id = flow.id { unsafe putAttribute(id, CTA_ID.rawValue, into: header) }
        }, { _ in })
      return true
    } catch  where error.errno == ENOENT {
      return false
    }
  }

  /// NLA_F_NESTED of linux/netlink.h.
  private static let nested: UInt32 = 1 << 15

  private static func type(_ message: cntl_msg_types) -> Int32 {
    Int32(NFNL_SUBSYS_CTNETLINK) << 8 | Int32(message.rawValue)
  }
}

extension IPPrefix {
  fileprivate var isHost: Bool { length == (address.family == .v4 ? 32 : 128) }
}
