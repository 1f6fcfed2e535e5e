#ifndef SLUICE_ROUTE_H
#define SLUICE_ROUTE_H

#include <stdint.h>

// rtnetlink(7): what Swift's Glibc module does not show. Nothing here needs a privilege. The kernel's headers are not
// included: Swift would take their netlink structures from here, and CNetfilter's users would miss them there.

/// Message types.
enum {
  SLUICE_NEWLINK = 16,
  SLUICE_DELLINK = 17,
  SLUICE_GETLINK = 18,
  SLUICE_NEWADDR = 20,
  SLUICE_DELADDR = 21,
  SLUICE_GETADDR = 22,
  SLUICE_NEWROUTE = 24,
  SLUICE_DELROUTE = 25,
  SLUICE_GETROUTE = 26,
  SLUICE_NEWNEXTHOP = 104,
  SLUICE_DELNEXTHOP = 105,
  SLUICE_GETNEXTHOP = 106,
};

/// Types that end an answer, and the flag of a dump that a change interrupted.
enum { SLUICE_NETLINK_ERROR = 2, SLUICE_NETLINK_DONE = 3, SLUICE_DUMP_INTERRUPTED = 16 };

/// Attributes of links, addresses, routes and next hops.
enum {
  SLUICE_LINK_NAME = 3,
  SLUICE_LINK_LOWER = 5,
  SLUICE_LINK_CONTROLLER = 10,
  SLUICE_LINK_INFO = 18,
  SLUICE_LINK_LOWER_NAMESPACE = 37,
};
enum {
  SLUICE_LINK_INFO_KIND = 1,
  SLUICE_LINK_INFO_DATA = 2,
  SLUICE_LINK_INFO_PORT_KIND = 4,
  SLUICE_LINK_INFO_PORT_DATA = 5,
};
enum { SLUICE_BRIDGE_CALLS_IPTABLES = 36, SLUICE_BRIDGE_CALLS_IP6TABLES = 37, SLUICE_BRIDGE_PORT_ISOLATED = 33 };
enum { SLUICE_ADDRESS_ON_LINK = 1, SLUICE_ADDRESS_LOCAL = 2 };
enum {
  SLUICE_ROUTE_DESTINATION = 1,
  SLUICE_ROUTE_INTERFACE = 4,
  SLUICE_ROUTE_GATEWAY = 5,
  SLUICE_ROUTE_MULTIPATH = 9,
  SLUICE_ROUTE_TABLE = 15,
  SLUICE_ROUTE_VIA = 18,
  SLUICE_ROUTE_NEXTHOP = 30,
};
enum { SLUICE_HOP_ID = 1, SLUICE_HOP_GROUP = 2, SLUICE_HOP_INTERFACE = 5, SLUICE_HOP_GATEWAY = 6 };

/// Values of struct rtmsg, and flags of struct ifinfomsg.
enum { SLUICE_ROUTE_UNICAST = 1, SLUICE_ROUTE_CLONED = 512, SLUICE_TABLE_LOCAL = 255 };
enum { SLUICE_LINK_UP = 1, SLUICE_LINK_LOOPBACK = 8, SLUICE_LINK_POINT_TO_POINT = 16 };

/// A routing socket, close-on-exec. With `tells` it is non-blocking and becomes readable when links, addresses, routes
/// or next hops change; without, it waits for answers, two seconds at most. Returns a descriptor or a negative errno.
int sluice_route_socket(int tells);

/// Asks for everything of a kind: SLUICE_GETLINK, _GETADDR, _GETROUTE or _GETNEXTHOP. Returns 0 or an errno.
int sluice_route_ask(int fd, int kind, uint32_t sequence);

/// Takes the next datagram of the kernel. Returns its octets, 0 for one that another process sent, or a negative errno:
/// -ENOBUFS when notifications were lost, -EMSGSIZE when it did not fit, -EAGAIN when none waits.
int sluice_route_receive(int fd, uint8_t *octets, int room);

#endif
