#define _GNU_SOURCE
#include "sluice_clock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

int32_t sluice_clock_is_synchronised(void) {
  struct timex state = {0};
  if (adjtimex(&state) < 0) return -errno;
  return state.status & STA_UNSYNC ? 0 : 1;
}

// A century ahead: what tells is that the timer is cancelled.
static int arm(int fd) {
  struct itimerspec end = {.it_value = {.tv_sec = time(NULL) + (time_t)100 * 365 * 86400}};
  return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &end, NULL) == 0 ? 0 : errno;
}

int sluice_clock_watch_new(void) {
  int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0) return -errno;
  int failure = arm(fd);
  if (!failure) return fd;
  close(fd);
  return -failure;
}

int sluice_clock_watch_take(int fd) {
  uint64_t count;
  ssize_t got = read(fd, &count, sizeof count);
  if (got < 0 && errno != ECANCELED) return 0;
  // A clock that is set while this arms the timer is told as well: the kernel compares with the time of arming.
  (void)arm(fd);
  return 1;
}
