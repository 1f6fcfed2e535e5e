#define _GNU_SOURCE
#include "sluice_io.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONTROL_SIZE = CMSG_SPACE(sizeof(struct in6_pktinfo)) };

struct sluice_batch {
  struct mmsghdr in[SLUICE_BATCH];
  struct mmsghdr out[SLUICE_BATCH];
  struct iovec in_vector[SLUICE_BATCH];
  struct iovec out_vector[SLUICE_BATCH];
  struct sluice_peer peer[SLUICE_BATCH];
  _Alignas(struct cmsghdr) uint8_t in_control[SLUICE_BATCH][CONTROL_SIZE];
  _Alignas(struct cmsghdr) uint8_t out_control[SLUICE_BATCH][CONTROL_SIZE];
  uint8_t query[SLUICE_BATCH][SLUICE_QUERY_SIZE];
  uint8_t reply[SLUICE_BATCH][SLUICE_REPLY_SIZE];
  int received;
  int queued;
};

struct sluice_batch *sluice_batch_new(void) {
  struct sluice_batch *batch = calloc(1, sizeof *batch);
  if (!batch) return NULL;
  for (int i = 0; i < SLUICE_BATCH; i++) {
    batch->in_vector[i] = (struct iovec){batch->query[i], SLUICE_QUERY_SIZE};
    batch->in[i].msg_hdr = (struct msghdr){
        .msg_name = &batch->peer[i].address,
        .msg_iov = &batch->in_vector[i],
        .msg_iovlen = 1,
        .msg_namelen = sizeof batch->peer[i].address,
        .msg_control = batch->in_control[i],
        .msg_controllen = CONTROL_SIZE,
    };
  }
  return batch;
}

void sluice_batch_free(struct sluice_batch *batch) { free(batch); }

// Reads the one kind of control message that the socket asked for.
static void read_control(struct msghdr *header, struct sluice_peer *peer) {
  peer->interface_index = 0;
  peer->has_local = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      peer->interface_index = info.ipi_ifindex;
      peer->local.v4 = info.ipi_spec_dst;
      peer->has_local = 1;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      peer->interface_index = (int32_t)info.ipi6_ifindex;
      peer->local.v6 = info.ipi6_addr;
      peer->has_local = 1;
    }
  }
}

// Makes a reply leave from the address that was asked. The interface is left to routing, but for link-local peers.
static void write_control(struct msghdr *header, uint8_t *control, const struct sluice_peer *peer) {
  header->msg_control = NULL;
  header->msg_controllen = 0;
  if (!peer->has_local) return;
  header->msg_control = control;
  struct cmsghdr *c = (struct cmsghdr *)control;
  if (peer->address.ss_family == AF_INET) {
    header->msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo));
    *c = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))};
    struct in_pktinfo info = {.ipi_spec_dst = peer->local.v4};
    memcpy(CMSG_DATA(c), &info, sizeof info);
  } else {
    header->msg_controllen = CMSG_SPACE(sizeof(struct in6_pktinfo));
    *c = (struct cmsghdr){.cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(struct in6_pktinfo))};
    struct in6_pktinfo info = {.ipi6_addr = peer->local.v6};
    if (IN6_IS_ADDR_LINKLOCAL(&peer->local.v6)) info.ipi6_ifindex = (unsigned)peer->interface_index;
    memcpy(CMSG_DATA(c), &info, sizeof info);
  }
}

