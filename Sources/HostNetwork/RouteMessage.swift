import CLinux
import IPNetwork

/// Reads the payload of single rtnetlink(7) messages; nil or nothing for one that says nothing of use.
enum RouteMessage {
  private static let familyV4: UInt8 = 2
  private static let familyV6: UInt8 = 10
  private static let hopHeader = 8  // struct rtnexthop
  private static let groupEntry = 8  // struct nexthop_grp

  /// struct ifinfomsg: family, pad, type (2), index (4), flags (4), change (4).
  static func interface(_ octets: Span<UInt8>) -> HostNetwork.Interface? {
    guard octets.count >= 16, let index = NetlinkSpan.number(octets, at: 4, as: UInt32.self),
      let flags = NetlinkSpan.number(octets, at: 8, as: UInt32.self)
    else { return nil }
    func has(_ flag: Int) -> Bool { flags & UInt32(flag) != 0 }
    var found = HostNetwork.Interface(
      index: index, name: "", isLoopback: has(SLUICE_LINK_LOOPBACK), isPointToPoint: has(SLUICE_LINK_POINT_TO_POINT),
      isUp: has(SLUICE_LINK_UP))
    var isLowerElsewhere = false
    NetlinkSpan.forEachAttribute(octets, skipping: 16) { type, value in
      switch type {
      case SLUICE_LINK_NAME: found.name = NetlinkSpan.text(value)
      case SLUICE_LINK_CONTROLLER: found.controller = NetlinkSpan.number(value, at: 0) ?? 0
      case SLUICE_LINK_LOWER: found.lower = NetlinkSpan.number(value, at: 0) ?? 0
      case SLUICE_LINK_LOWER_NAMESPACE: isLowerElsewhere = true
      case SLUICE_LINK_INFO: read(value, into: &found)
      default: break
      }
    }
    if isLowerElsewhere { found.lower = 0 }
    return found
  }

  /// What IFLA_LINKINFO holds. The kernel writes each kind before the data that depend on it.
  private static func read(_ octets: Span<UInt8>, into found: inout HostNetwork.Interface) {
    var portKind = ""
    NetlinkSpan.forEachAttribute(octets) { type, value in
      switch type {
      case SLUICE_LINK_INFO_KIND: found.kind = NetlinkSpan.text(value)
      case SLUICE_LINK_INFO_DATA where found.kind == "bridge":
        NetlinkSpan.forEachAttribute(value) { type, value in
          if type == SLUICE_BRIDGE_CALLS_IPTABLES { found.callsIPTables = isSet(value) }
          if type == SLUICE_BRIDGE_CALLS_IP6TABLES { found.callsIP6Tables = isSet(value) }
        }
      case SLUICE_LINK_INFO_PORT_KIND: portKind = NetlinkSpan.text(value)
      case SLUICE_LINK_INFO_PORT_DATA where portKind == "bridge":
        NetlinkSpan.forEachAttribute(value) { type, value in
          if type == SLUICE_BRIDGE_PORT_ISOLATED { found.isIsolated = isSet(value) }
        }
      default: break
      }
    }
  }

  private static func isSet(_ octets: Span<UInt8>) -> Bool { !octets.isEmpty && octets[0] != 0 }

  /// struct ifaddrmsg: family, prefix length, flags, scope, index (4).
  static func address(_ octets: Span<UInt8>) -> HostNetwork.Address? {
    guard octets.count >= 8, let index = NetlinkSpan.number(octets, at: 4, as: UInt32.self) else { return nil }
    let family = octets[0]
    let length = Int(octets[1])
    var local: IPAddress?
    var onLink: IPAddress?
    NetlinkSpan.forEachAttribute(octets, skipping: 8) { type, value in
      switch type {
      case SLUICE_ADDRESS_LOCAL: local = ipAddress(value, family)
      case SLUICE_ADDRESS_ON_LINK: onLink = ipAddress(value, family)
      default: break
      }
    }
    guard let own = local ?? onLink, let network = IPPrefix(onLink ?? own, length: length) else { return nil }
    return HostNetwork.Address(interface: index, address: own, network: network)
  }

  /// One way of a route, or one next hop that is an object of its own.
  struct Hop {
    var interface: UInt32 = 0
    var gateway: IPAddress?
  }

