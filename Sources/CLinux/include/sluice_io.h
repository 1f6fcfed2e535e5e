#ifndef SLUICE_IO_H
#define SLUICE_IO_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

// What Swift's Glibc module does not show: recvmmsg, sendmmsg and the control-message macros.

enum {
  SLUICE_BATCH = 64,         // datagrams of one system call; measured: 32 and 64 are the same
  SLUICE_QUERY_SIZE = 4096,  // longer queries are dropped and counted
  SLUICE_REPLY_SIZE = 1232,  // RFC 9715: no larger datagram leaves
  SLUICE_BACKLOG = 256,      // connections that wait to be accepted
};

/// Where a datagram came from and which of our addresses it was sent to.
struct sluice_peer {
  struct sockaddr_storage address;
  socklen_t length;
  int32_t interface_index;
  int32_t has_local;
  union {
    struct in_addr v4;
    struct in6_addr v6;
  } local;
};

/// An address and port as numbers: `high` and `low` are the halves of an IPv6 address, or `low` is the IPv4 value.
struct sluice_endpoint {
  uint64_t high;
  uint64_t low;
  uint16_t port;
  uint16_t is_v6;
};

/// The sender of a datagram as numbers.
struct sluice_endpoint sluice_peer_endpoint(const struct sluice_peer *peer);

/// Writes an endpoint as a socket's address. Returns its size.
socklen_t sluice_endpoint_address(struct sluice_endpoint endpoint, struct sockaddr_storage *storage);

struct sluice_batch;

struct sluice_batch *sluice_batch_new(void);
void sluice_batch_free(struct sluice_batch *batch);

/// Receives up to SLUICE_BATCH datagrams; with `block` waits for the first. Returns their number or a negative errno.
int sluice_batch_receive(struct sluice_batch *batch, int fd, int block);

/// The octets of datagram `index`; -1 in `length` when it did not fit.
const uint8_t *sluice_batch_query(const struct sluice_batch *batch, int index, int32_t *length);
const struct sluice_peer *sluice_batch_peer(const struct sluice_batch *batch, int index);

/// SLUICE_REPLY_SIZE octets for the reply to datagram `index`.
uint8_t *sluice_batch_reply(struct sluice_batch *batch, int index);

/// Queues the reply to datagram `index`, to leave from the address that was asked.
void sluice_batch_queue(struct sluice_batch *batch, int index, int length);

/// Queues a copy of a reply that came later, of a batch with which nothing is received. Returns how many are queued, or 0
/// where there is no room for it.
int sluice_batch_add(struct sluice_batch *batch, const struct sluice_peer *peer, const uint8_t *octets, int length);

/// Sends every queued reply; one that the kernel refuses is skipped. Where the socket has no room the rest is lost, with
/// `waits` after ten milliseconds. Returns the number sent.
int sluice_batch_send(struct sluice_batch *batch, int fd, int waits);

/// Sends one reply later. Returns 0 or an errno.
int sluice_send_reply(int fd, const struct sluice_peer *peer, const uint8_t *octets, int length);

/// A TCP socket that listens, at an address that no interface need have yet. Returns a descriptor or a negative errno.
int sluice_tcp_listen(struct sluice_endpoint endpoint);

/// A bound UDP socket with SO_REUSEPORT, at an address that no interface need have yet; bound to no one address, or if
/// asked to, with packet information. Returns a descriptor or a negative errno.
int sluice_udp_listen(struct sluice_endpoint endpoint, int tells_interface);

/// A network whose datagrams go to a socket of their own: the words of its address in host order, and of its mask.
struct sluice_steered {
  uint32_t word[4];
  uint32_t mask[4];
};

/// Tells the kernel which socket of a SO_REUSEPORT group gets a datagram: number `workers` those of `networks`, the ones
/// before it all others, by source port. `fd` is any socket of the group. Returns 0 or an errno.
int sluice_udp_steer(int fd, const struct sluice_steered *networks, int count, int workers);

/// From now on each datagram tells by which interface it came. Returns 0 or an errno.
int sluice_udp_tell_interface(int fd);

/// What a descriptor is that another process opened.
struct sluice_passed {
  struct sluice_endpoint endpoint;  // of an IPv4 or IPv6 socket
  int32_t kind;                     // SLUICE_PASSED_…
  int32_t takes_both;               // an IPv6 socket that takes IPv4 as well
  char path[128];                   // of a Unix socket; empty for one without a file
};

enum { SLUICE_PASSED_OTHER, SLUICE_PASSED_DATAGRAM, SLUICE_PASSED_STREAM, SLUICE_PASSED_UNIX };

/// Describes a descriptor that was handed over, and closes it on exec. Returns 0 or an errno.
int sluice_passed_describe(int fd, struct sluice_passed *passed);

/// Lets `fd`, a UDP socket that another process bound, share its port, and gives it our buffer. `told` becomes whether it
/// says of the datagrams that wait in it by which interface they came. Returns 0 or an errno.
int sluice_udp_adopt(int fd, int tells_interface, int *told);

/// A second descriptor of the same file, closed on exec; or a negative errno.
int sluice_duplicate(int fd);

/// A UDP socket without a port, non-blocking and close-on-exec. Returns a descriptor or a negative errno.
int sluice_udp_new(int is_v6);

/// Connects such a socket: the kernel draws a port, as for a new one, and no other sender's datagram is seen. Returns 0 or an
/// errno.
int sluice_udp_connect(int fd, struct sluice_endpoint endpoint);

/// Gives up peer and port; what came there and was not read stays in the socket. Returns 0 or an errno; after an error the
/// socket is of no use.
int sluice_udp_disconnect(int fd);

/// A TCP socket, non-blocking and close-on-exec, connecting to `endpoint`, with TCP_NODELAY and a TCP_USER_TIMEOUT of two
/// seconds. Returns a descriptor or a negative errno.
int sluice_connect(struct sluice_endpoint endpoint);

/// SO_ERROR of a socket that was connecting: 0, or what connecting or asking for it failed with.
int sluice_socket_error(int fd);

/// What a stream socket's IP_PKTOPTIONS or IPV6_2292PKTOPTIONS fills in: control messages about its first packet.
struct sluice_packet_options {
  uint64_t words[16];
};

enum { SLUICE_IP_PKTOPTIONS = 9, SLUICE_IPV6_2292PKTOPTIONS = 6 };

/// The interface by which a connection came in; 0 when the options do not say.
int32_t sluice_ingress_interface(const struct sluice_packet_options *options);

enum { SLUICE_READABLE = 1, SLUICE_WRITABLE = 2, SLUICE_CLOSED = 4 };
enum { SLUICE_EPOLL_ADD = 1, SLUICE_EPOLL_REMOVE = 2, SLUICE_EPOLL_CHANGE = 3 };

struct sluice_event {
  uint64_t key;
  uint32_t ready;
};

/// epoll(7). Each returns a descriptor, a count or 0, or a negative errno.
int sluice_epoll_new(void);
int sluice_epoll_control(int epoll, int operation, int fd, uint32_t wanted, uint64_t key);
int sluice_epoll_wait(int epoll, struct sluice_event *events, int count, int milliseconds);

/// Names the calling thread; octets beyond the 15th are cut off.
void sluice_thread_name(const char *name);

/// eventfd(2), non-blocking: `post` makes it readable, `take` makes it quiet.
int sluice_eventfd_new(void);
void sluice_eventfd_post(int fd);
void sluice_eventfd_take(int fd);

/// getrandom(2), complete. Returns 0 or an errno.
int sluice_random(uint8_t *octets, int count);

#endif
