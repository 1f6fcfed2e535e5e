import Glibc
import IPNetwork

/// Reads the payloads of rtnetlink messages; numbers are those of linux/if_link.h, if_addr.h and rtnetlink.h.
enum RouteMessage {
  /// RTM_NEWLINK: struct ifinfomsg of 16 octets.
  static func link(_ octets: ArraySlice<UInt8>, into host: inout HostNetwork) {
    guard let index = octets.integer(Int32.self, at: 4), let flags = octets.integer(UInt32.self, at: 8) else { return }
    let attributes = octets.attributes(after: 16)
    // IFLA_IFNAME 3, IFLA_MASTER 10, IFLA_LINKINFO 18 with IFLA_INFO_KIND 1
    guard let name = attributes[3].map(text) else { return }
    let kind = attributes[18]?.attributes(after: 0)[1].map(text) ?? ""
    host.interfaces.append(
      HostNetwork.Interface(
        index: UInt32(bitPattern: index), name: name, kind: kind,
        controller: attributes[10]?.integer(UInt32.self, at: 0) ?? 0,
        isLoopback: flags & UInt32(IFF_LOOPBACK) != 0, isUp: flags & UInt32(IFF_UP) != 0))
  }

  /// RTM_NEWADDR: struct ifaddrmsg of 8 octets.
  static func address(_ octets: ArraySlice<UInt8>, into host: inout HostNetwork) {
    guard let length = octets.integer(UInt8.self, at: 1), let index = octets.integer(UInt32.self, at: 4) else { return }
    let attributes = octets.attributes(after: 8)
    // IFA_ADDRESS 1 is the prefix's, of a point-to-point link the peer's; IFA_LOCAL 2 is our own, where it differs.
    guard let prefix = attributes[1].flatMap(address),
      let network = IPPrefix(prefix, length: Int(length))
    else { return }
    let own = attributes[2].flatMap(address) ?? prefix
    host.addresses.append(HostNetwork.Address(interface: index, address: own, network: network))
  }

  /// RTM_NEWROUTE: struct rtmsg of 12 octets; none for what is no unicast route, or is one of table `local`.
  static func routes(_ octets: ArraySlice<UInt8>) -> [HostNetwork.Route] {
    guard let family = octets.integer(UInt8.self, at: 0), let length = octets.integer(UInt8.self, at: 1),
      let shortTable = octets.integer(UInt8.self, at: 4), let type = octets.integer(UInt8.self, at: 7),
      type == 1  // RTN_UNICAST
    else { return [] }
    let attributes = octets.attributes(after: 12)
    // RTA_DST 1, RTA_OIF 4, RTA_GATEWAY 5, RTA_MULTIPATH 9, RTA_TABLE 15, RTA_VIA 18
    let table = attributes[15]?.integer(UInt32.self, at: 0) ?? UInt32(shortTable)
    let isV4 = Int32(family) == AF_INET
    let zero = isV4 ? IPAddress(v4: 0) : IPAddress(high: 0, low: 0)
    guard table != 255, isV4 || Int32(family) == AF_INET6,
      let destination = IPPrefix(attributes[1].flatMap(address) ?? zero, length: Int(length))
    else { return [] }
    func route(_ interface: UInt32, _ attributes: [UInt16: ArraySlice<UInt8>]) -> HostNetwork.Route {
      let via = attributes[18].flatMap { address($0.dropFirst(2)) }
      return HostNetwork.Route(
        destination: destination, interface: interface, gateway: attributes[5].flatMap(address) ?? via, table: table)
    }
    if let hops = attributes[9] {
      return nextHops(hops).map { route($0.interface, $0.attributes) }
    }
    // What a nexthop object (RTA_NH_ID) stands for, the kernel repeats as interface and gateway beside it.
    guard let interface = attributes[4]?.integer(UInt32.self, at: 0) else { return [] }
    return [route(interface, attributes)]
  }

  /// RTA_MULTIPATH: struct rtnexthop of 8 octets and its attributes, one after the other.
  private static func nextHops(
    _ octets: ArraySlice<UInt8>
  ) -> [(interface: UInt32, attributes: [UInt16: ArraySlice<UInt8>])] {
    var hops: [(interface: UInt32, attributes: [UInt16: ArraySlice<UInt8>])] = []
    var rest = octets
    while let length = rest.integer(UInt16.self, at: 0).map({ Int($0) }), length >= 8, length <= rest.count,
      let interface = rest.integer(Int32.self, at: 4)
    {
      hops.append((UInt32(bitPattern: interface), rest.prefix(length).attributes(after: 8)))
      rest = rest.dropFirst((length + 3) & ~3)
    }
    return hops
  }

  private static func address(_ octets: ArraySlice<UInt8>) -> IPAddress? {
    let copy = Array(octets)
    return IPAddress(octets: copy.span)
  }

  private static func text(_ octets: ArraySlice<UInt8>) -> String {
    String(decoding: octets.prefix { $0 != 0 }, as: UTF8.self)
  }
}
