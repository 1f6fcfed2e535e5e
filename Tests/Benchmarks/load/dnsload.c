// A DNS load generator on one thread: UDP or pipelined TCP, closed loop or fixed schedule, one source address or many.
//
//   dnsload -s ADDRESS -p PORT (-f FILE | -r SUFFIX) [options]
//     -f FILE     names to ask, one "name A" or "name AAAA" a line, again and again
//     -r SUFFIX   a name that was never asked before under SUFFIX, each time
//     -l SECONDS  how long to send (5)              -n COUNT   send so many queries at most
//     -w WINDOW   queries that wait for answers at a time (100); by TCP for each connection
//     -R RATE     so many queries a second, whatever comes back
//     -c COUNT    sockets or connections (8)        -T         TCP
//     -a ADDRESS  source address; with -N COUNT and -S STEP that many, STEP apart (they must be local); by UDP they take
//                 turns, so the number of names may not share a factor with theirs
//     -e          with an OPT record
//
// With -R latency is counted from when a query was due, not from when it was sent: a server that stalls is not excused
// for what could not be sent meanwhile. An answer after 2 s is lost; one after the end of sending counts, but not as part
// of the rate. Prints one line of JSON; times are microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 4096, QUERY = 300, LOST_AFTER_MS = 2000, STREAM = 1 << 17 };

struct query {
  uint8_t wire[QUERY];
  int length;
};

struct client {
  int fd;
  uint64_t due[65536];  // when the query with this id was due; 0 when it does not wait
  uint16_t next;
  int waiting;
  uint8_t in[STREAM], out[STREAM];  // by TCP only
  int received, queued;
};

static struct sockaddr_in server;
static struct query *queries;
static size_t query_count, query_at;
static struct client **clients;
static int client_count = 8, window = 100, tcp, edns, sources = 1;
static uint32_t source, step = 256, source_at;
static const char *suffix;
static double rate;
static uint64_t sent, answered, lost, with_address, codes[16], serial;
static uint64_t histogram[64][256];
static uint64_t longest;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "dnsload: %s: %s\n", what, strerror(errno));
  exit(1);
}

// Buckets of at most 1 % of their value: the leading 8 bits and how many follow.
static void count(uint64_t ns) {
  if (ns > longest) longest = ns;
  int shift = ns < 256 ? 0 : 56 - __builtin_clzll(ns);
  histogram[shift][ns >> shift]++;
}

static double percentile(double part) {
  uint64_t wanted = (uint64_t)(part * (double)answered), seen = 0;
  for (int shift = 0; shift < 57; shift++)
    for (uint64_t lead = 0; lead < 256; lead++)
      if ((seen += histogram[shift][lead]) > wanted) return (double)(lead << shift) / 1000;
  return (double)longest / 1000;
}

static int encode(struct query *q, const char *name, int type) {
  static const uint8_t header[12] = {0, 0, 1, 0, 0, 1};
  memcpy(q->wire, header, 12);
  int at = 12;
  while (*name) {
    const char *dot = strchrnul(name, '.');
    int length = (int)(dot - name);
    if (length < 1 || length > 63 || at + length > 260) return 0;
    q->wire[at++] = (uint8_t)length;
    memcpy(q->wire + at, name, (size_t)length);
    at += length;
    name = *dot ? dot + 1 : dot;
  }
  uint8_t tail[] = {0, 0, (uint8_t)type, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0};
  int length = edns ? 16 : 5;
  memcpy(q->wire + at, tail, (size_t)length);
  if (edns) q->wire[11] = 1;
  q->length = at + length;
  return 1;
}

static void read_names(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  size_t room = 0;
  char name[300], type[16];
  while (fscanf(file, "%299s %15s", name, type) == 2) {
    if (query_count == room) queries = realloc(queries, (room = room ? room * 2 : 1024) * sizeof *queries);
    if (encode(&queries[query_count], name, strcmp(type, "AAAA") ? 1 : 28)) query_count++;
  }
  fclose(file);
  if (!query_count) fprintf(stderr, "dnsload: %s: no names\n", path), exit(1);
}

static const struct query *next_query(void) {
  if (!suffix) {
    const struct query *q = &queries[query_at];
    query_at = query_at + 1 == query_count ? 0 : query_at + 1;
    return q;
  }
  static struct query q;
  static uint64_t random;
  // Other names in every run.
  if (!random) random = (now() ^ (uint64_t)getpid() << 40) * 0x9E3779B97F4A7C15 | 1, serial = random >> 32;
  random ^= random << 13, random ^= random >> 7, random ^= random << 17;
  char name[280];
  snprintf(name, sizeof name, "x%llx%llx.%s", (unsigned long long)(random & 0xFFFFFF), (unsigned long long)serial++, suffix);
  encode(&q, name, 1);
  return &q;
}

