#define _GNU_SOURCE
#include "sluice_idle.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

// <linux/ioprio.h>
enum { WHO_PROCESS = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13 };

void sluice_thread_be_idle(void) {
  struct sched_param none = {0};
  if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) setpriority(PRIO_PROCESS, (id_t)gettid(), 19);
  syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE << CLASS_SHIFT);
}

int64_t sluice_octets_left(int fd) {
  struct statvfs status;
  if (fstatvfs(fd, &status) != 0) return -1;
  return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

int sluice_copy_attributes(int from, int to) {
  struct stat status;
  if (fstat(from, &status) != 0) return errno;
  struct stat own;
  if (fstat(to, &own) != 0) return errno;
  if ((own.st_uid != status.st_uid || own.st_gid != status.st_gid) && fchown(to, status.st_uid, status.st_gid) != 0) {
    return errno;
  }
  if (fchmod(to, status.st_mode & 07777) != 0) return errno;
  struct timespec times[2] = {status.st_atim, status.st_mtim};
  return futimens(to, times) == 0 ? 0 : errno;
}
