#define _GNU_SOURCE
#include "sluice_clock.h"

#include <errno.h>
#include <sys/timex.h>

int32_t sluice_clock_is_synchronised(void) {
  struct timex state = {0};
  if (adjtimex(&state) < 0) return -errno;
  return state.status & STA_UNSYNC ? 0 : 1;
}