int sluice_batch_receive(struct sluice_batch *batch, int fd, int block) {
  // The kernel changed only the slots that the last call filled.
  for (int i = 0; i < batch->received; i++) {
    batch->in[i].msg_hdr.msg_namelen = sizeof batch->peer[i].address;
    batch->in[i].msg_hdr.msg_controllen = CONTROL_SIZE;
  }
  batch->queued = 0;
  int count = recvmmsg(fd, batch->in, SLUICE_BATCH, block ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
  if (count < 0) {
    int error = errno;
    batch->received = 0;
    return -error;
  }
  batch->received = count;
  for (int i = 0; i < count; i++) {
    batch->peer[i].length = batch->in[i].msg_hdr.msg_namelen;
    read_control(&batch->in[i].msg_hdr, &batch->peer[i]);
  }
  return count;
}

const uint8_t *sluice_batch_query(const struct sluice_batch *batch, int index, int32_t *length) {
  const struct mmsghdr *m = &batch->in[index];
  *length = m->msg_hdr.msg_flags & MSG_TRUNC ? -1 : (int32_t)m->msg_len;
  return batch->query[index];
}

const struct sluice_peer *sluice_batch_peer(const struct sluice_batch *batch, int index) { return &batch->peer[index]; }

uint8_t *sluice_batch_reply(struct sluice_batch *batch, int index) { return batch->reply[index]; }

void sluice_batch_queue(struct sluice_batch *batch, int index, int length) {
  if (batch->queued >= SLUICE_BATCH || length < 0 || length > SLUICE_REPLY_SIZE) return;
  int slot = batch->queued++;
  batch->out_vector[slot] = (struct iovec){batch->reply[index], (size_t)length};
  struct msghdr *header = &batch->out[slot].msg_hdr;
  *header = (struct msghdr){
      .msg_name = &batch->peer[index].address,
      .msg_namelen = batch->peer[index].length,
      .msg_iov = &batch->out_vector[slot],
      .msg_iovlen = 1,
  };
  write_control(header, batch->out_control[slot], &batch->peer[index]);
}

int sluice_batch_add(struct sluice_batch *batch, const struct sluice_peer *peer, const uint8_t *octets, int length) {
  int index = batch->queued;
  if (index >= SLUICE_BATCH || length < 0 || length > SLUICE_REPLY_SIZE) return 0;
  batch->peer[index] = *peer;
  if (length > 0) memcpy(batch->reply[index], octets, (size_t)length);
  sluice_batch_queue(batch, index, length);
  return batch->queued;
}

int sluice_batch_send(struct sluice_batch *batch, int fd, int waits) {
  int sent = 0, at = 0;
  while (at < batch->queued) {
    int n = sendmmsg(fd, batch->out + at, (unsigned)(batch->queued - at), MSG_DONTWAIT);
    if (n > 0) {
      at += n;
      sent += n;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      struct pollfd room = {.fd = fd, .events = POLLOUT};
      if (!waits || poll(&room, 1, 10) <= 0) break;  // the socket's buffer stays full: the rest is lost, as on any network
    } else if (errno != EINTR) {
      at += 1;  // this client can't be reached
    }
  }
  batch->queued = 0;
  return sent;
}

int sluice_send_reply(int fd, const struct sluice_peer *peer, const uint8_t *octets, int length) {
  _Alignas(struct cmsghdr) uint8_t control[CONTROL_SIZE];
  struct iovec vector = {(void *)octets, (size_t)length};
  struct msghdr header = {
      .msg_name = (void *)&peer->address, .msg_namelen = peer->length, .msg_iov = &vector, .msg_iovlen = 1};
  write_control(&header, control, peer);
  while (sendmsg(fd, &header, MSG_DONTWAIT) < 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

static int close_with(int fd) {
  int error = errno;
  close(fd);
  return -error;
}

socklen_t sluice_endpoint_address(struct sluice_endpoint endpoint, struct sockaddr_storage *storage) {
  memset(storage, 0, sizeof *storage);
  if (endpoint.is_v6) {
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)storage;
    address->sin6_family = AF_INET6;
    address->sin6_port = htobe16(endpoint.port);
    uint64_t words[2] = {htobe64(endpoint.high), htobe64(endpoint.low)};
    memcpy(&address->sin6_addr, words, sizeof words);
    return sizeof *address;
  }
  struct sockaddr_in *address = (struct sockaddr_in *)storage;
  address->sin_family = AF_INET;
  address->sin_port = htobe16(endpoint.port);
  address->sin_addr.s_addr = htobe32((uint32_t)endpoint.low);
  return sizeof *address;
}

struct sluice_endpoint sluice_peer_endpoint(const struct sluice_peer *peer) {
  struct sluice_endpoint endpoint = {0};
  if (peer->address.ss_family == AF_INET6) {
    const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&peer->address;
    uint64_t words[2];
    memcpy(words, &address->sin6_addr, sizeof words);
    endpoint.high = be64toh(words[0]);
    endpoint.low = be64toh(words[1]);
    endpoint.port = be16toh(address->sin6_port);
    endpoint.is_v6 = 1;
  } else if (peer->address.ss_family == AF_INET) {
    const struct sockaddr_in *address = (const struct sockaddr_in *)&peer->address;
    endpoint.low = be32toh(address->sin_addr.s_addr);
    endpoint.port = be16toh(address->sin_port);
  }
  return endpoint;
}

static int is_wildcard(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET) return ((const struct sockaddr_in *)address)->sin_addr.s_addr == INADDR_ANY;
  return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

int sluice_udp_tell_interface(int fd) {
  int on = 1, family = 0;
  socklen_t size = sizeof family;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0) return errno;
  int result = family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on)
                                  : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  return result < 0 ? errno : 0;
}

