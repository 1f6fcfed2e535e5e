#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdint.h>

/// Whether the kernel takes the wall clock for synchronised (adjtimex(2)): 1, 0, or -errno.
int32_t sluice_clock_is_synchronised(void);

/// A non-blocking descriptor that becomes readable when the wall clock was set; or a negative errno.
int sluice_clock_watch_new(void);

/// Whether the clock was set since the last call: 1 or 0.
int sluice_clock_watch_take(int fd);

#endif