  /// struct rtmsg: family, destination and source length, TOS, table, protocol, scope, type, flags (4).
  static func forEachRoute(
    _ octets: Span<UInt8>, hops: [UInt32: [Hop]], _ each: (HostNetwork.Route) -> Void
  ) {
    guard octets.count >= 12, let flags = NetlinkSpan.number(octets, at: 8, as: UInt32.self) else { return }
    let family = octets[0]
    // Learned exceptions (path MTU, redirects) belong to a route that is listed by itself.
    guard Int(octets[7]) == SLUICE_ROUTE_UNICAST, flags & UInt32(SLUICE_ROUTE_CLONED) == 0,
      family == familyV4 || family == familyV6
    else { return }
    var table = UInt32(octets[4])
    var address = family == familyV4 ? IPAddress(v4: 0) : IPAddress(high: 0, low: 0)
    var single = Hop()
    var several: [Hop] = []
    var object: UInt32?
    NetlinkSpan.forEachAttribute(octets, skipping: 12) { type, value in
      switch type {
      case SLUICE_ROUTE_DESTINATION: address = ipAddress(value, family) ?? address
      case SLUICE_ROUTE_TABLE: table = NetlinkSpan.number(value, at: 0) ?? table
      case SLUICE_ROUTE_MULTIPATH: several = multipath(value, family)
      case SLUICE_ROUTE_NEXTHOP: object = NetlinkSpan.number(value, at: 0)
      default: read(type, value, family, into: &single)
      }
    }
    guard table != UInt32(SLUICE_TABLE_LOCAL), let destination = IPPrefix(address, length: Int(octets[1])) else {
      return
    }
    func tell(_ hop: Hop) {
      each(
        HostNetwork.Route(destination: destination, interface: hop.interface, gateway: hop.gateway, table: table))
    }
    if !several.isEmpty {
      several.forEach(tell)
    } else if single.interface == 0, let object {
      // With nexthop_compat_mode=0 the kernel names the object alone.
      (hops[object] ?? [Hop()]).forEach(tell)
    } else {
      tell(single)
    }
  }

  /// What RTA_MULTIPATH holds: structs rtnexthop (length (2), flags, weight, interface (4)), each with attributes.
  private static func multipath(_ octets: Span<UInt8>, _ family: UInt8) -> [Hop] {
    var found: [Hop] = []
    var offset = 0
    while octets.count - offset >= hopHeader {
      guard let length = NetlinkSpan.number(octets, at: offset, as: UInt16.self).map(Int.init), length >= hopHeader,
        length <= octets.count - offset, let index = NetlinkSpan.number(octets, at: offset + 4, as: UInt32.self)
      else { break }
      var hop = Hop(interface: index)
      NetlinkSpan.forEachAttribute(octets.extracting((offset + hopHeader)..<(offset + length))) { type, value in
        read(type, value, family, into: &hop)
      }
      found.append(hop)
      offset += (length + 3) & ~3
    }
    return found
  }

  private static func read(_ type: Int, _ value: Span<UInt8>, _ family: UInt8, into hop: inout Hop) {
    switch type {
    case SLUICE_ROUTE_INTERFACE: hop.interface = NetlinkSpan.number(value, at: 0) ?? 0
    case SLUICE_ROUTE_GATEWAY: hop.gateway = ipAddress(value, family)
    case SLUICE_ROUTE_VIA:
      // struct rtvia: family (2), address.
      guard let family = NetlinkSpan.number(value, at: 0, as: UInt16.self) else { return }
      hop.gateway = ipAddress(value.extracting(droppingFirst: 2), UInt8(truncatingIfNeeded: family))
    default: break
    }
  }

  /// What a next hop object says: itself, or the identifiers of its group. struct nhmsg: family, scope, protocol,
  /// reserved, flags (4).
  static func nextHop(_ octets: Span<UInt8>) -> (identifier: UInt32, hop: Hop, group: [UInt32])? {
    guard octets.count >= 8 else { return nil }
    let family = octets[0]
    var identifier: UInt32?
    var hop = Hop()
    var group: [UInt32] = []
    NetlinkSpan.forEachAttribute(octets, skipping: 8) { type, value in
      switch type {
      case SLUICE_HOP_ID: identifier = NetlinkSpan.number(value, at: 0)
      case SLUICE_HOP_INTERFACE: hop.interface = NetlinkSpan.number(value, at: 0) ?? 0
      case SLUICE_HOP_GATEWAY: hop.gateway = ipAddress(value, family)
      case SLUICE_HOP_GROUP:
        for offset in stride(from: 0, through: value.count - groupEntry, by: groupEntry) {
          NetlinkSpan.number(value, at: offset, as: UInt32.self).map { group.append($0) }
        }
      default: break
      }
    }
    return identifier.map { ($0, hop, group) }
  }

  private static func ipAddress(_ octets: Span<UInt8>, _ family: UInt8) -> IPAddress? {
    guard octets.count == (family == familyV4 ? 4 : 16), family == familyV4 || family == familyV6 else { return nil }
    return IPAddress(octets: octets)
  }
}
