#define _GNU_SOURCE
#include "sluice_signals.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

int sluice_signals_new(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  signal(SIGPIPE, SIG_IGN);
  if (pthread_sigmask(SIG_BLOCK, &set, NULL)) return -errno;
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int sluice_signals_take(int fd) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

int sluice_become(unsigned uid, unsigned gid) {
  // While the process still may: without the bounding set nothing that is executed later gains a capability either.
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) prctl(PR_CAPBSET_DROP, capability);
  if (setgroups(0, NULL) < 0) return errno;
  if (setresgid(gid, gid, gid) < 0) return errno;
  if (setresuid(uid, uid, uid) < 0) return errno;
  return 0;
}

int sluice_find_user(const char *name, unsigned *uid, unsigned *gid) {
  struct passwd entry, *found = NULL;
  char buffer[16384];
  int error = getpwnam_r(name, &entry, buffer, sizeof buffer, &found);
  if (error) return error;
  if (!found) return ENOENT;
  *uid = entry.pw_uid;
  *gid = entry.pw_gid;
  return 0;
}