int sluice_udp_steer(int fd, const struct sluice_steered *networks, int count, int workers) {
  enum { network_size = 13, limit = 16 };
  struct sock_filter code[limit * network_size + 8];
  int family = 0, at = 0;
  socklen_t size = sizeof family;
  if (count < 0 || count > limit || workers < 1) return EINVAL;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) < 0) return errno;
  int source = family == AF_INET6 ? 8 : 12, words = family == AF_INET6 ? 4 : 1, port = family == AF_INET6 ? 40 : 20;
  for (int n = 0; n < count; n++) {
    int used = 0;
    for (int i = 0; i < words; i++) used += networks[n].mask[i] != 0;
    for (int i = 0; i < words; i++) {
      if (networks[n].mask[i] == 0) continue;
      used--;
      code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_NET_OFF + source + 4 * i));
      code[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, networks[n].mask[i]);
      // Past the rest of this network: three instructions for each word, and the return.
      code[at++] = (struct sock_filter)BPF_JUMP(
          BPF_JMP | BPF_JEQ | BPF_K, networks[n].word[i] & networks[n].mask[i], 0, (uint8_t)(3 * used + 1));
    }
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (uint32_t)workers);
  }
  if (workers == 1) {
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
  } else {
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_NET_OFF + port));
    code[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9E3779B1u);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (uint32_t)workers);
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
  }
  struct sock_fprog program = {.len = (unsigned short)at, .filter = code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0 ? errno : 0;
}

// Lets a socket be bound to an address that no interface has (yet). Where the kernel refuses that, bind(2) says the rest.
static void bind_free(int fd, const struct sockaddr_storage *address) {
  enum { ipv6_freebind = 78 };  // IPV6_FREEBIND of linux/in6.h, which the C library's headers do not go with
  int on = 1;
  if (is_wildcard(address)) return;
  if (address->ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, ipv6_freebind, &on, sizeof on);
  else setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
}

int sluice_tcp_listen(struct sluice_endpoint endpoint) {
  struct sockaddr_storage storage, *address = &storage;
  socklen_t length = sluice_endpoint_address(endpoint, address);
  int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (fd < 0) return -errno;
  // What an earlier run left in TIME_WAIT is no reason not to serve.
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) return close_with(fd);
  if (address->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) return close_with(fd);
  bind_free(fd, address);
  if (bind(fd, (const struct sockaddr *)address, length) < 0 || listen(fd, SLUICE_BACKLOG) < 0) return close_with(fd);
  return fd;
}

int sluice_udp_listen(struct sluice_endpoint endpoint, int tells_interface) {
  struct sockaddr_storage storage, *address = &storage;
  socklen_t length = sluice_endpoint_address(endpoint, address);
  int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, buffer = 4 << 20;
  if (fd < 0) return -errno;
  // Not SO_REUSEADDR: with it the sockets of any other user could share the port (SO_REUSEPORT asks for the same user).
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) return close_with(fd);
  if (address->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) return close_with(fd);
  // Bound to one address, replies leave from it by themselves; being told costs 4 % of a query.
  if (tells_interface || is_wildcard(address)) {
    int error = sluice_udp_tell_interface(fd);
    if (error != 0) return errno = error, close_with(fd);
  }
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  bind_free(fd, address);
  if (bind(fd, (const struct sockaddr *)address, length) < 0) return close_with(fd);
  return fd;
}

int sluice_passed_describe(int fd, struct sluice_passed *passed) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage, size = sizeof(int);
  int type = 0, listens = 0, only_v6 = 1;
  memset(passed, 0, sizeof *passed);
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return errno;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) return errno == ENOTSOCK ? 0 : errno;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0) return errno;
  memset(&storage, 0, sizeof storage);
  if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0) return errno;
  int is_internet = storage.ss_family == AF_INET || storage.ss_family == AF_INET6;
  if (is_internet && type == SOCK_DGRAM) passed->kind = SLUICE_PASSED_DATAGRAM;
  if (is_internet && type == SOCK_STREAM && listens) passed->kind = SLUICE_PASSED_STREAM;
  if (is_internet) {
    struct sluice_peer peer = {.address = storage};
    passed->endpoint = sluice_peer_endpoint(&peer);
    if (storage.ss_family == AF_INET6 && getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &size) < 0) return errno;
    passed->takes_both = !only_v6 && is_wildcard(&storage);
  } else if (storage.ss_family == AF_UNIX && type == SOCK_STREAM && listens) {
    const struct sockaddr_un *address = (const struct sockaddr_un *)&storage;
    passed->kind = SLUICE_PASSED_UNIX;
    memcpy(passed->path, address->sun_path, sizeof address->sun_path);  // shorter by 20: it ends with 0
  }
  return 0;
}