static struct client *open_client(int index) {
  struct client *c = calloc(1, sizeof *c);
  c->fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  int on = 1, buffer = 8 << 20;
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
  setsockopt(c->fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(c->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  if (sources > 1) own.sin_addr.s_addr = tcp ? htonl(source + (uint32_t)(index % sources) * step) : INADDR_ANY;
  if (bind(c->fd, (void *)&own, sizeof own)) fail("bind");
  if (tcp) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if ((tcp || sources == 1) && connect(c->fd, (void *)&server, sizeof server)) fail("connect");
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  return c;
}

// Gives the query an id of this client that nothing waits for.
static int take(struct client *c, uint8_t *wire, uint64_t due) {
  const struct query *q = next_query();
  memcpy(wire, q->wire, (size_t)q->length);
  while (c->due[c->next]) c->next++;
  wire[0] = (uint8_t)(c->next >> 8), wire[1] = (uint8_t)c->next;
  c->due[c->next++] = due;
  c->waiting++;
  return q->length;
}

static void handle(struct client *c, const uint8_t *m, int length, uint64_t at) {
  if (length < 12 || !(m[2] & 0x80)) return;
  uint16_t id = (uint16_t)(m[0] << 8 | m[1]);
  if (!c->due[id]) return;
  count(at > c->due[id] ? at - c->due[id] : 0);
  c->due[id] = 0;
  c->waiting--;
  answered++;
  codes[m[3] & 15]++;
  if (!(m[3] & 15) && (m[6] | m[7])) with_address++;
}

static void send_datagrams(struct client *c, int wanted, const uint64_t *due) {
  static struct mmsghdr message[BATCH];
  static struct iovec vector[BATCH];
  static uint8_t wire[BATCH][QUERY];
  static _Alignas(struct cmsghdr) uint8_t control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
  for (int i = 0; i < wanted; i++) {
    vector[i] = (struct iovec){wire[i], (size_t)take(c, wire[i], due[i])};
    message[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
    if (sources == 1) continue;
    message[i].msg_hdr.msg_name = &server, message[i].msg_hdr.msg_namelen = sizeof server;
    message[i].msg_hdr.msg_control = control[i], message[i].msg_hdr.msg_controllen = sizeof control[i];
    struct cmsghdr *h = CMSG_FIRSTHDR(&message[i].msg_hdr);
    *h = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(source + source_at * step)};
    memcpy(CMSG_DATA(h), &info, sizeof info);
    source_at = source_at + 1 == (uint32_t)sources ? 0 : source_at + 1;
  }
  sent += (uint64_t)wanted;
  for (int at = 0; at < wanted;) {
    int n = sendmmsg(c->fd, message + at, (unsigned)(wanted - at), MSG_DONTWAIT);
    if (n > 0) {
      at += n;
    } else if (errno == EAGAIN || errno == ENOBUFS) {
      poll(&(struct pollfd){.fd = c->fd, .events = POLLOUT}, 1, 1);
    } else if (errno != ECONNREFUSED) {  // that is of an earlier one, which is lost
      fail("sendmmsg");
    }
  }
}

static void flush_stream(struct client *c) {
  ssize_t n = c->queued ? send(c->fd, c->out, (size_t)c->queued, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
  if (n < 0 && errno != EAGAIN) fail("send");
  if (n > 0) memmove(c->out, c->out + n, (size_t)(c->queued -= (int)n));
}

static void send_stream(struct client *c, int wanted, const uint64_t *due) {
  for (int i = 0; i < wanted && c->queued + QUERY + 2 < STREAM; i++) {
    int length = take(c, c->out + c->queued + 2, due[i]);
    c->out[c->queued] = (uint8_t)(length >> 8), c->out[c->queued + 1] = (uint8_t)length;
    c->queued += length + 2;
    sent++;
  }
  flush_stream(c);
}

static int receive_datagrams(struct client *c) {
  static struct mmsghdr message[BATCH];
  static struct iovec vector[BATCH];
  static uint8_t wire[BATCH][SIZE];
  for (int i = 0; i < BATCH; i++) {
    vector[i] = (struct iovec){wire[i], SIZE};
    message[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
  }
  int n = recvmmsg(c->fd, message, BATCH, MSG_DONTWAIT, NULL);
  uint64_t at = now();
  for (int i = 0; i < n; i++) handle(c, wire[i], (int)message[i].msg_len, at);
  return n > 0 ? n : 0;
}

static int receive_stream(struct client *c) {
  ssize_t n = recv(c->fd, c->in + c->received, (size_t)(STREAM - c->received), MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN)) fprintf(stderr, "dnsload: the server closed a connection\n"), exit(1);
  if (n < 0) return 0;
  c->received += (int)n;
  uint64_t at = now();
  int start = 0, count = 0;
  while (c->received - start >= 2) {
    int length = c->in[start] << 8 | c->in[start + 1];
    if (c->received - start < length + 2) break;
    handle(c, c->in + start + 2, length, at);
    start += length + 2, count++;
  }
  memmove(c->in, c->in + start, (size_t)(c->received -= start));
  return count;
}

static int waiting(void) {
  int total = 0;
  for (int i = 0; i < client_count; i++) total += clients[i]->waiting;
  return total;
}

static void forget(uint64_t before) {
  for (int i = 0; i < client_count; i++)
    for (int id = 0; id < 65536; id++)
      if (clients[i]->due[id] && clients[i]->due[id] < before) clients[i]->due[id] = 0, clients[i]->waiting--, lost++;
}

static int receive_all(void) {
  int got = 0;
  for (int i = 0; i < client_count; i++) {
    if (tcp) flush_stream(clients[i]);
    if (clients[i]->waiting) got += tcp ? receive_stream(clients[i]) : receive_datagrams(clients[i]);
  }
  return got;
}

int main(int argc, char **argv) {
  double seconds = 5;
  uint64_t most = UINT64_MAX;
  const char *names = NULL;
  server.sin_family = AF_INET;
  server.sin_port = htons(53);
  inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
  for (int option; (option = getopt(argc, argv, "s:p:f:r:l:n:w:R:c:Ta:N:S:e")) != -1;) switch (option) {
      case 's': if (inet_pton(AF_INET, optarg, &server.sin_addr) != 1) fail(optarg); break;
      case 'p': server.sin_port = htons((uint16_t)atoi(optarg)); break;
      case 'f': names = optarg; break;
      case 'r': suffix = optarg; break;
      case 'l': seconds = atof(optarg); break;
      case 'n': most = strtoull(optarg, NULL, 10); break;
      case 'w': window = atoi(optarg); break;
      case 'R': rate = atof(optarg); break;
      case 'c': client_count = atoi(optarg); break;
      case 'T': tcp = 1; break;
      case 'a': { struct in_addr a; if (inet_pton(AF_INET, optarg, &a) != 1) fail(optarg); source = ntohl(a.s_addr); break; }
      case 'N': sources = atoi(optarg); break;
      case 'S': step = (uint32_t)atoi(optarg); break;
      case 'e': edns = 1; break;
      default: return 2;
    }
  if (!names == !suffix || client_count < 1 || window < 1 || sources < 1) {
    fprintf(stderr, "dnsload: give -f FILE or -r SUFFIX, and counts above 0\n");
    return 2;
  }
  if (names) read_names(names);
  size_t left = (size_t)sources, shared = query_count;
  for (size_t rest; names && left; left = rest) rest = shared % left, shared = left;
  if (names && !tcp && sources > 1 && shared > 1) {
    fprintf(stderr, "dnsload: %zu names and %d sources have the factor %zu in common: each would ask only some\n",
            query_count, sources, shared);
    return 2;
  }
  clients = calloc((size_t)client_count, sizeof *clients);
  int epoll = epoll_create1(0);
  for (int i = 0; i < client_count; i++) {
    clients[i] = open_client(i);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i]->fd, &event);
  }
  uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9), swept = start, at = start;
  int turn = 0, share = tcp ? window : (window + client_count - 1) / client_count;
  double gap = rate > 0 ? 1e9 / rate : 0, next = (double)start;
  while ((at = now()) < end && sent < most) {
    int did = 0;
    for (int tries = 0; tries < client_count && sent < most; tries++) {
      struct client *c = clients[turn];
      turn = turn + 1 == client_count ? 0 : turn + 1;
      uint64_t due[BATCH];
      int wanted = 0;
      while (wanted < BATCH && sent + (uint64_t)wanted < most && c->waiting + wanted < 60000) {
        if (rate > 0) {
          if (next > (double)at) break;
          due[wanted++] = (uint64_t)next;
          next += gap;
          if (!tcp && client_count > 1 && gap > 20000) break;
        } else {
          if (c->waiting + wanted >= share) break;
          due[wanted++] = at;
        }
      }
      if (wanted) tcp ? send_stream(c, wanted, due) : send_datagrams(c, wanted, due), did = 1;
    }
    did |= receive_all();
    if (at - swept > 100000000) forget(at - LOST_AFTER_MS * 1000000ull), swept = at;
    if (did) continue;
    struct epoll_event events[8];
    struct timespec wait = {0, 5000000};
    if (rate > 0 && next - (double)at < 5e6) wait.tv_nsec = next - (double)at > 60000 ? (long)(next - (double)at) - 50000 : 0;
    if (wait.tv_nsec) epoll_pwait2(epoll, events, 8, &wait, NULL);
  }
  double took = (double)(now() - start) / 1e9, in_time = (double)answered;
  for (uint64_t grace = now() + 500000000ull; waiting() && now() < grace;) receive_all();
  lost += (uint64_t)waiting();
  printf("{\"sent\":%llu,\"answered\":%llu,\"lost\":%llu,\"with_address\":%llu,\"codes\":{\"NOERROR\":%llu,\"SERVFAIL\":%llu,"
         "\"NXDOMAIN\":%llu,\"REFUSED\":%llu},\"seconds\":%.3f,\"qps\":%.0f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n",
         (unsigned long long)sent, (unsigned long long)answered, (unsigned long long)lost, (unsigned long long)with_address,
         (unsigned long long)codes[0], (unsigned long long)codes[2], (unsigned long long)codes[3], (unsigned long long)codes[5], took,
         in_time / took, percentile(.5), percentile(.9), percentile(.99), percentile(.999), (double)longest / 1000);
  return 0;
}
