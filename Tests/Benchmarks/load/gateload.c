// Both ends of gate.py's connections: a ClientHello and an answer that are whole, and nothing behind them that is encrypted.
//
//   gateload serve PORT                              answers every hello; then 'E' with 'E', and 'B' N (8 octets) with N octets
//   gateload connect ADDRESS PORT NAME COUNT          one connection after the other: hello, answer, reset
//   gateload echo ADDRESS PORT NAME COUNT             an octet there and back over one connection
//   gateload bulk ADDRESS PORT NAME OCTETS
//   gateload rate ADDRESS PORT NAME SECONDS THREADS   as connect, as many as there can be
//   gateload hello ADDRESS PORT NAME 0                prints the hello that all send
//   gateload idle ADDRESS PORT NAME COUNT             holds connections until its input ends
//
// Prints one number a line: nanoseconds of each (connect, echo), of all (bulk), connections a second (rate), connections (idle).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const uint8_t answer[] = {22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0x13, 1, 0, 0, 0};
enum { BUFFER = 256 << 10, FDS = 65536 };
static struct sockaddr_in target;
static uint8_t hello[1024];
static size_t hello_size;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void put16(uint8_t *at, size_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

/// A hello of 517 octets, as browsers and OpenSSL pad theirs.
static void make_hello(const char *name) {
  uint8_t *at = hello + 9;
  size_t length = strlen(name);
  *at++ = 3, *at++ = 3;
  memset(at, 7, 32), at += 32;
  *at++ = 32, memset(at, 1, 32), at += 32;
  memcpy(at, "\0\4\x13\1\x13\2\1\0", 8), at += 8;
  uint8_t *extensions = at;
  at += 2;
  put16(at, 0), put16(at + 2, length + 5), put16(at + 4, length + 3), at[6] = 0, put16(at + 7, length);
  memcpy(at + 9, name, length), at += 9 + length;
  size_t padding = 517 - (size_t)(at - hello) - 4;
  put16(at, 21), put16(at + 2, padding), memset(at + 4, 0, padding), at += 4 + padding;
  put16(extensions, (size_t)(at - extensions) - 2);
  hello_size = (size_t)(at - hello);
  hello[0] = 22, hello[1] = 3, hello[2] = 1;
  put16(hello + 3, hello_size - 5);
  hello[5] = 1, hello[6] = 0;
  put16(hello + 7, hello_size - 9);
}

/// A connection that has had its answer.
static int open_one(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (fd < 0) fail("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Of which of the client's addresses, where that is said.
  const char *source = getenv("SOURCE");
  struct sockaddr_in own = {.sin_family = AF_INET};
  if (source != NULL && (inet_pton(AF_INET, source, &own.sin_addr) != 1 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0)) fail("bind");
  if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0) fail("connect");
  if (send(fd, hello, hello_size, 0) != (ssize_t)hello_size) fail("send");
  uint8_t octets[sizeof answer];
  if (recv(fd, octets, sizeof octets, MSG_WAITALL) != sizeof octets) fail("no answer");
  return fd;
}

static void reset(int fd) {
  struct linger none = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
}

static volatile int is_over;
static void *keep_connecting(void *count) {
  while (!is_over) reset(open_one()), ++*(uint64_t *)count;
  return NULL;
}

static char has_answered[FDS];
static uint64_t owed[FDS];
static uint8_t page[BUFFER];

static void serve_one(int epoll, int fd, uint32_t events) {
  if (events & EPOLLIN) {
    uint8_t octets[65536];
    ssize_t count = recv(fd, octets, sizeof octets, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
      close(fd);
      return;
    }
    if (count > 0 && !has_answered[fd]) {
      has_answered[fd] = 1;
      send(fd, answer, sizeof answer, MSG_NOSIGNAL);
    } else if (count > 0 && octets[0] == 'E') {
      send(fd, octets, 1, MSG_NOSIGNAL);
    } else if (count >= 9 && octets[0] == 'B') {
      memcpy(&owed[fd], octets + 1, 8);
    }
  }
  while (owed[fd] > 0) {
    ssize_t count = send(fd, page, owed[fd] < BUFFER ? owed[fd] : BUFFER, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) break;
    owed[fd] -= (uint64_t)count;
  }
  struct epoll_event event = {.events = EPOLLIN | (owed[fd] > 0 ? EPOLLOUT : 0u), .data.fd = fd};
  epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

static void serve(int port) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, epoll = epoll_create1(0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 4096) < 0) fail("listen");
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd != listener) {
        serve_one(epoll, events[i].data.fd, events[i].events);
        continue;
      }
      int fd = accept(listener, NULL, NULL);
      if (fd < 0 || fd >= FDS) continue;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      has_answered[fd] = 0, owed[fd] = 0;
      event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
  }
}

static void bulk(uint64_t octets) {
  int fd = open_one();
  uint8_t request[9] = {'B'};
  memcpy(request + 1, &octets, 8);
  uint64_t began = now();
  if (send(fd, request, sizeof request, 0) != sizeof request) fail("send");
  while (octets > 0) {
    ssize_t count = recv(fd, page, BUFFER, 0);
    if (count <= 0) fail("cut");
    octets -= (uint64_t)count;
  }
  printf("%llu\n", (unsigned long long)(now() - began));
  reset(fd);
}

static void rate(double seconds, int threads) {
  pthread_t all[64];
  uint64_t counts[64] = {0}, sum = 0, began = now();
  for (int i = 0; i < threads && i < 64; i++) pthread_create(&all[i], NULL, keep_connecting, &counts[i]);
  usleep((unsigned)(seconds * 1e6));
  is_over = 1;
  for (int i = 0; i < threads && i < 64; i++) pthread_join(all[i], NULL), sum += counts[i];
  printf("%.0f\n", (double)sum / ((double)(now() - began) / 1e9));
}

int main(int count, char **words) {
  signal(SIGPIPE, SIG_IGN);
  struct rlimit limit = {FDS, FDS};
  setrlimit(RLIMIT_NOFILE, &limit);
  if (count == 3 && !strcmp(words[1], "serve")) serve(atoi(words[2]));
  if (count < 6) return 64;
  target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[3]))};
  if (inet_pton(AF_INET, words[2], &target.sin_addr) != 1) return 64;
  make_hello(words[4]);
  long number = atol(words[5]);
  if (!strcmp(words[1], "hello")) {
    for (size_t i = 0; i < hello_size; i++) printf("%02x", hello[i]);
    puts("");
  } else if (!strcmp(words[1], "connect")) {
    for (long i = 0; i < number; i++) {
      uint64_t began = now();
      int fd = open_one();
      printf("%llu\n", (unsigned long long)(now() - began));
      reset(fd);
    }
  } else if (!strcmp(words[1], "echo")) {
    int fd = open_one();
    for (long i = 0; i < number; i++) {
      uint64_t began = now();
      uint8_t octet = 'E';
      if (send(fd, &octet, 1, 0) != 1 || recv(fd, &octet, 1, 0) != 1) fail("echo");
      printf("%llu\n", (unsigned long long)(now() - began));
    }
  } else if (!strcmp(words[1], "bulk")) {
    bulk((uint64_t)number);
  } else if (!strcmp(words[1], "rate") && count == 7) {
    rate(atof(words[5]), atoi(words[6]));
  } else if (!strcmp(words[1], "idle")) {
    for (long i = 0; i < number; i++) open_one();
    printf("%ld\n", number);
    fflush(stdout);
    char octet;
    while (read(0, &octet, 1) > 0) continue;
  } else {
    return 64;
  }
  return 0;
}