int sluice_udp_adopt(int fd, int tells_interface, int *told) {
  struct sockaddr_storage storage;
  socklen_t length = sizeof storage, size = sizeof *told;
  int on = 1, buffer = 4 << 20;
  memset(&storage, 0, sizeof storage);
  if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) return errno;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  int failed = storage.ss_family == AF_INET6 ? getsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, told, &size)
                                             : getsockopt(fd, IPPROTO_IP, IP_PKTINFO, told, &size);
  if (failed) return errno;
  return tells_interface || is_wildcard(&storage) ? sluice_udp_tell_interface(fd) : 0;
}

int sluice_duplicate(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -errno : copy;
}

int sluice_udp_new(int is_v6) {
  int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // RFC 9715: no path MTU guessing by an off-path attacker, no fragments sent.
  int omit = 5;  // IP_PMTUDISC_OMIT and IPV6_PMTUDISC_OMIT
  if (is_v6) setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &omit, sizeof omit);
  else setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &omit, sizeof omit);
  return fd;
}

int sluice_udp_connect(int fd, struct sluice_endpoint endpoint) {
  struct sockaddr_storage address;
  socklen_t length = sluice_endpoint_address(endpoint, &address);
  return connect(fd, (const struct sockaddr *)&address, length) < 0 ? errno : 0;
}

int sluice_udp_disconnect(int fd) {
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  return connect(fd, &none, sizeof none) < 0 ? errno : 0;
}

int sluice_connect(struct sluice_endpoint endpoint) {
  struct sockaddr_storage storage, *address = &storage;
  socklen_t length = sluice_endpoint_address(endpoint, address);
  int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int on = 1;
  unsigned milliseconds = 2000;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
  if (connect(fd, (const struct sockaddr *)address, length) < 0 && errno != EINPROGRESS) return close_with(fd);
  return fd;
}

int sluice_socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

int32_t sluice_ingress_interface(const struct sluice_packet_options *options) {
  struct sluice_packet_options copy = *options;  // zeroed before the kernel wrote: a length of 0 ends the walk
  struct msghdr header = {.msg_control = &copy, .msg_controllen = sizeof copy};
  struct sluice_peer peer = {0};
  read_control(&header, &peer);
  return peer.interface_index;
}

int sluice_epoll_new(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int sluice_epoll_control(int epoll, int operation, int fd, uint32_t wanted, uint64_t key) {
  struct epoll_event event = {.data.u64 = key};
  if (wanted & SLUICE_READABLE) event.events |= EPOLLIN;
  if (wanted & SLUICE_WRITABLE) event.events |= EPOLLOUT;
  return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}

int sluice_epoll_wait(int epoll, struct sluice_event *events, int count, int milliseconds) {
  struct epoll_event ready[128];
  int n = epoll_wait(epoll, ready, count < 128 ? count : 128, milliseconds);
  if (n < 0) return -errno;
  for (int i = 0; i < n; i++) {
    events[i].key = ready[i].data.u64;
    events[i].ready = (ready[i].events & EPOLLIN ? SLUICE_READABLE : 0) | (ready[i].events & EPOLLOUT ? SLUICE_WRITABLE : 0) |
                      (ready[i].events & (EPOLLHUP | EPOLLERR) ? SLUICE_CLOSED : 0);
  }
  return n;
}

void sluice_thread_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

int sluice_eventfd_new(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

void sluice_eventfd_post(int fd) { eventfd_write(fd, 1); }

void sluice_eventfd_take(int fd) {
  eventfd_t count;
  eventfd_read(fd, &count);
}

int sluice_random(uint8_t *octets, int count) {
  while (count > 0) {
    ssize_t got = getrandom(octets, (size_t)count, 0);
    if (got < 0 && errno != EINTR) return errno;
    if (got > 0) octets += got, count -= (int)got;
  }
  return 0;
}
