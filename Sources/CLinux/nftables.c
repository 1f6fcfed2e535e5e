#define _GNU_SOURCE
#include "sluice_nftables.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

// What of libnftables(3) is used. The library comes with the program nft, and is loaded only by the process that needs it.
typedef void *(*create_context)(uint32_t flags);
typedef int (*run_file)(void *context, const char *path);

static int option(int fd, int name) {
  int value = -1;
  socklen_t octets = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &octets) == 0 ? value : -1;
}

static int speaks_netfilter(int fd) {
  return option(fd, SO_DOMAIN) == AF_NETLINK && option(fd, SO_PROTOCOL) == NETLINK_NETFILTER;
}

static int refuse(const char *text, const char *reason) {
  fprintf(stderr, "%s: %s\n", text, reason);
  return 1;
}

int sluice_nftables_apply(int socket) {
  // It must not keep the table owned when the worker that it writes for is gone.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!speaks_netfilter(socket)) return refuse("the owner's socket", "is none of nf_tables");
  void *library = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return refuse("libnftables cannot be loaded", dlerror());
  create_context create = (create_context)dlsym(library, "nft_ctx_new");
  run_file run = (run_file)dlsym(library, "nft_run_cmd_from_filename");
  if (create == NULL || run == NULL) return refuse("libnftables", "is not the one of nft");
  // The lowest number that is free, which its socket gets.
  int place = fcntl(socket, F_DUPFD_CLOEXEC, 0);
  if (place < 0) return refuse("libnftables", strerror(errno));
  close(place);
  void *context = create(0);
  if (context == NULL || !speaks_netfilter(place)) return refuse("libnftables", "opens no socket, or another one first");
  // libnftables reads until nothing is left, as it made its own. The owner takes that back.
  if (fcntl(socket, F_SETFL, O_NONBLOCK) < 0 || dup3(socket, place, O_CLOEXEC) < 0) return refuse("libnftables", strerror(errno));
  return run(context, "-") == 0 ? 0 : 1;
}
