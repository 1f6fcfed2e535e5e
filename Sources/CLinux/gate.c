#define _GNU_SOURCE
#include "sluice_gate.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ORIGINAL_DESTINATION = 80 };  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST of the kernel's netfilter headers

static struct sluice_endpoint endpoint_of(const struct sockaddr_storage *address) {
  struct sluice_peer peer = {.address = *address};
  return sluice_peer_endpoint(&peer);
}

int sluice_gate_listen(int fd, int backlog) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return errno;
  // What is accepted has the options of the socket that it came by.
  int error = sluice_gate_prepare(fd);
  if (error == 0) error = sluice_gate_reset_at_close(fd, 1);
  if (error != 0) return error;
  return listen(fd, backlog) < 0 ? errno : 0;
}

int sluice_gate_accept(int fd, struct sluice_endpoint *client) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  memset(&address, 0, sizeof address);
  int taken = accept4(fd, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (taken < 0) return -errno;
  *client = endpoint_of(&address);
  return taken;
}

int sluice_gate_destination(int fd, int is_v6, struct sluice_endpoint *destination) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  memset(&address, 0, sizeof address);
  int level = is_v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (getsockopt(fd, level, ORIGINAL_DESTINATION, &address, &length) < 0) return errno;
  *destination = endpoint_of(&address);
  return 0;
}

int sluice_gate_prepare(int fd) {
  int on = 1, idle = 600, interval = 60, probes = 5;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0) return errno;
  if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) < 0) return errno;
  if (setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) < 0) return errno;
  return setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes) < 0 ? errno : 0;
}

/// Has a socket connect from the host's loopback address; where there is none, from whichever the kernel takes.
static void leave_by_loopback(int fd, int family) {
  int on = 1;
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  // The port is taken with the connection, so that one is enough for many destinations.
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (family == AF_INET) bind(fd, (const struct sockaddr *)&v4, sizeof v4);
  else bind(fd, (const struct sockaddr *)&v6, sizeof v6);
}

int sluice_gate_connect(struct sluice_endpoint endpoint, int stays_here) {
  struct sockaddr_storage address;
  socklen_t length = sluice_endpoint_address(endpoint, &address);
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (stays_here) leave_by_loopback(fd, address.ss_family);
  if (connect(fd, (const struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int sluice_gate_reset_at_close(int fd, int resets) {
  struct linger none = {.l_onoff = resets, .l_linger = 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) < 0 ? errno : 0;
}

int sluice_gate_finish(int fd) { return shutdown(fd, SHUT_WR) < 0 ? errno : 0; }

int64_t sluice_gate_receive(int fd, uint8_t *octets, uint64_t size) {
  for (;;) {
    ssize_t count = recv(fd, octets, size, MSG_DONTWAIT);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

int64_t sluice_gate_peek(int fd) {
  uint8_t octet;
  for (;;) {
    ssize_t count = recv(fd, &octet, 1, MSG_DONTWAIT | MSG_PEEK);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

int64_t sluice_gate_send(int fd, const uint8_t *octets, uint64_t size) {
  for (;;) {
    ssize_t count = send(fd, octets, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

int sluice_gate_pipe(int ends[2], int size) {
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return errno;
  fcntl(ends[1], F_SETPIPE_SZ, size);  // a user's share of pipes may be used up: then it is as large as it is
  return 0;
}

int64_t sluice_gate_splice(int from, int to, uint64_t size, int more) {
  for (;;) {
    ssize_t count = splice(from, NULL, to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}
