#define _GNU_SOURCE
#include "sluice_route.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// The numbers of the header are the kernel's.
#define SAME(own, kernel) _Static_assert((int)(own) == (int)(kernel), #own)
SAME(SLUICE_NEWLINK, RTM_NEWLINK);
SAME(SLUICE_DELLINK, RTM_DELLINK);
SAME(SLUICE_GETLINK, RTM_GETLINK);
SAME(SLUICE_NEWADDR, RTM_NEWADDR);
SAME(SLUICE_DELADDR, RTM_DELADDR);
SAME(SLUICE_GETADDR, RTM_GETADDR);
SAME(SLUICE_NEWROUTE, RTM_NEWROUTE);
SAME(SLUICE_DELROUTE, RTM_DELROUTE);
SAME(SLUICE_GETROUTE, RTM_GETROUTE);
SAME(SLUICE_NEWNEXTHOP, RTM_NEWNEXTHOP);
SAME(SLUICE_DELNEXTHOP, RTM_DELNEXTHOP);
SAME(SLUICE_GETNEXTHOP, RTM_GETNEXTHOP);
SAME(SLUICE_NETLINK_ERROR, NLMSG_ERROR);
SAME(SLUICE_NETLINK_DONE, NLMSG_DONE);
SAME(SLUICE_DUMP_INTERRUPTED, NLM_F_DUMP_INTR);
SAME(SLUICE_LINK_NAME, IFLA_IFNAME);
SAME(SLUICE_LINK_CONTROLLER, IFLA_MASTER);
SAME(SLUICE_LINK_INFO, IFLA_LINKINFO);
SAME(SLUICE_LINK_INFO_KIND, IFLA_INFO_KIND);
SAME(SLUICE_ADDRESS_ON_LINK, IFA_ADDRESS);
SAME(SLUICE_ADDRESS_LOCAL, IFA_LOCAL);
SAME(SLUICE_ROUTE_DESTINATION, RTA_DST);
SAME(SLUICE_ROUTE_INTERFACE, RTA_OIF);
SAME(SLUICE_ROUTE_GATEWAY, RTA_GATEWAY);
SAME(SLUICE_ROUTE_MULTIPATH, RTA_MULTIPATH);
SAME(SLUICE_ROUTE_TABLE, RTA_TABLE);
SAME(SLUICE_ROUTE_VIA, RTA_VIA);
SAME(SLUICE_ROUTE_NEXTHOP, RTA_NH_ID);
SAME(SLUICE_HOP_ID, NHA_ID);
SAME(SLUICE_HOP_GROUP, NHA_GROUP);
SAME(SLUICE_HOP_INTERFACE, NHA_OIF);
SAME(SLUICE_HOP_GATEWAY, NHA_GATEWAY);
SAME(SLUICE_ROUTE_UNICAST, RTN_UNICAST);
SAME(SLUICE_ROUTE_CLONED, RTM_F_CLONED);
SAME(SLUICE_TABLE_LOCAL, RT_TABLE_LOCAL);
SAME(SLUICE_LINK_UP, IFF_UP);
SAME(SLUICE_LINK_LOOPBACK, IFF_LOOPBACK);
SAME(SLUICE_LINK_POINT_TO_POINT, IFF_POINTOPOINT);

static int subscribe(int fd) {
  static const int groups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                               RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_NEXTHOP};
  for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) == 0) continue;
    // Next hops are objects since Linux 5.3.
    if (groups[i] != RTNLGRP_NEXTHOP) return errno;
  }
  return 0;
}

int sluice_route_socket(int tells) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (tells ? SOCK_NONBLOCK : 0), NETLINK_ROUTE);
  if (fd < 0) return -errno;
  struct sockaddr_nl own = {.nl_family = AF_NETLINK};
  int failure = bind(fd, (struct sockaddr *)&own, sizeof own) == 0 ? 0 : errno;
  if (!failure && tells) failure = subscribe(fd);
  if (!failure && !tells) {
    // Lets the kernel leave out what was not asked for; one that cannot is filtered by the reader.
    int strict = 1;
    (void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof strict);
    struct timeval limit = {.tv_sec = 2};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) failure = errno;
  }
  if (failure) {
    close(fd);
    return -failure;
  }
  return fd;
}

int sluice_route_ask(int fd, int kind, uint32_t sequence) {
  struct {
    struct nlmsghdr header;
    union {
      struct {
        struct ifinfomsg link;
        struct rtattr extent;
        uint32_t mask;
      };
      struct ifaddrmsg address;
      struct rtmsg route;
      struct nhmsg hop;
    };
  } request;
  memset(&request, 0, sizeof request);
  unsigned length;
  switch (kind) {
    case RTM_GETLINK:
      length = sizeof request.link + RTA_LENGTH(sizeof request.mask);
      request.extent = (struct rtattr){.rta_len = RTA_LENGTH(sizeof request.mask), .rta_type = IFLA_EXT_MASK};
      request.mask = RTEXT_FILTER_SKIP_STATS;
      break;
    case RTM_GETADDR: length = sizeof request.address; break;
    case RTM_GETROUTE:
      length = sizeof request.route;
      request.route.rtm_type = RTN_UNICAST;
      break;
    case RTM_GETNEXTHOP: length = sizeof request.hop; break;
    default: return EINVAL;
  }
  request.header = (struct nlmsghdr){
      .nlmsg_len = NLMSG_LENGTH(length),
      .nlmsg_type = (uint16_t)kind,
      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
      .nlmsg_seq = sequence,
  };
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent;
  do {
    sent = sendto(fd, &request, request.header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

int sluice_route_receive(int fd, uint8_t *octets, int room) {
  struct sockaddr_nl from = {0};
  struct iovec vector = {octets, (size_t)room};
  struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1};
  ssize_t count;
  do {
    count = recvmsg(fd, &message, 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  if (message.msg_flags & MSG_TRUNC) return -EMSGSIZE;
  return from.nl_pid == 0 ? (int)count : 0;
}
